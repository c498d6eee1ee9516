//! Brings a snapshot from whatever account into the one that the servers of a cluster read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hcs_planner::arm::ArmId;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::names::storage_account;
use hcs_planner::snapshots::id::SnapshotId;
use hcs_planner::snapshots::metadata;

use super::archive::ArchiveError;
use super::save::{self, Place, SaveError};
use crate::arm::Arm;
use crate::blob::{BlobEntry, BlobError, BlobStore, BlobStores, BlockStore};
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
        source: Box<dyn std::error::Error + Send + Sync>,
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
/// The way goes through this machine, part by part.
///
/// # Errors
///
/// Where it cannot be read or is no snapshot, and where the own account does not take it. Nothing was asked of the cluster.
pub async fn bring(
    arm: &Arm,
    stores: &dyn BlobStores,
    id: &SnapshotId,
    cluster_id: &ArmId,
    own: &Arc<dyn BlockStore>,
) -> Result<String, EngineError> {
    if id.account == storage_account(cluster_id) && id.container == container::SNAPSHOTS {
        return Ok(id.path.clone());
    }
    let there = arm.blobs_of(stores, &id.account).await?;
    let there = there.ok_or_else(|| BringError::NoAccount(id.account.clone()))?;
    // Looked at before any of it is brought: that gives its name.
    let entry = found(there.as_ref(), id).await?;
    let place = Place { store: &there, container: &id.container, name: &id.path };
    let looked = save::look(place).await.map_err(|error| failed(id, error))?;
    let (saved, etag) = looked.ok_or_else(|| BringError::NoSnapshot(id.clone()))?;
    let path = format!("{}from-{}.snap", blob::ON_DEMAND, &saved.sha256[..16]);
    let now_ms = arm.clock.now_unix_ms();
    let ends_ms = now_ms.saturating_add(u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX));
    let kept = [metadata::CONSUL_VERSION, metadata::CREATED_AT];
    let mut said: BTreeMap<String, String> = kept
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), entry.metadata.get(*name)?.clone())))
        .collect();
    said.insert(metadata::EXPIRES_AT.to_owned(), rfc3339(ends_ms));
    // It was brought before: its week begins anew.
    let before = own.find(container::SNAPSHOTS, &path).await?;
    let before = before.and_then(|entry| entry.metadata.get(metadata::SHA256).cloned());
    if before.as_ref() == Some(&saved.sha256) {
        said.insert(metadata::RAFT_INDEX.to_owned(), saved.facts.index.to_string());
        said.insert(metadata::SHA256.to_owned(), saved.sha256);
        own.set_metadata(container::SNAPSHOTS, &path, &said).await?;
        return Ok(path);
    }
    let stream = save::read(Arc::clone(&there), id.container.clone(), id.path.clone(), Some(etag));
    let place = Place { store: own, container: container::SNAPSHOTS, name: &path };
    match save::keep(Box::pin(stream), place, said).await {
        Ok(_) => {}
        Err(SaveError::Blob(error)) => return Err(error.into()),
        Err(error) => return Err(failed(id, error).into()),
    }
    Ok(path)
}

async fn found(there: &dyn BlobStore, id: &SnapshotId) -> Result<BlobEntry, BringError> {
    let found = match there.find(&id.container, &id.path).await {
        Err(BlobError::NoContainer { .. }) => None,
        found => found.map_err(|error| failed(id, error.into()))?,
    };
    found.ok_or_else(|| BringError::NoSnapshot(id.clone()))
}

fn failed(id: &SnapshotId, error: SaveError) -> BringError {
    let id = id.clone();
    match error {
        SaveError::Archive(source) => BringError::Archive { id, source },
        SaveError::Blob(source) => BringError::Unreadable { id, source: source.into() },
        SaveError::Source(source) => BringError::Unreadable { id, source },
        SaveError::Stopped(source) => BringError::Unreadable { id, source: source.into() },
    }
}
