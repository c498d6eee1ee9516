//! `hcs_snapshot_restore`: the whole state of a cluster, put back when this is made or its triggers change.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hcs_engine::blob::{BlobError, WriteCondition};
use hcs_engine::error::{EngineError, chain};
use hcs_engine::requests::{RESTORE_GOOD_FOR, next_id};
use hcs_engine::snapshot::bring::bring;
use hcs_planner::arm::ArmId;
use hcs_planner::dataplane::container;
use hcs_planner::names::parse_cluster_id;
use hcs_planner::requests::{Request, argument};
use jiff::Timestamp;
use tfplugin::plan::equality::ignoring_case;

use tfplugin::validate::text_rule;
use tfplugin::{
    Attr, Context, Diagnostic, Diagnostics, Failure, ManagedResource, Model, Planned, Timeouts,
    async_trait,
};

use super::ask::Account;
use crate::client::Client;
use hcs_planner::snapshots::id::SnapshotId;

const CREATE: Duration = Duration::from_hours(1);

/// Puts the whole state of Consul back to a snapshot: keys, services, ACLs, intentions, the mesh's CA. It happens when this
/// resource is made, and again when `snapshot_id` or `triggers` change; once, however often an apply is cut off. What is
/// there is kept as a snapshot first. The tokens of the servers themselves are made again where the snapshot does not know
/// them; tokens that were made since do not work any more, and tokens that were revoked since work again.
///
/// Destroying it changes nothing in the cluster.
#[derive(Model)]
pub(crate) struct SnapshotRestore {
    /// Id of the restore.
    #[tf(computed)]
    id: Attr<String>,
    /// Id of the cluster. Changing it makes another restore.
    #[tf(required, replaces, equal_if = ignoring_case, validate = text_rule("the id of a cluster", |id| parse_cluster_id(id).map(|_| ())))]
    cluster_id: Attr<String>,
    /// Id of a snapshot, of `hcs_snapshot.id` or of `hcs_snapshots`; one of another account, another cluster's or one that was
    /// kept, is brought into the cluster's own first, by the caller, who needs *Storage Blob Data Reader* on its container.
    /// Another one is restored.
    #[tf(required, validate = text_rule("the id of a snapshot", |id| SnapshotId::parse(id).map(|_| ())))]
    snapshot_id: Attr<String>,
    /// Values of any meaning; when one changes, the snapshot is restored again.
    triggers: Attr<BTreeMap<String, String>>,
    /// Id of the snapshot of what was there before.
    #[tf(computed)]
    safety_snapshot_id: Attr<String>,
    /// When it was restored.
    #[tf(computed)]
    restored_at: Attr<String>,
    /// Raft index of the state that was restored.
    #[tf(computed)]
    restored_index: Attr<i64>,
}

/// The resource.
pub(crate) struct RestoreResource;

/// Cluster and snapshot of a restore.
pub(super) fn meant(
    cluster_id: &Attr<String>,
    snapshot_id: &Attr<String>,
) -> Result<(ArmId, SnapshotId), Diagnostics> {
    let cluster_id =
        parse_cluster_id(cluster_id.require(SnapshotRestore::CLUSTER_ID)?).map_err(|detail| {
            Diagnostic::error("Invalid cluster id", detail).at(SnapshotRestore::CLUSTER_ID)
        })?;
    let id = SnapshotId::parse(snapshot_id.require(SnapshotRestore::SNAPSHOT_ID)?).map_err(
        |detail| Diagnostic::error("Invalid snapshot id", detail).at(SnapshotRestore::SNAPSHOT_ID),
    )?;
    Ok((cluster_id, id))
}

/// Brings the snapshot to where the cluster's servers may read it; returns the name of the blob there.
pub(super) async fn brought(
    ctx: &Context,
    account: &Account,
    cluster_id: &ArmId,
    snapshot: &SnapshotId,
) -> Result<String, Diagnostics> {
    let client = ctx.data::<Client>()?;
    let (arm, stores) = (client.arm(&ctx.cancel), client.stores());
    let brought = bring(&arm, stores.as_ref(), snapshot, cluster_id, &account.store).await;
    brought.map_err(|error| match error {
        EngineError::Snapshot(error) => Diagnostic::error(
            "The snapshot cannot be restored",
            format!("{}. Nothing was touched.", chain(error.as_ref())),
        )
        .at(SnapshotRestore::SNAPSHOT_ID)
        .into(),
        error => account.told(&error).into(),
    })
}

/// What a plan of a restore says.
pub(super) fn warned(snapshot: &SnapshotId) -> Diagnostic {
    Diagnostic::warning(
        format!("The whole state of Consul goes back to {}", snapshot.path),
        "Keys, services, ACLs, intentions and the mesh's CA: what was written since is gone, tokens that were made since do \
         not work any more, and tokens that were revoked since work again. What is there is kept as a snapshot first, \
         which is named afterwards.",
    )
}

