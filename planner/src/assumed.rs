//! A world in which a spec was carried out, without having seen it: what a plan starts from when only the last
//! declaration is known. Values that Azure would have given stand as words in it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::dataplane::{
    ClusterDocument, ConsulArtifact, Form, HostManagerArtifact, ServerCertificates, own_version,
};
use crate::desired::{Desired, balancer_addresses, moved_to, object, place_in};
use crate::diff::without_absent;
use crate::names::Names;
use crate::observed::{Observed, ReadyDocument};
use crate::placement::Place;
use crate::reference::{Outputs, is_reference, resolve};
use crate::rotation::declared;
use crate::server_config::added_config;
use crate::spec::ClusterSpec;

/// The world of `spec`, all done and ready. A plan of the same spec from it is empty.
pub fn assumed(spec: &ClusterSpec) -> Observed {
    let desired = Desired::new(spec);
    let mut referred = BTreeSet::new();
    for object in desired.objects.values() {
        references(&object.body, &mut referred);
    }
    let balancers: Vec<_> = balancer_addresses()
        .into_iter()
        .filter(|(name, _)| desired.objects.contains_key(*name))
        .collect();
    referred
        .extend(balancers.iter().map(|(name, pointer)| (name.to_string(), pointer.to_string())));
    let mut observed = Observed::default();
    for object in desired.objects.values() {
        let mut body = object.body.clone();
        without_absent(&mut body);
        // A reference that cannot be filled in would be ours to mend; as it is, it differs from itself nowhere.
        let mut body = resolve(&body, &Words).unwrap_or(body);
        body["id"] = json!(object.id);
        for (_, pointer) in referred.iter().filter(|(name, _)| *name == object.name) {
            set(&mut body, pointer, word(&object.name, pointer));
        }
        observed.insert(body);
    }
    for slot in &desired.slots {
        let Value::String(address) = word(&object::address(*slot), "/privateIp") else { continue };
        observed.addresses.insert(*slot, address);
    }
    observed.document = Some(ClusterDocument {
        generation: 1,
        datacenter: spec.consul_datacenter.clone(),
        server_count: spec.server_count,
        slots: desired.slots,
        others: vec![],
        consul: ConsulArtifact {
            version: spec.consul_version.clone(),
            sha256: String::new(),
            file_name: String::new(),
        },
        consul_before: None,
        consul_declared_at: 0,
        consul_server_config: added_config(spec),
        maintenance: spec.maintenance.clone(),
        certificates: ServerCertificates {
            addresses: balancers.iter().map(|(name, pointer)| format!("{name}{pointer}")).collect(),
            ..ServerCertificates::new(spec, &Names::new(spec))
        },
        host_manager: Some(HostManagerArtifact {
            version: spec.host_manager_version.clone().unwrap_or_else(own_version),
            sha256: String::new(),
        }),
        host_manager_before: None,
        rotations: declared(None, &spec.rotation_triggers, &BTreeMap::new(), ""),
        form: Form::default(),
    });
    observed.ready = Some(ReadyDocument { generation: 1 });
    observed.stored_spec = Some(spec.clone());
    observed.blobs_readable = true;
    observed
}

/// The same, with servers in the zones in which they were last seen.
pub fn assumed_in(spec: &ClusterSpec, zones: &BTreeMap<u32, Option<String>>) -> Observed {
    let mut observed = assumed(spec);
    let names = Names::new(spec);
    for (slot, zone) in zones {
        if let Some(body) = observed.objects.get_mut(&names.scale_set(*slot).key()) {
            let place = Place { zone: zone.clone(), vm_size: place_in(body).vm_size };
            *body = moved_to(body, &place, &names);
        }
    }
    observed
}

/// Every value as a word that names it.
struct Words;

impl Outputs for Words {
    fn output(&self, object: &str, pointer: &str) -> Option<Value> {
        Some(word(object, pointer))
    }

    fn parameter(&self, name: &str) -> Option<Value> {
        Some(json!(name))
    }
}

fn word(object: &str, pointer: &str) -> Value {
    json!(format!("{object}{pointer}"))
}

fn references(value: &Value, found: &mut BTreeSet<(String, String)>) {
    match value {
        Value::Object(map) if is_reference(map) => {
            if let Some(output) = map.get("$output") {
                let text = |key: &str| output[key].as_str().unwrap_or_default().to_owned();
                found.insert((text("object"), text("pointer")));
            }
        }
        Value::Object(map) => map.values().for_each(|item| references(item, found)),
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

fn set(body: &mut Value, pointer: &str, value: Value) {
    let mut place = body;
    for segment in pointer.split('/').skip(1) {
        let index = segment.parse::<usize>().ok().filter(|index| place.get(index).is_some());
        if let Some(index) = index {
            place = &mut place[index];
            continue;
        }
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[segment];
    }
    *place = value;
}
