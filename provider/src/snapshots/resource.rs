//! `hcs_snapshot`: a snapshot that somebody wants, by name.

use std::time::Duration;

use hcs_engine::blob::{BlobEntry, BlobError};
use hcs_engine::requests::SNAPSHOT_GOOD_FOR;
use hcs_planner::arm::ArmId;
use hcs_planner::names::parse_cluster_id;
use hcs_planner::requests::Request;
use hcs_planner::snapshots::{metadata, name_on_demand};
use jiff::{SignedDuration, Timestamp};
use tfplugin::plan::equality::{by_duration, ignoring_case};

use tfplugin::validate::text_rule;
use tfplugin::{
    Attr, Context, Diagnostic, Diagnostics, Failure, ImportRequest, ManagedResource, Model,
    MoveRequest, MoveResponse, Planned, Timeouts, async_trait, parse_duration,
};

use super::ask::Account;
use super::names::snapshot_name;
use crate::durations::Bounds;
use crate::retired;
use hcs_planner::snapshots::id::SnapshotId;

/// A large cluster's takes minutes.
const CREATE: Duration = Duration::from_mins(30);
const AVAILABLE: &str = "available";
const EXPIRED: &str = "expired";

/// A snapshot of a cluster's state, taken when this resource is made: the leading server takes it, checks the archive and
/// stores it in the cluster's storage account, beside those of policies, which never prune it. No route into the cluster's
/// network is needed.
///
/// A snapshot is never taken again by itself: one that has expired stays in the state as `expired`.
#[derive(Model)]
pub(crate) struct Snapshot {
    /// `<storage container id>/blobs/<path>`.
    #[tf(computed, identity)]
    id: Attr<String>,
    /// Which snapshot of its name this is. A state that holds an earlier one can neither change nor delete it.
    #[tf(computed)]
    incarnation_id: Attr<String>,
    /// Id of the cluster. Changing it takes another snapshot.
    #[tf(required, replaces, equal_if = ignoring_case, validate = text_rule("the id of a cluster", |id| parse_cluster_id(id).map(|_| ())))]
    cluster_id: Attr<String>,
    /// Its name; the time at which it is taken where none is given. Changing it takes another snapshot.
    #[tf(optional, computed, replaces, validate = text_rule("a snapshot's name", snapshot_name))]
    name: Attr<String>,
    /// How long it is kept, from when it is taken, e.g. `30d`; for ever where it is not set. The servers delete what has
    /// expired. Can be changed as long as the snapshot is there.
    #[tf(equal_if = by_duration, validate = text_rule("a duration", |text| EXPIRES_AFTER.check(text)))]
    expires_after: Attr<String>,
    /// Size of the archive.
    #[tf(computed)]
    size_bytes: Attr<i64>,
    /// SHA-256 of the archive, lower-case hex.
    #[tf(computed)]
    sha256: Attr<String>,
    /// Raft index of the state in it.
    #[tf(computed)]
    raft_index: Attr<i64>,
    /// The version of Consul that made it.
    #[tf(computed)]
    consul_version: Attr<String>,
    /// When it was taken.
    #[tf(computed)]
    created_at: Attr<String>,
    /// When it expires; null where it does not.
    #[tf(computed)]
    expires_at: Attr<String>,
    /// `available`, or `expired` once it is gone because its time was over.
    #[tf(computed)]
    state: Attr<String>,
}

/// The resource.
pub(crate) struct SnapshotResource;

pub(super) const EXPIRES_AFTER: Bounds = Bounds {
    name: Snapshot::EXPIRES_AFTER,
    examples: "\"12h\", \"30d\" or \"365d\"",
    min: (Duration::from_hours(1), "1h"),
    why: "",
    max: (Duration::from_hours(3660 * 24), "3660d"),
};

pub(super) fn expires_at(expires_after: &Attr<String>, created: Timestamp) -> Option<String> {
    let after = parse_duration(expires_after.known()?).ok()?;
    let after = SignedDuration::try_from(after).ok()?;
    Some(created.checked_add(after).ok()?.to_string())
}

fn seconds(now: Timestamp) -> Timestamp {
    now.round(jiff::Unit::Second).unwrap_or(now)
}

/// What a listing tells of a snapshot.
fn told(model: &mut Snapshot, id: &SnapshotId, entry: &BlobEntry) {
    let said = |name: &str| entry.metadata.get(name).cloned();
    model.id = Attr::Known(id.to_string());
    model.incarnation_id = said(metadata::INCARNATION_ID).into();
    model.name = id.name().map(str::to_owned).into();
    model.size_bytes = Attr::Known(i64::try_from(entry.size_bytes).unwrap_or(i64::MAX));
    model.sha256 = said(metadata::SHA256).into();
    model.raft_index = said(metadata::RAFT_INDEX).and_then(|index| index.parse().ok()).into();
    model.consul_version = said(metadata::CONSUL_VERSION).into();
    model.created_at = said(metadata::CREATED_AT).or(entry.last_modified.clone()).into();
    model.expires_at = said(metadata::EXPIRES_AT).into();
    model.state = Attr::Known(AVAILABLE.to_owned());
}

