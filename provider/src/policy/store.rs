//! Policies and snapshots in the storage account of one cluster.

use std::sync::Arc;

use bytes::Bytes;
use hcs_engine::blob::{BlobError, BlobStore, WriteCondition};
use hcs_engine::error::{EngineError, chain};
use hcs_engine::execute::ensure_blob_access;
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::dataplane::{SnapshotPolicyDocument, blob, container};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;
use tfplugin::{CancellationToken, Diagnostic, Diagnostics};

use crate::client::{Client, storage_account};
use crate::diagnostics;

/// Policies of one cluster.
pub(super) struct PolicyStore {
    /// The cluster.
    pub(super) cluster_id: ArmId,
    store: Arc<dyn BlobStore>,
}

/// Who wrote a document.
pub(super) enum Written {
    /// This call.
    Now,
    /// An earlier one, with the same content.
    Before,
}

impl PolicyStore {
    /// For a write: the cluster must be there, and the caller gets access to its blobs.
    pub(super) async fn open(
        client: &Client,
        cancel: &CancellationToken,
        cluster_id: ArmId,
    ) -> Result<Self, Diagnostics> {
        let missing = || {
            Diagnostic::error(
                "Cluster does not exist",
                format!(
                    "There is no cluster {cluster_id}. Refer to the resource that makes it \
                     (cluster_id = hcs_cluster.example.id)."
                ),
            )
            .at("cluster_id")
        };
        let store = Self::open_existing(client, cancel, cluster_id.clone()).await?;
        let store = store.ok_or_else(missing)?;
        let arm = client.arm(cancel);
        ensure_blob_access(&arm, &storage_account(&cluster_id), store.store.as_ref())
            .await
            .map_err(|error| store.failed(&error))?;
        Ok(store)
    }

    /// For a read: `None` when the cluster is gone.
    pub(super) async fn open_existing(
        client: &Client,
        cancel: &CancellationToken,
        cluster_id: ArmId,
    ) -> Result<Option<Self>, Diagnostics> {
        let what = format!("cluster {cluster_id}");
        let arm = client.arm(cancel);
        let account = arm.get(&storage_account(&cluster_id), Kind::StorageAccount).await;
        let account = account.map_err(|error| diagnostics::read(&what, &error))?;
        let endpoint = account
            .as_ref()
            .and_then(|account| account.pointer("/properties/primaryEndpoints/blob"))
            .and_then(Value::as_str);
        let Some(endpoint) = endpoint else { return Ok(None) };
        let store = client.stores().open(endpoint);
        let store = store.map_err(|error| diagnostics::read(&what, &error.into()))?;
        Ok(Some(Self { cluster_id, store }))
    }

    fn failed(&self, error: &EngineError) -> Diagnostic {
        diagnostics::read(&format!("the snapshot policies of {}", self.cluster_id), error)
    }

    fn blob_failed(&self, error: BlobError) -> Diagnostics {
        self.failed(&error.into()).into()
    }

    /// The document of a policy.
    pub(super) async fn read(
        &self,
        name: &str,
    ) -> Result<Option<SnapshotPolicyDocument>, Diagnostics> {
        let content = match self.store.get(container::CONFIG, &blob::snapshot_policy(name)).await {
            Ok(Some(content)) => content,
            Ok(None) | Err(BlobError::NoContainer { .. }) => return Ok(None),
            Err(error) => return Err(self.blob_failed(error)),
        };
        serde_json::from_slice(&content.bytes).map(Some).map_err(|error| {
            Diagnostics::error(
                format!("Snapshot policy {name:?} is not readable"),
                format!("Its document does not fit this provider version: {}.", chain(&error)),
            )
        })
    }

    /// Writes a policy. A create takes over an equal one, and refuses another one.
    pub(super) async fn write(
        &self,
        document: &SnapshotPolicyDocument,
        is_create: bool,
    ) -> Result<Written, Diagnostics> {
        let name = blob::snapshot_policy(&document.name);
        let bytes = Bytes::from(serde_json::to_vec_pretty(document).unwrap_or_default());
        let condition = if is_create { WriteCondition::Absent } else { WriteCondition::Always };
        match self.store.put(container::CONFIG, &name, bytes, condition).await {
            Ok(_) => Ok(Written::Now),
            Err(BlobError::ConditionFailed { .. })
                if self.read(&document.name).await?.as_ref() == Some(document) =>
            {
                Ok(Written::Before)
            }
            Err(BlobError::ConditionFailed { .. }) => {
                let id = super::policy_id(&self.cluster_id, &document.name);
                Err(Diagnostics::error(
                    format!("Snapshot policy {:?} exists already", document.name),
                    format!(
                        "Nothing was changed. To manage it here, import it:\n\n  terraform import \
                         hcs_snapshot_policy.<name> \"{id}\"\n\nTo make another one, choose \
                         another name."
                    ),
                ))
            }
            Err(error) => Err(self.blob_failed(error)),
        }
    }

    /// Removes a policy, and its snapshots if asked to.
    pub(super) async fn remove(&self, name: &str, purge: bool) -> Result<(), Diagnostics> {
        let document = blob::snapshot_policy(name);
        let removed = self.store.delete(container::CONFIG, &document).await;
        removed.map_err(|error| self.blob_failed(error))?;
        if !purge {
            return Ok(());
        }
        let prefix = format!("{name}/");
        let listed = self.store.list(container::SNAPSHOTS, &prefix).await;
        for entry in listed.map_err(|error| self.blob_failed(error))? {
            let removed = self.store.delete(container::SNAPSHOTS, &entry.name).await;
            removed.map_err(|error| self.blob_failed(error))?;
        }
        Ok(())
    }

    /// Times of a policy's snapshots, ascending.
    pub(super) async fn snapshots(&self, name: &str) -> Result<Vec<Timestamp>, Diagnostics> {
        let prefix = format!("{name}/");
        let entries = match self.store.list(container::SNAPSHOTS, &prefix).await {
            Ok(entries) => entries,
            Err(BlobError::NoContainer { .. }) => return Ok(vec![]),
            Err(error) => return Err(self.blob_failed(error)),
        };
        Ok(entries.iter().filter_map(|entry| taken_at(&entry.name)).collect())
    }
}

/// `default/20261122T231500Z.snap`.
fn taken_at(name: &str) -> Option<Timestamp> {
    let time = name.rsplit('/').next()?.strip_suffix(".snap")?.strip_suffix('Z')?;
    let time = DateTime::strptime("%Y%m%dT%H%M%S", time).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_snapshot_tells_its_time() {
        let time = taken_at("default/20261122T231500Z.snap").unwrap();
        assert_eq!(time.to_string(), "2026-11-22T23:15:00Z");
        assert_eq!(taken_at("default/other.txt"), None);
    }
}
