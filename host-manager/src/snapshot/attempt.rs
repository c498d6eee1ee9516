//! One try of a policy: whether a snapshot is due, who takes it, and what goes after it.

use std::collections::BTreeMap;

use hcs_engine::blob::{BlobEntry, BlobError, delete_all};
use hcs_engine::snapshot::archive::SnapshotFacts;
use hcs_planner::snapshots::policy::{Kept, SnapshotPolicyDocument};
use hcs_planner::snapshots::schedule::Schedule;
use hcs_planner::snapshots::{metadata, time_of};
use jiff::Timestamp;

use super::folder::Folder;
use super::on_demand;
use super::save::{self, SaveError};
use crate::consul::client::{ConsulClient, ConsulError};
use crate::host::Host;
use crate::lock::{Lock, LockError};

/// Longer than any pause that Consul needs for an election.
const LOCK_TTL_S: u32 = 30;

/// Why a policy could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The snapshots cannot be listed.
    #[error("cannot list the snapshots of policy {policy}")]
    List {
        /// Policy.
        policy: String,
        /// Why.
        #[source]
        source: BlobError,
    },
    /// None was taken; nothing has its name.
    #[error("no snapshot could be kept")]
    Save(#[from] SaveError),
    /// The servers may not use somebody's container.
    #[error(
        "the servers may not write to {container_id}: their identity {identity_id} needs the role Storage Blob Data \
         Contributor there, and a right that was given a moment ago needs some minutes to spread"
    )]
    NoRight {
        /// The container.
        container_id: String,
        /// Who needs it.
        identity_id: String,
        /// What the account says.
        #[source]
        source: Box<BlobError>,
    },
    /// The account of somebody lets no server in.
    #[error(
        "the firewall of the account of {container_id} lets no server of this cluster in: it has to allow the cluster's \
         way out, its public address or its subnet"
    )]
    Firewall {
        /// The container.
        container_id: String,
        /// What the account says.
        #[source]
        source: Box<BlobError>,
    },
    /// Consul does not serve us.
    #[error(transparent)]
    Consul(#[from] ConsulError),
    /// The lock was lost.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The policy itself cannot be understood.
    #[error("policy {policy} does not say when: {reason}")]
    Schedule {
        /// Policy.
        policy: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What one try has come to.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing to do; this is there.
    NotDue(Kept),
    /// Another server is at it.
    Busy,
    /// Saved.
    Saved {
        /// Its time.
        time: Timestamp,
        /// What it says of itself.
        facts: SnapshotFacts,
        /// What is there now.
        kept: Kept,
        /// How many old ones went away.
        pruned: usize,
        /// Why one of those could not go; the new one is there all the same.
        unpruned: Option<BlobError>,
    },
}

/// Now, by the server's clock.
pub fn now(host: &Host) -> Timestamp {
    let now_ms = i64::try_from(host.clock.now_unix_ms()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::MAX)
}

pub(super) fn schedule(
    host: &Host,
    policy: &SnapshotPolicyDocument,
) -> Result<Schedule, SnapshotError> {
    let unclear = |reason| SnapshotError::Schedule { policy: policy.name.clone(), reason };
    policy.schedule(host.timing.scale).map_err(unclear)
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
            Ok(time) => take(host, client, policy, time).await,
        }
    })
    .await?
}

fn folder(host: &Host, policy: &SnapshotPolicyDocument) -> Result<Folder, SnapshotError> {
    Folder::of(host, policy)
        .map_err(|source| SnapshotError::List { policy: policy.name.clone(), source })
}

/// The refusal of somebody's account says who needs what.
fn refused(
    host: &Host,
    policy: &SnapshotPolicyDocument,
    error: BlobError,
    other: impl FnOnce(BlobError) -> SnapshotError,
) -> SnapshotError {
    match (&policy.place, error) {
        (Some(place), source) if source.is_of_the_firewall() => SnapshotError::Firewall {
            container_id: place.container_id.clone(),
            source: Box::new(source),
        },
        (Some(place), source @ BlobError::Denied { .. }) => SnapshotError::NoRight {
            container_id: place.container_id.clone(),
            identity_id: host.bootstrap.shared_identity_id.clone(),
            source: Box::new(source),
        },
        (_, error) => other(error),
    }
}

async fn listed(
    host: &Host,
    policy: &SnapshotPolicyDocument,
    folder: &Folder,
) -> Result<Vec<BlobEntry>, SnapshotError> {
    folder.list().await.map_err(|error| {
        refused(host, policy, error, |source| SnapshotError::List {
            policy: policy.name.clone(),
            source,
        })
    })
}

/// The moment that is due, or the news that none is.
async fn look(
    host: &Host,
    policy: &SnapshotPolicyDocument,
) -> Result<Result<Timestamp, Outcome>, SnapshotError> {
    let (folder, now) = (folder(host, policy)?, now(host));
    let kept = folder.kept(&listed(host, policy, &folder).await?, now);
    let due = schedule(host, policy)?.due(now, kept.newest);
    Ok(due.ok_or(Outcome::NotDue(kept)))
}

async fn take(
    host: &Host,
    client: &ConsulClient,
    policy: &SnapshotPolicyDocument,
    time: Timestamp,
) -> Result<Outcome, SnapshotError> {
    let folder = folder(host, policy)?;
    let name = folder.snapshot(time);
    let mut said = on_demand::said(host, client).await;
    said.insert(metadata::POLICY.to_owned(), policy.name.clone());
    let saved = match save::save(host, client, folder.place(&name), said).await {
        Err(SaveError::Blob(BlobError::ConditionFailed { .. })) => None,
        Err(SaveError::Blob(error)) => {
            return Err(refused(host, policy, error, |error| SaveError::Blob(error).into()));
        }
        saved => Some(saved?),
    };
    let mut listed = listed(host, policy, &folder).await?;
    // Another server has kept one of this time.
    let Some(saved) = saved else {
        return Ok(Outcome::NotDue(folder.kept(&listed, now(host))));
    };
    let by_time: BTreeMap<Timestamp, &str> = listed
        .iter()
        .filter_map(|entry| Some((time_of(folder.name(), &entry.name)?, entry.name.as_str())))
        .collect();
    let superfluous =
        policy.retention.superfluous(by_time.keys().copied(), now(host), &policy.zone());
    let names: Vec<String> = superfluous
        .iter()
        .filter_map(|time| by_time.get(time).map(|name| (*name).to_owned()))
        .collect();
    // What a policy of the account keeps is no failure of the backup.
    let (pruned, unpruned) =
        delete_all(folder.store().as_ref(), folder.container(), names.clone()).await;
    if unpruned.is_none() {
        listed.retain(|entry| !names.contains(&entry.name));
    }
    let kept = folder.kept(&listed, now(host));
    Ok(Outcome::Saved { time, facts: saved.facts, kept, pruned, unpruned })
}
