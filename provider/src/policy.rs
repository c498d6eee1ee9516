//! `hcs_snapshot_policy`: a document that the servers read, and the snapshots that they made of it.

mod document;
mod elsewhere;
mod model;
mod store;
mod validate;
mod write;

use hcs_planner::arm::{ArmId, split_once_without_case};
use hcs_planner::desired::KEPT_DAYS;
use hcs_planner::names::{parse_cluster_id, storage_account_name};
use hcs_planner::portal::parse_cluster_reference;
use hcs_planner::rules;
use hcs_planner::snapshots::policy::OnDelete;
use jiff::{Timestamp, Unit};
use tfplugin::plan::equality::keep_equal;
use tfplugin::plan::{fill_defaults, replaced};
use tfplugin::typed::Model as _;
use tfplugin::{
    ApplyRequest, ApplyResponse, Context, Diagnostic, Diagnostics, IdentitySchema, ImportRequest,
    ImportResponse, PlanRequest, PlanResponse, ReadRequest, ReadResponse, Resource, Schema,
    Severity, Value, async_trait,
};

use crate::client::Client;
use crate::diagnostics;
use crate::leg::{self, Leg};
use elsewhere::Elsewhere;
use model::Policy;
use store::{Failed, PolicyStore, Removed, Written};

/// Type name in configurations.
const TYPE_NAME: &str = "hcs_snapshot_policy";

/// The resource.
pub(crate) struct PolicyResource;

impl PolicyResource {
    /// For a change: the cluster must be there, and the caller gets access to its blobs.
    async fn open(&self, ctx: &Context, value: &Value) -> Result<PolicyStore, Diagnostics> {
        let (client, id) = (ctx.data::<Client>()?, cluster_of(value)?);
        let store = PolicyStore::open(&client, &ctx.cancel, id.clone()).await?;
        let store = store.ok_or_else(|| diagnostics::no_cluster(&id).at(Policy::CLUSTER_ID))?;
        store.gain_access(&client, &ctx.cancel).await?;
        Ok(store)
    }

    async fn destroy(&self, ctx: &Context, request: ApplyRequest) -> ApplyResponse {
        let prior = request.prior;
        let leg = leg::of_destroy(&request.private, &prior, &Policy::schema().replacing());
        match self.remove(ctx, &prior, leg).await {
            Ok(found) => ApplyResponse::failed(Value::Null, found),
            Err(found) => ApplyResponse::failed(prior, found),
        }
    }

    async fn remove(
        &self,
        ctx: &Context,
        prior: &Value,
        leg: Leg,
    ) -> Result<Diagnostics, Diagnostics> {
        let (client, id) = (ctx.data::<Client>()?, cluster_of(prior)?);
        // Without its cluster there is nothing left of it.
        let Some(store) = PolicyStore::open(&client, &ctx.cancel, id).await? else {
            return Ok(Diagnostics::none());
        };
        store.gain_access(&client, &ctx.cancel).await?;
        let name = prior.get(Policy::NAME).as_str().unwrap_or(model::NAME);
        // One that is made again under its name goes on with its snapshots.
        let purge = prior.get(Policy::ON_DELETE).as_str() == Some(OnDelete::Purge.as_str())
            && leg != Leg::BeforeSame;
        let ports = (client.as_ref(), &ctx.cancel);
        match store.end(ports, name, incarnation_of(prior).as_deref(), purge).await? {
            Removed::Gone => Ok(Diagnostics::none()),
            Removed::Another => Ok(superseded(name, "Nothing was deleted").into()),
            Removed::Ready { leaving, purged } => {
                let mut found = Diagnostics::none();
                let elsewhere = Elsewhere::of(ctx, &store)?;
                for container_id in &leaving {
                    found.extend(elsewhere.leave(container_id, name).await);
                }
                store.forget(name).await?;
                let is_here = prior.get(Policy::STORAGE_CONTAINER_ID).is_null();
                if purged > 0 && is_here {
                    found.push(purged_here(&store.cluster_id, name, purged));
                }
                Ok(found)
            }
        }
    }
}

fn cluster_of(value: &Value) -> Result<ArmId, Diagnostic> {
    let id = value.get(Policy::CLUSTER_ID).as_str().unwrap_or_default();
    parse_cluster_id(id)
        .map_err(|detail| Diagnostic::error("Invalid cluster id", detail).at(Policy::CLUSTER_ID))
}

fn incarnation_of(value: &Value) -> Option<String> {
    value.get(Policy::INCARNATION_ID).as_str().map(str::to_owned)
}