fn taken(id: &SnapshotId) -> Diagnostic {
    let name = id.name().unwrap_or_default();
    let detail = format!(
        "A Terraform state holds it. Nothing was taken. Choose another name; to manage this one here, take it out of that \
         state and import it:\n\n  terraform import hcs_snapshot.<name> \"{id}\""
    );
    Diagnostic::error(format!("Snapshot {name:?} exists already"), detail).at(Snapshot::NAME)
}

fn superseded(id: &SnapshotId) -> Diagnostic {
    Diagnostic::warning(
        "The state's snapshot is gone; another one has its name",
        format!("{id} was taken since, or by another Terraform state. It is left alone."),
    )
}

fn is_own(state: &Snapshot, entry: &BlobEntry) -> bool {
    let own = state.incarnation_id.known();
    own.is_none_or(|own| entry.metadata.get(metadata::INCARNATION_ID) == Some(own))
}

#[async_trait]
impl ManagedResource for SnapshotResource {
    type Model = Snapshot;

    fn type_name(&self) -> &'static str {
        "hcs_snapshot"
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts::none().create(CREATE)
    }

    async fn modify_plan(&self, _: &Context, plan: &mut Planned<Snapshot>) -> Diagnostics {
        let Some(prior) = &plan.prior else { return Diagnostics::none() };
        if let Some(id) = retired::snapshot(&prior.id, &prior.cluster_id) {
            return retired::not_refreshed(id);
        }
        // Only the end of a snapshot can change; what else it is stays.
        let was = prior.expires_after.known().and_then(|text| parse_duration(text).ok());
        let is = plan.plan.expires_after.known().and_then(|text| parse_duration(text).ok());
        if was == is || !plan.requires_replace.is_empty() {
            return Diagnostics::none();
        }
        if prior.state.known().is_some_and(|state| state == EXPIRED) {
            return Diagnostic::error(
                "The snapshot has expired",
                "It is gone, so its time cannot be changed any more. Leave expires_after as it was, or take another one \
                 under another name.",
            )
            .at(Snapshot::EXPIRES_AFTER)
            .into();
        }
        Diagnostics::none()
    }

    async fn create(&self, ctx: &Context, plan: Snapshot) -> Result<Snapshot, Failure<Snapshot>> {
        let cluster_id = parse_id(&plan)?;
        let account = Account::of_cluster(ctx, &cluster_id).await?;
        let now = seconds(Timestamp::now());
        let request_id = uuid::Uuid::new_v4().to_string();
        let name = plan.name.known().cloned();
        let name = name.unwrap_or_else(|| name_on_demand(now, &request_id));
        let id = SnapshotId::named(&cluster_id, &name);
        let found = account.find(&id).await.map_err(|error| account.failed(error))?;
        let is_held = |entry: &BlobEntry| entry.metadata.contains_key(metadata::INCARNATION_ID);
        if found.as_ref().is_some_and(is_held) {
            return Err(taken(&id).into());
        }
        // One that no state holds is gone on with: an earlier create ended before Terraform could note it.
        if found.is_none() {
            let ends = expires_at(&plan.expires_after, now);
            let request = Request::snapshot(request_id, &id.path, ends);
            account.ask(ctx, request, SNAPSHOT_GOOD_FOR).await?;
        } else {
            ctx.warn(Diagnostic::warning(
                format!("Went on with snapshot {name:?}"),
                "An earlier apply ended after it was taken and before any Terraform state could hold it.",
            ));
        }
        let mut model = plan;
        hold(&account, &id, &mut model, uuid::Uuid::new_v4().to_string()).await?;
        Ok(model)
    }

    async fn read(&self, ctx: &Context, state: Snapshot) -> Result<Option<Snapshot>, Diagnostics> {
        if let Some(id) = retired::snapshot(&state.id, &state.cluster_id) {
            ctx.warn(retired::snapshot_is_gone(id));
            return Ok(None);
        }
        let id = of_state(&state)?;
        let now = Timestamp::now();
        let is_over = state.expires_at.known().and_then(|at| at.parse::<Timestamp>().ok());
        let gone = |mut state: Snapshot| {
            let is_over = is_over.is_some_and(|at| at <= now);
            state.state = Attr::Known(EXPIRED.to_owned());
            is_over.then_some(state)
        };
        let Some(account) = Account::open(ctx, &id.account).await? else { return Ok(gone(state)) };
        let found = account.find(&id).await.map_err(|error| account.failed(error))?;
        let Some(entry) = found else { return Ok(gone(state)) };
        if !is_own(&state, &entry) {
            ctx.warn(superseded(&id));
            return Ok(gone(state));
        }
        let mut model = state;
        told(&mut model, &id, &entry);
        Ok(Some(model))
    }

    async fn update(
        &self,
        ctx: &Context,
        prior: Snapshot,
        plan: Snapshot,
    ) -> Result<Snapshot, Failure<Snapshot>> {
        let id = of_state(&prior)?;
        let account = Account::open(ctx, &id.account).await?;
        let gone =
            || Diagnostic::error("The snapshot is gone", format!("There is no {id} any more."));
        let account = account.ok_or_else(gone)?;
        account.gain_access(ctx).await?;
        let found = account.find(&id).await.map_err(|error| account.failed(error))?;
        let entry = found.ok_or_else(gone)?;
        if !is_own(&prior, &entry) {
            return Err(
                Diagnostic { severity: tfplugin::Severity::Error, ..superseded(&id) }.into()
            );
        }
        let mut model = plan;
        let incarnation_id = prior.incarnation_id.known().cloned().unwrap_or_default();
        hold(&account, &id, &mut model, incarnation_id).await?;
        Ok(model)
    }

    async fn delete(&self, ctx: &Context, state: Snapshot) -> Result<(), Failure<Snapshot>> {
        let id = of_state(&state)?;
        // With its account there is nothing left of it.
        let Some(account) = Account::open(ctx, &id.account).await? else { return Ok(()) };
        account.gain_access(ctx).await?;
        let found = account.find(&id).await.map_err(|error| account.failed(error))?;
        let Some(entry) = found else { return Ok(()) };
        if !is_own(&state, &entry) {
            ctx.warn(superseded(&id));
            return Ok(());
        }
        match account.store.delete(&id.container, &id.path).await {
            Ok(_) => Ok(()),
            Err(error) => Err(account.failed(error).into()),
        }
    }

    async fn move_from(&self, _: &Context, request: &MoveRequest) -> Option<MoveResponse> {
        retired::moved(self.type_name(), request)
    }

    async fn import(&self, _: &Context, request: ImportRequest) -> Result<Snapshot, Diagnostics> {
        let invalid = |detail: String| Diagnostics::error("Invalid import id", detail);
        let id = SnapshotId::parse(request.id_or(Snapshot::ID)).map_err(invalid)?;
        let (Some(cluster_id), Some(name)) = (id.cluster_id(), id.name()) else {
            return Err(invalid(format!(
                "{id} is none that somebody asked for in the account of a cluster; those of policies belong to the policies."
            )));
        };
        Ok(Snapshot {
            cluster_id: Attr::Known(cluster_id.to_string()),
            name: Attr::Known(name.to_owned()),
            id: Attr::Known(id.to_string()),
            incarnation_id: Attr::Null,
            expires_after: Attr::Null,
            size_bytes: Attr::Null,
            sha256: Attr::Null,
            raft_index: Attr::Null,
            consul_version: Attr::Null,
            created_at: Attr::Null,
            expires_at: Attr::Null,
            state: Attr::Null,
        })
    }
}

