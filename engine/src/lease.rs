//! The right to change a cluster: its run record, opened, beaten and closed under conditions.
//!
//! Whoever wrote the record last holds it: every write carries the etag of the one before, so of two only one succeeds.
//! A holder writes a beat every few seconds. Who wants the cluster waits until a run is closed, or has not beaten for
//! [`RUN_DEAD_AFTER_SECONDS`], by the service's own clock or watched for as long; then the generation grows. A holder
//! that could not confirm its record lately confirms it before its next write; one that finds another's stops for good.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::observed::READY_BLOB;
use hcs_planner::ownership::{
    Claim, Decision, FixedInputs, InputDifference, RUN_DEAD_AFTER_SECONDS, RUN_RECORD_FORMAT,
    RunOutcome, RunPhase, RunRecord, decide,
};
use tokio::sync::Mutex;

use crate::arm::Arm;
use crate::blob::{BlobContent, BlobError, BlobStore, WriteCondition};
use crate::clock::Clock;
use crate::error::EngineError;
use crate::secrets::fresh_id;
use crate::{document, rfc3339};

/// Between two beats; several may fail before the record counts as dead.
const BEAT: Duration = Duration::from_secs(8);
/// How long a confirmed record lets its holder write without asking again.
const TRUSTED: Duration = Duration::from_secs(15);
/// Between two looks at somebody else's record.
const WATCH: Duration = Duration::from_secs(2);
/// How long a holder tries to reach its record before it gives up; nobody else can take it meanwhile without being seen.
const CONFIRM_SECONDS_MAX: u64 = 300;

/// Is asked before every write of a run.
#[async_trait]
pub trait Fence: Send + Sync {
    /// An error where the run may not write any more.
    async fn check(&self) -> Result<(), EngineError>;
}

/// Why a run does not get the cluster. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Somebody works on it.
    #[error("another run is changing it: {}", told(.0))]
    Busy(Box<RunRecord>),
    /// A create met a cluster that a state holds; `None` where its record is missing.
    #[error("it exists already")]
    Exists(Option<Box<RunRecord>>),
    /// A create met one that was cut off and declared something else.
    #[error("an interrupted create declared {} otherwise", .1.first().map_or("an input", |d| d.name))]
    OtherInputs(Box<RunRecord>, Vec<InputDifference>),
    /// The state's cluster is gone, and another one has its name.
    #[error("it is another cluster than the one that the state holds")]
    OtherIncarnation(Box<RunRecord>),
    /// The record could not be read or written.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<BlobError> for ClaimError {
    fn from(error: BlobError) -> Self {
        Self::Engine(error.into())
    }
}

/// Who works, since when, on what.
pub fn told(record: &RunRecord) -> String {
    let step = record.step.as_deref().map_or_else(String::new, |step| format!(", at {step:?}"));
    format!("{} of {} since {}{step}", record.operation.as_str(), record.holder, record.started_at)
}

/// The record as it was last confirmed.
struct Held {
    record: RunRecord,
    etag: String,
}

/// An open run.
pub struct Lease {
    store: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
    step: std::sync::Mutex<Option<String>>,
    incarnation_id: String,
    /// When the record was last confirmed, by both clocks: the one stops while a laptop sleeps, the other may be set.
    confirmed_monotonic_ms: AtomicU64,
    confirmed_unix_ms: AtomicU64,
    lost: std::sync::Mutex<Option<String>>,
    /// The cluster goes, and its record with it.
    let_go: AtomicBool,
}

/// A record as it was read.
struct Found {
    record: RunRecord,
    etag: String,
    age: Option<Duration>,
}

