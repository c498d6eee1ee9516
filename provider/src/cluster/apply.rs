//! Applies a plan of `hcs_cluster`. Whatever happens, the state says what exists: nothing that was made is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hcs_engine::arm::Arm;
use hcs_engine::error::EngineError;
use hcs_engine::execute::Report;
use hcs_engine::reconcile::{
    Beginning, DestroyLeg, Destroyed, Intent, Outcome, Reconciler, RefusedError,
};
use hcs_engine::registration;
use hcs_planner::names::Names;
use hcs_planner::observed::Observed;
use hcs_planner::spec::ClusterSpec;
use tfplugin::{
    ApplyRequest, ApplyResponse, CancellationToken, Context, Diagnostic, Diagnostics, Severity,
    Value,
};

use super::model::Cluster;
use super::{images, phase, plan, read, schema, spec, state, windows};
use crate::client::{Client, Registrations};
use crate::diagnostics;
use crate::leg::{self, Leg};
use crate::snapshots::Last;

pub(super) async fn apply(ctx: &Context, request: ApplyRequest) -> ApplyResponse {
    let client = match ctx.data::<Client>() {
        Ok(client) => client,
        Err(found) => return ApplyResponse::failed(request.prior, found),
    };
    let (subscription, tags) = (client.subscription_id(), &client.tagging);
    let spec = if request.is_destroy() {
        spec::stored_spec_of(&request.prior, subscription, tags)
    } else {
        spec::spec_of(&request.planned, subscription, tags)
    };
    let spec = match spec {
        Ok(spec) => spec,
        Err(input) => return ApplyResponse::failed(request.prior, unreadable(&input)),
    };
    let operation = match (request.is_destroy(), request.is_create()) {
        (true, _) => "delete",
        (_, true) => "create",
        _ => "update",
    };
    let subject = if request.is_destroy() { &request.prior } else { &request.planned };
    let limit = super::timeouts().limit(operation, subject).unwrap_or(super::TIMEOUT);
    let stop = ctx.cancel.child_token();
    let timer = {
        let (stop, clock) = (stop.clone(), client.clock());
        async move {
            clock.sleep(limit).await;
            stop.cancel();
            std::future::pending::<()>().await;
        }
    };
    let run = Applying { client, stop, spec, limit, operation };
    tokio::select! {
        response = run.run(ctx, request) => response,
        () = timer => ApplyResponse::default(),
    }
}

/// An input that a plan or a state must have, and has not: what was planned with other software, or edited by hand.
fn unreadable(input: &str) -> Diagnostics {
    Diagnostics::error(
        format!("{input} cannot be read"),
        format!(
            "What is to be applied has no readable {input}. Nothing was changed. Plan again with this version of the \
             provider; if the state was edited, import the cluster again."
        ),
    )
}

/// Who runs this, for whoever else wants the cluster.
fn holder() -> String {
    let variable = |names: &[&str]| names.iter().find_map(|name| std::env::var(name).ok());
    let user = variable(&["USER", "USERNAME", "LOGNAME"]).unwrap_or_else(|| "somebody".to_owned());
    let from_file = || std::fs::read_to_string("/etc/hostname").ok();
    let host = variable(&["HOSTNAME", "COMPUTERNAME"]).or_else(from_file);
    let host =
        host.as_deref().map(str::trim).filter(|host| !host.is_empty()).unwrap_or("a machine");
    let (version, process) = (env!("CARGO_PKG_VERSION"), std::process::id());
    format!("{user} on {host} (terraform-provider-hcs {version}, process {process})")
}

struct Applying {
    client: Arc<Client>,
    stop: CancellationToken,
    spec: ClusterSpec,
    limit: Duration,
    operation: &'static str,
}

impl Applying {
    /// Sizes with accelerated networking; none where the caller may not read what the region offers, or where nothing
    /// is made.
    async fn accelerated_sizes(&self) -> BTreeSet<String> {
        let location = hcs_planner::rules::location(&self.spec.location);
        let arm = self.client.arm(&self.stop);
        match self.client.region(&arm, &location).await {
            Ok(Ok(region)) => region.accelerated_sizes(),
            Ok(Err(_)) | Err(_) => BTreeSet::new(),
        }
    }

