//! Carries out the snapshot policies: one server at a time, under a lock, verified before upload.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use hcs_engine::blob::{BlobError, WriteCondition};
use hcs_planner::dataplane::{SnapshotPolicyDocument, blob, container};
use tokio_util::sync::CancellationToken;

use crate::consul::client::{ConsulClient, ConsulError};
use crate::host::Host;
use crate::lock::{Lock, LockError};
use crate::report::chain;
use crate::snapshot::archive::{self, ArchiveError, SnapshotFacts};
use crate::snapshot::schedule;
use crate::status::Board;

/// Longer than any pause that Consul needs for an election.
const LOCK_TTL_S: u32 = 30;

/// Why a policy could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The snapshots container refuses or does not answer.
    #[error("cannot {action} snapshots of policy {policy}")]
    Blob {
        /// `list`, `save` or `prune`.
        action: &'static str,
        /// Policy.
        policy: String,
        /// Why.
        #[source]
        source: BlobError,
    },
    /// Consul gave no snapshot.
    #[error(transparent)]
    Consul(#[from] ConsulError),
    /// The lock was lost.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What Consul gave is not a snapshot; nothing was uploaded.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The verification was cut off.
    #[error("the verification of the snapshot was stopped")]
    Stopped(#[source] io::Error),
}

/// What one try has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to do; the newest snapshot is of this time.
    NotDue(Option<u64>),
    /// Another server is at it.
    Busy,
    /// Saved.
    Saved {
        /// Its aligned time.
        time_ms: u64,
        /// What it says of itself.
        facts: SnapshotFacts,
        /// How many old ones went away.
        pruned: usize,
    },
}

/// What we remember of a policy between rounds, to spare listings.
#[derive(Debug, Default)]
struct Progress {
    newest_ms: Option<u64>,
    failures: u32,
    not_before_ms: u64,
}

/// Carries out all policies until stopped.
pub async fn run(host: Arc<Host>, board: Arc<Board>, stop: CancellationToken) {
    let mut policies = Vec::new();
    let mut progress: BTreeMap<String, Progress> = BTreeMap::new();
    let mut round: u32 = 0;
    while !stop.is_cancelled() {
        if let Some(client) = board.serving() {
            if round.is_multiple_of(host.timing.rounds_per_refresh) {
                refresh(&host, &board, &mut policies).await;
                progress.retain(|name, _| policies.iter().any(|policy| policy.name == *name));
            }
            round = round.wrapping_add(1);
            for policy in policies.iter().filter(|policy| policy.enabled) {
                let progress = progress.entry(policy.name.clone()).or_default();
                attend(&host, &board, &client, policy, progress).await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = host.clock.sleep(host.timing.tick) => {}
        }
    }
}

async fn refresh(host: &Host, board: &Board, policies: &mut Vec<SnapshotPolicyDocument>) {
    match host.stores.snapshot_policies().await {
        Ok(found) => {
            let (good, bad): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_ok);
            *policies = good.into_iter().flatten().collect();
            match bad.into_iter().find_map(Result::err) {
                Some(error) => board.problem("snapshot policies", chain(&error)),
                None => board.solved("snapshot policies"),
            }
        }
        // The policies that are known go on.
        Err(error) => board.problem("snapshot policies", chain(&error)),
    }
}

async fn attend(
    host: &Host,
    board: &Board,
    client: &ConsulClient,
    policy: &SnapshotPolicyDocument,
    progress: &mut Progress,
) {
    let now_ms = host.clock.now_unix_ms();
    let interval_ms = host.timing.interval_ms(policy.interval_seconds);
    let waits = now_ms < progress.not_before_ms;
    let known_fresh = progress.newest_ms.is_some()
        && schedule::due(now_ms, progress.newest_ms, interval_ms).is_none();
    if waits || known_fresh {
        return;
    }
    let area = format!("snapshot policy {}", policy.name);
    match attempt(host, client, policy).await {
        Ok(outcome) => {
            progress.failures = 0;
            board.solved(&area);
            match outcome {
                Outcome::NotDue(newest_ms) => progress.newest_ms = newest_ms,
                Outcome::Busy => {}
                Outcome::Saved { time_ms, facts, pruned } => {
                    progress.newest_ms = Some(time_ms);
                    let (policy, index) = (&policy.name, facts.index);
                    tracing::info!(policy, index, pruned, "snapshot saved and verified");
                }
            }
        }
        Err(error) => {
            progress.failures = progress.failures.saturating_add(1);
            let wait = host.timing.backoff(progress.failures);
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            progress.not_before_ms = now_ms.saturating_add(wait_ms);
            board.problem(&area, chain(&error));
        }
    }
}

