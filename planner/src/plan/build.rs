//! Diff of desired and observed, turned into steps and edges.

mod data;
mod order;
mod orphans;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::verdict::{Violation, verdict};
use super::{Action, Draft, Plan};
use crate::arm::{ArmId, Kind};
use crate::dataplane::container;
use crate::desired::{Desired, DesiredObject};
use crate::diff::{Difference, differences, merged};
use crate::names::{CLUSTER_TAG, Names};
use crate::observed::Observed;
use crate::reference::{Outputs, is_reference, resolve};
use crate::spec::ClusterSpec;

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A bug of ours.
    #[error("the plan has a cycle through step {step:?}; please report this")]
    Cycle {
        /// A step on the cycle.
        step: String,
    },
    /// An object has our id but is not this cluster's.
    #[error(
        "{id} exists already and does not belong to this cluster (its tag hcs-cluster is {tag}); \
         move or delete it, or give the cluster another name"
    )]
    Foreign {
        /// Its id.
        id: ArmId,
        /// What its tag says.
        tag: String,
    },
    /// Servers run, but what they share is gone: making it anew would give new servers another CA than the old ones.
    #[error(
        "{} is gone while servers still run, and with it the cluster's keys; recover it (Azure keeps a deleted storage \
         account or container for some days), or take a snapshot with consul and make the cluster anew",
        id
    )]
    LostSecrets {
        /// The account or container.
        id: ArmId,
    },
    /// A state of the plan would break the cluster.
    #[error("the plan is not safe: step {step:?}: {reason}; please report this")]
    Unsafe {
        /// The step that leads there.
        step: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The managed group holds objects that are not ours.
    #[error(
        "the managed resource group holds objects that hcs did not make: {}; move or delete them first",
        ids.iter().map(ArmId::as_str).collect::<Vec<_>>().join(", ")
    )]
    NotOurs {
        /// Their ids.
        ids: Vec<ArmId>,
    },
}

/// Steps from `observed` to what `spec` declares. Pure and deterministic; empty when nothing is to do.
pub fn plan(spec: &ClusterSpec, observed: &Observed) -> Result<Plan, PlanError> {
    let planner = Planner {
        spec,
        observed,
        names: Names::new(spec),
        desired: Desired::new(spec),
        draft: Draft::default(),
    };
    planner.run()
}

struct Planner<'a> {
    spec: &'a ClusterSpec,
    observed: &'a Observed,
    names: Names,
    desired: Desired,
    draft: Draft,
}

impl Planner<'_> {
    fn run(mut self) -> Result<Plan, PlanError> {
        self.check_secrets()?;
        let orphans = self.orphans();
        let recreated = self.objects()?;
        let document = self.documents(&orphans);
        self.secrets();
        self.addresses();
        self.removals(&orphans);
        self.readiness(&document);
        self.order(&recreated);
        self.lock();
        self.store_spec();
        let present = self.present_servers();
        let plan = self.draft.finish()?;
        // Not handed out unproven.
        match verdict(&plan, &present, &self.spec.zones).violations.into_iter().next() {
            Some(Violation { step, reason }) => Err(PlanError::Unsafe { step, reason }),
            None => Ok(plan),
        }
    }

    /// Slots whose servers exist now.
    fn present_servers(&self) -> BTreeSet<u32> {
        present_servers(&self.names, self.observed)
    }

    fn check_secrets(&self) -> Result<(), PlanError> {
        if self.present_servers().is_empty() {
            return Ok(());
        }
        let shared = [container::SECRETS_SHARED, container::CERTIFICATES];
        let containers = shared.map(|name| self.names.container(name));
        let needed = [self.names.storage_account()].into_iter().chain(containers);
        match needed.into_iter().find(|id| self.observed.object(id).is_none()) {
            Some(id) => Err(PlanError::LostSecrets { id }),
            None => Ok(()),
        }
    }

    /// Puts for all that is missing or differs; returns the objects that have to be deleted first.
    fn objects(&mut self) -> Result<Vec<String>, PlanError> {
        let mut recreated = Vec::new();
        for object in self.desired.objects.values() {
            let Some(have) = self.observed.object(&object.id) else {
                let id = format!("create {}", object.name);
                self.draft.add(id, create(object), object.slot);
                continue;
            };
            self.check_owner(object, have)?;
            match provisioning(have) {
                Provisioning::Running => {
                    let (name, id) = (object.name.clone(), object.id.clone());
                    let action = Action::AwaitProvisioned { object: name, kind: object.kind, id };
                    self.draft.add(format!("await {}", object.name), action, object.slot);
                    continue;
                }
                Provisioning::Failed => {
                    let id = format!("update {}", object.name);
                    let difference = Difference {
                        path: "properties.provisioningState".into(),
                        observed: have
                            .pointer("/properties/provisioningState")
                            .cloned()
                            .unwrap_or_default(),
                        desired: json!("Succeeded"),
                    };
                    self.draft.add(
                        id,
                        update(object, object.body.clone(), vec![difference]),
                        object.slot,
                    );
                    continue;
                }
                Provisioning::Done => {}
            }
            let want = resolve_known(&object.body, self);
            // What refers to an object that is still to come differs by definition: it is written again then.
            let found = differences(&want, have, object.create_only);
            let stale_tags = self.stale_tags(object, have);
            if found.is_empty() && stale_tags.is_empty() {
                continue;
            }
            if object.kind == Kind::RoleAssignment {
                // Azure refuses to change an assignment: its principal died, so it goes and comes back.
                let reason = "its principal changed".to_owned();
                let action = Action::Delete { kind: object.kind, id: object.id.clone(), reason };
                self.draft.add(format!("delete stale {}", object.name), action, object.slot);
                let id = format!("create {}", object.name);
                self.draft.add(id, create(object), object.slot);
                recreated.push(object.name.clone());
                continue;
            }
            let mut body = merged(object.kind, &without_create_only(object), have);
            if let Some(tags) = body.get_mut("tags").and_then(Value::as_object_mut) {
                tags.retain(|key, _| !stale_tags.contains(key));
            }
            let id = format!("update {}", object.name);
            self.draft.add(id, update(object, body, found), object.slot);
        }
        Ok(recreated)
    }

    /// Tags that an earlier spec set and this one does not; anybody else's tags stay.
    fn stale_tags(&self, object: &DesiredObject, have: &Value) -> Vec<String> {
        let (Some(stored), true) = (&self.observed.stored_spec, object.kind.has_tags()) else {
            return vec![];
        };
        let present = have.get("tags").and_then(Value::as_object);
        stored
            .tags
            .keys()
            .filter(|key| !self.spec.tags.contains_key(*key))
            .filter(|key| present.is_some_and(|tags| tags.contains_key(*key)))
            .cloned()
            .collect()
    }

    fn check_owner(&self, object: &DesiredObject, have: &Value) -> Result<(), PlanError> {
        let tag = have.pointer(&format!("/tags/{CLUSTER_TAG}")).and_then(Value::as_str);
        if !object.kind.has_tags() || tag == Some(self.names.uid.as_str()) {
            return Ok(());
        }
        // A group that carries the cluster's storage account lost its tag; anything else is somebody's.
        if tag.is_none() && object.kind != Kind::ResourceGroup && self.group_is_ours() {
            return Ok(());
        }
        let tag = tag.map_or_else(|| "missing".to_owned(), |tag| format!("{tag:?}"));
        Err(PlanError::Foreign { id: object.id.clone(), tag })
    }

    fn group_is_ours(&self) -> bool {
        self.observed
            .object(&self.names.cluster_id)
            .and_then(|group| group.pointer(&format!("/tags/{CLUSTER_TAG}")))
            .is_some_and(|tag| tag == self.names.uid.as_str())
    }
}

