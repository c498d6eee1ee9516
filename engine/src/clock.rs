//! The port to time, so that tests run in virtual time.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use async_trait::async_trait;

/// Time as the engine sees it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch, for people and documents: somebody may set this clock.
    fn now_unix_ms(&self) -> u64;

    /// Milliseconds since some moment, for deadlines: nobody sets this clock.
    fn monotonic_ms(&self) -> u64;

    /// Sleeps; dropping the future cancels it.
    async fn sleep(&self, duration: Duration);
}

/// From when the machine's clock counts.
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now_unix_ms(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(STARTED.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