    /// Registers what is missing, if that is ours to do; else it is an error before the first write. Whoever may not
    /// look goes on.
    async fn register(&self, arm: &Arm) -> Result<(), Diagnostic> {
        let subscription = self.client.subscription_id();
        let told = |error: &EngineError| {
            diagnostics::registering("the resource providers of the subscription", error)
        };
        // The plan has looked; what it missed may have been registered since.
        let missing = match self.client.missing_providers(arm).await {
            Ok([]) => return Ok(()),
            Ok(_) => registration::missing(arm, subscription).await,
            Err(error) => Err(error),
        };
        let missing = match missing {
            Ok(missing) => missing,
            Err(error) if diagnostics::is_forbidden(&error) => return Ok(()),
            Err(error) => return Err(told(&error)),
        };
        match self.client.registrations {
            _ if missing.is_empty() => Ok(()),
            Registrations::Core => registration::register(arm, subscription, &missing)
                .await
                .map_err(|error| told(&error)),
            Registrations::None => {
                let (summary, detail) = diagnostics::unregistered(subscription, &missing);
                Err(Diagnostic::error(summary, format!("{detail}\n\nNothing was made.")))
            }
        }
    }

    async fn run(mut self, ctx: &Context, request: ApplyRequest) -> ApplyResponse {
        if let Some(before) = images::replaced(&request.prior, &request.planned) {
            let (arm, clock) = (self.client.arm(&self.stop), self.client.clock());
            match images::brought(&arm, &self.spec, before, clock.as_ref()).await {
                Ok(image) => self.spec.image_at_least = image,
                Err(error) => {
                    let found = diagnostics::read("the newest image", &error);
                    return ApplyResponse::failed(request.prior, found);
                }
            }
        }
        let reconciler = Reconciler {
            arm: self.client.arm(&self.stop),
            stores: self.client.stores(),
            artifacts: self.client.programs(&self.spec, &self.stop),
            spec: &self.spec,
            accelerated_sizes: if request.is_destroy() {
                BTreeSet::new()
            } else {
                self.accelerated_sizes().await
            },
            holder: holder(),
        };
        let what = format!("cluster {:?}", self.spec.name);
        if request.is_destroy() {
            return self.destroy(&reconciler, ctx, &what, request).await;
        }
        let intent = if request.is_create() {
            Intent::Create
        } else {
            let known = request.prior.get(Cluster::INCARNATION_ID).as_str();
            Intent::Update { incarnation_id: known.map(str::to_owned) }
        };
        if intent == Intent::Create
            && let Err(told) = self.register(&reconciler.arm).await
        {
            let mut found: Diagnostics = told.into();
            found.extend(self.timed_out(ctx, ""));
            return ApplyResponse::failed(request.prior, found);
        }
        if let Some(closed) =
            windows::closed(&request.prior, &self.spec, self.client.clock().as_ref())
        {
            return ApplyResponse::failed(request.prior, closed.error());
        }
        let outcome = match Box::pin(reconciler.apply(intent)).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let id = Names::new(&self.spec).cluster_id;
                let mut found: Diagnostics = diagnostics::refused(&what, &id, &error).into();
                found.extend(self.timed_out(ctx, ""));
                return ApplyResponse::failed(request.prior, found);
            }
        };
        let mut found = beginning(&what, &outcome.beginning);
        found.extend(following(&what, &outcome, &Names::new(&self.spec)));
        found.extend(outcome.unclosed.iter().map(|error| diagnostics::unclosed(&what, error)));
        let state = if outcome.report.is_complete() {
            self.complete(&request.planned, &outcome).await
        } else {
            found.extend(self.unfinished(ctx, &format!("Applying {what}"), &outcome.report));
            self.partial(&request.planned, outcome.incarnation_id.as_deref())
        };
        ApplyResponse { private: Some(Vec::new()), ..ApplyResponse::failed(state, found) }
    }

    async fn destroy(
        &self,
        reconciler: &Reconciler<'_>,
        ctx: &Context,
        what: &str,
        request: ApplyRequest,
    ) -> ApplyResponse {
        let prior = request.prior;
        let leg = match leg::of_destroy(&request.private, &prior, &schema().replacing()) {
            Leg::BeforeSame => DestroyLeg::BeforeCreate,
            Leg::Plain | Leg::BeforeOther => DestroyLeg::Plain,
        };
        let known = prior.get(Cluster::INCARNATION_ID).as_str().map(str::to_owned);
        let is_protected = plan::is_protected(&prior);
        if !is_protected && let Err(found) = self.keep_last(ctx, known.as_deref()).await {
            return ApplyResponse::failed(prior, found);
        }
        match reconciler.destroy(known, leg, is_protected).await {
            Ok(Destroyed::Done(report)) if report.is_complete() => ApplyResponse::new(Value::Null),
            Ok(Destroyed::Done(report)) => {
                let mut found = self.unfinished(ctx, &format!("Destroying {what}"), &report);
                if !found.has_errors() {
                    // A destroy that was stopped has not destroyed: the state stays, and that is an error.
                    found = found
                        .into_iter()
                        .map(|told| Diagnostic { severity: Severity::Error, ..told })
                        .collect();
                }
                let is_begun = !report.done.is_empty();
                let state =
                    if is_begun { prior.with(Cluster::STATE, phase::CONVERGING) } else { prior };
                ApplyResponse::failed(state, found)
            }
            Ok(Destroyed::Left) => {
                tracing::info!(%what, "never was ready; left to the create that follows");
                ApplyResponse::new(Value::Null)
            }
            Ok(Destroyed::Superseded(record)) => {
                let found = diagnostics::superseded(what, &self.spec, record.as_deref());
                ApplyResponse::failed(Value::Null, found)
            }
            Err(RefusedError::Protected) => ApplyResponse::failed(
                prior.clone(),
                diagnostics::protected(&prior, "this would destroy"),
            ),
            Err(error) => {
                let id = Names::new(&self.spec).cluster_id;
                let mut found: Diagnostics = diagnostics::refused(what, &id, &error).into();
                found.extend(self.timed_out(ctx, ""));
                ApplyResponse::failed(prior, found)
            }
        }
    }

    /// The last snapshot, where the state says where it goes.
    async fn keep_last(
        &self,
        ctx: &Context,
        incarnation_id: Option<&str>,
    ) -> Result<(), Diagnostics> {
        let Some(container) = &self.spec.final_snapshot_storage_container_id else {
            return Ok(());
        };
        if self.spec.skip_final_snapshot {
            return Ok(());
        }
        let cluster_id = Names::new(&self.spec).cluster_id;
        let last = Last { cluster_id: &cluster_id, name: &self.spec.name, incarnation_id };
        last.keep(ctx, container).await
    }

    fn unfinished(&self, ctx: &Context, what: &str, report: &Report) -> Diagnostics {
        let mut found = diagnostics::unfinished(what, report);
        let now = diagnostics::progress(report);
        found.extend(self.timed_out(ctx, &now));
        found
    }

    /// Only a stop by the user is no error.
    fn timed_out(&self, ctx: &Context, now: &str) -> Diagnostics {
        if !self.stop.is_cancelled() || ctx.cancel.is_cancelled() {
            return Diagnostics::none();
        }
        let detail = format!(
            "timeouts.{} is {} minutes. {now} What runs in Azure goes on. Apply again to continue, or raise the \
             timeout.",
            self.operation,
            self.limit.as_secs().div_ceil(60)
        );
        Diagnostics::error(format!("The {} took longer than its timeout", self.operation), detail)
    }

    /// Every known planned value as planned, null for what never became known, `state` converging.
    fn partial(&self, planned: &Value, incarnation_id: Option<&str>) -> Value {
        let id = Names::new(&self.spec).cluster_id;
        let is_open = planned.get(Cluster::INCARNATION_ID).is_unknown();
        let mut state = planned.clone().unknowns_as_null();
        state.set(Cluster::ID, id.as_str());
        if let (Some(incarnation_id), true) = (incarnation_id, is_open) {
            state.set(Cluster::INCARNATION_ID, incarnation_id);
        }
        state.set(Cluster::STATE, phase::CONVERGING);
        state
    }

    /// The planned state, with what was unknown filled from what is observed.
    async fn complete(&self, planned: &Value, outcome: &Outcome) -> Value {
        let incarnation_id = outcome.incarnation_id.as_deref();
        let Some(observed) = &outcome.observed else {
            return self.partial(planned, incarnation_id);
        };
        let region = self.region().await;
        let ca = read::ca_certificate(&self.client, &self.spec, observed).await;
        let computed: BTreeMap<&str, Value> =
            state::computed(&self.spec, observed, region.as_deref(), ca.as_deref())
                .into_iter()
                .collect();
        let mut state = planned.clone();
        let own = Value::from(incarnation_id.map(str::to_owned));
        state.set(Cluster::INCARNATION_ID, fill(planned.get(Cluster::INCARNATION_ID), &own));
        for (name, value) in &computed {
            let filled = fill(planned.get(name), value);
            state.set(*name, filled);
        }
        state.set(Cluster::STATE, Self::word(observed, computed.get(Cluster::STATE)));
        state.unknowns_as_null()
    }

    async fn region(&self) -> Option<Arc<hcs_engine::regions::Region>> {
        let arm: Arm = self.client.arm(&self.stop);
        self.client.region(&arm, &self.spec.location).await.ok()?.ok()
    }

    /// Right after the last step the cluster was healthy; a status that is a moment old changes nothing about that.
    fn word(observed: &Observed, computed: Option<&Value>) -> Value {
        let seen = computed.and_then(Value::as_str).unwrap_or(phase::CONVERGING);
        let word =
            if observed.is_ready() && seen == phase::CONVERGING { phase::RUNNING } else { seen };
        Value::from(word)
    }
}

