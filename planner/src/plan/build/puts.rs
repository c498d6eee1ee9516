//! Writes of all that is missing or differs.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use super::look::{Found, Look, is_address_book, is_empty};
use super::{PROVISIONING_STATE, Planner, Servers};
use crate::arm::{ArmId, Kind};
use crate::desired::{DesiredObject, object};
use crate::diff::{Difference, merged, merged_whole, without_absent};
use crate::effect::Effect;
use crate::placement::{Place, alternatives};
use crate::plan::Action;
use crate::plan::graph::StepRef;
use crate::reference::output;

impl Planner<'_> {
    pub(super) fn puts(&mut self, looks: &BTreeMap<String, Look>, servers: &Servers) {
        let objects = std::mem::take(&mut self.desired.objects);
        for object in objects.values() {
            match looks.get(&object.name) {
                None | Some(Look::Missing) => {
                    self.put_new(object);
                }
                Some(Look::Going) => {
                    let gone =
                        self.finish_delete(object.kind, &object.id, &object.name, object.slot);
                    let back = self.put_new(object);
                    self.draft.edge(gone, back);
                }
                Some(Look::Found(found)) => self.put_found(object, found, servers),
            }
        }
        self.desired.objects = objects;
    }

    fn put_new(&mut self, object: &DesiredObject) -> StepRef {
        let action = self.create(object, vec![]);
        self.add_write(&object.name, format!("create {}", object.name), action, object.slot)
    }

    /// Deletes what has no server, or waits until a delete that is under way has ended: asking again changes nothing.
    pub(super) fn finish_delete(
        &mut self,
        kind: Kind,
        id: &ArmId,
        name: &str,
        slot: Option<u32>,
    ) -> StepRef {
        let have = self.observed.object(id);
        let reason = match slot {
            Some(slot) if self.situation.unborn.contains(&slot) => "its server never came up",
            Some(slot) if self.situation.lost.contains(&slot) => {
                "its server is lost, and the others go on without it"
            }
            _ if have.is_some_and(is_empty) => "its machine is gone",
            _ => "its delete has begun and is waited for",
        };
        let reason = reason.to_owned();
        let action = Action::Delete { kind, id: id.clone(), reason };
        self.draft.add(format!("delete {name}"), action, slot)
    }

    fn put_found(&mut self, object: &DesiredObject, found: &Found, servers: &Servers) {
        let is_server = object.kind == Kind::ScaleSet;
        if is_address_book(object) && self.is_rewritten_anyway(object, servers) {
            return;
        }
        if found.running {
            let (name, id) = (object.name.clone(), object.id.clone());
            let action = Action::AwaitProvisioned { object: name, kind: object.kind, id };
            let id = format!("await {}", object.name);
            self.add_write(&object.name, id, action, object.slot);
        }
        if is_server && object.slot.is_some_and(|slot| servers.replaced.contains_key(&slot)) {
            return;
        }
        if found.differences.iter().any(|d| d.effect == Effect::RecreatesObject) {
            // Azure refuses to change an assignment: its principal died, so it goes and comes back. So does a peering's
            // half that lost the other.
            let reason = match object.kind {
                Kind::Peering => "its other half was gone",
                Kind::PrivateDnsZoneGroup => "another zone tells the address",
                _ => "its principal changed",
            };
            let reason = reason.to_owned();
            let action = Action::Delete { kind: object.kind, id: object.id.clone(), reason };
            let id = format!("delete stale {}", object.name);
            let gone = self.add_write(&object.name, id, action, object.slot);
            let back = self.put_new(object);
            self.draft.edge(gone, back);
            return;
        }
        let mut differences = found.differences.clone();
        if found.failed {
            differences.push(Difference {
                path: PROVISIONING_STATE.into(),
                observed: json!("Failed"),
                desired: json!("Succeeded"),
                effect: Effect::InPlace,
            });
        }
        if differences.is_empty() && found.stale_tags.is_empty() {
            return;
        }
        let action = self.update(object, differences, &found.stale_tags, found.failed);
        let before = self.written(&object.name);
        let id = format!("update {}", object.name);
        let step = self.add_write(&object.name, id, action, object.slot);
        if let Some(before) = before {
            self.draft.edge(before, step);
        }
    }

    /// Makes the object; `differences` tell why, where one was there before.
    pub(super) fn create(&self, object: &DesiredObject, differences: Vec<Difference>) -> Action {
        let mut body = object.body.clone();
        without_absent(&mut body);
        Action::Put {
            object: object.name.clone(),
            kind: object.kind,
            id: object.id.clone(),
            body,
            update: false,
            differences,
            alternatives: self.alternatives(object),
        }
    }

    fn update(
        &self,
        object: &DesiredObject,
        mut differences: Vec<Difference>,
        stale_tags: &[String],
        failed: bool,
    ) -> Action {
        let have = self.have(object).unwrap_or(&Value::Null);
        // A server that never came up: what counts at its creation still counts.
        let is_new =
            failed && object.slot.is_some_and(|slot| self.situation.unborn.contains(&slot));
        let body = if is_new {
            merged_whole(object.kind, &object.body, have)
        } else {
            self.over_observed(object)
        };
        for key in stale_tags {
            differences.push(Difference {
                path: format!("tags.{key}"),
                observed: have
                    .get("tags")
                    .and_then(|tags| tags.get(key))
                    .cloned()
                    .unwrap_or_default(),
                desired: Value::Null,
                effect: Effect::InPlace,
            });
        }
        Action::Put {
            object: object.name.clone(),
            kind: object.kind,
            id: object.id.clone(),
            body,
            update: true,
            differences,
            alternatives: if is_new { self.alternatives(object) } else { vec![] },
        }
    }

    /// What Azure holds with what is ours over it, without the tags that an earlier spec set.
    fn over_observed(&self, object: &DesiredObject) -> Value {
        let Some(have) = self.have(object) else {
            return object.body.clone();
        };
        let mut body = merged(object.kind, &object.body, have);
        let stale = self.stale_tags(object, have);
        if let Some(tags) = body.get_mut("tags").and_then(Value::as_object_mut) {
            tags.retain(|key, _| !stale.contains(key));
        }
        body
    }

    /// Whether a book is written again when the first server is back, and until then tells all that there is to tell.
    fn is_rewritten_anyway(&self, object: &DesiredObject, servers: &Servers) -> bool {
        fn texts<'v>(value: &'v Value, found: &mut HashSet<&'v str>) {
            match value {
                Value::Object(map) => map.values().for_each(|item| texts(item, found)),
                Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
                Value::String(text) => {
                    found.insert(text);
                }
                _ => {}
            }
        }
        if servers.replaced.is_empty() || !servers.missing.is_empty() {
            return false;
        }
        let Some(have) = self.have(object) else { return false };
        let mut told = HashSet::new();
        texts(have, &mut told);
        let addresses = self.desired.slots.iter().map(|slot| self.observed.addresses.get(slot));
        addresses.into_iter().all(|address| address.is_some_and(|a| told.contains(a.as_str())))
    }

    /// Writes an address book again, after the server of this slot came back with a new address.
    pub(super) fn rewrite(&self, object: &DesiredObject, slot: u32) -> Action {
        let body = self.over_observed(object);
        let address = output(&object::address(slot), "/privateIp");
        let difference = Difference {
            path: format!("address of server {slot}"),
            observed: json!(self.observed.addresses.get(&slot)),
            desired: address,
            effect: Effect::InPlace,
        };
        Action::Put {
            object: object.name.clone(),
            kind: object.kind,
            id: object.id.clone(),
            body,
            update: true,
            differences: vec![difference],
            alternatives: vec![],
        }
    }

    fn alternatives(&self, object: &DesiredObject) -> Vec<Place> {
        match object.slot {
            Some(slot) if object.kind == Kind::ScaleSet => alternatives(slot, self.spec),
            _ => vec![],
        }
    }
}
