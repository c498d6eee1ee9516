//! The actions `hcs_snapshot` and `hcs_snapshot_restore`, for Terraform 1.14 and newer: the same without a resource.

use std::time::Duration;

use hcs_planner::names::parse_cluster_id;
use hcs_planner::requests::{RequestAction, argument};
use hcs_planner::snapshots::time_in_name;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use tfplugin::validate::text_rule;
use tfplugin::{
    ActionPlan, Attr, Context, Diagnostic, Diagnostics, Model, Progress, TypedAction, async_trait,
    parse_duration,
};

use super::ask::Account;
use super::id::SnapshotId;
use super::restore::{GOOD_FOR, meant, warned};

const SNAPSHOT_GOOD_FOR: Duration = Duration::from_mins(15);

/// Takes a snapshot now, under the time at which it is taken.
#[derive(Model)]
pub(crate) struct TakeSnapshot {
    /// Id of the cluster.
    #[tf(required, validate = text_rule("the id of a cluster", |id| parse_cluster_id(id).map(|_| ())))]
    cluster_id: Attr<String>,
    /// How long it is kept, e.g. `30d`; for ever where it is not set.
    #[tf(validate = text_rule("a duration", |text| parse_duration(text).map(drop).map_err(|why| format!("expires_after is {text:?}: {why}."))))]
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
    let short = request_id.split('-').next().unwrap_or_default();
    let now = Timestamp::now();
    let id = SnapshotId::named(&cluster_id, &format!("{}-{short}", time_in_name(now)));
    let after = config.expires_after.known().and_then(|text| parse_duration(text).ok());
    let ends = after.and_then(|after| now.checked_add(SignedDuration::try_from(after).ok()?).ok());
    let ends = ends.map(|at| (argument::EXPIRES_AT.to_owned(), json!(at.to_string())));
    let name = (argument::SNAPSHOT.to_owned(), json!(id.path));
    let arguments = [name].into_iter().chain(ends).collect();
    progress.say("the leading server takes a snapshot").await;
    let told =
        account.ask(ctx, request_id, RequestAction::Snapshot, arguments, SNAPSHOT_GOOD_FOR).await?;
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
    let arguments = [(argument::SNAPSHOT.to_owned(), json!(snapshot.path))].into();
    progress.say(format!("the leading server puts Consul back to {}", snapshot.path)).await;
    let id = uuid::Uuid::new_v4().to_string();
    let told = account.ask(ctx, id, RequestAction::Restore, arguments, GOOD_FOR).await?;
    let before = told.get(argument::SAFETY_SNAPSHOT).and_then(Json::as_str).unwrap_or_default();
    progress.say(format!("done; what was there before is {before}")).await;
    Ok(())
}