/// References resolve to what is observed where it is; the rest stays a reference.
fn resolve_known(value: &Value, outputs: &dyn Outputs) -> Value {
    if let Ok(resolved) = resolve(value, outputs) {
        return resolved;
    }
    match value {
        Value::Object(map) if !is_reference(map) => Value::Object(
            map.iter().map(|(key, item)| (key.clone(), resolve_known(item, outputs))).collect(),
        ),
        Value::Array(items) => items.iter().map(|item| resolve_known(item, outputs)).collect(),
        unresolved => unresolved.clone(),
    }
}

impl Outputs for Planner<'_> {
    fn output(&self, object_name: &str, pointer: &str) -> Option<Value> {
        if let Some(slot) = object_name.strip_prefix("address_server_") {
            let address = self.observed.addresses.get(&slot.parse().ok()?)?;
            return Some(json!(address));
        }
        let object = self.desired.objects.get(object_name)?;
        self.observed.object(&object.id)?.pointer(pointer).cloned()
    }

    fn parameter(&self, _: &str) -> Option<Value> {
        None
    }
}

/// Differences of every desired object from what is observed, by logical name; a missing object is `None`.
pub fn survey(
    spec: &ClusterSpec,
    observed: &Observed,
) -> BTreeMap<String, Option<Vec<Difference>>> {
    let planner = Planner {
        spec,
        observed,
        names: Names::new(spec),
        desired: Desired::new(spec),
        draft: Draft::default(),
    };
    let look = |object: &DesiredObject| {
        let have = observed.object(&object.id)?;
        let want = resolve_known(&object.body, &planner);
        Some(differences(&want, have, object.create_only))
    };
    planner.desired.objects.values().map(|o| (o.name.clone(), look(o))).collect()
}

/// Slots whose servers exist.
pub fn present_servers(names: &Names, observed: &Observed) -> BTreeSet<u32> {
    (0..MAX_SLOTS).filter(|slot| observed.object(&names.scale_set(*slot)).is_some()).collect()
}

/// What a step may do to a desired object.
const VERBS: [&str; 3] = ["create", "update", "await"];

const WRITE_SPEC: &str = "write spec";

/// Slots that a cluster can ever have had: seven servers, and room for servers that are replaced add-first.
pub const MAX_SLOTS: u32 = 9;

/// What ARM says of an object's last write.
enum Provisioning {
    Done,
    Running,
    Failed,
}

/// Absent means done; a word that we do not know is never success.
fn provisioning(body: &Value) -> Provisioning {
    match body.pointer("/properties/provisioningState").and_then(Value::as_str) {
        None => Provisioning::Done,
        Some(word) if word.eq_ignore_ascii_case("Succeeded") => Provisioning::Done,
        Some(word)
            if ["failed", "canceled", "cancelled"].contains(&word.to_lowercase().as_str()) =>
        {
            Provisioning::Failed
        }
        Some(_) => Provisioning::Running,
    }
}

fn create(object: &DesiredObject) -> Action {
    let (name, id, body) = (object.name.clone(), object.id.clone(), object.body.clone());
    Action::Put { object: name, kind: object.kind, id, body, update: false, differences: vec![] }
}

fn update(object: &DesiredObject, body: Value, differences: Vec<Difference>) -> Action {
    let (name, id) = (object.name.clone(), object.id.clone());
    Action::Put { object: name, kind: object.kind, id, body, update: true, differences }
}

fn without_create_only(object: &DesiredObject) -> Value {
    let mut body = object.body.clone();
    for pointer in object.create_only {
        if let Some((parent, key)) = pointer.rsplit_once('/')
            && let Some(map) = body.pointer_mut(parent).and_then(Value::as_object_mut)
        {
            map.remove(key);
        }
    }
    body
}
