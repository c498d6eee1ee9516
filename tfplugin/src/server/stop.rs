//! The switch behind Ctrl-C.

use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// Cancels what runs and is ready for the next run at once: after an interrupt Terraform still
/// asks for reads, and must get answers.
#[derive(Debug, Default)]
pub(crate) struct Stop(Mutex<CancellationToken>);

impl Stop {
    /// A token for one call.
    pub(crate) fn token(&self) -> CancellationToken {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).child_token()
    }

    /// Cancels the tokens of all calls that run.
    pub(crate) fn pull(&self) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *current).cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_cancels_what_runs_and_nothing_later() {
        let stop = Stop::default();
        let running = stop.token();
        stop.pull();
        assert!(running.is_cancelled());
        assert!(!stop.token().is_cancelled());
    }

    #[test]
    fn one_call_cancels_no_other() {
        let stop = Stop::default();
        let (one, other) = (stop.token(), stop.token());
        one.cancel();
        assert!(!other.is_cancelled());
    }
}