/// A create that died before any state held it: an import would hold what the next create goes on with.
fn unfinished(cluster_id: &ArmId, name: &str) -> Diagnostic {
    Diagnostic::error(
        "The snapshot policy is not finished",
        format!(
            "No Terraform state holds snapshot policy {name:?} of {cluster_id}, and its create did not end. Apply a \
             configuration of it instead of importing it: the create goes on from there."
        ),
    )
}

/// The account keeps what is deleted for a while.
fn purged_here(cluster_id: &ArmId, name: &str, purged: usize) -> Diagnostic {
    let account = storage_account_name(cluster_id);
    Diagnostic::warning(
        format!("{purged} snapshots of policy {name:?} were deleted"),
        format!(
            "For {KEPT_DAYS} days each of them can be brought back, as long as the cluster is there:\n\n  \
             az storage blob list --auth-mode login --account-name {account} --container-name snapshots --prefix {name}/ \
             --include d --query '[?deleted].name'\n  \
             az storage blob undelete --auth-mode login --account-name {account} --container-name snapshots --name <name>"
        ),
    )
}

fn superseded(name: &str, so: &str) -> Diagnostic {
    Diagnostic::warning(
        format!("The state's snapshot policy {name:?} is gone; another one has its name"),
        format!(
            "A policy of this name exists, but it was made since, or by another Terraform state. {so}. To manage it \
             here, import it."
        ),
    )
}

#[async_trait]
impl Resource for PolicyResource {
    fn type_name(&self) -> &'static str {
        TYPE_NAME
    }

    fn schema(&self) -> Schema {
        Policy::schema()
    }

    async fn validate(&self, _: &Context, config: &Value) -> Diagnostics {
        let mut found = tfplugin::validate::null_elements(&self.schema(), config);
        found.extend(validate::combinations(config));
        found
    }

    async fn plan(&self, _: &Context, request: PlanRequest) -> PlanResponse {
        plan(&request)
    }

    async fn apply(&self, ctx: &Context, request: ApplyRequest) -> ApplyResponse {
        if request.is_destroy() {
            return self.destroy(ctx, request).await;
        }
        let store = match self.open(ctx, &request.planned).await {
            Ok(store) => store,
            Err(found) => return ApplyResponse::failed(request.prior, found),
        };
        let mut document = document::read(&request.planned);
        if let Err(found) = write::place(ctx, &store, &request.planned, &mut document).await {
            return ApplyResponse::failed(request.prior, found);
        }
        let now = Timestamp::now().round(Unit::Second).unwrap_or_default();
        document.created_at = Some(now.to_string());
        let is_create = request.is_create();
        document.incarnation_id = if is_create {
            Some(uuid::Uuid::new_v4().to_string())
        } else {
            incarnation_of(&request.prior)
        };
        let written = write::write(ctx, &store, &document, is_create).await;
        let (written, mut found) = match written {
            Ok(written) => written,
            Err(found) => return ApplyResponse::failed(request.prior, found),
        };
        let mut state = request.planned.unknowns_as_null();
        state.set(Policy::ID, policy_id(&store.cluster_id, &document.name));
        state.set(Policy::INCARNATION_ID, Value::from(document.incarnation_id));
        if let Written::Before = written {
            found.push(Diagnostic::warning(
                format!("Went on with snapshot policy {:?}", document.name),
                "An earlier apply ended after it had made it and before any Terraform state could hold it.",
            ));
        }
        ApplyResponse { private: Some(Vec::new()), ..ApplyResponse::failed(state, found) }
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> ReadResponse {
        let client = match ctx.data::<Client>() {
            Ok(client) => client,
            Err(found) => return ReadResponse::failed(found),
        };
        let id = request.state.get(Policy::CLUSTER_ID).as_str().unwrap_or_default();
        let name = request.state.get(Policy::NAME).as_str().unwrap_or(model::NAME).to_owned();
        let store = match PolicyStore::open(&client, &ctx.cancel, ArmId::new(id)).await {
            Ok(None) => return ReadResponse::gone(),
            Ok(Some(store)) => store,
            Err(found) => return ReadResponse::failed(found),
        };
        match observed(&store, &name, request.state.clone()).await {
            Ok(Some(state)) => match incarnation_of(&request.state) {
                Some(own) if incarnation_of(&state).is_some_and(|found| found != own) => {
                    let diagnostics = superseded(&name, "It is left alone").into();
                    ReadResponse { diagnostics, ..ReadResponse::gone() }
                }
                _ => ReadResponse::new(state),
            },
            Ok(None) => ReadResponse::gone(),
            // Out of reach is not gone: what was read last stays.
            Err(Failed { is_out_of_reach: true, diagnostics }) => {
                let told = diagnostics.into_iter().map(|one| Diagnostic {
                    severity: Severity::Warning,
                    detail: format!("{} The policy is shown as it was last read.", one.detail),
                    ..one
                });
                let diagnostics = told.collect();
                ReadResponse { diagnostics, ..ReadResponse::new(request.state) }
            }
            Err(failed) => ReadResponse::failed(failed),
        }
    }

    fn identity(&self) -> Option<IdentitySchema> {
        Policy::identity()
    }

    async fn import(&self, ctx: &Context, request: ImportRequest) -> ImportResponse {
        let id = request.id_or(Policy::ID);
        let (cluster, name) = match parse_id(id) {
            Ok(parts) => parts,
            Err(detail) => {
                return ImportResponse::failed(Diagnostic::error("Invalid import id", detail));
            }
        };
        let missing = || {
            ImportResponse::failed(Diagnostic::error(
                "Snapshot policy does not exist",
                format!("Cluster {cluster} has no snapshot policy {name:?}."),
            ))
        };
        let client = match ctx.data::<Client>() {
            Ok(client) => client,
            Err(found) => return ImportResponse::failed(found),
        };
        let store = match PolicyStore::open(&client, &ctx.cancel, cluster.clone()).await {
            Ok(Some(store)) => store,
            Ok(None) => return missing(),
            Err(found) => return ImportResponse::failed(found),
        };
        match store.read(&name).await {
            Ok(Some((document, _))) if !document.is_held => {
                return ImportResponse::failed(unfinished(&cluster, &name));
            }
            Ok(_) => {}
            Err(found) => return ImportResponse::failed(found),
        }
        let state = Value::object(
            [(Policy::CLUSTER_ID, cluster.as_str()), (Policy::NAME, &name)]
                .map(|(name, text)| (name, Value::from(text))),
        );
        match observed(&store, &name, state).await {
            Ok(Some(state)) => ImportResponse::new(state),
            Ok(None) => missing(),
            Err(found) => ImportResponse::failed(found),
        }
    }
}

