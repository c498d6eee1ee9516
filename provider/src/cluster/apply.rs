//! Applies a plan of `hcs_cluster`. Whatever happens, the state says what exists: nothing that was made is forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hcs_engine::arm::Arm;
use hcs_engine::execute::Report;
use hcs_engine::reconcile::{Beginning, Intent, Outcome, Reconciler};
use hcs_planner::names::Names;
use hcs_planner::observed::Observed;
use hcs_planner::spec::ClusterSpec;
use tfplugin::{ApplyRequest, ApplyResponse, Context, Diagnostic, Diagnostics, Value};

use super::{model, phase, read, state};
use crate::artifacts::ClusterArtifacts;
use crate::client::{Client, SharedClient};
use crate::diagnostics;

pub(super) async fn apply(
    client: &SharedClient,
    ctx: &Context,
    request: ApplyRequest,
) -> ApplyResponse {
    let client = match client.configured() {
        Ok(client) => client,
        Err(found) => return ApplyResponse::failed(request.prior, found),
    };
    let subject = if request.is_destroy() { &request.prior } else { &request.planned };
    let spec = match model::spec_of(subject, client.subscription_id(), &client.default_tags) {
        Ok(spec) => spec,
        Err(input) => {
            let detail = format!("{input} is still unknown in apply. Please report this.");
            let found = Diagnostics::error("Bug in the provider", detail);
            return ApplyResponse::failed(request.prior, found);
        }
    };
    let operation = match (request.is_destroy(), request.is_create()) {
        (true, _) => "delete",
        (_, true) => "create",
        _ => "update",
    };
    let limit = super::timeouts().limit(operation, subject).unwrap_or(super::TIMEOUT);
    let stop = ctx.cancel.child_token();
    let timer = {
        let stop = stop.clone();
        async move {
            tokio::time::sleep(limit).await;
            stop.cancel();
            std::future::pending::<()>().await;
        }
    };
    let run = Applying { client, arm: Arc::new(stop), spec, limit, operation };
    tokio::select! {
        response = run.run(ctx, request) => response,
        () = timer => ApplyResponse::default(),
    }
}

struct Applying {
    client: Arc<Client>,
    arm: Arc<tfplugin::CancellationToken>,
    spec: ClusterSpec,
    limit: Duration,
    operation: &'static str,
}

impl Applying {
    async fn run(self, ctx: &Context, request: ApplyRequest) -> ApplyResponse {
        let reconciler = Reconciler {
            arm: self.client.arm(&self.arm),
            stores: self.client.stores(),
            artifacts: Arc::new(ClusterArtifacts::new(&self.spec)),
            spec: &self.spec,
        };
        let what = format!("cluster {:?}", self.spec.name);
        if request.is_destroy() {
            return self.destroy(&reconciler, &what, request.prior).await;
        }
        let intent = if request.is_create() { Intent::Create } else { Intent::Update };
        let outcome = match reconciler.apply(intent).await {
            Ok(outcome) => outcome,
            Err(error) => {
                return ApplyResponse::failed(request.prior, diagnostics::refused(&what, &error));
            }
        };
        let mut found = beginning(&what, &outcome.beginning);
        if !outcome.report.is_complete() {
            found.extend(self.unfinished(ctx, &what, &outcome.report));
            let state = self.partial(&request.planned);
            return ApplyResponse::failed(state, found);
        }
        let state = self.complete(&request.planned, &outcome).await;
        ApplyResponse::failed(state, found)
    }

    async fn destroy(
        &self,
        reconciler: &Reconciler<'_>,
        what: &str,
        prior: Value,
    ) -> ApplyResponse {
        match reconciler.destroy().await {
            Ok(report) if report.is_complete() => ApplyResponse::new(Value::Null),
            Ok(report) if report.failures.is_empty() => {
                // A destroy that was stopped has not destroyed: the state stays, and that is an error.
                let detail = format!(
                    "The delete did not end; {} of {} steps are done. Destroy again to go on.",
                    report.done.len(),
                    report.done.len() + report.left.len()
                );
                let summary = format!("Destroying {what} was stopped");
                ApplyResponse::failed(prior, Diagnostics::error(summary, detail))
            }
            Ok(report) => {
                let what = format!("Destroying {what}");
                ApplyResponse::failed(prior, diagnostics::unfinished(&what, &report))
            }
            Err(error) => ApplyResponse::failed(prior, diagnostics::refused(what, &error)),
        }
    }

    fn unfinished(&self, ctx: &Context, what: &str, report: &Report) -> Diagnostics {
        let timed_out = self.arm.is_cancelled() && !ctx.cancel.is_cancelled();
        let mut found = diagnostics::unfinished(&format!("Applying {what}"), report);
        if timed_out {
            found.push_warning(
                format!("The {} took longer than its timeout", self.operation),
                format!(
                    "timeouts.{} is {} minutes; what runs in Azure goes on. Apply again to \
                     continue, or raise the timeout.",
                    self.operation,
                    self.limit.as_secs() / 60
                ),
            );
        }
        found
    }

    /// Every known planned value as planned, null for what never became known, `state` converging.
    fn partial(&self, planned: &Value) -> Value {
        let id = Names::new(&self.spec).cluster_id;
        let mut state = planned.clone().unknowns_as_null();
        state.set("id", id.as_str());
        state.set("state", phase::CONVERGING);
        state
    }

    /// The planned state, with what was unknown filled from what is observed.
    async fn complete(&self, planned: &Value, outcome: &Outcome) -> Value {
        let Some(observed) = &outcome.observed else { return self.partial(planned) };
        let region = self.region().await;
        let ca = read::ca_certificate(&self.client, &self.spec, observed).await;
        let computed: BTreeMap<&str, Value> =
            state::computed(&self.spec, observed, region.as_deref(), ca.as_deref())
                .into_iter()
                .collect();
        let mut state = planned.clone();
        for (name, value) in &computed {
            let filled = fill(planned.get(name), value);
            state.set(*name, filled);
        }
        state.set("state", Self::word(observed, computed.get("state")));
        state.unknowns_as_null()
    }

    async fn region(&self) -> Option<Arc<crate::regions::Region>> {
        let arm: Arm = self.client.arm(&self.arm);
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

fn beginning(what: &str, beginning: &Beginning) -> Diagnostics {
    match beginning {
        Beginning::Fresh | Beginning::Known => Diagnostics::none(),
        Beginning::Resumed => Diagnostic::warning(
            format!("Went on with {what}"),
            "An earlier create was interrupted. What it had made was taken over; nothing was made \
             twice.",
        )
        .into(),
        Beginning::Adopted => Diagnostic::warning(
            format!("Took over {what}"),
            "It exists already, just as declared: an earlier apply ended after its work and before \
             Terraform could note it.",
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
