//! `hcs_snapshot_policy`: a document that the servers read, and the snapshots that they made of it.

mod store;

use std::time::Duration;

use hcs_planner::arm::ArmId;
use hcs_planner::dataplane::{Form, OnDelete, SnapshotPolicyDocument};
use hcs_planner::names::parse_cluster_id;
use hcs_planner::rules;
use tfplugin::plan::equality::{by_duration, ignoring_case, keep_equal};
use tfplugin::plan::{fill_defaults, replaced};
use tfplugin::typed::Model as _;
use tfplugin::validate::{rule, text_rule};
use tfplugin::{
    ApplyRequest, ApplyResponse, Attr, Context, Diagnostic, Diagnostics, IdentitySchema,
    ImportRequest, ImportResponse, Model, PlanRequest, PlanResponse, ReadRequest, ReadResponse,
    Resource, Schema, Severity, Value, async_trait, parse_duration,
};

use crate::client::Client;
use crate::leg::{self, Leg};
use store::{Failed, PolicyStore, Removed, Written};

/// Type name in configurations.
const TYPE_NAME: &str = "hcs_snapshot_policy";
/// Name when none is given.
const NAME: &str = "default";
/// Count when none is given: the default of Consul's own snapshot agent.
const RETAIN_COUNT: i64 = 30;
/// A snapshot takes seconds; below this the cluster would do little else.
const INTERVAL_MIN: Duration = Duration::from_mins(1);
/// Beyond a year an interval is a typing error.
const INTERVAL_MAX: Duration = Duration::from_hours(366 * 24);
/// What the servers do: only a read changes these.
const VOLATILE: [&str; 3] = [Policy::LAST_SUCCESS_AT, Policy::NEXT_RUN_AT, Policy::SNAPSHOT_COUNT];

/// Snapshots of a cluster's state, taken by the servers themselves: one of them at a time, chosen by a Consul lock,
/// checks each archive and stores it in the cluster's storage account.
#[derive(Model)]
struct Policy {
    /// `<cluster id>/snapshotPolicies/<name>`.
    #[tf(computed, identity)]
    id: Attr<String>,
    /// Which policy of its id this is. A create begins a new one; a state that holds an earlier one can neither
    /// change nor destroy it.
    #[tf(computed)]
    incarnation_id: Attr<String>,
    /// Id of the cluster. Changing it makes another policy.
    #[tf(required, replaces, equal_if = ignoring_case, validate = text_rule("the id of a cluster", |id| parse_cluster_id(id).map(|_| ())))]
    cluster_id: Attr<String>,
    /// Name of the policy and folder of its snapshots; default `default`. Changing it makes another policy.
    #[tf(default = NAME, replaces, validate = text_rule("a policy's name", rules::policy_name))]
    name: Attr<String>,
    /// Time between two snapshots, at least `1m`, e.g. `1h` or `1h30m`.
    #[tf(required, equal_if = by_duration, validate = text_rule("a duration", interval))]
    interval: Attr<String>,
    /// How many snapshots are kept; default 30. Older ones go after the next success.
    #[tf(default = RETAIN_COUNT, validate = rule("a whole number", retain_count))]
    retain_count: Attr<u32>,
    /// Whether snapshots are taken; default true.
    #[tf(default = true)]
    enabled: Attr<bool>,
    /// What a destroy does with the policy's snapshots: `keep` (default) or `purge`.
    #[tf(default = OnDelete::Keep.as_str(), validate = text_rule("a word", on_delete))]
    on_delete: Attr<String>,
    /// When the newest snapshot was taken, as last read.
    #[tf(computed)]
    last_success_at: Attr<String>,
    /// When the next one is due, as last read.
    #[tf(computed)]
    next_run_at: Attr<String>,
    /// How many there are, as last read.
    #[tf(computed)]
    snapshot_count: Attr<u32>,
}

/// The resource.
pub(crate) struct PolicyResource;

