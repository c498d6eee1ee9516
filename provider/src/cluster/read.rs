//! Reads `hcs_cluster` back. A failed read is an error, never an absence; and reading changes nothing, whatever the caller
//! may do.

use hcs_engine::error::chain;
use hcs_engine::observe::open_store;
use hcs_engine::reconcile::observe;
use hcs_engine::versions::Versions;
use hcs_planner::dataplane::container;
use hcs_planner::names::{INCARNATION_TAG, Names};
use hcs_planner::observed::Observed;
use hcs_planner::spec::ClusterSpec;
use tfplugin::{Context, Diagnostic, Diagnostics, ReadRequest, ReadResponse, Value};

use super::model::{Cluster, Server};
use super::{images, spec, state};
use crate::client::Client;
use crate::{advice, diagnostics};

/// Attributes that come from blobs: without access to them they keep their last value.
const FROM_BLOBS: [&str; 4] = [
    Cluster::STATE,
    Cluster::CONSUL_CA_FILE,
    Cluster::CERTIFICATES_EXPIRE_AT,
    Cluster::CA_CERTIFICATE_EXPIRES_AT,
];

pub(super) async fn read(ctx: &Context, request: ReadRequest) -> ReadResponse {
    let client = match ctx.data::<Client>() {
        Ok(client) => client,
        Err(found) => return ReadResponse::failed(found),
    };
    let state = request.state;
    let spec = match spec::stored_spec_of(&state, client.subscription_id(), &client.tagging) {
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
    let names = Names::new(&spec);
    if !observed.has_cluster(&names) {
        return ReadResponse::gone();
    }
    if is_another(&state, &names, &observed) {
        return ReadResponse {
            diagnostics: superseded(&what, &names).into(),
            ..ReadResponse::gone()
        };
    }
    let region = client.region(&arm, &spec.location).await.ok().and_then(Result::ok);
    let ca = ca_certificate(&client, &spec, &observed).await;
    let mut response = ReadResponse::new(state.clone());
    for (name, value) in state::computed(&spec, &observed, region.as_deref(), ca.as_deref()) {
        response.state.set(name, value);
    }
    if let Some(moved) = moved_by_itself(&observed) {
        response.state.set(Cluster::CONSUL_VERSION, moved);
    }
    if let Some(before) = response.state.get(Cluster::IMAGE_VERSION).as_str().map(str::to_owned) {
        match images::brought(&arm, &spec, &before, client.clock().as_ref()).await {
            Ok(due) => response.state.set(Cluster::NEXT_IMAGE_VERSION, Value::from(due)),
            Err(error) => {
                let detail = format!("The servers stay at the image {before}: {}.", chain(&error));
                response.diagnostics.push_warning("The newest image is not known", detail);
            }
        }
    }
    if !observed.blobs_readable || !observed.problems.is_empty() {
        for name in FROM_BLOBS {
            response.state.set(name, state.get(name).clone());
        }
        keep(&mut response.state, &state, Server::CONSUL_VERSION);
        keep(&mut response.state, &state, Server::HOST_MANAGER_VERSION);
    }
    if region.is_none() {
        keep(&mut response.state, &state, Server::PHYSICAL_ZONE);
    }
    response.diagnostics.extend(unseen(&spec, &observed));
    for warning in wanting_attention(&observed).into_iter().chain(host_managers_behind(&observed)) {
        response.diagnostics.push(warning);
    }
    response
}

/// The version to which the servers went by themselves, or went back.
fn moved_by_itself(observed: &Observed) -> Option<String> {
    observed.upgrade.as_ref()?;
    Some(observed.document.as_ref()?.consul.version.to_string())
}

/// What servers say works and will not for long.
fn wanting_attention(observed: &Observed) -> Vec<Diagnostic> {
    let told = observed.fresh().flat_map(|status| {
        status.attention.iter().map(|sentence| {
            Diagnostic::warning(format!("{} wants attention", status.node_name), sentence.clone())
        })
    });
    told.collect()
}

/// Servers whose host manager is not the one that the document names: on its way, or stuck.
fn host_managers_behind(observed: &Observed) -> Option<Diagnostic> {
    let document = observed.document.as_ref()?;
    let wanted = &document.host_manager.as_ref()?.version;
    let behind = observed.fresh().filter(|status| {
        let runs = &status.host_manager_version;
        document.slots.contains(&status.slot) && *runs != wanted.to_string()
    });
    let told: Vec<String> = behind
        .map(|status| {
            let error = status.last_error.as_deref().unwrap_or("no error reported");
            format!("{} runs {} ({error})", status.node_name, status.host_manager_version)
        })
        .collect();
    (!told.is_empty()).then(|| {
        Diagnostic::warning(
            format!("Host manager {wanted} is not on every server yet"),
            format!(
                "Servers take it one after the other, each when the one before works with it; Consul goes on \
                 meanwhile. So far {}. When it was put back, set host_manager_version to the version that runs, \
                 and please report it.",
                told.join(", ")
            ),
        )
    })
}

/// Whether the cluster that is there is not the one that the state holds: group and record must both say so, where both
/// can be read, as somebody may have written a tag.
fn is_another(state: &Value, names: &Names, observed: &Observed) -> bool {
    let Some(own) = state.get(Cluster::INCARNATION_ID).as_str() else { return false };
    let group = observed.object(&names.cluster_id);
    let tag = group.and_then(|group| group.pointer(&format!("/tags/{INCARNATION_TAG}"))?.as_str());
    let record = observed.run.as_ref().map(|run| run.incarnation_id.as_str());
    let mut told = tag.iter().chain(&record).peekable();
    told.peek().is_some() && told.all(|id| *id != own)
}

fn superseded(what: &str, names: &Names) -> Diagnostic {
    Diagnostic::warning(
        format!("The state's {what} is gone; another one has its name"),
        format!(
            "{} exists, but it is another incarnation than the one in this state: it was destroyed and made anew, \
             or is made by another Terraform state. It is left alone. To manage it here, import it.",
            names.cluster_id
        ),
    )
}

/// What of a cluster could not be read, with the role that is missing where that is the reason.
pub(crate) fn unseen(spec: &ClusterSpec, observed: &Observed) -> Diagnostics {
    let names = Names::new(spec);
    let summary = format!("The blobs of cluster {:?} cannot be read", spec.name);
    let kept = "Health, versions and certificates are shown as they were last read.";
    let account = names.storage_account();
    let has_container = observed.object(&names.container(container::CONFIG)).is_some();
    let why = match (observed.object(&account), observed.problems.first()) {
        (None, _) => "Its storage account is missing, and with it the keys that its servers share. Recover the account \
                      first."
            .to_owned(),
        (Some(_), Some(problem)) => {
            format!("{}. {}", problem.sentence, advice::unseen(problem)).trim_end().to_owned()
        }
        (Some(_), None) if !observed.blobs_readable && has_container => {
            "Its documents cannot be found.".to_owned()
        }
        (Some(_), None) => return Diagnostics::none(),
    };
    Diagnostic::warning(summary, format!("{kept} {why}")).into()
}

/// The CA certificates that clients have to trust, if they can be read: two while the CA changes.
pub(crate) async fn ca_certificate(
    client: &Client,
    spec: &ClusterSpec,
    observed: &Observed,
) -> Option<String> {
    let names = Names::new(spec);
    let store = open_store(client.stores().as_ref(), &names, observed).ok()??;
    let versions = Versions::of(store.as_ref(), observed.document.as_ref()).await.ok()?;
    versions.authorities(store.as_ref()).await.ok()?
}

/// What could not be read of the servers stays as it was read last.
fn keep(state: &mut Value, prior: &Value, name: &str) {
    let known = prior.get(Cluster::SERVERS).as_list().unwrap_or_default().to_vec();
    let servers = state.get(Cluster::SERVERS).as_list().unwrap_or_default().to_vec();
    let kept = servers.into_iter().map(|server| {
        let slot = server.get(Server::SLOT).as_i64();
        let before = known.iter().find(|other| other.get(Server::SLOT).as_i64() == slot);
        let before = before.map_or(Value::Null, |other| other.get(name).clone());
        server.with(name, before)
    });
    state.set(Cluster::SERVERS, Value::list(kept));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::drift::tests::server;

    #[test]
    fn what_a_server_says_will_not_last_is_a_warning_while_it_speaks() {
        let servers = [(0, server(0, 1)), (1, server(1, 1))].into();
        let mut observed = Observed { servers, ..Observed::default() };
        assert!(wanting_attention(&observed).is_empty());
        let sentence = "the data disk has 9 % left; raise data_disk_gib";
        let full = observed.servers.get_mut(&1).unwrap();
        full.status.attention = vec![sentence.to_owned()];
        let told = wanting_attention(&observed);
        assert_eq!(told.len(), 1);
        let text = format!("{:?}", told[0]);
        assert!(text.contains("server-1 wants attention") && text.contains(sentence), "{text}");
        observed.servers.get_mut(&1).unwrap().age_seconds = Some(3600);
        assert!(wanting_attention(&observed).is_empty(), "it said so an hour ago");
    }
}
