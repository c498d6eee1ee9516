//! Where a policy's snapshots lie: the cluster's own account, or a container of somebody.

use std::sync::Arc;

use hcs_engine::blob::{BlobEntry, BlobError, BlockStore};
use hcs_planner::dataplane::blob;
use hcs_planner::snapshots::id::{SnapshotId, parse_container};
use hcs_planner::snapshots::policy::{Kept, SnapshotPolicyDocument};
use hcs_planner::snapshots::time_in_name;
use jiff::Timestamp;

use super::save::Place;
use crate::host::Host;

/// The folder of one policy.
#[derive(Clone)]
pub struct Folder {
    store: Arc<dyn BlockStore>,
    container: String,
    name: String,
    /// Where it is somebody's.
    container_id: Option<String>,
}

impl Folder {
    /// Of this policy. Nothing is asked of the account.
    pub fn of(host: &Host, policy: &SnapshotPolicyDocument) -> Result<Self, BlobError> {
        let store = match &policy.place {
            Some(place) => host.stores.elsewhere.open(&place.blob_endpoint)?,
            None => Arc::clone(&host.stores.shared),
        };
        Ok(Self {
            store,
            container: policy.container().to_owned(),
            name: policy.folder(),
            container_id: policy.place.as_ref().map(|place| place.container_id.clone()),
        })
    }

    /// The account.
    pub fn store(&self) -> &Arc<dyn BlockStore> {
        &self.store
    }

    /// Name of its container.
    pub fn container(&self) -> &str {
        &self.container
    }

    /// Its name, without a slash at its end.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything in it.
    pub async fn list(&self) -> Result<Vec<BlobEntry>, BlobError> {
        self.store.list(&self.container, &format!("{}/", self.name)).await
    }

    /// Name of the snapshot of this time.
    pub fn snapshot(&self, time: Timestamp) -> String {
        blob::snapshot(&self.name, &time_in_name(time))
    }

    /// A blob of this name.
    pub fn place<'a>(&'a self, name: &'a str) -> Place<'a> {
        Place { store: &self.store, container: &self.container, name }
    }

    /// What these are together.
    pub fn kept(&self, listed: &[BlobEntry], now: Timestamp) -> Kept {
        let listed = listed.iter().map(|entry| (entry.name.as_str(), entry.size_bytes));
        Kept::of(&self.name, listed, now)
    }

    /// A blob of this name, for people: its path in the own account, its whole id in somebody's.
    pub fn told(&self, name: &str) -> String {
        let elsewhere = self.container_id.as_deref().and_then(|id| parse_container(id).ok());
        elsewhere.map_or_else(
            || name.to_owned(),
            |(account, container)| {
                SnapshotId { account, container, path: name.to_owned() }.to_string()
            },
        )
    }
}
