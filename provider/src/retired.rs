//! States of the retired provider hashicorp/hcs, whose resources had the names of ours.
//!
//! What they hold ended with HashiCorp Consul Service on Azure. Nothing of it is looked for: a read says so and lets it go,
//! and what is declared is planned as new.

use tfplugin::{Attr, Diagnostic, Diagnostics, MoveRequest, MoveResponse, Type, Upgrader, Value};

use crate::cluster::Cluster;

/// What follows the host of a registry in the address of the retired provider.
const ADDRESS: &str = "/hashicorp/hcs";
/// What was a cluster in Azure: a managed application.
const APPLICATION: &str = "/providers/microsoft.solutions/applications/";
const ID: &str = Cluster::ID;

/// What is kept of such a state: the id, by which a read knows it.
fn kept() -> Type {
    Type::object([(ID, Type::String)])
}

/// The way from the version of its schemas.
pub(crate) fn upgrader() -> Upgrader {
    Upgrader::new(0, kept(), Ok)
}

/// Its state under the same resource type, for `moved` and for an address that has another provider now.
pub(crate) fn moved(type_name: &str, request: &MoveRequest) -> Option<MoveResponse> {
    let source = (request.source_provider.as_str(), request.source_type.as_str());
    if !is_theirs(source, type_name) {
        return None;
    }
    request.raw.decode(&kept()).ok().map(MoveResponse::new)
}

fn is_theirs((provider, ty): (&str, &str), type_name: &str) -> bool {
    ty == type_name && provider.ends_with(ADDRESS)
}

/// The managed application that the state of a cluster names.
pub(crate) fn application(state: &Value) -> Option<&str> {
    let id = state.get(ID).as_str()?;
    id.to_ascii_lowercase().contains(APPLICATION).then_some(id)
}

/// The id of a snapshot that belongs to no cluster of ours.
pub(crate) fn snapshot<'a>(id: &'a Attr<String>, cluster_id: &Attr<String>) -> Option<&'a str> {
    id.known().filter(|_| cluster_id.is_null()).map(String::as_str)
}

/// A cluster that a read lets go.
pub(crate) fn cluster_is_gone(application: &str) -> Diagnostic {
    Diagnostic::warning(
        "The state's cluster of hashicorp/hcs is gone",
        format!(
            "{application} was of the retired provider hashicorp/hcs, and HashiCorp Consul Service on Azure has ended. It \
             is not looked for. What is declared under its address is a new cluster, and begins empty: where a snapshot of \
             the old one was kept, put it into a storage container and name it in restore_from_snapshot_id."
        ),
    )
}

/// A snapshot that a read lets go.
pub(crate) fn snapshot_is_gone(id: &str) -> Diagnostic {
    Diagnostic::warning(
        "The state's snapshot of hashicorp/hcs is gone",
        format!(
            "Snapshot {id} was of the retired provider hashicorp/hcs, and the service that kept it has ended. It is not \
             looked for. What is declared under its address is another snapshot, of a cluster that exists: leave it out \
             where none is wanted."
        ),
    )
}

/// Without a refresh there is nothing to plan with, nor to destroy.
pub(crate) fn not_refreshed(id: &str) -> Diagnostics {
    Diagnostics::error(
        "The state is of the retired provider hashicorp/hcs",
        format!(
            "{id} has ended with HashiCorp Consul Service on Azure. Run Terraform with a refresh, which lets it go, or take \
             it out of the state: terraform state rm <address>."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_the_retired_provider_and_of_no_other_is_taken_over() {
        let theirs = "registry.terraform.io/hashicorp/hcs";
        assert!(is_theirs((theirs, "hcs_cluster"), "hcs_cluster"));
        assert!(!is_theirs((theirs, "hcs_cluster_root_token"), "hcs_cluster"));
        for other in ["registry.terraform.io/hashicorp/hcp", "mirror.example/somebody/hcs"] {
            assert!(!is_theirs((other, "hcs_cluster"), "hcs_cluster"), "{other}");
        }
    }

    #[test]
    fn a_managed_application_is_no_cluster_of_ours() {
        let state = |id: &str| Value::object([(ID, Value::from(id))]);
        let id =
            "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Solutions/applications/old";
        assert_eq!(application(&state(id)), Some(id));
        assert_eq!(application(&state("/subscriptions/s/resourceGroups/rg-mrg-new")), None);
        assert_eq!(application(&Value::Null), None);
        let (id, none) = (Attr::from("b2e4"), Attr::Null);
        assert_eq!(snapshot(&id, &none), Some("b2e4"));
        assert_eq!(snapshot(&id, &Attr::from("/subscriptions/s")), None);
    }
}
