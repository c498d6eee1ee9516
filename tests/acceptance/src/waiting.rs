//! Waiting for what servers do by themselves.

use std::error::Error;
use std::time::{Duration, Instant};

use crate::HarnessError;

/// Nothing of this size takes longer.
const PATIENCE: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(700);

/// Asks until it holds, and says after how long it did; an error names what was waited for.
pub fn wait(
    what: &str,
    mut holds: impl FnMut() -> Result<bool, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    while !holds()? {
        if began.elapsed() > PATIENCE {
            let told = format!("not within {} s: {what}", PATIENCE.as_secs());
            return Err(HarnessError::Unexpected(told).into());
        }
        std::thread::sleep(POLL);
    }
    println!("{what}: after {} s", began.elapsed().as_secs());
    Ok(())
}
