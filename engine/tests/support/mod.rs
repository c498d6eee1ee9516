//! What the tests of the engine share.

pub(crate) mod claims;

use std::time::Duration;

use async_trait::async_trait;
use hcs_engine::clock::Clock;
use tokio::time::Instant;

/// Time that passes with tokio's, from this moment on.
pub(crate) struct TestClock(pub(crate) Instant);

#[async_trait]
impl Clock for TestClock {
    fn now_unix_ms(&self) -> u64 {
        1_795_000_000_000 + self.monotonic_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