/// One try: look, lock, look again, take, verify, save, prune.
pub async fn attempt(
    host: &Host,
    client: &ConsulClient,
    policy: &SnapshotPolicyDocument,
) -> Result<Outcome, SnapshotError> {
    if let Err(not_due) = look(host, policy).await? {
        return Ok(not_due);
    }
    let key = format!("hcs/snapshot/{}", policy.name);
    let holder = &host.bootstrap.node_name;
    let Some(lock) = Lock::acquire(client, &key, holder, LOCK_TTL_S).await? else {
        return Ok(Outcome::Busy);
    };
    lock.hold(async {
        // Another server may have saved between our look and the lock.
        match look(host, policy).await? {
            Err(not_due) => Ok(not_due),
            Ok(time_ms) => take(host, client, policy, time_ms).await,
        }
    })
    .await?
}

async fn names(host: &Host, policy: &str) -> Result<Vec<String>, SnapshotError> {
    let listed = host.stores.shared.list(container::SNAPSHOTS, &format!("{policy}/")).await;
    let listed = listed.map_err(|source| failed("list", policy, source))?;
    Ok(listed.into_iter().map(|entry| entry.name).collect())
}

/// The aligned time that is due, or the news that none is.
async fn look(
    host: &Host,
    policy: &SnapshotPolicyDocument,
) -> Result<Result<u64, Outcome>, SnapshotError> {
    let names = names(host, &policy.name).await?;
    let now_ms = host.clock.now_unix_ms();
    let newest = schedule::newest(&policy.name, names.iter().map(String::as_str), now_ms);
    let interval_ms = host.timing.interval_ms(policy.interval_seconds);
    Ok(schedule::due(now_ms, newest, interval_ms).ok_or(Outcome::NotDue(newest)))
}

async fn take(
    host: &Host,
    client: &ConsulClient,
    policy: &SnapshotPolicyDocument,
    time_ms: u64,
) -> Result<Outcome, SnapshotError> {
    let archive = client.snapshot().await?;
    let facts = verified(archive.clone()).await?;
    let time = schedule::format_time(time_ms).unwrap_or_default();
    let name = blob::snapshot(&policy.name, &time);
    let store = &host.stores.shared;
    let saved = store.put(container::SNAPSHOTS, &name, archive, WriteCondition::Absent).await;
    match saved {
        Ok(_) => {}
        Err(BlobError::ConditionFailed { .. }) => return Ok(Outcome::NotDue(Some(time_ms))),
        Err(source) => return Err(failed("save", &policy.name, source)),
    }
    let all = names(host, &policy.name).await?;
    let superfluous =
        schedule::superfluous(&policy.name, &all, policy.retain_count, host.clock.now_unix_ms());
    for name in &superfluous {
        let deleted = store.delete(container::SNAPSHOTS, name).await;
        deleted.map_err(|source| failed("prune", &policy.name, source))?;
    }
    Ok(Outcome::Saved { time_ms, facts, pruned: superfluous.len() })
}

/// Unpacking hundreds of megabytes must not hold up the status.
pub(super) async fn verified(archive: Bytes) -> Result<SnapshotFacts, SnapshotError> {
    let checked = tokio::task::spawn_blocking(move || archive::verify(archive.as_ref())).await;
    Ok(checked.map_err(|error| SnapshotError::Stopped(io::Error::other(error)))??)
}

fn failed(action: &'static str, policy: &str, source: BlobError) -> SnapshotError {
    SnapshotError::Blob { action, policy: policy.to_owned(), source }
}