/// Writes into the blob whose it is and when it ends, and reads it back.
async fn hold(
    account: &Account,
    id: &SnapshotId,
    model: &mut Snapshot,
    incarnation_id: String,
) -> Result<(), Diagnostics> {
    let failed = |error: BlobError| account.failed(error);
    let gone =
        || Diagnostics::error("The snapshot is gone", format!("Somebody deleted {id} just now."));
    let entry = account.find(id).await.map_err(failed)?.ok_or_else(gone)?;
    let mut said = entry.metadata.clone();
    said.insert(metadata::INCARNATION_ID.to_owned(), incarnation_id);
    let created = said.get(metadata::CREATED_AT).and_then(|at| at.parse().ok());
    let created = created.unwrap_or_else(|| seconds(Timestamp::now()));
    match expires_at(&model.expires_after, created) {
        Some(at) => said.insert(metadata::EXPIRES_AT.to_owned(), at),
        None => said.remove(metadata::EXPIRES_AT),
    };
    if said != entry.metadata {
        account.store.set_metadata(&id.container, &id.path, &said).await.map_err(failed)?;
    }
    told(model, id, &BlobEntry { metadata: said, ..entry });
    Ok(())
}

fn parse_id(model: &Snapshot) -> Result<ArmId, Diagnostics> {
    let id = model.cluster_id.require(Snapshot::CLUSTER_ID)?;
    parse_cluster_id(id).map_err(|detail| {
        Diagnostic::error("Invalid cluster id", detail).at(Snapshot::CLUSTER_ID).into()
    })
}

fn of_state(state: &Snapshot) -> Result<SnapshotId, Diagnostics> {
    if let Some(id) = retired::snapshot(&state.id, &state.cluster_id) {
        return Err(retired::not_refreshed(id));
    }
    let id = state.id.require(Snapshot::ID)?;
    SnapshotId::parse(id).map_err(|detail| Diagnostics::error("Invalid id in the state", detail))
}
