//! Policies and snapshots in the storage account of one cluster.

use std::sync::Arc;

use hcs_engine::blob::{BlobError, BlobStore, BlockStore, WriteCondition, delete_all};
use hcs_engine::error::{EngineError, chain};
use hcs_engine::execute::ensure_blob_access;
use hcs_planner::arm::ArmId;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::ownership::RunRecord;
use hcs_planner::snapshots::id::parse_container;
use hcs_planner::snapshots::policy::{Kept, OnDelete, PolicyReport, SnapshotPolicyDocument};
use jiff::Timestamp;
use tfplugin::{CancellationToken, Diagnostic, Diagnostics, Severity};

use crate::client::Client;
use crate::diagnostics;
use hcs_planner::names::storage_account;

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

/// What became of a policy that is to go.
pub(super) enum Removed {
    /// It was gone already.
    Gone,
    /// It was gone already, and another one has its name.
    Another,
    /// It takes no more, and its document is the last of it: containers of somebody on which the servers have a right by it,
    /// and how many snapshots were deleted.
    Ready {
        /// Ids of containers.
        leaving: Vec<String>,
        /// Snapshots.
        purged: usize,
    },
}

/// What failed, in words.
pub(super) struct Failed {
    /// Whether the storage may not be read or cannot be reached, and so says nothing.
    pub(super) is_out_of_reach: bool,
    pub(super) diagnostics: Diagnostics,
}

impl From<Failed> for Diagnostics {
    fn from(failed: Failed) -> Self {
        failed.diagnostics
    }
}

impl From<Diagnostics> for Failed {
    fn from(diagnostics: Diagnostics) -> Self {
        Self { is_out_of_reach: false, diagnostics }
    }
}

impl PolicyStore {
    /// The policies of a cluster; `None` when the cluster is gone. Only reads.
    pub(super) async fn open(
        client: &Client,
        cancel: &CancellationToken,
        cluster_id: ArmId,
    ) -> Result<Option<Self>, Diagnostics> {
        let (what, account) = (format!("cluster {cluster_id}"), storage_account(&cluster_id));
        let store = client.blobs_of(cancel, &account, &what).await?;
        Ok(store.map(|store| Self { cluster_id, store }))
    }

    /// Gives the caller access to the cluster's blobs where it is missing.
    pub(super) async fn gain_access(
        &self,
        client: &Client,
        cancel: &CancellationToken,
    ) -> Result<(), Diagnostics> {
        let account = storage_account(&self.cluster_id);
        let arm = client.arm(cancel);
        let gained = ensure_blob_access(&arm, &account, self.store.as_ref(), true).await;
        gained.map(|_| ()).map_err(|error| self.told(&error).into())
    }

    fn told(&self, error: &EngineError) -> Diagnostic {
        diagnostics::read(&format!("the snapshot policies of {}", self.cluster_id), error)
    }

    fn failed(&self, error: BlobError) -> Failed {
        let is_out_of_reach =
            matches!(error, BlobError::Denied { .. } | BlobError::Unavailable { .. });
        Failed { is_out_of_reach, diagnostics: self.told(&error.into()).into() }
    }

    /// The document of a policy, with its etag.
    pub(super) async fn read(
        &self,
        name: &str,
    ) -> Result<Option<(SnapshotPolicyDocument, String)>, Failed> {
        let content = match self.store.get(container::CONFIG, &blob::snapshot_policy(name)).await {
            Ok(Some(content)) => content,
            Ok(None) | Err(BlobError::NoContainer { .. }) => return Ok(None),
            Err(error) => return Err(self.failed(error)),
        };
        let document = serde_json::from_slice(&content.bytes).map_err(|error| {
            Diagnostics::error(
                format!("Snapshot policy {name:?} is not readable"),
                format!("Its document does not fit this provider version: {}.", chain(&error)),
            )
        })?;
        Ok(Some((document, content.etag)))
    }

    /// Writes a document under a condition; its etag, or `None` where something else is there.
    async fn put(
        &self,
        document: &SnapshotPolicyDocument,
        condition: WriteCondition,
    ) -> Result<Option<String>, Diagnostics> {
        let name = blob::snapshot_policy(&document.name);
        let bytes = hcs_engine::document::bytes("the snapshot policy", document);
        let bytes = bytes.map_err(|error| self.told(&error))?;
        match self.store.put(container::CONFIG, &name, bytes, condition).await {
            Ok(etag) => Ok(Some(etag)),
            Err(BlobError::ConditionFailed { .. }) => {
                // A write whose answer was lost has happened all the same.
                let found = self.read(&document.name).await?;
                Ok(found.filter(|(found, _)| found == document).map(|(_, etag)| etag))
            }
            Err(error) => Err(self.failed(error).into()),
        }
    }

