//! Jobs of host managers: begun only while no apply works, and waited for by every apply that begins.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hcs_planner::dataplane::{blob, container};
use hcs_planner::jobs::{Job, JobKind};
use hcs_planner::ownership::{RUN_DEAD_AFTER_SECONDS, RunPhase};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::blob::{BlobError, BlobStore, WriteCondition};
use crate::clock::{Clock, Confirmed, Moment};
use crate::entropy::{SystemEntropy, uuid};
use crate::error::EngineError;
use crate::{document, rfc3339};

/// Between two signs of life; several may fail before the job counts as dead.
const BEAT: Duration = Duration::from_secs(6);
/// A sign of life that has no answer by then is given up.
const BEAT_MAX: Duration = Duration::from_secs(5);
/// A job whose last sign of life is older ends: soon it counts as dead, and an apply may begin.
const SILENT_MAX: Duration = Duration::from_secs(20);
/// Between two looks at a job that is waited for.
const WATCH: Duration = Duration::from_secs(2);
const DEAD_AFTER: Duration = Duration::from_secs(RUN_DEAD_AFTER_SECONDS);

/// Why a job does not begin at the moment. Nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// An apply or a destroy works.
    Run,
    /// Another job goes on.
    Job,
}

/// The job was lost while its work went on; the work was dropped.
#[derive(Debug, thiserror::Error)]
pub enum LostJob {
    /// Somebody else works on the cluster now.
    #[error("somebody else works on the cluster meanwhile")]
    Overtaken,
    /// The account does not answer.
    #[error("the storage account had no answer for {} s, and without a sign of life nobody may go on", SILENT_MAX.as_secs())]
    Silent,
}

/// A job as it was read.
struct Found {
    job: Job,
    etag: String,
    age: Option<Duration>,
}

impl Found {
    /// By the service's own clock; one of unknown age may live.
    fn lives(&self) -> bool {
        self.job.is_open() && self.age.is_none_or(|age| age < DEAD_AFTER)
    }
}

/// The last job, ended or not.
pub async fn last(store: &dyn BlobStore) -> Result<Option<Job>, EngineError> {
    Ok(read(store).await?.map(|found| found.job))
}

/// The job that goes on now, if one does.
pub async fn running(store: &dyn BlobStore) -> Result<Option<Job>, EngineError> {
    Ok(read(store).await?.filter(Found::lives).map(|found| found.job))
}

/// Waits until no job goes on; `tell` hears of each that is waited for. The caller's own work is written down before, so
/// that none begins afterwards. Returns the last one.
pub async fn wait_for_the_last(
    store: &dyn BlobStore,
    clock: &dyn Clock,
    cancel: &CancellationToken,
    tell: impl Fn(&Job),
) -> Result<Option<Job>, EngineError> {
    let mut watched: Option<(String, u64)> = None;
    let mut told: Option<String> = None;
    loop {
        // An answer may take long, and says what was when it was asked for.
        let asked_ms = clock.monotonic_ms();
        let Some(found) = read(store).await? else { return Ok(None) };
        if !found.lives() {
            return Ok(Some(found.job));
        }
        match &watched {
            // Somebody's clock may be wrong, ours never is about how long we have looked.
            Some((etag, since_ms)) if *etag == found.etag => {
                if Duration::from_millis(asked_ms.saturating_sub(*since_ms)) >= DEAD_AFTER {
                    return Ok(Some(found.job));
                }
            }
            _ => watched = Some((found.etag.clone(), clock.monotonic_ms())),
        }
        if told.as_ref() != Some(&found.job.id) {
            told = Some(found.job.id.clone());
            tell(&found.job);
        }
        tokio::select! {
            biased;
            () = clock.sleep(WATCH) => {}
            () = cancel.cancelled() => return Err(EngineError::Stopped),
        }
    }
}

