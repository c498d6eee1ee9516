//! The right to change a cluster: its run record, opened, beaten and closed under conditions.
//!
//! Whoever wrote the record last holds it: every write carries the etag of the one before, so of two only one succeeds.
//! A holder writes a beat every few seconds. Who wants the cluster waits until a run is closed, or has not beaten for
//! [`RUN_DEAD_AFTER_SECONDS`], by the service's own clock or watched for as long. A holder that could not confirm its
//! record lately confirms it before its next write; one that finds another run's stops for good.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::jobs::Job;
use hcs_planner::observed::{READY_BLOB, Unseen, UnseenWhy};
use hcs_planner::ownership::{
    Claim, Decision, FixedInputs, InputDifference, Met, Operation, RUN_DEAD_AFTER_SECONDS,
    RUN_RECORD_FORMAT, RunFailure, RunOutcome, RunPhase, RunRecord, decide,
};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::arm::{Arm, backoff};
use crate::blob::{BlobContent, BlobError, BlobStore, WriteCondition};
use crate::clock::{Clock, Confirmed, Moment};
use crate::entropy::uuid;
use crate::error::EngineError;
use crate::{document, jobs, rfc3339};

/// Between two beats; several may fail before the record counts as dead.
const BEAT: Duration = Duration::from_secs(8);
/// A beat that has no answer by then is given up; whether it was written the next one finds out.
const BEAT_MAX: Duration = Duration::from_secs(6);
/// How long a confirmed record lets its holder write without asking again.
const TRUSTED: Duration = Duration::from_secs(15);
/// Between two looks at somebody else's record.
const WATCH: Duration = Duration::from_secs(2);
/// How long a holder tries to reach its record before it gives up; nobody else can take it meanwhile without being seen.
const CONFIRM_SECONDS_MAX: u64 = 300;
/// So much of a reason is kept.
const REASON_CHARS_MAX: usize = 2_000;
/// Reads of the servers' job before an account that does not answer, or denies it, is an error: some two minutes.
const JOB_READS_MAX: u32 = 8;
/// Tries to end a run; one that stays open is dead in a moment, and the next run takes it over.
const END_TRIES_MAX: u32 = 5;

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
    /// The state's cluster is gone, and another one has its name; `None` where its record is missing.
    #[error("it is another cluster than the one that the state holds")]
    OtherIncarnation(Option<Box<RunRecord>>),
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

/// A record as it was read or written last.
struct Held {
    record: RunRecord,
    etag: String,
}

/// What the managed group says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupSays<'t> {
    /// The incarnation that it carries.
    pub incarnation_id: Option<&'t str>,
    /// Whether it was there before the cluster; the record keeps that.
    pub is_given: bool,
}

/// What a run knows of the servers' jobs.
#[derive(Clone, Default)]
enum KnownJobs {
    /// Nothing was looked at yet.
    #[default]
    Unseen,
    /// The last one, if there was any, when it looked.
    Last(Option<String>),
}

/// An open run.
pub struct Lease {
    store: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
    cancel: CancellationToken,
    held: Mutex<Held>,
    step: std::sync::Mutex<Option<String>>,
    failure: std::sync::Mutex<Option<RunFailure>>,
    incarnation_id: String,
    run_id: String,
    operation: Operation,
    /// How often the record was written, or was meant to be.
    tries: AtomicU64,
    /// When the record was last confirmed.
    confirmed: Confirmed,
    lost: std::sync::Mutex<Option<String>>,
    /// What it knows of the servers' jobs.
    jobs: std::sync::Mutex<KnownJobs>,
    /// Others may have taken this run for dead before it began to look.
    was_dead: AtomicBool,
    /// The cluster goes, and its record with it.
    let_go: AtomicBool,
}