    /// Which making of the cluster this is.
    pub(super) async fn cluster_incarnation(&self) -> Result<String, Diagnostics> {
        let found = match self.store.get(container::CONFIG, blob::RUN).await {
            Ok(found) => found,
            Err(BlobError::NoContainer { .. }) => None,
            Err(error) => return Err(self.failed(error).into()),
        };
        let record = found.and_then(|found| serde_json::from_slice::<RunRecord>(&found.bytes).ok());
        record.map(|record| record.incarnation_id).ok_or_else(|| {
            let detail = format!("{} is not finished. Apply the cluster first.", self.cluster_id);
            Diagnostics::error("The cluster is not finished", detail)
        })
    }

    /// Whether another policy of the cluster keeps its snapshots in this container.
    pub(super) async fn uses_elsewhere(
        &self,
        container_id: &str,
        but: &str,
    ) -> Result<bool, Diagnostics> {
        let listed = self.store.list(container::CONFIG, blob::SNAPSHOT_POLICIES).await;
        for entry in listed.map_err(|error| self.failed(error))? {
            let name = entry.name.trim_start_matches(blob::SNAPSHOT_POLICIES);
            let name = name.trim_end_matches(".json");
            let found = if name == but { None } else { self.read(name).await? };
            let place = found.and_then(|(policy, _)| policy.place);
            if place.is_some_and(|place| place.container_id.eq_ignore_ascii_case(container_id)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes a policy, and holds it as its last act. One that no state holds is gone on with: an earlier create ended
    /// before Terraform could note it. Any other is somebody's.
    pub(super) async fn create(
        &self,
        document: &SnapshotPolicyDocument,
    ) -> Result<Written, Diagnostics> {
        let made = SnapshotPolicyDocument { is_held: false, ..document.clone() };
        let written = match self.put(&made, WriteCondition::Absent).await? {
            Some(etag) => Some((Written::Now, etag)),
            None => match self.read(&document.name).await? {
                Some((found, etag)) if !found.is_held => {
                    let etag = self.put(&made, WriteCondition::Matches(etag)).await?;
                    etag.map(|etag| (Written::Before, etag))
                }
                _ => None,
            },
        };
        if let Some((written, etag)) = written
            && self.put(document, WriteCondition::Matches(etag)).await?.is_some()
        {
            return Ok(written);
        }
        let id = super::policy_id(&self.cluster_id, &document.name);
        Err(Diagnostics::error(
            format!("Snapshot policy {:?} exists already", document.name),
            format!(
                "A Terraform state holds it. Nothing was changed. To manage it here, take it out of that state and \
                 import it:\n\n  terraform import hcs_snapshot_policy.<name> \"{id}\"\n\nA block that was only renamed \
                 needs `moved {{ }}`, and a replacement cannot be made before the old one goes \
                 (create_before_destroy), as both have one name. To make another one, choose another name."
            ),
        ))
    }

    /// Changes the policy that the state holds; one that somebody deleted comes back.
    pub(super) async fn update(
        &self,
        document: &SnapshotPolicyDocument,
    ) -> Result<Written, Diagnostics> {
        let mut document = document.clone();
        let condition = match self.read(&document.name).await? {
            None => WriteCondition::Absent,
            Some((found, etag)) if found.incarnation_id == document.incarnation_id => {
                if !found.form.is_understood() || found.on_delete == OnDelete::Unknown {
                    return Err(newer(&document.name));
                }
                // What a newer version wrote beside it stays.
                document.form = found.form;
                document.created_at = found.created_at;
                WriteCondition::Matches(etag)
            }
            Some(_) => {
                return Err(Diagnostic {
                    severity: Severity::Error,
                    ..super::superseded(&document.name, "Nothing was changed")
                }
                .into());
            }
        };
        if self.put(&document, condition).await?.is_some() {
            return Ok(Written::Now);
        }
        Err(changed(&document.name))
    }

    /// Ends the policy that the state holds, and takes its snapshots away if asked to. The document stays, and counts for
    /// no right any more: [`Self::forget`] is the last act, so that whoever is cut off before goes on from there.
    pub(super) async fn end(
        &self,
        (client, cancel): (&Client, &CancellationToken),
        name: &str,
        incarnation_id: Option<&str>,
        purge: bool,
    ) -> Result<Removed, Diagnostics> {
        let Some((found, etag)) = self.read(name).await? else { return Ok(Removed::Gone) };
        if found.incarnation_id.as_deref() != incarnation_id {
            return Ok(Removed::Another);
        }
        // Purged before, by a destroy that was cut off after it; what lies in the cluster's own account is not meant.
        let has_ended = !found.enabled && found.place.is_none() && !found.leaving.is_empty();
        let mut leaving = found.leaving.clone();
        leaving.extend(found.place.as_ref().map(|place| place.container_id.clone()));
        let (mut policy, mut etag, mut purged) = (found, etag, 0);
        if purge && !has_ended {
            policy.enabled = false;
            etag = self
                .put(&policy, WriteCondition::Matches(etag))
                .await?
                .ok_or_else(|| changed(name))?;
            purged = self.purge(client, cancel, &policy).await?;
        }
        if !leaving.is_empty() && !has_ended {
            // Whoever looks for others that need a right counts this one no more.
            policy = SnapshotPolicyDocument {
                enabled: false,
                place: None,
                leaving: leaving.clone(),
                ..policy
            };
            if self.put(&policy, WriteCondition::Matches(etag)).await?.is_none() {
                return Err(changed(name));
            }
        }
        match self.read(name).await? {
            None => Ok(Removed::Gone),
            Some((found, _)) if found != policy => Err(changed(name)),
            Some(_) => Ok(Removed::Ready { leaving, purged }),
        }
    }

    /// Removes the document of a policy that has ended.
    pub(super) async fn forget(&self, name: &str) -> Result<(), Diagnostics> {
        let removed = self.store.delete(container::CONFIG, &blob::snapshot_policy(name)).await;
        removed.map(drop).map_err(|error| self.failed(error).into())
    }

    /// Notes that the servers have no right any more where the policy was before.
    pub(super) async fn note_left(&self, name: &str) -> Result<(), Diagnostics> {
        let Some((found, etag)) = self.read(name).await? else { return Ok(()) };
        let left = SnapshotPolicyDocument { leaving: Vec::new(), ..found };
        // Whoever wrote it meanwhile leaves them again.
        self.put(&left, WriteCondition::Matches(etag)).await.map(drop)
    }

    /// Takes its snapshots away, wherever they are; how many there were.
    async fn purge(
        &self,
        client: &Client,
        cancel: &CancellationToken,
        policy: &SnapshotPolicyDocument,
    ) -> Result<usize, Diagnostics> {
        let elsewhere;
        let store: &dyn BlobStore = match &policy.place {
            None => self.store.as_ref(),
            Some(place) => {
                let Some(found) = there(client, cancel, &place.container_id).await? else {
                    return Ok(0);
                };
                elsewhere = found;
                elsewhere.as_ref()
            }
        };
        let refused = |error: BlobError| match &policy.place {
            None => Diagnostics::from(self.failed(error)),
            Some(place) => not_purged(&place.container_id, &error),
        };
        let prefix = format!("{}/", policy.folder());
        let listed = match store.list(policy.container(), &prefix).await {
            Ok(listed) => listed,
            Err(BlobError::NoContainer { .. }) => return Ok(0),
            Err(error) => return Err(refused(error)),
        };
        let names = listed.into_iter().map(|entry| entry.name).collect();
        let (gone, left) = delete_all(store, policy.container(), names).await;
        left.map_or(Ok(gone), |error| Err(refused(error)))
    }

    /// What a policy has kept.
    pub(super) async fn kept(
        &self,
        policy: &SnapshotPolicyDocument,
        report: &PolicyReport,
        now: Timestamp,
    ) -> Result<Kept, Failed> {
        let kept = hcs_engine::status::kept(self.store.as_ref(), policy, report, now).await;
        kept.map_err(|error| self.failed(error))
    }

    /// How it goes, as the servers say.
    pub(super) async fn report(
        &self,
        policy: &SnapshotPolicyDocument,
    ) -> Result<PolicyReport, Failed> {
        let report = hcs_engine::status::report(self.store.as_ref(), policy).await;
        report.map_err(|error| self.failed(error))
    }
}

/// The blobs of the account that holds a container; none where it is gone.
async fn there(
    client: &Client,
    cancel: &CancellationToken,
    container_id: &str,
) -> Result<Option<Arc<dyn BlockStore>>, Diagnostics> {
    let Ok((account, _)) = parse_container(container_id) else { return Ok(None) };
    let what = format!("storage account {account}");
    client.blobs_of(cancel, &account, &what).await.map_err(Diagnostics::from)
}

fn not_purged(container_id: &str, error: &BlobError) -> Diagnostics {
    Diagnostics::error(
        "The policy's snapshots cannot be deleted",
        format!(
            "{container_id}: {}. The policy takes no more, and is kept until they are gone. {} Where the account keeps blobs for a while, destroy again after that, or set \
             on_delete = \"keep\", apply, and destroy.",
            chain(error),
            if error.is_of_the_firewall() {
                "The account's firewall does not let this machine in."
            } else {
                "The caller needs Storage Blob Data Contributor there."
            }
        ),
    )
}

/// A policy that only a newer provider understands.
fn newer(name: &str) -> Diagnostics {
    Diagnostics::error(
        format!("Snapshot policy {name:?} was written by a newer provider"),
        "This version does not understand all of it, so nothing was changed. Use the newer version.",
    )
}

fn changed(name: &str) -> Diagnostics {
    Diagnostics::error(
        format!("Snapshot policy {name:?} was changed by somebody else"),
        "Another run wrote it at the same time. Apply again.",
    )
}
