//! The actions `hcs_snapshot` and `hcs_snapshot_restore`, for Terraform 1.14 and newer: the same without a resource.

use hcs_engine::requests::{RESTORE_GOOD_FOR, SNAPSHOT_GOOD_FOR};
use hcs_planner::names::parse_cluster_id;
use hcs_planner::requests::{Request, argument};
use hcs_planner::snapshots::name_on_demand;
use jiff::Timestamp;
use serde_json::Value as Json;
use tfplugin::validate::text_rule;
use tfplugin::{
    ActionPlan, Attr, Context, Diagnostic, Diagnostics, Model, Progress, TypedAction, async_trait,
};

use super::ask::Account;
use super::resource::{EXPIRES_AFTER, expires_at};
use super::restore::{brought, meant, untried, warned};
use hcs_planner::snapshots::id::SnapshotId;

/// Takes a snapshot now, under the time at which it is taken.
#[derive(Model)]
pub(crate) struct TakeSnapshot {
    /// Id of the cluster.
    #[tf(required, validate = text_rule("the id of a cluster", |id| parse_cluster_id(id).map(|_| ())))]
    cluster_id: Attr<String>,
    /// How long it is kept, e.g. `30d`; for ever where it is not set.
    #[tf(validate = text_rule("a duration", |text| EXPIRES_AFTER.check(text)))]
    expires_after: Attr<String>,
}

/// Puts the whole state of Consul back to a snapshot, after one of what is there.
#[derive(Model)]
pub(crate) struct PutBack {
    /// Id of the cluster.
    #[tf(required, validate = text_rule("the id of a cluster", |id| parse_cluster_id(id).map(|_| ())))]
    cluster_id: Attr<String>,
    /// Id of a snapshot of this cluster, of `hcs_snapshot.id` or of `hcs_snapshots`.
    #[tf(required, validate = text_rule("the id of a snapshot", |id| SnapshotId::parse(id).map(|_| ())))]
    snapshot_id: Attr<String>,
}

/// The action `hcs_snapshot`.
pub(crate) struct SnapshotAction;

/// The action `hcs_snapshot_restore`.
pub(crate) struct RestoreAction;

#[async_trait]
impl TypedAction for SnapshotAction {
    type Model = TakeSnapshot;

    fn type_name(&self) -> &'static str {
        "hcs_snapshot"
    }

    async fn invoke(&self, ctx: &Context, config: TakeSnapshot, progress: Progress) -> Diagnostics {
        match take(ctx, &config, &progress).await {
            Ok(()) => Diagnostics::none(),
            Err(found) => found,
        }
    }
}

async fn take(
    ctx: &Context,
    config: &TakeSnapshot,
    progress: &Progress,
) -> Result<(), Diagnostics> {
    let cluster_id = parse_cluster_id(config.cluster_id.require(TakeSnapshot::CLUSTER_ID)?)
        .map_err(|detail| {
            Diagnostic::error("Invalid cluster id", detail).at(TakeSnapshot::CLUSTER_ID)
        })?;
    let account = Account::of_cluster(ctx, &cluster_id).await?;
    let request_id = uuid::Uuid::new_v4().to_string();
    let now = Timestamp::now();
    let id = SnapshotId::named(&cluster_id, &name_on_demand(now, &request_id));
    let ends = expires_at(&config.expires_after, now);
    progress.say("the leading server takes a snapshot").await;
    let request = Request::snapshot(request_id, &id.path, ends);
    let told = account.ask(ctx, request, SNAPSHOT_GOOD_FOR).await?;
    let number = |name: &str| told.get(name).and_then(Json::as_u64).unwrap_or_default();
    let (size_bytes, index) = (number(argument::SIZE_BYTES), number(argument::RAFT_INDEX));
    progress.say(format!("{id}: {size_bytes} bytes, Raft index {index}, verified")).await;
    Ok(())
}

#[async_trait]
impl TypedAction for RestoreAction {
    type Model = PutBack;

    fn type_name(&self) -> &'static str {
        "hcs_snapshot_restore"
    }

    async fn plan(&self, _: &Context, config: PutBack) -> ActionPlan {
        if config.cluster_id.is_unknown() || config.snapshot_id.is_unknown() {
            return ActionPlan::default();
        }
        let diagnostics = match meant(&config.cluster_id, &config.snapshot_id) {
            Ok((_, snapshot)) => warned(&snapshot).into(),
            Err(found) => found,
        };
        ActionPlan { diagnostics, ..ActionPlan::default() }
    }

    async fn invoke(&self, ctx: &Context, config: PutBack, progress: Progress) -> Diagnostics {
        match put_back(ctx, &config, &progress).await {
            Ok(()) => Diagnostics::none(),
            Err(found) => found,
        }
    }
}

async fn put_back(ctx: &Context, config: &PutBack, progress: &Progress) -> Result<(), Diagnostics> {
    let (cluster_id, snapshot) = meant(&config.cluster_id, &config.snapshot_id)?;
    let account = Account::of_cluster(ctx, &cluster_id).await?;
    progress.say(format!("the leading server puts Consul back to {}", snapshot.path)).await;
    let path = brought(ctx, &account, &cluster_id, &snapshot).await?;
    let request = Request::restore(uuid::Uuid::new_v4().to_string(), &path);
    let told = account.ask(ctx, request, RESTORE_GOOD_FOR).await?;
    if let Some(why) = untried(&told) {
        progress.say(why.detail).await;
    }
    let before = told.get(argument::SAFETY_SNAPSHOT).and_then(Json::as_str).unwrap_or_default();
    progress.say(format!("done; what was there before is {before}")).await;
    Ok(())
}
