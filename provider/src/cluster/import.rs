//! Imports `hcs_cluster` by id: the stored spec is restored exactly, so that the plan afterwards is empty.

use hcs_engine::lease::told;
use hcs_planner::arm::ArmId;
use hcs_planner::observed::Observed;
use hcs_planner::ownership::{FixedInputs, RunRecord};
use hcs_planner::portal::parse_cluster_reference;
use hcs_planner::spec::ClusterSpec;
use tfplugin::typed::Model as _;
use tfplugin::{Context, Diagnostic, Diagnostics, ImportResponse, ReadRequest, Value};

use super::model::Cluster;
use super::{spec, state};
use crate::client::Client;

pub(super) async fn import(ctx: &Context, id: &str) -> ImportResponse {
    let client = match ctx.data::<Client>() {
        Ok(client) => client,
        Err(found) => return ImportResponse::failed(found),
    };
    let cluster_id = match parse_cluster_reference(id) {
        Ok(id) => id,
        Err(detail) => {
            return ImportResponse::failed(Diagnostic::error("Invalid import id", detail));
        }
    };
    let subscription = cluster_id.segment("subscriptions").unwrap_or_default();
    if !subscription.eq_ignore_ascii_case(client.subscription_id()) {
        let detail = format!(
            "The id names subscription {subscription}, the provider is configured for {}. Use a \
             provider block (alias) with that subscription_id.",
            client.subscription_id()
        );
        return ImportResponse::failed(Diagnostic::error("Another subscription", detail));
    }
    let (spec, observed) = match client.stored_spec(&client.arm(&ctx.cancel), &cluster_id).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            let detail = format!("There is no resource group {cluster_id}.");
            return ImportResponse::failed(Diagnostic::error("Cluster does not exist", detail));
        }
        Err(found) => return ImportResponse::failed(found),
    };
    if let Some(run) = observed.run.as_ref().filter(|run| !run.is_held()) {
        return ImportResponse::failed(unfinished(&cluster_id, run));
    }
    ImportResponse::new(state_of(&client, &spec, &observed))
}

/// The whole state of a cluster, as its own storage restores it and a read completes it; `None` where its create has not
/// come so far.
pub(crate) async fn restored(
    ctx: &Context,
    cluster_id: &ArmId,
) -> Result<Option<Value>, Diagnostic> {
    let client =
        ctx.data::<Client>().map_err(|found| first(&found, "The provider has no connection"))?;
    let stored = client.stored_spec(&client.arm(&ctx.cancel), cluster_id).await?;
    let Some((spec, observed)) = stored else { return Ok(None) };
    if observed.run.as_ref().is_some_and(|run| !run.is_held()) {
        return Ok(None);
    }
    let request = ReadRequest::new(state_of(&client, &spec, &observed));
    let read = super::read::read(ctx, request).await;
    if read.diagnostics.has_errors() {
        return Err(first(&read.diagnostics, "The cluster cannot be read"));
    }
    Ok(Some(read.state).filter(|state| !state.is_null()))
}

/// The first of several messages.
fn first(found: &Diagnostics, otherwise: &str) -> Diagnostic {
    let first = found.iter().next().cloned();
    first.unwrap_or_else(|| Diagnostic::error(otherwise, ""))
}

fn state_of(client: &Client, spec: &ClusterSpec, observed: &Observed) -> Value {
    let mut imported = Cluster::of_spec(spec, &client.tagging.defaults).into_value();
    for (name, value) in state::computed(spec, observed, None, None) {
        imported.set(name, value);
    }
    let (incarnation_id, value) = state::incarnation(spec, observed);
    imported.set(incarnation_id, value);
    imported.set(spec::TIMEOUTS, spec::timeouts(spec));
    imported
}

/// A create that died or failed before any state held it: an import would hold what the next create goes on with.
fn unfinished(cluster_id: &ArmId, run: &RunRecord) -> Diagnostic {
    let FixedInputs { name, resource_group_name, location, vnet_cidr, .. } = &run.fixed;
    let network =
        vnet_cidr.as_deref().map_or_else(String::new, |cidr| format!(", vnet_cidr {cidr:?}"));
    Diagnostic::error(
        "The cluster is not finished",
        format!(
            "No Terraform state holds {cluster_id}, and its create did not end: {}. Apply a configuration of it instead \
             of importing it: with name {name:?}, resource_group_name {resource_group_name:?}, location \
             {location:?}{network} the create goes on from there.",
            told(run)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_id_lead_to_the_managed_group() {
        let expected = ArmId::resource_group("s", "rg-mrg-demo");
        assert_eq!(parse_cluster_reference("s/rg/demo").unwrap(), expected);
        assert_eq!(
            parse_cluster_reference("/subscriptions/s/resourcegroups/rg-mrg-demo/").unwrap(),
            expected
        );
        for text in ["", "demo", "/subscriptions/s", "a/b/c/d"] {
            assert!(parse_cluster_reference(text).is_err(), "{text}");
        }
    }
}
