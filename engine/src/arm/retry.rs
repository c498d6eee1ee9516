//! When to ask again: back-off, budgets, and what all runs of a process learn from one refusal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Arm;
use super::lists::Lists;
use crate::cloud::Method;
use crate::error::{ArmError, EngineError};

/// Attempts while the endpoint has never been reached: a typo should not cost minutes.
const UNREACHABLE_ATTEMPTS_MAX: u32 = 3;
/// How long an endpoint that was reached before may be out of reach: a network that blinks must not end a run.
const UNREACHABLE_SECONDS_MAX: u64 = 300;
/// Others are held back for so long at most by what one request was told.
const HELD_BACK_SECONDS_MAX: u64 = 120;

/// 0.5 s, doubled each time, 10 s at most.
pub(crate) fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(500 * (1 << attempt.min(6))).min(Duration::from_secs(20)) / 2
}

/// What all requests of a process to one endpoint share.
#[derive(Debug, Default)]
pub struct Gate {
    /// Whether the endpoint ever answered.
    reached: AtomicBool,
    /// Until when reads and writes are held back, by [`crate::clock::Clock::monotonic_ms`].
    reads_from_ms: AtomicU64,
    writes_from_ms: AtomicU64,
    /// Lists that several wait for.
    lists: Lists,
}

impl Gate {
    fn turn(&self, method: Method) -> &AtomicU64 {
        if method.is_read() { &self.reads_from_ms } else { &self.writes_from_ms }
    }

    pub(super) fn note_answer(&self) {
        self.reached.store(true, Ordering::Relaxed);
    }

    /// ARM told one request to wait: the others would be told the same.
    pub(super) fn hold_back(&self, method: Method, now_ms: u64, wait: Duration) {
        let wait = wait.min(Duration::from_secs(HELD_BACK_SECONDS_MAX));
        let until_ms = now_ms + u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.turn(method).fetch_max(until_ms, Ordering::Relaxed);
    }

    /// How long a request has to wait because others were told to.
    pub(super) fn wait(&self, method: Method, now_ms: u64) -> Option<Duration> {
        let until_ms = self.turn(method).load(Ordering::Relaxed);
        (until_ms > now_ms).then(|| Duration::from_millis(until_ms - now_ms))
    }

    /// Whether a request that could not be sent is worth another try.
    pub(super) fn is_patient(&self, attempt: u32, waited: Duration) -> bool {
        if self.reached.load(Ordering::Relaxed) {
            waited < Duration::from_secs(UNREACHABLE_SECONDS_MAX)
        } else {
            attempt < UNREACHABLE_ATTEMPTS_MAX
        }
    }
}

impl Arm {
    /// With up to a fifth more, so that many who were refused together do not come back together. The same run asks at
    /// the same moments again, which keeps tests exact.
    pub(crate) fn jittered(&self, wait: Duration, id: &str, attempt: u32) -> Duration {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update(id.as_bytes());
        hash.update(attempt.to_le_bytes());
        let share = u32::from(hash.finalize()[0]);
        wait + wait * share / (5 * 255)
    }

    pub(super) fn lists(&self) -> &Lists {
        &self.gate.lists
    }

    /// Whether others of this process were told to wait.
    pub(super) fn is_held_back(&self, method: Method) -> bool {
        self.gate.wait(method, self.clock.monotonic_ms()).is_some()
    }

    /// Waits as long as others of this process were told to.
    pub(super) async fn pass_gate(&self, method: Method, id: &str) -> Result<(), EngineError> {
        while let Some(wait) = self.gate.wait(method, self.clock.monotonic_ms()) {
            self.sleep(self.jittered(wait, id, 0)).await?;
        }
        Ok(())
    }
}

/// Tries of one write, counted by reason: what was waited for one refusal is not held against the next. Only waiting
/// counts: an operation that ran for an hour before it failed has not used up its second try.
#[derive(Default)]
pub(super) struct Tries {
    by_reason: BTreeMap<String, Spent>,
}

#[derive(Clone, Copy, Default)]
struct Spent {
    tries: u32,
    waited: Duration,
}

impl Tries {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Waits for the next try; `false` when there is none.
    pub(super) async fn again(
        &mut self,
        arm: &Arm,
        error: &ArmError,
        bound_seconds: Option<u64>,
    ) -> Result<bool, EngineError> {
        const TRIES_PER_CODE_MAX: u32 = 60;
        let Some(bound) = bound_seconds else { return Ok(false) };
        let spent = self.by_reason.entry(error.code.clone()).or_default();
        spent.tries += 1;
        // An operation that runs is waited for as long as it may run; one that was accepted and failed has run.
        let is_waiting = error.is_in_progress() && error.status >= 400;
        let is_often = spent.tries > TRIES_PER_CODE_MAX && !is_waiting;
        if spent.waited > Duration::from_secs(bound) || is_often {
            return Ok(false);
        }
        let wait = error.retry_after.unwrap_or_else(|| backoff(spent.tries));
        let wait = arm.jittered(wait, &error.id, spent.tries);
        spent.waited += wait;
        tracing::debug!(id = %error.id, code = %error.code, ?wait, "refused, trying again");
        arm.sleep(wait).await?;
        Ok(true)
    }

    /// The same for a request that never left.
    pub(super) async fn again_unsent(&mut self, arm: &Arm, id: &str) -> Result<bool, EngineError> {
        let spent = self.by_reason.entry("not sent".to_owned()).or_default();
        spent.tries += 1;
        if !arm.gate.is_patient(spent.tries, spent.waited) {
            return Ok(false);
        }
        let wait = arm.jittered(backoff(spent.tries), id, spent.tries);
        spent.waited += wait;
        arm.sleep(wait).await?;
        Ok(true)
    }
}

/// One for each endpoint of a process.
pub type SharedGate = Arc<Gate>;