async fn read(store: &dyn BlobStore) -> Result<Option<Found>, EngineError> {
    let content = match store.get(container::DECISIONS, blob::JOB).await {
        Ok(Some(content)) => content,
        Ok(None) | Err(BlobError::NoContainer { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let job = serde_json::from_slice(&content.bytes).map_err(|error| EngineError::BadDocument {
        container: container::DECISIONS.to_owned(),
        name: blob::JOB.to_owned(),
        what: "a job of the servers",
        reason: error.to_string(),
    })?;
    Ok(Some(Found { job, etag: content.etag, age: content.age }))
}

/// Whether an apply or a destroy works on the cluster now. A record of a newer version may have words that this one does
/// not know: whatever is not called over works.
pub async fn is_run_open(store: &dyn BlobStore) -> Result<bool, EngineError> {
    Ok(open_run(store).await?.is_some())
}

/// Id of the apply or destroy that works on the cluster now, empty where its record does not say it; none where none works.
pub async fn open_run(store: &dyn BlobStore) -> Result<Option<String>, EngineError> {
    let Some(content) = store.get(container::CONFIG, blob::RUN).await? else { return Ok(None) };
    if content.age.is_some_and(|age| age >= DEAD_AFTER) {
        return Ok(None);
    }
    let record: Value = serde_json::from_slice(&content.bytes)
        .map_err(|error| EngineError::UnknownRunRecord { reason: error.to_string() })?;
    let is_over = [RunPhase::Closed, RunPhase::Released]
        .iter()
        .any(|over| serde_json::to_value(over).is_ok_and(|word| word == record["phase"]));
    let run_id = record["run_id"].as_str().unwrap_or_default().to_owned();
    Ok((!is_over).then_some(run_id))
}

/// A job that goes on. Dropped without [`HeldJob::hold`] it counts as dead after half a minute.
pub struct HeldJob {
    store: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
    job: Job,
    etag: String,
    confirmed: Arc<Confirmed>,
    /// How often it was written, or was meant to be.
    tries: u64,
}

impl HeldJob {
    /// Begins a job of the server in this slot, where nobody works on the cluster.
    pub async fn begin(
        store: Arc<dyn BlobStore>,
        clock: Arc<dyn Clock>,
        kind: JobKind,
        slot: u32,
        reason: &str,
    ) -> Result<Result<Self, NotNow>, EngineError> {
        if is_run_open(store.as_ref()).await? {
            return Ok(Err(NotNow::Run));
        }
        let found = read(store.as_ref()).await?;
        let condition = match found {
            Some(found) if found.lives() => return Ok(Err(NotNow::Job)),
            Some(found) => WriteCondition::Matches(found.etag),
            None => WriteCondition::Absent,
        };
        let job = Job {
            id: uuid(&SystemEntropy)?,
            kind,
            slot,
            reason: reason.to_owned(),
            started_at: rfc3339(clock.now_unix_ms()),
            beats: 0,
            ended_at: None,
            unknown: BTreeMap::new(),
        };
        // Confirmed from before the write: its answer may take long.
        let confirmed = Arc::new(Confirmed::at(Moment::now(clock.as_ref())));
        let Written::Ours(etag) = put(store.as_ref(), &job, condition).await? else {
            // Another server was faster.
            return Ok(Err(NotNow::Job));
        };
        let held = Self { store, clock, job, etag, confirmed, tries: 0 };
        // An apply that began meanwhile may not have seen it; one that begins from here on does.
        match is_run_open(held.store.as_ref()).await {
            Ok(false) => Ok(Ok(held)),
            Ok(true) => {
                held.end().await;
                Ok(Err(NotNow::Run))
            }
            Err(error) => {
                held.end().await;
                Err(error)
            }
        }
    }

    /// Does the work, with signs of life beside it, and says when it has ended.
    ///
    /// Cancel safety: the work is dropped at an await point when the job is lost.
    pub async fn hold<T>(mut self, work: impl Future<Output = T>) -> Result<T, LostJob> {
        let (clock, confirmed) = (Arc::clone(&self.clock), Arc::clone(&self.confirmed));
        let mut work = pin!(work);
        // A machine that slept has been taken for dead, and an apply may work: looked at before each step of the work,
        // whatever a sign of life waits for.
        let watched = poll_fn(|context| match confirmed.passed(clock.as_ref()) {
            passed if passed >= SILENT_MAX => Poll::Ready(Err(LostJob::Silent)),
            _ => work.as_mut().poll(context).map(Ok),
        });
        let done = tokio::select! {
            biased;
            lost = self.beat() => return Err(lost),
            done = watched => done?,
        };
        self.end().await;
        Ok(done)
    }

    /// Beats until it is lost.
    async fn beat(&mut self) -> LostJob {
        loop {
            let clock = Arc::clone(&self.clock);
            if self.confirmed.passed(clock.as_ref()) >= SILENT_MAX {
                return LostJob::Silent;
            }
            clock.sleep(BEAT).await;
            let confirmed = Moment::now(clock.as_ref());
            // Of this try alone: what an earlier one wrote, read back, would say nothing of now.
            self.tries += 1;
            let next = Job { beats: self.tries, ..self.job.clone() };
            let condition = WriteCondition::Matches(self.etag.clone());
            let written = tokio::select! {
                biased;
                written = put(self.store.as_ref(), &next, condition) => written,
                () = clock.sleep(BEAT_MAX) => continue,
            };
            match written {
                Ok(Written::Ours(etag)) => {
                    (self.etag, self.job) = (etag, next);
                    self.confirmed.set(confirmed);
                }
                // A sign of life of before, whose answer nobody waited for: the next one goes on from it.
                Ok(Written::Other(Some(found))) if found.job.id == self.job.id => {
                    self.etag = found.etag;
                }
                Ok(Written::Other(_)) => return LostJob::Overtaken,
                Err(error) => tracing::debug!(%error, "no sign of life of the job"),
            }
        }
    }

    /// Whoever waits goes on at once; without an answer it counts as dead soon.
    async fn end(self) {
        let clock = Arc::clone(&self.clock);
        let ended = tokio::select! {
            biased;
            ended = self.write_the_end() => ended,
            () = clock.sleep(BEAT_MAX) => return,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "the job's end is not written");
        }
    }

    async fn write_the_end(mut self) -> Result<(), EngineError> {
        self.job.ended_at = Some(rfc3339(self.clock.now_unix_ms()));
        let condition = WriteCondition::Matches(self.etag);
        // A sign of life whose answer nobody waited for.
        if let Written::Other(Some(found)) = put(self.store.as_ref(), &self.job, condition).await?
            && found.job.id == self.job.id
        {
            let condition = WriteCondition::Matches(found.etag);
            put(self.store.as_ref(), &self.job, condition).await?;
        }
        Ok(())
    }
}

/// What became of a write of a job.
enum Written {
    /// It is there as it was sent.
    Ours(String),
    /// Something else is there, or nothing.
    Other(Option<Found>),
}

/// Writes a job. A write whose answer was lost is read back.
async fn put(
    store: &dyn BlobStore,
    job: &Job,
    condition: WriteCondition,
) -> Result<Written, EngineError> {
    let bytes = document::bytes(blob::JOB, job)?;
    match store.put(container::DECISIONS, blob::JOB, bytes, condition).await {
        Ok(etag) => Ok(Written::Ours(etag)),
        Err(BlobError::ConditionFailed { .. }) => Ok(match read(store).await? {
            Some(found) if found.job == *job => Written::Ours(found.etag),
            other => Written::Other(other),
        }),
        Err(error) => Err(error.into()),
    }
}
