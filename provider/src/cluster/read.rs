//! Reads `hcs_cluster` back. A failed read is an error, never an absence.

use hcs_engine::observe::open_store;
use hcs_engine::reconcile::observe;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::names::Names;
use hcs_planner::observed::Observed;
use hcs_planner::spec::ClusterSpec;
use tfplugin::{Context, Diagnostics, ReadRequest, ReadResponse, Value};

use super::{model, state};
use crate::client::{Client, SharedClient};
use crate::diagnostics;

/// Attributes that come from blobs: without access to them they keep their last value.
const FROM_BLOBS: [&str; 3] = ["state", "consul_ca_file", "certificates_expire_at"];

pub(super) async fn read(
    client: &SharedClient,
    ctx: &Context,
    request: ReadRequest,
) -> ReadResponse {
    let client = match client.configured() {
        Ok(client) => client,
        Err(found) => return ReadResponse::failed(found),
    };
    let state = request.state;
    let spec = match model::spec_of(&state, client.subscription_id(), &client.default_tags) {
        Ok(spec) => spec,
        Err(input) => {
            let detail = format!("The state has no readable {input}. Import the cluster again.");
            return ReadResponse::failed(Diagnostics::error("Damaged state", detail));
        }
    };
    let arm = client.arm(&ctx.cancel);
    let what = format!("cluster {:?}", spec.name);
    let observed = match observe(&arm, client.stores().as_ref(), &spec).await {
        Ok(observed) => observed,
        Err(error) => return ReadResponse::failed(diagnostics::read(&what, &error)),
    };
    if !observed.exists(&Names::new(&spec).cluster_id) {
        return ReadResponse::gone();
    }
    let region = client.region(&arm, &spec.location).await.ok().and_then(Result::ok);
    let ca = ca_certificate(&client, &spec, &observed).await;
    let mut response = ReadResponse::new(state.clone());
    for (name, value) in state::computed(&spec, &observed, region.as_deref(), ca.as_deref()) {
        response.state.set(name, value);
    }
    if !observed.blobs_readable {
        for name in FROM_BLOBS {
            response.state.set(name, state.get(name).clone());
        }
        keep_versions(&mut response.state, &state);
        let names = Names::new(&spec);
        let why = if observed.object(&names.storage_account()).is_none() {
            "Its storage account is missing, and with it the keys that its servers share. Recover \
             the account first."
        } else {
            "The caller needs the role Storage Blob Data Reader or Contributor on the cluster's \
             storage account; an apply by an Owner assigns it."
        };
        response.diagnostics.push_warning(
            format!("The blobs of {what} cannot be read"),
            format!("Health, versions and certificates are shown as they were last read. {why}"),
        );
    }
    response
}

/// The cluster's CA certificate, if it can be read.
pub(crate) async fn ca_certificate(
    client: &Client,
    spec: &ClusterSpec,
    observed: &Observed,
) -> Option<String> {
    let names = Names::new(spec);
    let store = open_store(client.stores().as_ref(), &names, observed).ok()??;
    let content = store.get(container::CERTIFICATES, blob::CA_CERTIFICATE).await.ok()??;
    String::from_utf8(content.bytes.to_vec()).ok()
}

fn keep_versions(state: &mut Value, prior: &Value) {
    let known = prior.get("servers").as_list().unwrap_or_default().to_vec();
    let servers = state.get("servers").as_list().unwrap_or_default().to_vec();
    let kept = servers.into_iter().map(|server| {
        let slot = server.get("slot").as_i64();
        let version = known.iter().find(|other| other.get("slot").as_i64() == slot);
        let version = version.map_or(Value::Null, |other| other.get("consul_version").clone());
        server.with("consul_version", version)
    });
    state.set("servers", Value::list(kept));
}
