//! Brings a snapshot from whatever account into the one that the servers of a cluster read.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hcs_planner::arm::ArmId;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::names::{hex, storage_account};
use hcs_planner::snapshots::id::SnapshotId;
use hcs_planner::snapshots::metadata;
use sha2::{Digest as _, Sha256};

use super::archive::{self, ArchiveError};
use crate::arm::Arm;
use crate::blob::{BlobEntry, BlobError, BlobStore, BlobStores, WriteCondition};
use crate::error::EngineError;
use crate::rfc3339;

/// What was brought for a restore goes by itself after that.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// Why it is not there.
#[derive(Debug, thiserror::Error)]
pub enum BringError {
    /// No such account, or the caller may not see it.
    #[error("there is no {0}")]
    NoAccount(ArmId),
    /// No such blob.
    #[error("there is no {0}")]
    NoSnapshot(SnapshotId),
    /// The caller may not read it, or it cannot be reached.
    #[error("{id} cannot be read; the caller needs Storage Blob Data Reader on its container")]
    Unreadable {
        /// Which one.
        id: SnapshotId,
        /// Why.
        #[source]
        source: BlobError,
    },
    /// It is none.
    #[error("{id} is no good")]
    Archive {
        /// Which one.
        id: SnapshotId,
        /// Why.
        #[source]
        source: ArchiveError,
    },
}

/// Where the snapshot is in the cluster's own account afterwards: where it was, if that is its account. What was brought is
/// named by its content, so that two tries bring one, and expires after a week.
///
/// The archive is held in memory: the way goes through this machine.
///
/// # Errors
///
/// Where it cannot be read or is no snapshot, and where the own account does not take it. Nothing was asked of the cluster.
pub async fn bring(
    arm: &Arm,
    stores: &dyn BlobStores,
    id: &SnapshotId,
    cluster_id: &ArmId,
    own: &dyn BlobStore,
) -> Result<String, EngineError> {
    if id.account == storage_account(cluster_id) && id.container == container::SNAPSHOTS {
        return Ok(id.path.clone());
    }
    let there = arm.blobs_of(stores, &id.account).await?;
    let there = there.ok_or_else(|| BringError::NoAccount(id.account.clone()))?;
    let (bytes, entry) = read(there.as_ref(), id).await?;
    archive::verify(bytes.as_ref())
        .map_err(|source| BringError::Archive { id: id.clone(), source })?;
    let sha256 = hex(&Sha256::digest(&bytes));
    let path = format!("{}from-{}.snap", blob::ON_DEMAND, &sha256[..16]);
    match own.put(container::SNAPSHOTS, &path, bytes, WriteCondition::Absent).await {
        Ok(_) | Err(BlobError::ConditionFailed { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let now_ms = arm.clock.now_unix_ms();
    let ends_ms = now_ms.saturating_add(u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX));
    let kept = [metadata::RAFT_INDEX, metadata::CONSUL_VERSION, metadata::CREATED_AT];
    let mut said: BTreeMap<String, String> = kept
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), entry.metadata.get(*name)?.clone())))
        .collect();
    said.insert(metadata::SHA256.to_owned(), sha256);
    said.insert(metadata::EXPIRES_AT.to_owned(), rfc3339(ends_ms));
    own.set_metadata(container::SNAPSHOTS, &path, &said).await?;
    Ok(path)
}

async fn read(there: &dyn BlobStore, id: &SnapshotId) -> Result<(Bytes, BlobEntry), BringError> {
    let unreadable = |source| BringError::Unreadable { id: id.clone(), source };
    let absent = || BringError::NoSnapshot(id.clone());
    let entry = match there.find(&id.container, &id.path).await {
        Err(BlobError::NoContainer { .. }) => None,
        found => found.map_err(unreadable)?,
    };
    let entry = entry.ok_or_else(absent)?;
    let found = there.get(&id.container, &id.path).await.map_err(unreadable)?;
    Ok((found.ok_or_else(absent)?.bytes, entry))
}