fn plan(request: &PlanRequest) -> PlanResponse {
    if request.is_destroy() {
        return PlanResponse { private: Some(leg::destroy()), ..PlanResponse::new(Value::Null) };
    }
    let (schema, prior) = (Policy::schema(), &request.prior);
    let mut planned = request.proposed.clone();
    fill_defaults(&schema, &request.config, &mut planned);
    planned.set(Policy::RETAIN_COUNT, model::retain_count(&request.config));
    keep_equal(&schema, prior, &mut planned);
    let requires_replace = replaced(&schema, prior, &planned, &request.config);
    let is_new = prior.is_null() || !requires_replace.is_empty();
    for name in [Policy::ID, Policy::INCARNATION_ID].iter().chain(&model::VOLATILE) {
        let value = if is_new { Value::unknown() } else { prior.get(name).clone() };
        planned.set(*name, value);
    }
    let private = if is_new { leg::create(&planned, &schema.replacing()) } else { leg::update() };
    PlanResponse { planned, requires_replace, private: Some(private), ..PlanResponse::default() }
}

async fn observed(
    store: &PolicyStore,
    name: &str,
    mut state: Value,
) -> Result<Option<Value>, Failed> {
    let Some((policy, _)) = store.read(name).await? else { return Ok(None) };
    let now = Timestamp::now();
    let report = store.report(&policy).await?;
    let kept = store.kept(&policy, &report, now).await?;
    state.set(Policy::ID, policy_id(&store.cluster_id, name));
    document::write(&policy, &mut state);
    let schedule = policy.schedule(1.0).ok().filter(|_| policy.enabled && kept.newest.is_some());
    let next = schedule.and_then(|schedule| schedule.next_run(kept.newest, now));
    let text = |time: Option<Timestamp>| Value::from(time.map(|time| time.to_string()));
    state.set(Policy::LAST_SUCCESS_AT, text(kept.newest));
    state.set(Policy::NEXT_RUN_AT, text(next));
    state.set(Policy::OLDEST_AT, text(kept.oldest));
    state.set(Policy::LAST_ERROR, Value::from(report.problem(&policy)));
    state.set(Policy::LAST_VERIFIED_AT, Value::from(report.last_verified_at));
    state.set(Policy::SNAPSHOT_COUNT, i64::try_from(kept.count).unwrap_or(i64::MAX));
    let size = i64::try_from(kept.total_size_bytes).unwrap_or(i64::MAX);
    state.set(Policy::TOTAL_SIZE_BYTES, size);
    Ok(Some(state))
}