/// What a claim meets.
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
        group: GroupSays<'_>,
        holder: &str,
    ) -> Result<(Self, Option<RunRecord>), ClaimError> {
        let mut watched: Option<(String, u64)> = None;
        loop {
            // An answer may take long, and says what was when it was asked for.
            let asked_ms = arm.clock.monotonic_ms();
            let found = read(store.as_ref()).await?;
            let is_alive = found.as_ref().is_some_and(|found| {
                // Somebody's clock may be wrong, ours never is about how long we have looked.
                let quiet_ms = match &watched {
                    Some((etag, since_ms)) if *etag == found.etag => {
                        asked_ms.saturating_sub(*since_ms)
                    }
                    _ => 0,
                };
                let age = found.age.unwrap_or_default().max(Duration::from_millis(quiet_ms));
                age < Duration::from_secs(RUN_DEAD_AFTER_SECONDS)
            });
            let was_ready =
                found.is_none() && store.get(container::CONFIG, READY_BLOB).await?.is_some();
            let record = found.as_ref().map(|found| &found.record);
            let decision = decide(
                claim,
                fixed,
                &Met { record, is_alive, was_ready, tagged: group.incarnation_id },
            );
            let boxed = |found: Option<Found>| found.map(|found| Box::new(found.record));
            let (incarnation_id, found) = match (decision, found) {
                (Decision::Open(own), found) => (own, found),
                (Decision::Wait, Some(found)) => {
                    // Who beats while we look is no dead one.
                    if watched.as_ref().is_some_and(|(etag, _)| *etag != found.etag) {
                        return Err(ClaimError::Busy(Box::new(found.record)));
                    }
                    watched.get_or_insert_with(|| (found.etag, arm.clock.monotonic_ms()));
                    arm.sleep(WATCH).await?;
                    continue;
                }
                (Decision::OtherInputs(inputs), Some(found)) => {
                    return Err(ClaimError::OtherInputs(Box::new(found.record), inputs));
                }
                (Decision::OtherIncarnation, found) => {
                    return Err(ClaimError::OtherIncarnation(boxed(found)));
                }
                (_, found) => return Err(ClaimError::Exists(boxed(found))),
            };
            let record = RunRecord {
                format: RUN_RECORD_FORMAT,
                incarnation_id: match incarnation_id {
                    Some(own) => own,
                    None => uuid(arm.entropy.as_ref())?,
                },
                generation: found.as_ref().map_or(0, |found| found.record.generation) + 1,
                run_id: uuid(arm.entropy.as_ref())?,
                operation: claim.operation(),
                holder: holder.to_owned(),
                started_at: rfc3339(arm.clock.now_unix_ms()),
                phase: RunPhase::Open,
                outcome: None,
                step: None,
                beats: 0,
                fixed: fixed.clone(),
                group_given: group.is_given || found.as_ref().is_some_and(|f| f.record.group_given),
                last_failure: found.as_ref().and_then(|found| found.record.last_failure.clone()),
            };
            let condition = match &found {
                Some(found) => WriteCondition::Matches(found.etag.clone()),
                None => WriteCondition::Absent,
            };
            // Trust counts from before the write: its answer may take long.
            let moment = Moment::now(arm.clock.as_ref());
            if let Written::Ours(etag) = put(store.as_ref(), &record, condition).await? {
                let lease = Self::held(arm, store, Held { record, etag }, moment);
                return Ok((lease, found.map(|found| found.record)));
            }
            // Somebody was faster: what they wrote decides anew.
            watched = None;
        }
    }

    fn held(arm: &Arm, store: Arc<dyn BlobStore>, held: Held, confirmed: Moment) -> Self {
        Self {
            store,
            clock: Arc::clone(&arm.clock),
            cancel: arm.cancel.clone(),
            incarnation_id: held.record.incarnation_id.clone(),
            run_id: held.record.run_id.clone(),
            operation: held.record.operation,
            held: Mutex::new(held),
            step: std::sync::Mutex::default(),
            failure: std::sync::Mutex::default(),
            tries: AtomicU64::default(),
            confirmed: Confirmed::at(confirmed),
            lost: std::sync::Mutex::default(),
            jobs: std::sync::Mutex::default(),
            was_dead: AtomicBool::new(false),
            let_go: AtomicBool::new(false),
        }
    }

    /// Which cluster of its id this run works on.
    pub fn incarnation_id(&self) -> &str {
        &self.incarnation_id
    }

    /// Which run it is.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Whether the run removes the cluster.
    pub fn is_destroy(&self) -> bool {
        matches!(self.operation, Operation::Destroy | Operation::Undo)
    }

    /// Notes the step that begins, for whoever asks.
    pub fn note_step(&self, step: &str) {
        if let Ok(mut noted) = self.step.lock() {
            *noted = Some(step.to_owned());
        }
    }

    /// Notes why the run fails, for whoever asks later. Its end writes it down.
    pub fn note_failure(&self, operation: Operation, step: &str, reason: &str) {
        if let Ok(mut noted) = self.failure.lock() {
            *noted = Some(RunFailure {
                at: rfc3339(self.clock.now_unix_ms()),
                operation,
                step: step.to_owned(),
                reason: reason.chars().take(REASON_CHARS_MAX).collect(),
            });
        }
    }

    /// The group with the record in it is about to be deleted. The record is confirmed once more, whatever is trusted;
    /// from then on its absence says nothing, and another run's record still everything.
    pub async fn let_go(&self) -> Result<(), EngineError> {
        self.confirm_now(true).await?;
        self.let_go.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Beats for ever. Poll it beside the work, from the claim to the end.
    pub async fn beat(&self) -> Infallible {
        loop {
            self.clock.sleep(BEAT).await;
            if let Err(error) = self.renew(true, None).await {
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
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.renew(true, Some((phase, outcome))).await {
                Err(error)
                    if attempt == END_TRIES_MAX || matches!(error, EngineError::Fenced { .. }) =>
                {
                    return Err(error);
                }
                Err(_) => self.clock.sleep(backoff(attempt)).await,
                Ok(()) => return Ok(()),
            }
        }
    }

    fn lost(&self) -> Result<(), EngineError> {
        match self.lost.lock().ok().and_then(|lost| lost.clone()) {
            Some(by) => Err(EngineError::Fenced { by }),
            None => Ok(()),
        }
    }

    /// Writes the record again, where it is still ours. Without `force` only when nobody else did meanwhile.
    async fn renew(
        &self,
        force: bool,
        end: Option<(RunPhase, RunOutcome)>,
    ) -> Result<(), EngineError> {
        let mut held = self.held.lock().await;
        self.lost()?;
        if !force && self.is_trusted() {
            return Ok(());
        }
        let moment = Moment::now(self.clock.as_ref());
        let mut record = held.record.clone();
        // Of this try alone: what an earlier one wrote, read back, would say nothing of now.
        record.beats = self.tries.fetch_add(1, Ordering::Relaxed) + 1;
        record.step = self.step.lock().ok().and_then(|step| step.clone());
        if let Some(failure) = self.failure.lock().ok().and_then(|noted| noted.clone()) {
            record.last_failure = Some(failure);
        }
        if let Some((phase, outcome)) = end {
            record.phase = phase;
            record.outcome = Some(outcome);
        }
        let condition = WriteCondition::Matches(held.etag.clone());
        let written = self.soon(put(self.store.as_ref(), &record, condition)).await??;
        match written {
            Written::Ours(etag) => {
                *held = Held { record, etag };
                self.look_for_a_job().await?;
                self.confirmed.set(moment);
                Ok(())
            }
            // An earlier beat of ours whose answer nobody waited for: the next one goes on from it.
            Written::Other(found) if found.record.run_id == self.run_id => {
                *held = Held { record: found.record, etag: found.etag };
                drop(held);
                Box::pin(self.renew(true, end)).await
            }
            Written::Other(found) => Err(self.lose(told(&found.record))),
            Written::Absent if self.let_go.load(Ordering::Relaxed) => Ok(()),
            Written::Absent => {
                Err(self.lose("somebody deleted the run record config/run.json".to_owned()))
            }
        }
    }

    /// An answer that comes late says nothing of now.
    async fn soon<T>(&self, answer: impl Future<Output = T>) -> Result<T, EngineError> {
        tokio::select! {
            biased;
            answer = answer => Ok(answer),
            () = self.clock.sleep(BEAT_MAX) => Err(EngineError::Unseen(Unseen {
                sentence: "the storage account has no answer about the run".into(),
                why: UnseenWhy::Away,
            })),
        }
    }

    fn lose(&self, by: String) -> EngineError {
        if let Ok(mut lost) = self.lost.lock() {
            *lost = Some(by.clone());
        }
        EngineError::Fenced { by }
    }

    /// Servers may have taken a run that did not beat for dead, and have done a job: what was observed is old then.
    async fn look_for_a_job(&self) -> Result<(), EngineError> {
        if self.unconfirmed_for() < Duration::from_secs(RUN_DEAD_AFTER_SECONDS)
            // Nobody's job is waited for by a destroy.
            || self.is_destroy()
            || self.let_go.load(Ordering::Relaxed)
        {
            return Ok(());
        }
        let known = self.jobs.lock().map(|known| known.clone()).unwrap_or_default();
        let KnownJobs::Last(known) = known else {
            // Nothing was looked at yet, and a look that is under way may be of before.
            self.was_dead.store(true, Ordering::Relaxed);
            return Ok(());
        };
        match self.soon(jobs::last(self.store.as_ref())).await?? {
            Some(job) if known.as_ref() != Some(&job.id) => Err(self.lose(job.told())),
            _ => Ok(()),
        }
    }

    fn is_trusted(&self) -> bool {
        self.unconfirmed_for() < TRUSTED
    }

    fn unconfirmed_for(&self) -> Duration {
        self.confirmed.passed(self.clock.as_ref())
    }

    /// No server has lived yet: any job that there ever is began while this run was taken for dead.
    pub fn knows_of_no_job(&self) {
        if let Ok(mut known) = self.jobs.lock() {
            *known = KnownJobs::Last(None);
        }
    }

    /// Waits until no job of the servers goes on. None begins while the run is open. An account that does not answer is
    /// asked again for a while.
    pub async fn wait_for_jobs(&self) -> Result<(), EngineError> {
        let is_told = AtomicBool::new(false);
        let tell = |job: &Job| {
            is_told.store(true, Ordering::Relaxed);
            let told = job.told();
            tracing::info!(job = %told, "waits for a job of the servers");
            self.note_step(&format!("wait until this has ended: {told}"));
        };
        let (store, clock) = (self.store.as_ref(), self.clock.as_ref());
        let mut attempt = 0;
        loop {
            attempt += 1;
            match jobs::wait_for_the_last(store, clock, &self.cancel, tell).await {
                Err(EngineError::Blob(_)) if attempt < JOB_READS_MAX => {
                    tokio::select! {
                        biased;
                        () = self.clock.sleep(backoff(attempt)) => {}
                        () = self.cancel.cancelled() => return Err(EngineError::Stopped),
                    }
                }
                Err(error) => return Err(error),
                Ok(_) if self.was_dead.swap(false, Ordering::Relaxed) => {}
                Ok(last) => {
                    if let Ok(mut known) = self.jobs.lock() {
                        *known = KnownJobs::Last(last.map(|job| job.id));
                    }
                    if is_told.load(Ordering::Relaxed) {
                        self.note_step("look at the cluster");
                    }
                    return Ok(());
                }
            }
        }
    }

    async fn confirm_now(&self, force: bool) -> Result<(), EngineError> {
        let started_ms = self.clock.monotonic_ms();
        let mut attempt = 0;
        loop {
            attempt += 1;
            self.lost()?;
            if !force && self.is_trusted() {
                return Ok(());
            }
            let Err(error) = self.renew(force, None).await else {
                // The machine may have slept over the answer. Of a record that was let go nothing is confirmed.
                if self.is_trusted() || self.let_go.load(Ordering::Relaxed) {
                    return Ok(());
                }
                continue;
            };
            if matches!(error, EngineError::Fenced { .. }) {
                return Err(error);
            }
            // The group goes, and the account with it: that it cannot be asked is what was wanted.
            if self.let_go.load(Ordering::Relaxed) {
                return Ok(());
            }
            let waited_ms = self.clock.monotonic_ms().saturating_sub(started_ms);
            if waited_ms > CONFIRM_SECONDS_MAX * 1000 {
                return Err(error);
            }
            tokio::select! {
                biased;
                () = self.clock.sleep(backoff(attempt)) => {}
                () = self.cancel.cancelled() => return Err(EngineError::Stopped),
            }
        }
    }
}

#[async_trait]
impl Fence for Lease {
    async fn check(&self) -> Result<(), EngineError> {
        self.confirm_now(false).await
    }
}

/// The record of a cluster, if there is one.
pub async fn read_record(store: &dyn BlobStore) -> Result<Option<RunRecord>, EngineError> {
    Ok(read(store).await?.map(|found| found.record))
}

async fn read(store: &dyn BlobStore) -> Result<Option<Found>, EngineError> {
    let Some(BlobContent { bytes, etag, age, .. }) =
        store.get(container::CONFIG, blob::RUN).await?
    else {
        return Ok(None);
    };
    let bad = |reason: String| EngineError::UnknownRunRecord { reason };
    let record: Value = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    // A newer record may have words that this version does not know: its format is looked at first.
    let format = record["format"].as_u64().unwrap_or_default();
    if format > u64::from(RUN_RECORD_FORMAT) {
        return Err(bad(format!(
            "its format is {format}, and this version knows {RUN_RECORD_FORMAT}"
        )));
    }
    let record: RunRecord =
        serde_json::from_value(record).map_err(|error| bad(error.to_string()))?;
    Ok(Some(Found { record, etag, age }))
}

/// What became of a write of the record.
enum Written {
    /// It is there as it was sent.
    Ours(String),
    /// Something else is there.
    Other(Box<Found>),
    /// Nothing is there.
    Absent,
}

/// Writes the record. A write whose answer was lost is read back.
async fn put(
    store: &dyn BlobStore,
    record: &RunRecord,
    condition: WriteCondition,
) -> Result<Written, EngineError> {
    let bytes = document::bytes("the run record", record)?;
    match store.put(container::CONFIG, blob::RUN, bytes, condition).await {
        Ok(etag) => Ok(Written::Ours(etag)),
        Err(BlobError::ConditionFailed { .. }) => Ok(match read(store).await? {
            Some(found) if found.record == *record => Written::Ours(found.etag),
            Some(found) => Written::Other(Box::new(found)),
            None => Written::Absent,
        }),
        Err(error) => Err(error.into()),
    }
}
