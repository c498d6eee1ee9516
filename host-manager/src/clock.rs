//! This machine's clock beside the storage account's, which is Azure's.
//!
//! A clock that is off makes certificates that others do not believe yet, or any more, and takes snapshots under names of
//! another time.

use hcs_engine::error::chain;

use crate::host::Host;
use crate::leaf::BACKDATE;
use crate::status::Board;

/// Answers take time; less than this is nothing.
const OFF_SECONDS: u64 = 60;
const AREA: &str = "clock";

/// Looks, and tells.
pub async fn look(host: &Host, board: &Board) {
    match host.stores.served_unix_s(host.bootstrap.slot).await {
        Ok(None) => {}
        Ok(Some(theirs)) => {
            let own = i64::try_from(host.clock.now_unix_ms() / 1000).unwrap_or(i64::MAX);
            board.set_attention(AREA, told(own.saturating_sub(theirs)));
        }
        Err(error) => tracing::debug!(error = %chain(&error), "Azure's clock is not known"),
    }
}

/// What to say of a clock that is so far ahead.
fn told(ahead_seconds: i64) -> Option<String> {
    let off = ahead_seconds.unsigned_abs();
    let way = if ahead_seconds > 0 { "ahead of" } else { "behind" };
    (off > OFF_SECONDS).then(|| {
        format!(
            "this server's clock is {off} s {way} Azure's: look at its time service (chronyc tracking). From {} s on others \
             do not believe certificates that it makes",
            BACKDATE.as_secs()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_by_more_than_a_minute_is_told() {
        assert_eq!(told(60), None);
        assert_eq!(told(-60), None);
        assert!(told(600).unwrap().contains("600 s ahead of Azure's"));
        assert!(told(-61).unwrap().contains("61 s behind Azure's"));
    }
}