/// `planned` where it is known, at any depth; what is unknown comes from `observed`.
fn fill(planned: &Value, observed: &Value) -> Value {
    if planned.is_unknown() {
        return observed.clone();
    }
    if let (Some(list), Some(other)) = (planned.as_list(), observed.as_list()) {
        let null = Value::Null;
        return Value::list(
            list.iter().enumerate().map(|(i, item)| fill(item, other.get(i).unwrap_or(&null))),
        );
    }
    if let Some(map) = planned.as_map() {
        return Value::map(
            map.iter().map(|(key, item)| (key.clone(), fill(item, observed.get(key)))),
        );
    }
    planned.clone()
}

/// What comes next where the cluster takes over from servers of before.
fn following(what: &str, outcome: &Outcome, names: &Names) -> Option<Diagnostic> {
    let adoption = outcome.observed.as_ref()?.adoption.as_ref()?;
    if !outcome.report.is_complete() {
        return None;
    }
    let before: Vec<&str> =
        adoption.servers.iter().map(|server| server.node_name.as_str()).collect();
    Some(Diagnostic::warning(
        format!("Servers of before vote together with {what}"),
        format!(
            "Its servers joined {}, which go on. `hcs adopt finish {}` stops them, one after the other; until then nothing \
             of before was touched, and `hcs adopt undo` goes back.",
            before.join(", "),
            names.cluster_id
        ),
    ))
}

fn beginning(what: &str, beginning: &Beginning) -> Diagnostics {
    match beginning {
        Beginning::Fresh | Beginning::Known => Diagnostics::none(),
        Beginning::Resumed => Diagnostic::warning(
            format!("Went on with {what}"),
            "It was begun before, by a create that did not end or by `hcs adopt prepare`, and no Terraform \
             state holds it. What was made is kept; nothing was made twice.",
        )
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_planned_values_are_never_overwritten() {
        let planned = Value::object([
            ("a", Value::from("planned")),
            ("b", Value::unknown()),
            ("c", Value::list([Value::object([("d", Value::unknown()), ("e", 1.into())])])),
        ]);
        let observed = Value::object([
            ("a", Value::from("observed")),
            ("b", Value::from("seen")),
            ("c", Value::list([Value::object([("d", 2.into()), ("e", 3.into())])])),
        ]);
        let filled = fill(&planned, &observed);
        assert_eq!(filled.get("a").as_str(), Some("planned"));
        assert_eq!(filled.get("b").as_str(), Some("seen"));
        let item = &filled.get("c").as_list().unwrap()[0];
        assert_eq!((item.get("d").as_i64(), item.get("e").as_i64()), (Some(2), Some(1)));
    }
}
