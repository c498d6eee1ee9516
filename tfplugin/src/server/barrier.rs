//! The barrier between a panic in the author's code and the rest of the process.

use std::any::Any;
use std::cell::RefCell;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use tokio::runtime::Handle;
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
    catch_on(&Handle::current(), future).await
}

/// The same, on the threads of this runtime.
pub(crate) async fn catch_on<T: Send + 'static>(
    threads: &Handle,
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, Diagnostics> {
    let caught = async move {
        // The place is known on the thread that panicked, and nowhere else.
        AssertUnwindSafe(future).catch_unwind().await.map_err(|payload| {
            let place = LAST_PLACE.take().map(|place| format!(" at {place}"));
            format!("panicked{}: {}", place.unwrap_or_default(), message(&*payload))
        })
    };
    let ended = threads.spawn(caught.in_current_span()).await;
    let cut_off = |_| Err("was cut off because the provider ends".to_owned());
    ended.unwrap_or_else(cut_off).map_err(|cause| {
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

    #[test]
    fn a_panic_on_another_thread_is_told_with_its_place() {
        remember_places();
        let others = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let here = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let failed: Result<(), _> =
            here.block_on(catch_on(others.handle(), async { panic!("the roof is on fire") }));
        let detail = failed.unwrap_err().iter().next().unwrap().detail.clone();
        assert!(detail.contains("panicked at ") && detail.contains("barrier.rs:"), "{detail}");
    }
}
