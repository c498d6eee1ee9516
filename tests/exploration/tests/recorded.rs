//! What Azure adds to an answer and spells in its own way is no difference, and a write of the whole is still one that
//! Microsoft defines. The manners are facts of public recordings of real answers, each with its source, in
//! `recorded/manners.json`; neither the product nor the emulator had a part in them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use hcs_exploration::run::{Drive, End, Subject};
use hcs_exploration::scenario::{Scenario, private, scenarios};
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::desired::Desired;
use hcs_planner::diff::merged;
use hcs_planner::observed::Observed;
use hcs_planner::plan::plan;
use hcs_planner::spec::ClusterSpec;
use hcs_simulator::{Definitions, Method, Settings};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What Azure's answers of one type are like.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manner {
    kind: Kind,
    #[serde(rename = "source")]
    _source: String,
    /// Properties that are there without being asked for, by the place of their parent; `*` is each element.
    #[serde(default)]
    adds: BTreeMap<String, Map<String, Value>>,
    /// Elements that somebody's policy put into a list.
    #[serde(default)]
    appends: BTreeMap<String, Vec<Value>>,
    /// What is taken and never shown.
    #[serde(default)]
    drops: Vec<String>,
    /// Objects whose keys come back in lower case.
    #[serde(default)]
    lower: Vec<String>,
    /// Values that come back in another spelling.
    #[serde(default)]
    says: BTreeMap<String, Value>,
}

fn manners() -> Vec<Manner> {
    serde_json::from_str(include_str!("../recorded/manners.json")).unwrap()
}

/// Visits every value at a path.
fn at(value: &mut Value, path: &str, work: &mut dyn FnMut(&mut Value)) {
    let Some(rest) = path.strip_prefix('/') else { return work(value) };
    let (head, tail) = rest.split_once('/').map_or((rest, ""), |(head, tail)| (head, tail));
    let tail = if tail.is_empty() { String::new() } else { format!("/{tail}") };
    match value {
        Value::Array(items) if head == "*" => items.iter_mut().for_each(|i| at(i, &tail, work)),
        Value::Object(map) if head == "*" => map.values_mut().for_each(|v| at(v, &tail, work)),
        Value::Object(map) => {
            if let Some(inner) = map.get_mut(head) {
                at(inner, &tail, work);
            }
        }
        _ => {}
    }
}

impl Manner {
    fn answer(&self, body: &mut Value) {
        for (path, added) in &self.adds {
            at(body, path, &mut |place| {
                if let Value::Object(map) = place {
                    for (name, value) in added {
                        map.entry(name.clone()).or_insert_with(|| value.clone());
                    }
                }
            });
        }
        for (path, more) in &self.appends {
            at(body, path, &mut |place| {
                place.as_array_mut().unwrap().extend(more.iter().cloned());
            });
        }
        for path in &self.drops {
            let (parent, name) = path.rsplit_once('/').unwrap();
            at(body, parent, &mut |place| {
                place.as_object_mut().unwrap().remove(name);
            });
        }
        for path in &self.lower {
            at(body, path, &mut |place| {
                if let Value::Object(map) = place {
                    *map = std::mem::take(map)
                        .into_iter()
                        .map(|(key, value)| (key.to_lowercase(), value))
                        .collect();
                }
            });
        }
        for (path, value) in &self.says {
            at(body, path, &mut |place| *place = value.clone());
        }
    }
}

/// A finished cluster with a peer and a closed account.
fn cluster() -> (Subject, ClusterSpec) {
    let subscription = Settings::default().subscription_id;
    let hub = ArmId::resource_group(&subscription, "theirs")
        .resource(Kind::VirtualNetwork.resource_type(), "hub");
    let spec = ClusterSpec { peer_vnet_ids: vec![hub], ..private(3) };
    let first = scenarios().into_iter().next().unwrap();
    let scenario = Scenario { from: None, to: Some(spec.clone()), ..first };
    let mut subject = scenario.start().unwrap();
    let end = subject.go(&scenario, &Drive::quiet());
    assert!(matches!(end, End::Complete), "{end:?}");
    (subject, spec)
}

/// Type of the object behind a key of [`Observed::objects`].
fn kind_of(desired: &Desired, key: &str) -> Option<Kind> {
    desired.objects.values().find(|object| object.id.key() == key).map(|object| object.kind)
}

fn answered(observed: &Observed, desired: &Desired) -> (Observed, BTreeSet<Kind>) {
    let (mut recorded, mut seen) = (observed.clone(), BTreeSet::new());
    for (key, body) in &mut recorded.objects {
        let Some(kind) = kind_of(desired, key) else { continue };
        for manner in manners().iter().filter(|manner| manner.kind == kind) {
            manner.answer(body);
            seen.insert(kind);
        }
    }
    (recorded, seen)
}

#[test]
fn what_azure_adds_and_respells_is_no_difference() {
    let (mut subject, spec) = cluster();
    let observed = subject.observe(&spec).unwrap();
    assert!(plan(&spec, &observed).unwrap().is_empty());
    let (recorded, seen) = answered(&observed, &Desired::new(&spec));
    for kind in Kind::ALL {
        assert!(seen.contains(&kind), "no answer of {kind:?} is like Azure's");
    }
    let plan = plan(&spec, &recorded).unwrap();
    assert!(plan.is_empty(), "{}", hcs_planner::render::text(&spec, &plan));
}

#[test]
fn a_write_over_azures_answer_is_as_microsoft_defines() {
    let (mut subject, spec) = cluster();
    let observed = subject.observe(&spec).unwrap();
    let desired = Desired::new(&spec);
    let (recorded, _) = answered(&observed, &desired);
    let mut all = Vec::new();
    // Locks and role assignments are written whole, never over what is there.
    let is_merged = |kind: Kind| !matches!(kind, Kind::Lock | Kind::RoleAssignment);
    for object in desired.objects.values().filter(|object| is_merged(object.kind)) {
        let body = &recorded.objects[&object.id.key()];
        // What would be written if the object were as declared already: everything that is there.
        let written = merged(object.kind, &Value::Object(Map::new()), body);
        let definitions = Definitions::built_in();
        let path = object.id.to_string();
        let operation =
            definitions.operation(Method::Put, &path, object.kind.api_version()).unwrap();
        let complaints = definitions.complaints_of(operation, &written);
        all.extend(complaints.into_iter().map(|told| format!("{path}: {told}")));
    }
    assert!(all.is_empty(), "{all:#?}");
}
