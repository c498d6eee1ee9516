//! What was changed outside of Terraform, or happened to the servers, as sentences: what an apply puts right.

use std::collections::BTreeMap;

use hcs_planner::arm::ArmId;
use hcs_planner::desired::Desired;
use hcs_planner::diff::Difference;
use hcs_planner::names::Names;
use hcs_planner::observed::{LOST_AFTER_SECONDS, Observed};
use hcs_planner::plan::SERVER;

/// What differs from the declared, in sentences.
pub(super) fn drift(
    names: &Names,
    desired: &Desired,
    survey: &BTreeMap<String, Option<Vec<Difference>>>,
    observed: &Observed,
) -> Vec<String> {
    let mut sentences = Vec::new();
    for object in desired.objects.values() {
        let label = format!("{} {}", object.kind.resource_type(), object.id.name());
        match survey.get(&object.name).and_then(Option::as_ref) {
            None => sentences.push(format!("{label} is missing.")),
            Some(differences) => sentences.extend(differences.iter().map(|difference| {
                if difference.path == SERVER {
                    return lost(object.id.name());
                }
                format!("{label}: {} is {}.", difference.path, short(&difference.observed))
            })),
        }
        let state =
            observed.objects.get(&object.key).map(|body| &body["properties"]["provisioningState"]);
        if state.and_then(serde_json::Value::as_str).is_some_and(|word| word == "Failed") {
            sentences.push(format!("{label}: its last write failed."));
        }
    }
    let uid = names.uid.as_str();
    let extra = observed.objects.values().filter_map(|body| {
        let id = ArmId::new(body.pointer("/id")?.as_str()?);
        let ours = body.pointer("/tags/hcs-cluster")?.as_str() == Some(uid);
        (ours && desired.by_id(&id).is_none())
            .then(|| format!("{} is no longer wanted.", id.name()))
    });
    sentences.extend(extra);
    sentences
}

fn lost(server: &str) -> String {
    let minutes = LOST_AFTER_SECONDS / 60;
    format!(
        "{server} or its Consul has been silent for {minutes} minutes, and the others go on without it."
    )
}

fn short(value: &serde_json::Value) -> String {
    let text = if value.is_null() { "missing".to_owned() } else { value.to_string() };
    if text.chars().count() > 80 {
        format!("{}…", text.chars().take(79).collect::<String>())
    } else {
        text
    }
}

#[cfg(test)]
pub(super) mod tests {
    use hcs_planner::desired::object;
    use hcs_planner::fingerprint;
    use hcs_planner::observed::ObservedServer;
    use hcs_planner::plan::survey;
    use serde_json::{Value, from_value, json};

    use super::*;
    use crate::cluster::plan::tests::spec;

    /// One that is well.
    pub(in crate::cluster) fn server(slot: u32, age_seconds: u64) -> ObservedServer {
        let names = Names::new(&spec());
        let peers = [names.server(0), names.server(2)];
        let status: Value = json!({
            "slot": slot, "node_name": names.server(slot), "written_at": "2026-11-02T00:00:00Z",
            "sequence": 1, "address": "127.0.0.1", "phase": "running", "last_error": null,
            "consul": { "version": "1.22.2", "leader": "127.0.0.1:8300", "is_leader": slot == 0,
                "healthy": true, "failure_tolerance": 0, "voters": peers, "peers": peers, "acl_ready": true },
            "done_requests": [], "certificate_expires_at": null, "host_manager_version": "",
        });
        ObservedServer { status: from_value(status).unwrap(), age_seconds: Some(age_seconds) }
    }

    #[test]
    fn a_server_that_the_others_go_on_without_is_drift() {
        let spec = spec();
        let names = Names::new(&spec);
        let mut observed = Observed { blobs_readable: true, ..Observed::default() };
        observed.insert(json!({ "id": names.scale_set(1), "sku": { "capacity": 1 },
            "properties": { "timeCreated": "2026-11-01T00:00:00.1+00:00" } }));
        observed.servers = [(0, server(0, 1)), (1, server(1, 3600)), (2, server(2, 1))].into();
        let lost = |observed: &Observed| {
            let desired = Desired::for_world(&spec, observed);
            let sentences = drift(&names, &desired, &survey(&spec, observed), observed);
            sentences.into_iter().filter(|sentence| sentence.contains("silent")).collect::<Vec<_>>()
        };
        let server_1 = names.server(1);
        let sentence =
            "or its Consul has been silent for 15 minutes, and the others go on without it.";
        assert_eq!(lost(&observed), [format!("{server_1} {sentence}")]);
        // That is what shows in the plan which server comes anew, and makes its address unknown until then.
        let server = &Desired::for_world(&spec, &observed).objects[&object::server(1)];
        let mut differences = survey(&spec, &observed)[&server.name].clone().unwrap();
        differences.retain(|difference| difference.path == SERVER);
        assert_ne!(fingerprint::observed(server, &differences), fingerprint::desired(server));
        observed.servers.insert(1, self::server(1, 60));
        assert_eq!(lost(&observed), Vec::<String>::new());
    }
}