impl Lease {
    /// Opens a run, as soon as nobody else works; with it comes the record that was there before.
    pub async fn open(
        arm: &Arm,
        store: Arc<dyn BlobStore>,
        claim: &Claim,
        fixed: &FixedInputs,
        holder: &str,
    ) -> Result<(Self, Option<RunRecord>), ClaimError> {
        let mut watched: Option<(String, u64)> = None;
        loop {
            let found = read(store.as_ref()).await?;
            let now_ms = arm.clock.monotonic_ms();
            let is_alive = found.as_ref().is_some_and(|found| {
                // Somebody's clock may be wrong, ours never is about how long we have looked.
                let quiet = match &watched {
                    Some((etag, since_ms)) if *etag == found.etag => now_ms - since_ms,
                    _ => 0,
                };
                let age = found.age.unwrap_or_default().max(Duration::from_millis(quiet));
                age < Duration::from_secs(RUN_DEAD_AFTER_SECONDS)
            });
            let was_ready =
                found.is_none() && store.get(container::CONFIG, READY_BLOB).await?.is_some();
            let record = found.as_ref().map(|found| &found.record);
            let decision = decide(claim, fixed, record, is_alive, was_ready);
            let own = match (decision, found) {
                (Decision::Open(own), found) => (own, found),
                (Decision::Wait, Some(found)) => {
                    // Who beats while we look is no dead one.
                    if watched.as_ref().is_some_and(|(etag, _)| *etag != found.etag) {
                        return Err(ClaimError::Busy(Box::new(found.record)));
                    }
                    watched.get_or_insert((found.etag, now_ms));
                    arm.sleep(WATCH).await?;
                    continue;
                }
                (Decision::Exists, found) => {
                    return Err(ClaimError::Exists(found.map(|found| Box::new(found.record))));
                }
                (Decision::OtherInputs(inputs), Some(found)) => {
                    return Err(ClaimError::OtherInputs(Box::new(found.record), inputs));
                }
                (Decision::OtherIncarnation, Some(found)) => {
                    return Err(ClaimError::OtherIncarnation(Box::new(found.record)));
                }
                // A record that is not there forbids nothing but what is told above.
                (_, None) => return Err(ClaimError::Exists(None)),
            };
            let (incarnation, found) = own;
            let record = RunRecord {
                format: RUN_RECORD_FORMAT,
                incarnation_id: incarnation.unwrap_or_else(fresh_id),
                generation: found.as_ref().map_or(0, |found| found.record.generation) + 1,
                run_id: fresh_id(),
                operation: claim.operation(),
                holder: holder.to_owned(),
                started_at: rfc3339(arm.clock.now_unix_ms()),
                phase: RunPhase::Open,
                outcome: None,
                step: None,
                beats: 0,
                fixed: fixed.clone(),
            };
            let condition = match &found {
                Some(found) => WriteCondition::Matches(found.etag.clone()),
                None => WriteCondition::Absent,
            };
            if let Some(etag) = put(store.as_ref(), &record, condition).await? {
                let lease = Self::held(arm, store, record, etag);
                return Ok((lease, found.map(|found| found.record)));
            }
            // Somebody was faster: what they wrote decides anew.
            watched = None;
        }
    }

    fn held(arm: &Arm, store: Arc<dyn BlobStore>, record: RunRecord, etag: String) -> Self {
        let lease = Self {
            store,
            clock: Arc::clone(&arm.clock),
            incarnation_id: record.incarnation_id.clone(),
            held: Mutex::new(Held { record, etag }),
            step: std::sync::Mutex::default(),
            confirmed_monotonic_ms: AtomicU64::default(),
            confirmed_unix_ms: AtomicU64::default(),
            lost: std::sync::Mutex::default(),
            let_go: AtomicBool::new(false),
        };
        lease.confirm(lease.clock.monotonic_ms(), lease.clock.now_unix_ms());
        lease
    }

    /// Which cluster of its id this run works on.
    pub fn incarnation_id(&self) -> &str {
        &self.incarnation_id
    }

    /// Notes the step that begins, for whoever asks.
    pub fn note_step(&self, step: &str) {
        if let Ok(mut noted) = self.step.lock() {
            *noted = Some(step.to_owned());
        }
    }

    /// The group with the record in it is about to be deleted: from now on its absence says nothing.
    pub fn let_go(&self) {
        self.let_go.store(true, Ordering::Relaxed);
    }

    /// Beats for ever. Poll it beside the work.
    pub async fn beat(&self) -> Infallible {
        loop {
            self.clock.sleep(BEAT).await;
            if let Err(error) = self.renew(None).await {
                tracing::debug!(error = %crate::error::chain(&error), "no beat");
            }
        }
    }

    /// Closes the run: some state holds the cluster now.
    pub async fn close(&self, outcome: RunOutcome) -> Result<(), EngineError> {
        self.end(RunPhase::Closed, outcome).await
    }

    /// Leaves the cluster to the next create: no state holds it.
    pub async fn release(&self, outcome: RunOutcome) -> Result<(), EngineError> {
        self.end(RunPhase::Released, outcome).await
    }

    async fn end(&self, phase: RunPhase, outcome: RunOutcome) -> Result<(), EngineError> {
        let change = |record: &mut RunRecord| {
            record.phase = phase;
            record.outcome = Some(outcome);
        };
        for attempt in 1.. {
            match self.renew(Some(&change)).await {
                // What could not be closed is dead in a moment, and the next run takes it over.
                Err(error) if attempt == 5 || matches!(error, EngineError::Fenced { .. }) => {
                    return Err(error);
                }
                Err(_) => self.clock.sleep(crate::arm::backoff(attempt)).await,
                Ok(()) => break,
            }
        }
        Ok(())
    }

