//! The barrier between a panic in the author's code and the rest of the process.

use std::any::Any;
use std::cell::RefCell;

use tracing::Instrument as _;

use crate::{Diagnostic, Diagnostics};

thread_local! {
    /// Where the last panic of this thread happened; only the panic hook gets to know.
    static LAST_PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes later panics known by their place, in logs and diagnostics.
pub(crate) fn remember_places() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let message = message(panic.payload());
        tracing::error!(place, message, "panic");
        LAST_PLACE.with_borrow_mut(|last| *last = place);
    }));
}

/// Runs a future to its end; a panic becomes a diagnostic that asks for a report.
///
/// The future runs in a task of its own and goes on when the caller is dropped.
pub(crate) async fn catch<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, Diagnostics> {
    tokio::spawn(future.in_current_span()).await.map_err(|failure| {
        let cause = match failure.try_into_panic() {
            Ok(payload) => {
                let place = LAST_PLACE.take().map(|place| format!(" at {place}"));
                format!("panicked{}: {}", place.unwrap_or_default(), message(&*payload))
            }
            Err(_) => "was cut off because the provider ends".to_owned(),
        };
        Diagnostic::error(
            "Bug in the provider: an operation broke down",
            format!("The operation {cause}.\n\nPlease report this to the provider's developers."),
        )
        .into()
    })
}

fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_diagnostic_with_its_message() {
        let failed = catch(async { panic!("the roof is on fire") }).await;
        let failed: Result<(), _> = failed;
        let detail = failed.unwrap_err().iter().next().unwrap().detail.clone();
        assert!(detail.contains("the roof is on fire") && detail.contains("report"), "{detail}");
    }
}