/// What is told where no throw-away server has restored the snapshot before.
pub(super) fn untried(told: &BTreeMap<String, serde_json::Value>) -> Option<Diagnostic> {
    let why = told.get(argument::UNTRIED)?.as_str()?;
    Some(Diagnostic::warning(
        "No trial has proven the snapshot",
        format!(
            "Servers restore a snapshot into one that is thrown away first, and count what that holds. This time: {why}. It was restored all the same: the archive was whole, and \
             what was there is kept."
        ),
    ))
}

/// Name of the blob that says that a state holds this restore.
fn held(request_id: &str) -> String {
    format!("restored-{request_id}.json")
}

/// The id of the next restore of this kind that no state holds and that was not refused: one that was cut off before Terraform
/// could note it has the same id again, and the servers answer what they have done.
async fn request_id(account: &Account, plan: &SnapshotRestore) -> Result<String, Diagnostics> {
    let triggers = plan.triggers.known().cloned().unwrap_or_default();
    let triggers = serde_json::to_string(&triggers).unwrap_or_default();
    let text = |value: &Attr<String>| value.known().map(|it| it.to_lowercase()).unwrap_or_default();
    let (cluster, snapshot) = (text(&plan.cluster_id), text(&plan.snapshot_id));
    let parts = ["restore", &cluster, &snapshot, &triggers];
    let id = next_id(account.store.as_ref(), &parts, Some(held)).await;
    id.map_err(|error| account.failed(error).into())
}

async fn restored(ctx: &Context, plan: SnapshotRestore) -> Result<SnapshotRestore, Diagnostics> {
    let (cluster_id, snapshot) = meant(&plan.cluster_id, &plan.snapshot_id)?;
    let account = Account::of_cluster(ctx, &cluster_id).await?;
    let id = request_id(&account, &plan).await?;
    let path = brought(ctx, &account, &cluster_id, &snapshot).await?;
    let request = Request::restore(id.clone(), &path);
    let told = account.ask(ctx, request, RESTORE_GOOD_FOR).await?;
    if let Some(why) = untried(&told) {
        ctx.warn(why);
    }
    let noted = account
        .store
        .put(container::REQUESTS, &held(&id), Bytes::from_static(b"{}"), WriteCondition::Absent)
        .await;
    match noted {
        Ok(_) | Err(BlobError::ConditionFailed { .. }) => {}
        Err(error) => return Err(account.failed(error).into()),
    }
    let safety = told.get(argument::SAFETY_SNAPSHOT).and_then(|name| name.as_str());
    let safety =
        safety.map(|path| SnapshotId::of_cluster(&cluster_id, path.to_owned()).to_string());
    let now = Timestamp::now().round(jiff::Unit::Second).unwrap_or_default();
    Ok(SnapshotRestore {
        id: Attr::Known(format!("{cluster_id}/restores/{id}")),
        safety_snapshot_id: safety.into(),
        restored_at: Attr::Known(now.to_string()),
        restored_index: told.get(argument::RAFT_INDEX).and_then(serde_json::Value::as_i64).into(),
        ..plan
    })
}

#[async_trait]
impl ManagedResource for RestoreResource {
    type Model = SnapshotRestore;

    fn type_name(&self) -> &'static str {
        "hcs_snapshot_restore"
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts::none().create(CREATE).update(CREATE)
    }

    async fn modify_plan(&self, _: &Context, plan: &mut Planned<SnapshotRestore>) -> Diagnostics {
        let is_again = match &plan.prior {
            None => true,
            Some(prior) => {
                prior.snapshot_id.known() != plan.plan.snapshot_id.known()
                    || prior.triggers.known() != plan.plan.triggers.known()
            }
        };
        if !is_again {
            return Diagnostics::none();
        }
        if plan.plan.cluster_id.is_unknown() || plan.plan.snapshot_id.is_unknown() {
            return Diagnostics::none();
        }
        match meant(&plan.plan.cluster_id, &plan.plan.snapshot_id) {
            Ok((_, snapshot)) => warned(&snapshot).into(),
            Err(found) => found,
        }
    }

    async fn create(
        &self,
        ctx: &Context,
        plan: SnapshotRestore,
    ) -> Result<SnapshotRestore, Failure<SnapshotRestore>> {
        Ok(restored(ctx, plan).await?)
    }

    async fn read(
        &self,
        ctx: &Context,
        state: SnapshotRestore,
    ) -> Result<Option<SnapshotRestore>, Diagnostics> {
        let (cluster_id, _) = meant(&state.cluster_id, &state.snapshot_id)?;
        let account = Account::open(ctx, &hcs_planner::names::storage_account(&cluster_id)).await?;
        Ok(account.map(|_| state))
    }

    async fn update(
        &self,
        ctx: &Context,
        _: SnapshotRestore,
        plan: SnapshotRestore,
    ) -> Result<SnapshotRestore, Failure<SnapshotRestore>> {
        Ok(restored(ctx, plan).await?)
    }

    /// What was restored stays.
    async fn delete(
        &self,
        _: &Context,
        _: SnapshotRestore,
    ) -> Result<(), Failure<SnapshotRestore>> {
        Ok(())
    }
}