    /// Writes the record again, where it is still ours.
    async fn renew(
        &self,
        change: Option<&(dyn Fn(&mut RunRecord) + Send + Sync)>,
    ) -> Result<(), EngineError> {
        let mut held = self.held.lock().await;
        if let Some(by) = self.lost.lock().ok().and_then(|lost| lost.clone()) {
            return Err(EngineError::Fenced { by });
        }
        let (monotonic_ms, unix_ms) = (self.clock.monotonic_ms(), self.clock.now_unix_ms());
        let mut record = held.record.clone();
        record.beats += 1;
        record.step = self.step.lock().ok().and_then(|step| step.clone());
        if let Some(change) = change {
            change(&mut record);
        }
        let condition = WriteCondition::Matches(held.etag.clone());
        match put(self.store.as_ref(), &record, condition).await? {
            Some(etag) => {
                *held = Held { record, etag };
                self.confirm(monotonic_ms, unix_ms);
                Ok(())
            }
            None => self.lose().await,
        }
    }

    async fn lose(&self) -> Result<(), EngineError> {
        let by = match read(self.store.as_ref()).await? {
            Some(found) => told(&found.record),
            None if self.let_go.load(Ordering::Relaxed) => return Ok(()),
            None => "somebody deleted the run record config/run.json".to_owned(),
        };
        if let Ok(mut lost) = self.lost.lock() {
            *lost = Some(by.clone());
        }
        Err(EngineError::Fenced { by })
    }

    fn confirm(&self, monotonic_ms: u64, unix_ms: u64) {
        self.confirmed_monotonic_ms.store(monotonic_ms, Ordering::Relaxed);
        self.confirmed_unix_ms.store(unix_ms, Ordering::Relaxed);
    }

    fn is_trusted(&self) -> bool {
        let since = |now: u64, then: &AtomicU64| now.saturating_sub(then.load(Ordering::Relaxed));
        let passed = since(self.clock.monotonic_ms(), &self.confirmed_monotonic_ms)
            .max(since(self.clock.now_unix_ms(), &self.confirmed_unix_ms));
        Duration::from_millis(passed) < TRUSTED
    }
}

#[async_trait]
impl Fence for Lease {
    async fn check(&self) -> Result<(), EngineError> {
        if self.let_go.load(Ordering::Relaxed) {
            return Ok(());
        }
        if let Some(by) = self.lost.lock().ok().and_then(|lost| lost.clone()) {
            return Err(EngineError::Fenced { by });
        }
        let started_ms = self.clock.monotonic_ms();
        for attempt in 1.. {
            if self.is_trusted() {
                return Ok(());
            }
            let Err(error) = self.renew(None).await else { return Ok(()) };
            let waited_ms = self.clock.monotonic_ms().saturating_sub(started_ms);
            let is_over = waited_ms > CONFIRM_SECONDS_MAX * 1000;
            if is_over || matches!(error, EngineError::Fenced { .. }) {
                return Err(error);
            }
            self.clock.sleep(crate::arm::backoff(attempt)).await;
        }
        Ok(())
    }
}

/// The record of a cluster, if there is one.
pub async fn read_record(store: &dyn BlobStore) -> Result<Option<RunRecord>, EngineError> {
    Ok(read(store).await?.map(|found| found.record))
}

async fn read(store: &dyn BlobStore) -> Result<Option<Found>, EngineError> {
    let Some(BlobContent { bytes, etag, age }) = store.get(container::CONFIG, blob::RUN).await?
    else {
        return Ok(None);
    };
    let record: RunRecord =
        serde_json::from_slice(&bytes).map_err(|error| EngineError::BadDocument {
            container: container::CONFIG.to_owned(),
            name: blob::RUN.to_owned(),
            what: "the run record",
            reason: error.to_string(),
        })?;
    Ok(Some(Found { record, etag, age }))
}

/// Writes the record; `None` when the condition did not hold. A write whose answer was lost is read back.
async fn put(
    store: &dyn BlobStore,
    record: &RunRecord,
    condition: WriteCondition,
) -> Result<Option<String>, EngineError> {
    let bytes = document::bytes("the run record", record)?;
    match store.put(container::CONFIG, blob::RUN, bytes, condition).await {
        Ok(etag) => Ok(Some(etag)),
        Err(BlobError::ConditionFailed { .. }) => {
            let found = read(store).await?;
            Ok(found.filter(|found| found.record == *record).map(|found| found.etag))
        }
        Err(error) => Err(error.into()),
    }
}
