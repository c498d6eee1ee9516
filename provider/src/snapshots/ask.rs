//! Asks the leading server of a cluster for a snapshot or a restore, and waits for what it says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hcs_engine::blob::{BlobEntry, BlobError, BlockStore};
use hcs_engine::error::{EngineError, chain};
use hcs_engine::execute::ensure_blob_access;
use hcs_engine::requests::{AskError, ask, note_refusal};
use hcs_planner::arm::ArmId;
use hcs_planner::requests::{Request, RequestAction, RequestOutcome};
use serde_json::Value as Json;
use tfplugin::{Context, Diagnostic, Diagnostics};

use super::resource::Snapshot;
use crate::client::Client;
use crate::diagnostics;
use hcs_planner::snapshots::id::SnapshotId;

/// Between two looks whether another request is through.
const BUSY: Duration = Duration::from_secs(5);
/// Requests of others that are waited for, one after the other.
const BUSY_MAX: Duration = Duration::from_hours(1);

/// The blobs of one account.
pub(super) struct Account {
    id: ArmId,
    pub(super) store: Arc<dyn BlockStore>,
}

impl Account {
    /// An account's blobs; none where it is gone. Only reads.
    pub(super) async fn open(ctx: &Context, id: &ArmId) -> Result<Option<Self>, Diagnostics> {
        let client = ctx.data::<Client>()?;
        let what = format!("storage account {id}");
        let store = client.blobs_of(&ctx.cancel, id, &what).await?;
        Ok(store.map(|store| Self { id: id.clone(), store }))
    }

    /// The same for a change: it must be there, and the caller gets access to its blobs where that is missing.
    pub(super) async fn of_cluster(ctx: &Context, cluster_id: &ArmId) -> Result<Self, Diagnostics> {
        let account = Self::open(ctx, &hcs_planner::names::storage_account(cluster_id)).await?;
        let account =
            account.ok_or_else(|| diagnostics::no_cluster(cluster_id).at(Snapshot::CLUSTER_ID))?;
        account.gain_access(ctx).await?;
        Ok(account)
    }

    /// Gives the caller access to the blobs where it is missing.
    pub(super) async fn gain_access(&self, ctx: &Context) -> Result<(), Diagnostics> {
        let client = ctx.data::<Client>()?;
        let arm = client.arm(&ctx.cancel);
        let gained = ensure_blob_access(&arm, &self.id, self.store.as_ref(), true).await;
        gained.map(drop).map_err(|error| self.told(&error).into())
    }

    pub(super) fn told(&self, error: &EngineError) -> Diagnostic {
        diagnostics::read(&format!("the snapshots in {}", self.id), error)
    }

    pub(super) fn failed(&self, error: BlobError) -> Diagnostic {
        self.told(&error.into())
    }

    /// The row of one blob in a listing; none where it is not there.
    pub(super) async fn find(&self, id: &SnapshotId) -> Result<Option<BlobEntry>, BlobError> {
        match self.store.find(&id.container, &id.path).await {
            Err(BlobError::NoContainer { .. }) => Ok(None),
            found => found,
        }
    }

    /// Asks the leading server, after whatever waits there already.
    pub(super) async fn ask(
        &self,
        ctx: &Context,
        mut request: Request,
        good_for: Duration,
    ) -> Result<BTreeMap<String, Json>, Diagnostics> {
        let client = ctx.data::<Client>()?;
        let clock = client.clock();
        let action = request.action;
        request.asked_by = Some("Terraform".to_owned());
        let began_ms = clock.monotonic_ms();
        let result = loop {
            request.expires_unix_s = Some(clock.now_unix_ms() / 1000 + good_for.as_secs());
            let asked =
                ask(self.store.as_ref(), clock.as_ref(), &ctx.cancel, &request, good_for).await;
            let waited = Duration::from_millis(clock.monotonic_ms().saturating_sub(began_ms));
            match asked {
                // Terraform makes several snapshots at once; the servers take one after the other.
                Err(AskError::Busy(_)) if waited < BUSY_MAX && !ctx.cancel.is_cancelled() => {
                    clock.sleep(BUSY).await;
                }
                Err(AskError::Engine(error)) => return Err(self.told(&error).into()),
                Err(error) => {
                    let detail = format!(
                        "Nobody could be asked to {}: {}. `hcs status` says how the servers are; apply again.",
                        action.in_words(),
                        chain(&error)
                    );
                    return Err(Diagnostics::error("The servers gave no answer", detail));
                }
                Ok(result) => break result,
            }
        };
        if result.outcome == RequestOutcome::Done {
            return Ok(result.values);
        }
        if action == RequestAction::Restore {
            // Asked again under this id, the servers would answer the same.
            let noted = note_refusal(self.store.as_ref(), &request.id).await;
            noted.map_err(|error| self.failed(error))?;
        }
        let reason = result.reason.unwrap_or_else(|| "it does not say why".to_owned());
        let summary = format!("The leading server did not {}", action.in_words());
        Err(Diagnostics::error(summary, format!("{reason}.")))
    }
}