impl PolicyResource {
    /// For a change: the cluster must be there, and the caller gets access to its blobs.
    async fn open(&self, ctx: &Context, value: &Value) -> Result<PolicyStore, Diagnostics> {
        let (client, id) = (ctx.data::<Client>()?, cluster_of(value)?);
        let store = PolicyStore::open(&client, &ctx.cancel, id.clone()).await?;
        let store = store.ok_or_else(|| {
            let detail = format!(
                "There is no cluster {id}. Refer to the resource that makes it (cluster_id = hcs_cluster.example.id)."
            );
            Diagnostic::error("Cluster does not exist", detail).at(Policy::CLUSTER_ID)
        })?;
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
        let name = prior.get(Policy::NAME).as_str().unwrap_or(NAME);
        // One that is made again under its name goes on with its snapshots.
        let purge = prior.get(Policy::ON_DELETE).as_str() == Some(OnDelete::Purge.as_str())
            && leg != Leg::BeforeSame;
        match store.remove(name, incarnation_of(prior).as_deref(), purge).await? {
            Removed::Gone => Ok(Diagnostics::none()),
            Removed::Another => Ok(superseded(name, "Nothing was deleted").into()),
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
        tfplugin::validate::null_elements(&self.schema(), config)
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
        let mut document = document_of(&request.planned);
        let written = if request.is_create() {
            document.incarnation_id = Some(uuid::Uuid::new_v4().to_string());
            store.create(&document).await
        } else {
            document.incarnation_id = incarnation_of(&request.prior);
            store.update(&document).await
        };
        let written = match written {
            Ok(written) => written,
            Err(found) => return ApplyResponse::failed(request.prior, found),
        };
        let mut state = request.planned.unknowns_as_null();
        state.set(Policy::ID, policy_id(&store.cluster_id, &document.name));
        state.set(Policy::INCARNATION_ID, Value::from(document.incarnation_id));
        let found = match written {
            Written::Now => Diagnostics::none(),
            Written::Before => Diagnostic::warning(
                format!("Went on with snapshot policy {:?}", document.name),
                "An earlier apply ended after it had made it and before any Terraform state could hold it.",
            )
            .into(),
        };
        ApplyResponse { private: Some(Vec::new()), ..ApplyResponse::failed(state, found) }
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> ReadResponse {
        let client = match ctx.data::<Client>() {
            Ok(client) => client,
            Err(found) => return ReadResponse::failed(found),
        };
        let id = request.state.get(Policy::CLUSTER_ID).as_str().unwrap_or_default();
        let name = request.state.get(Policy::NAME).as_str().unwrap_or(NAME).to_owned();
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

fn interval(text: &str) -> Result<(), String> {
    let name = Policy::INTERVAL;
    match parse_duration(text) {
        Err(reason) => {
            Err(format!("{name} is {text:?}: {reason}. Write e.g. \"1h\", \"30m\" or \"1h30m\"."))
        }
        Ok(interval) if interval < INTERVAL_MIN => Err(format!(
            "{name} is {text:?}; the smallest is \"1m\", as a snapshot locks writes for a moment."
        )),
        Ok(interval) if interval > INTERVAL_MAX => {
            Err(format!("{name} is {text:?}; the largest is \"366d\"."))
        }
        Ok(_) => Ok(()),
    }
}

fn retain_count(count: &Value) -> Result<(), String> {
    if count.as_i64().is_some_and(|count| (1..=10_000).contains(&count)) {
        return Ok(());
    }
    let (name, given) = (Policy::RETAIN_COUNT, count.as_f64().unwrap_or_default());
    Err(format!(
        "{name} is {given}; it is a whole number from 1 to 10000. To stop taking snapshots, set {} = false.",
        Policy::ENABLED
    ))
}

fn on_delete(word: &str) -> Result<(), String> {
    let known = [OnDelete::Keep, OnDelete::Purge].map(OnDelete::as_str);
    if known.contains(&word) {
        return Ok(());
    }
    Err(format!(
        "{} is {word:?}; it is {}.",
        Policy::ON_DELETE,
        known.map(|w| format!("{w:?}")).join(" or ")
    ))
}

fn plan(request: &PlanRequest) -> PlanResponse {
    if request.is_destroy() {
        return PlanResponse { private: Some(leg::destroy()), ..PlanResponse::new(Value::Null) };
    }
    let (schema, prior) = (Policy::schema(), &request.prior);
    let mut planned = request.proposed.clone();
    fill_defaults(&schema, &request.config, &mut planned);
    keep_equal(&schema, prior, &mut planned);
    let requires_replace = replaced(&schema, prior, &planned, &request.config);
    let is_new = prior.is_null() || !requires_replace.is_empty();
    for name in [Policy::ID, Policy::INCARNATION_ID].iter().chain(&VOLATILE) {
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
    let Some((document, _)) = store.read(name).await? else { return Ok(None) };
    let snapshots = store.snapshots(name).await?;
    state.set(Policy::ID, policy_id(&store.cluster_id, name));
    let interval = state.get(Policy::INTERVAL).as_str().and_then(|text| parse_duration(text).ok());
    // A spelling of the same duration stays: "60m" is no change to "1h".
    if interval.map(|interval| interval.as_secs()) != Some(document.interval_seconds) {
        state.set(Policy::INTERVAL, render(document.interval_seconds));
    }
    state.set(Policy::RETAIN_COUNT, i64::from(document.retain_count));
    state.set(Policy::ENABLED, document.enabled);
    state.set(Policy::ON_DELETE, document.on_delete.as_str());
    state.set(Policy::INCARNATION_ID, Value::from(document.incarnation_id.clone()));
    state.set(Policy::SNAPSHOT_COUNT, i64::try_from(snapshots.len()).unwrap_or(i64::MAX));
    let last = snapshots.last().copied();
    let next = last.filter(|_| document.enabled).and_then(|last| {
        let seconds = i64::try_from(document.interval_seconds).ok()?;
        last.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
    });
    state.set(Policy::LAST_SUCCESS_AT, last.map(|time| time.to_string()));
    state.set(Policy::NEXT_RUN_AT, next.map(|time| time.to_string()));
    Ok(Some(state))
}

fn document_of(value: &Value) -> SnapshotPolicyDocument {
    let interval = value.get(Policy::INTERVAL).as_str().and_then(|text| parse_duration(text).ok());
    let count =
        value.get(Policy::RETAIN_COUNT).as_i64().and_then(|count| u32::try_from(count).ok());
    SnapshotPolicyDocument {
        name: value.get(Policy::NAME).as_str().unwrap_or(NAME).to_owned(),
        interval_seconds: interval.unwrap_or(INTERVAL_MIN).as_secs(),
        retain_count: count.unwrap_or(1),
        enabled: value.get(Policy::ENABLED).as_bool().unwrap_or(true),
        incarnation_id: None,
        is_held: true,
        on_delete: match value.get(Policy::ON_DELETE).as_str() {
            Some("purge") => OnDelete::Purge,
            _ => OnDelete::Keep,
        },
        form: Form::default(),
    }
}

fn policy_id(cluster_id: &ArmId, name: &str) -> String {
    format!("{cluster_id}/snapshotPolicies/{name}")
}

fn parse_id(text: &str) -> Result<(ArmId, String), String> {
    let expected = "<cluster id>/snapshotPolicies/<name>";
    let lower = text.to_lowercase();
    let at = lower.find("/snapshotpolicies/").ok_or_else(|| {
        format!("{text:?} is no id of a snapshot policy; it has the form {expected}.")
    })?;
    let name = &text[at + "/snapshotpolicies/".len()..];
    rules::policy_name(name)?;
    Ok((parse_cluster_id(&text[..at])?, name.to_owned()))
}

/// The largest unit that divides it.
fn render(seconds: u64) -> String {
    for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60)] {
        if seconds > 0 && seconds.is_multiple_of(length) {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
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
        let prior = Value::object([
            ("cluster_id", Value::from("/subscriptions/s/resourceGroups/g")),
            ("name", "default".into()),
            ("interval", "1h".into()),
            ("retain_count", 3.into()),
            ("enabled", true.into()),
            ("on_delete", "keep".into()),
            ("id", "x".into()),
            ("incarnation_id", "i".into()),
            ("last_success_at", "2026-11-22T10:00:00Z".into()),
            ("next_run_at", "2026-11-22T11:00:00Z".into()),
            ("snapshot_count", 3.into()),
        ]);
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
    fn ids_lead_to_cluster_and_name() {
        let (cluster, name) =
            parse_id("/subscriptions/s/resourceGroups/g/snapshotPolicies/hourly").unwrap();
        assert_eq!(cluster, ArmId::resource_group("s", "g"));
        assert_eq!(name, "hourly");
        assert!(parse_id("/subscriptions/s/resourceGroups/g").is_err());
    }

    #[test]
    fn durations_are_rendered_in_their_largest_unit() {
        let table = [(60, "1m"), (90, "90s"), (3600, "1h"), (5400, "90m"), (86_400, "1d")];
        for (seconds, text) in table {
            assert_eq!(render(seconds), text);
        }
    }
}
