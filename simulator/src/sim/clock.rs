//! Virtual time: a clock that stands still while anybody works, and an executor that moves it to the next moment at
//! which somebody wants to go on. One task, no threads: the same future sees the same times in the same order.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_trait::async_trait;
use hcs_engine::clock::Clock;

/// Why a future did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// It waits for nothing that will ever happen.
    ForNothing,
    /// It still waits at the end of the time that it was given.
    ForTooLong,
}

#[derive(Debug, Default)]
struct Timers {
    now_ms: u64,
    sequence: u64,
    due: BTreeMap<(u64, u64), Waker>,
}

/// Time of a world of its own. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct VirtualTime(Arc<Mutex<Timers>>);

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl VirtualTime {
    /// Time that stands at this moment, milliseconds since the Unix epoch.
    pub fn at(now_ms: u64) -> Self {
        Self(Arc::new(Mutex::new(Timers { now_ms, ..Timers::default() })))
    }

    fn timers(&self) -> MutexGuard<'_, Timers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now, milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.timers().now_ms
    }

    /// Lets time pass while nobody works.
    pub fn skip(&self, duration: Duration) {
        let mut timers = self.timers();
        timers.now_ms += millis(duration);
    }

    /// Runs a future to its end, for at most so long of its own time.
    pub fn run<F: Future>(&self, future: F, at_most: Duration) -> Result<F::Output, Stuck> {
        let ends_ms = self.now_ms() + millis(at_most);
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            while flag.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                    return Ok(output);
                }
            }
            let mut timers = self.timers();
            let Some(((at_ms, _), waker)) = timers.due.pop_first() else {
                return Err(Stuck::ForNothing);
            };
            if at_ms > ends_ms {
                return Err(Stuck::ForTooLong);
            }
            timers.now_ms = timers.now_ms.max(at_ms);
            drop(timers);
            waker.wake();
        }
    }

    /// Ends at this moment of the world, whatever clocks show.
    pub fn sleep_until(&self, at_ms: u64) -> Sleep {
        Sleep { time: self.clone(), at_ms, key: None }
    }
}

/// Ends when its time has come; nothing of it is left when it is dropped.
#[derive(Debug)]
pub struct Sleep {
    time: VirtualTime,
    at_ms: u64,
    key: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let at_ms = self.at_ms;
        let mut timers = self.time.timers();
        if timers.now_ms >= at_ms {
            drop(timers);
            self.clear();
            return Poll::Ready(());
        }
        let key = self.key.unwrap_or_else(|| {
            timers.sequence += 1;
            (at_ms, timers.sequence)
        });
        timers.due.insert(key, context.waker().clone());
        drop(timers);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Sleep {
    fn clear(&mut self) {
        if let Some(key) = self.key.take() {
            self.time.timers().due.remove(&key);
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clear();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The clock of one machine in virtual time: it may be set wrong, and sleep.
#[derive(Clone, Debug)]
struct Skew {
    unix_ms: Arc<AtomicI64>,
    asleep_ms: Arc<AtomicU64>,
}

#[derive(Clone, Debug)]
enum Source {
    /// Tokio's paused clock.
    Tokio { epoch_ms: u64, started: tokio::time::Instant },
    /// A world of its own.
    Virtual { time: VirtualTime, started_ms: u64, skew: Skew },
}

/// The clock of whoever drives a simulated world.
#[derive(Clone, Debug)]
pub struct SimClock(Source);

impl SimClock {
    /// A clock that shows `epoch_ms` now and passes with tokio's: for tests whose runtime is paused.
    pub fn starting_at(epoch_ms: u64) -> Self {
        Self(Source::Tokio { epoch_ms, started: tokio::time::Instant::now() })
    }

    /// The clock of a machine that was just switched on, in virtual time.
    pub fn of(time: &VirtualTime) -> Self {
        let skew = Skew { unix_ms: Arc::default(), asleep_ms: Arc::default() };
        let started_ms = time.now_ms();
        Self(Source::Virtual { time: time.clone(), started_ms, skew })
    }

    /// The moment in the world, whatever this machine's clock shows.
    pub fn true_unix_ms(&self) -> u64 {
        match &self.0 {
            Source::Tokio { .. } => self.now_unix_ms(),
            Source::Virtual { time, .. } => time.now_ms(),
        }
    }

    /// Somebody sets this machine's clock by so much.
    pub fn set_by(&self, by_ms: i64) {
        if let Source::Virtual { skew, .. } = &self.0 {
            skew.unix_ms.fetch_add(by_ms, Ordering::Relaxed);
        }
    }

    /// This machine sleeps for so long: the world goes on, and its monotonic clock does not.
    pub fn suspend(&self, duration: Duration) {
        if let Source::Virtual { time, skew, .. } = &self.0 {
            time.skip(duration);
            skew.asleep_ms.fetch_add(millis(duration), Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now_unix_ms(&self) -> u64 {
        match &self.0 {
            Source::Tokio { epoch_ms, started } => {
                epoch_ms.saturating_add(millis(started.elapsed()))
            }
            Source::Virtual { time, skew, .. } => {
                time.now_ms().saturating_add_signed(skew.unix_ms.load(Ordering::Relaxed))
            }
        }
    }

    fn monotonic_ms(&self) -> u64 {
        match &self.0 {
            Source::Tokio { started, .. } => millis(started.elapsed()),
            Source::Virtual { time, started_ms, skew } => {
                let asleep_ms = skew.asleep_ms.load(Ordering::Relaxed);
                time.now_ms().saturating_sub(*started_ms).saturating_sub(asleep_ms)
            }
        }
    }

    async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Source::Tokio { .. } => tokio::time::sleep(duration).await,
            Source::Virtual { time, .. } => {
                let at_ms = time.now_ms().saturating_add(millis(duration));
                time.sleep_until(at_ms).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_only_while_everybody_waits_and_in_order() {
        let time = VirtualTime::at(1000);
        let clock = SimClock::of(&time);
        let seen = Mutex::new(Vec::new());
        let wait = |name: &'static str, seconds: u64| {
            let (clock, seen) = (clock.clone(), &seen);
            async move {
                clock.sleep(Duration::from_secs(seconds)).await;
                seen.lock().unwrap().push((name, clock.monotonic_ms()));
            }
        };
        let all = async {
            futures::join!(wait("late", 2), wait("early", 1), wait("late too", 2));
        };
        time.run(all, Duration::from_secs(10)).unwrap();
        let expected = [("early", 1000), ("late", 2000), ("late too", 2000)];
        assert_eq!(*seen.lock().unwrap(), expected);
        assert_eq!(time.now_ms(), 3000);
    }

    #[test]
    fn a_future_that_never_ends_is_told_from_one_that_takes_long() {
        let time = VirtualTime::at(0);
        let clock = SimClock::of(&time);
        let never = time.run(std::future::pending::<()>(), Duration::from_secs(1));
        assert_eq!(never, Err(Stuck::ForNothing));
        let long = time.run(clock.sleep(Duration::from_secs(2)), Duration::from_secs(1));
        assert_eq!(long, Err(Stuck::ForTooLong));
    }

    #[test]
    fn a_machine_that_sleeps_misses_time_and_one_whose_clock_is_set_does_not() {
        let time = VirtualTime::at(10_000);
        let clock = SimClock::of(&time);
        clock.suspend(Duration::from_mins(1));
        assert_eq!((clock.now_unix_ms(), clock.monotonic_ms()), (70_000, 0));
        clock.set_by(-3_000);
        assert_eq!((clock.now_unix_ms(), clock.true_unix_ms()), (67_000, 70_000));
    }
}