fn policy_id(cluster_id: &ArmId, name: &str) -> String {
    format!("{cluster_id}/snapshotPolicies/{name}")
}

fn parse_id(text: &str) -> Result<(ArmId, String), String> {
    let expected = "<cluster id>/snapshotPolicies/<name>";
    let (cluster, name) = split_once_without_case(text, "/snapshotPolicies/").ok_or_else(|| {
        format!("{text:?} is no id of a snapshot policy; it has the form {expected}.")
    })?;
    rules::policy_name(name)?;
    Ok((parse_cluster_reference(cluster)?, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_intervals_and_counts_are_refused_with_the_mend() {
        let table = [
            ("interval", Value::from("10s"), "smallest is \"1m\""),
            ("interval", Value::from("soon"), "Write e.g."),
            ("interval", Value::from("-1h"), "negative"),
            ("retain_count", Value::from(0), "enabled = false"),
            ("retain_count", Value::from(1.5), "whole number"),
            ("name", Value::from("a/b"), "lower-case"),
            ("on_delete", Value::from("burn"), "keep"),
        ];
        for (name, value, expected) in table {
            let config = Value::object([(name, value)]);
            let found = tfplugin::validate::by_schema(&Policy::schema(), &config);
            assert_eq!(found.len(), 1, "{name}");
            let detail = &found.iter().next().unwrap().detail;
            assert!(detail.contains(expected), "{detail}");
        }
    }

    #[test]
    fn what_the_servers_do_never_disturbs_a_plan() {
        let mut prior = Value::object([
            ("cluster_id", Value::from("/subscriptions/s/resourceGroups/g")),
            ("name", "default".into()),
            ("interval", "1h".into()),
            ("retain_count", 3.into()),
            ("enabled", true.into()),
            ("on_delete", "keep".into()),
            ("id", "x".into()),
            ("incarnation_id", "i".into()),
            ("last_success_at", "2026-11-22T10:00:00Z".into()),
            ("last_verified_at", "2026-11-21T10:00:00Z".into()),
            ("next_run_at", "2026-11-22T11:00:00Z".into()),
            ("snapshot_count", 3.into()),
            ("before_upgrade", false.into()),
            ("last_error", Value::Null),
            ("oldest_at", "2026-11-22T08:00:00Z".into()),
            ("total_size_bytes", 30_000.into()),
        ]);
        document::write(&document::read(&prior), &mut prior);
        prior.set("incarnation_id", "i");
        let request = PlanRequest::new(prior.clone(), prior.clone(), prior.clone());
        assert_eq!(plan(&request).planned, prior);
    }

    #[test]
    fn another_spelling_of_the_same_interval_is_no_change() {
        let prior = Value::object([("interval", Value::from("1m")), ("name", "a".into())]);
        let config = prior.clone().with("interval", "60s");
        let request = PlanRequest::new(prior, config.clone(), config);
        assert_eq!(plan(&request).planned.get("interval").as_str(), Some("1m"));
    }

    #[test]
    fn a_count_is_planned_where_no_other_rule_says_what_stays() {
        let config = Value::object([("interval", Value::from("1h")), ("name", "a".into())]);
        let planned = |config: &Value| {
            let request = PlanRequest::new(Value::Null, config.clone(), config.clone());
            plan(&request).planned.get("retain_count").clone()
        };
        assert_eq!(planned(&config).as_i64(), Some(30));
        assert!(planned(&config.clone().with("retain_daily", 7)).is_null());
        assert!(planned(&config.clone().with("retain_age", Value::unknown())).is_unknown());
        let both = config.clone().with("retain_daily", 7).with("retain_count", 3);
        assert_eq!(planned(&both).as_i64(), Some(3));
        // A rule that goes away brings the count back.
        let prior = config.clone().with("retain_daily", 7).with("retain_count", Value::Null);
        let request = PlanRequest::new(prior, config.clone(), config);
        assert_eq!(plan(&request).planned.get("retain_count").as_i64(), Some(30));
    }

    #[test]
    fn ids_lead_to_cluster_and_name() {
        let (cluster, name) =
            parse_id("/subscriptions/s/resourceGroups/g/snapshotPolicies/hourly").unwrap();
        assert_eq!(cluster, ArmId::resource_group("s", "g"));
        assert_eq!(name, "hourly");
        assert!(parse_id("/subscriptions/s/resourceGroups/g").is_err());
    }
}
