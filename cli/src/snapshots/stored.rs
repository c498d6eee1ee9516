//! Snapshots in accounts: by their name in the cluster's own, or by their whole id wherever they are.

use std::sync::Arc;

use hcs_azure::Azure;
use hcs_engine::blob::{BlobEntry, BlockStore};
use hcs_engine::error::{EngineError, chain};
use hcs_engine::snapshot::bring::bring;
use hcs_engine::snapshot::listing;
use hcs_planner::dataplane::container;
use hcs_planner::snapshots::id::SnapshotId;

use crate::input::CliError;
use crate::requests::refused;
use crate::status::{Place, arm, open};

/// One that is there.
pub(super) struct Stored {
    pub(super) store: Arc<dyn BlockStore>,
    pub(super) container: String,
    pub(super) entry: BlobEntry,
}

/// A row of the list.
pub(super) struct Row {
    /// As other commands take it.
    pub(super) name: String,
    pub(super) size_bytes: u64,
    pub(super) written_at: Option<String>,
}

/// Finds it.
pub(super) async fn find(place: &Place, name: &str) -> Result<Stored, CliError> {
    let (azure, own) = open(place).await?;
    let (store, container, path) = match SnapshotId::parse(name) {
        Err(_) => (own, container::SNAPSHOTS.to_owned(), name.to_owned()),
        Ok(id) => {
            let found = arm(&azure).blobs_of(azure.blobs.as_ref(), &id.account).await;
            let store = found.map_err(|error| CliError::Azure { reason: chain(&error) })?;
            let missing = || CliError::Azure { reason: format!("there is no {}", id.account) };
            (store.ok_or_else(missing)?, id.container, id.path)
        }
    };
    let found = store.find(&container, &path).await;
    let found = found.map_err(|error| refused(&error.into(), &container))?;
    let missing = || CliError::Azure {
        reason: format!("there is no snapshot {name}: `hcs snapshots list` names them"),
    };
    Ok(Stored { store, container, entry: found.ok_or_else(missing)? })
}

/// Path in the cluster's own account of the one that is to be restored; brought there, where it is somewhere else.
pub(super) async fn brought(
    place: &Place,
    azure: &Azure,
    own: &Arc<dyn BlockStore>,
    name: &str,
) -> Result<String, CliError> {
    let (Ok(id), Place::Cluster(cluster_id)) = (SnapshotId::parse(name), place) else {
        return Ok(name.to_owned());
    };
    let brought = bring(&arm(azure), azure.blobs.as_ref(), &id, cluster_id, own).await;
    brought.map_err(|error| match error {
        EngineError::Snapshot(error) => CliError::Azure { reason: chain(error.as_ref()) },
        error => refused(&error, container::SNAPSHOTS),
    })
}

/// All of a cluster, and in words what could not be looked at.
pub(super) async fn list(
    azure: &Azure,
    own: &Arc<dyn BlockStore>,
) -> Result<(Vec<Row>, Vec<String>), CliError> {
    let listed = listing::list(&arm(azure), azure.blobs.as_ref(), own.as_ref()).await;
    let (listed, unread) = listed.map_err(|error| refused(&error.into(), container::SNAPSHOTS))?;
    let rows = listed.into_iter().map(|listed| {
        let path = listed.entry.name;
        let name = match listed.elsewhere {
            None => path,
            Some((account, container)) => SnapshotId { account, container, path }.to_string(),
        };
        let written_at = listed.entry.last_modified;
        Row { name, size_bytes: listed.entry.size_bytes, written_at }
    });
    Ok((rows.collect(), unread))
}
