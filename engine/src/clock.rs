//! The port to time, so that tests run in virtual time.

use std::sync::{LazyLock, Mutex, PoisonError};
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

/// Both clocks at one moment: the one stops while a machine sleeps, the other may be set.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    monotonic_ms: u64,
    unix_ms: u64,
}

impl Moment {
    pub(crate) fn now(clock: &dyn Clock) -> Self {
        Self { monotonic_ms: clock.monotonic_ms(), unix_ms: clock.now_unix_ms() }
    }

    /// How long ago it was, by the clock that says more.
    fn passed(self, clock: &dyn Clock) -> Duration {
        let now = Self::now(clock);
        let monotonic_ms = now.monotonic_ms.saturating_sub(self.monotonic_ms);
        Duration::from_millis(monotonic_ms.max(now.unix_ms.saturating_sub(self.unix_ms)))
    }
}

/// When something was last known to be so.
pub(crate) struct Confirmed(Mutex<Moment>);

impl Confirmed {
    pub(crate) fn at(moment: Moment) -> Self {
        Self(Mutex::new(moment))
    }

    pub(crate) fn set(&self, moment: Moment) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = moment;
    }

    /// How long ago that was.
    pub(crate) fn passed(&self, clock: &dyn Clock) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).passed(clock)
    }
}
