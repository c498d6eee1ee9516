//! A world that does at once what a step asks for: what a plan comes to when all goes well.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::dataplane::blob;
use hcs_planner::desired::object;
use hcs_planner::names::Names;
use hcs_planner::observed::{Observed, READY_BLOB};
use hcs_planner::plan::{Action, Plan, Step};
use hcs_planner::reference::{Outputs, resolve};
use hcs_planner::spec::{ClusterSpec, ImageReference, LockLevel};
use serde_json::{Value, json};

/// A cluster of `servers` on `zones` zones.
pub(crate) fn spec(servers: u32, zones: u32) -> ClusterSpec {
    ClusterSpec {
        subscription_id: "00000000-0000-0000-0000-000000000001".into(),
        name: "demo".into(),
        resource_group_name: "rg".into(),
        managed_resource_group_name: "rg-mrg-demo".into(),
        location: "westeurope".into(),
        consul_datacenter: "dc1".into(),
        server_count: servers,
        zones: (1..=zones).map(|zone| zone.to_string()).collect(),
        vm_size: "Standard_D2s_v5".into(),
        image: ImageReference::default(),
        os_disk_gib: 64,
        data_disk_gib: 32,
        ssh_public_key: None,
        vnet_cidr: "172.25.16.0/24".parse().unwrap(),
        peer_vnet_ids: vec![],
        consul_version: "1.22.2".parse().unwrap(),
        artifact_source: None,
        lock: LockLevel::CanNotDelete,
        deletion_protection: false,
        tags: BTreeMap::new(),
    }
}

/// Another network, in a group of its own.
pub(crate) fn peer(name: &str) -> ArmId {
    ArmId::resource_group("00000000-0000-0000-0000-000000000001", "hub")
        .resource("Microsoft.Network/virtualNetworks", name)
}

/// Carries out single steps on an observed world.
pub(crate) struct World {
    pub(crate) observed: Observed,
    outputs: BTreeMap<String, Value>,
    names: Names,
}

struct Resolver<'a>(&'a BTreeMap<String, Value>);

impl Outputs for Resolver<'_> {
    fn output(&self, object: &str, pointer: &str) -> Option<Value> {
        self.0.get(object)?.pointer(pointer).cloned()
    }
    fn parameter(&self, name: &str) -> Option<Value> {
        Some(json!(format!("parameter {name}")))
    }
}

impl World {
    pub(crate) fn new(spec: &ClusterSpec, observed: Observed) -> Self {
        let names = Names::new(spec);
        let desired = hcs_planner::desired::Desired::new(spec);
        let mut outputs: BTreeMap<String, Value> = desired
            .objects
            .values()
            .filter_map(|o| Some((o.name.clone(), observed.object(&o.id)?.clone())))
            .collect();
        for (slot, address) in &observed.addresses {
            outputs.insert(object::address(*slot), json!({ "privateIp": address }));
        }
        Self { observed, outputs, names }
    }

    /// Carries out one step.
    pub(crate) fn carry_out(&mut self, step: &Step) {
        match &step.action {
            Action::Put { object, kind, id, body, .. } => self.put(object, *kind, id, body),
            Action::AwaitProvisioned { object, id, .. } => {
                let body = self.observed.objects.get_mut(&id.key()).expect("it is there");
                body["properties"]["provisioningState"] = json!("Succeeded");
                self.outputs.insert(object.clone(), body.clone());
            }
            Action::Delete { id, .. } => {
                self.observed.objects.retain(|_, body| {
                    !ArmId::new(body["id"].as_str().unwrap_or_default()).is_within(id)
                });
                let names = &self.names;
                let gone = |slot: &u32| names.dns_record(&format!("server-{slot}")) == *id;
                self.observed.addresses.retain(|slot, _| !gone(slot));
            }
            Action::WriteDocument { name, content, .. } => {
                let content = resolve(content, &Resolver(&self.outputs)).expect("resolves");
                self.observed.blobs_readable = true;
                match name.as_str() {
                    blob::SPEC => self.observed.stored_spec = Some(from(content)),
                    blob::CLUSTER => self.observed.document = Some(from(content)),
                    READY_BLOB => self.observed.ready = Some(from(content)),
                    other => panic!("unknown document {other}"),
                }
            }
            Action::ReadAddress { slot, .. } => {
                let address = json!({ "privateIp": format!("172.25.16.{}", slot + 5) });
                self.outputs.insert(object::address(*slot), address);
            }
            Action::GrantCallerBlobAccess { .. }
            | Action::MintSecret { .. }
            | Action::UploadArtifact { .. }
            | Action::Ask { .. }
            | Action::WaitHealthy { .. } => {}
        }
    }

    fn put(&mut self, object: &str, kind: Kind, id: &ArmId, body: &Value) {
        let mut body = resolve(body, &Resolver(&self.outputs)).expect("resolves");
        body["id"] = json!(id);
        body["properties"]["provisioningState"] = json!("Succeeded");
        match kind {
            Kind::Identity => body["properties"]["principalId"] = json!(format!("p-{}", id.name())),
            Kind::StorageAccount => {
                body["properties"]["primaryEndpoints"] = json!({ "blob": "https://acct/" });
            }
            Kind::PrivateDnsRecord => {
                if let Some(slot) = id.name().strip_prefix("server-") {
                    let address = body["properties"]["aRecords"][0]["ipv4Address"].as_str();
                    let address = address.expect("an address").to_owned();
                    self.observed.addresses.insert(slot.parse().expect("a slot"), address);
                }
            }
            _ => {}
        }
        self.outputs.insert(object.to_owned(), body.clone());
        self.observed.objects.insert(id.key(), body);
    }
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a document")
}

/// The world after the first `count` steps of the plan; all of them when there are fewer.
pub(crate) fn after(
    spec: &ClusterSpec,
    observed: &Observed,
    plan: &Plan,
    count: usize,
) -> Observed {
    let mut world = World::new(spec, observed.clone());
    for (_, step) in plan.steps().into_iter().take(count) {
        world.carry_out(step);
    }
    world.observed
}

/// The world of a finished cluster.
pub(crate) fn finished(spec: &ClusterSpec) -> Observed {
    let plan = hcs_planner::plan::plan(spec, &Observed::default()).expect("a plan");
    after(spec, &Observed::default(), &plan, usize::MAX)
}
