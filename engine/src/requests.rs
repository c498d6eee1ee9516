//! Asks a server of a cluster to do something once, and waits for what it says of it.

use std::time::Duration;

use bytes::Bytes;
use hcs_planner::dataplane::{ClusterDocument, blob, container};
use hcs_planner::names::deterministic_guid;
use hcs_planner::requests::{Request, RequestResult};
use tokio_util::sync::CancellationToken;

use crate::blob::{BlobContent, BlobError, BlobStore, WriteCondition};
use crate::clock::Clock;
use crate::error::EngineError;
use crate::observe::read_status;
use crate::{document, rfc3339};

/// A snapshot of a large cluster takes minutes.
pub const SNAPSHOT_GOOD_FOR: Duration = Duration::from_mins(15);
/// With a trial, a snapshot of before, and until all servers are healthy again.
pub const RESTORE_GOOD_FOR: Duration = Duration::from_mins(45);

/// Between two looks for an answer.
const WATCH: Duration = Duration::from_secs(2);
/// A server that began before a request expired may need so long to do it and to say so.
const LATE_MAX: Duration = Duration::from_mins(2);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Somebody else's request waits for the same server. Nothing was asked.
    #[error("a request waits there already: {}", told(.0))]
    Busy(Box<Request>),
    /// Nobody answered in time; the request was taken back.
    #[error("{who} gave no answer within {waited_seconds} s; the request was taken back")]
    NoAnswer {
        /// Who was asked.
        who: String,
        /// How long.
        waited_seconds: u64,
    },
    /// The account.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<BlobError> for AskError {
    fn from(error: BlobError) -> Self {
        Self::Engine(error.into())
    }
}

/// What somebody asked for, and who.
fn told(request: &Request) -> String {
    let by = request.asked_by.as_deref().unwrap_or("somebody");
    let until = request.expires_unix_s;
    let until = until.map(|at| format!(", good until {}", rfc3339(at.saturating_mul(1000))));
    format!("to {}, of {by}{}", request.action.in_words(), until.unwrap_or_default())
}

/// Asks, and waits for the result for as long as the request is good, and a little longer for who has begun.
///
/// Cancel safety: a request that is left behind is done, or expires.
pub async fn ask(
    store: &dyn BlobStore,
    clock: &dyn Clock,
    cancel: &CancellationToken,
    request: &Request,
    good_for: Duration,
) -> Result<RequestResult, AskError> {
    let name = blob::request(request.slot);
    let condition = match store.get(container::REQUESTS, &name).await? {
        None => WriteCondition::Absent,
        Some(BlobContent { bytes, etag, .. }) => {
            let waiting: Option<Request> = serde_json::from_slice(&bytes).ok();
            if let Some(waiting) = waiting.filter(|waiting| waiting.id != request.id)
                && !waiting.is_over(clock.now_unix_ms())
                && answer(store, &waiting.id).await?.is_none()
            {
                return Err(AskError::Busy(Box::new(waiting)));
            }
            WriteCondition::Matches(etag)
        }
    };
    let bytes = document::bytes("a request", request)?;
    match store.put(container::REQUESTS, &name, bytes, condition).await {
        Err(BlobError::ConditionFailed { .. }) => {
            // Somebody else was faster; a write of ours whose answer was lost is ours.
            if let Some(other) = waiting(store, &name).await?.filter(|it| it.id != request.id) {
                return Err(AskError::Busy(Box::new(other)));
            }
        }
        written => drop(written?),
    }
    let asked_ms = clock.monotonic_ms();
    loop {
        let found = answer(store, &request.id).await?;
        let waited = Duration::from_millis(clock.monotonic_ms().saturating_sub(asked_ms));
        if found.is_some() || waited > good_for + LATE_MAX {
            // Somebody may have asked for something else since.
            if waiting(store, &name).await?.is_some_and(|it| it.id == request.id) {
                store.delete(container::REQUESTS, &name).await?;
            }
            return found.ok_or_else(|| AskError::NoAnswer {
                who: request
                    .slot
                    .map_or_else(|| "the leader".to_owned(), |slot| format!("server {slot}")),
                waited_seconds: waited.as_secs(),
            });
        }
        tokio::select! {
            biased;
            () = clock.sleep(WATCH) => {}
            () = cancel.cancelled() => return Err(EngineError::Stopped.into()),
        }
    }
}

/// Name of the blob beside requests that says that one was refused.
fn refusal(id: &str) -> String {
    format!("refused-{id}.json")
}

/// Notes that a request was refused: servers answer what they have answered before, so whoever tries again asks under another
/// id, see [`next_id`].
pub async fn note_refusal(store: &dyn BlobStore, id: &str) -> Result<(), BlobError> {
    let note = Bytes::from_static(b"{}");
    store.put(container::REQUESTS, &refusal(id), note, WriteCondition::Always).await.map(drop)
}

/// The first id of these parts that was not refused, and of which `also` names no blob that is there. Whoever is cut off while
/// it asks has the same again.
pub async fn next_id(
    store: &dyn BlobStore,
    parts: &[&str],
    also: Option<fn(&str) -> String>,
) -> Result<String, BlobError> {
    let mut tries = 0_u64;
    loop {
        let number = tries.to_string();
        let id = deterministic_guid(&[parts, &[&number]].concat());
        let mut is_used = false;
        for name in also.map(|also| also(&id)).into_iter().chain([refusal(&id)]) {
            is_used |= store.get(container::REQUESTS, &name).await?.is_some();
        }
        if !is_used {
            return Ok(id);
        }
        tries += 1;
    }
}

/// The request that lies there, if it can be read.
async fn waiting(store: &dyn BlobStore, name: &str) -> Result<Option<Request>, EngineError> {
    let found = store.get(container::REQUESTS, name).await?;
    Ok(found.and_then(|found| serde_json::from_slice(&found.bytes).ok()))
}

/// What a server says of the request, whichever did it.
async fn answer(store: &dyn BlobStore, id: &str) -> Result<Option<RequestResult>, EngineError> {
    let cluster = store.get(container::CONFIG, blob::CLUSTER).await?;
    let cluster = cluster.and_then(|found| serde_json::from_slice(&found.bytes).ok());
    let slots = cluster.map(|cluster: ClusterDocument| (cluster.slots, cluster.others));
    for slot in slots.into_iter().flat_map(|(slots, others)| slots.into_iter().chain(others)) {
        let (_, status) = read_status(store, slot).await?;
        let results = status.into_iter().flat_map(|server| server.status.results);
        if let Some(found) = results.into_iter().find(|result| result.id == id) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
