//! What the cluster has and no longer wants: found by tag and by deterministic id, never anything else. Servers leave
//! one at a time, highest slot first, before their VMs go.

use serde_json::Value;

use super::{MAX_SLOTS, Planner};
use crate::arm::{ArmId, Kind};
use crate::dataplane::{RequestAction, container};
use crate::desired::object;
use crate::names::{CLUSTER_TAG, SLOT_TAG};
use crate::plan::Action;

/// An object of this cluster that the spec no longer wants.
pub(super) struct Orphan {
    /// Its type.
    pub(super) kind: Kind,
    /// Its id.
    pub(super) id: ArmId,
    /// The server it belonged to.
    pub(super) slot: Option<u32>,
}

impl Planner<'_> {
    /// Objects of this cluster that the spec no longer wants.
    pub(super) fn orphans(&self) -> Vec<Orphan> {
        let mut orphans = Vec::new();
        for body in self.observed.objects.values() {
            let Some(id) = body.get("id").and_then(Value::as_str).map(ArmId::new) else { continue };
            if self.desired.by_id(&id).is_some() {
                continue;
            }
            if let Some((kind, slot)) = self.classify(&id, body) {
                orphans.push(Orphan { kind, id, slot });
            }
        }
        orphans
    }

    /// Kind and slot of an object that is ours; `None` for anything that we must not touch.
    pub(super) fn classify(&self, id: &ArmId, body: &Value) -> Option<(Kind, Option<u32>)> {
        let tag = |name: &str| body.pointer(&format!("/tags/{name}")).and_then(Value::as_str);
        if tag(CLUSTER_TAG) == Some(self.names.uid.as_str()) {
            let slot = tag(SLOT_TAG).and_then(|slot| slot.parse().ok());
            let kind =
                [Kind::ScaleSet, Kind::Identity].into_iter().find(|kind| kind_of(id, *kind))?;
            return slot.map(|slot| (kind, Some(slot)));
        }
        if *id == self.names.lock() {
            return Some((Kind::Lock, None));
        }
        // Untagged objects are ours when their deterministic id is that of a slot we may have had, or of a past peer.
        let past = self.observed.stored_spec.as_ref();
        for slot in self.spec.server_count..MAX_SLOTS {
            let containers = [container::secrets(slot), container::status(slot)];
            if containers.iter().any(|name| self.names.container(name) == *id) {
                return Some((Kind::BlobContainer, Some(slot)));
            }
            if self.names.dns_record(&format!("server-{slot}")) == *id {
                return Some((Kind::PrivateDnsRecord, Some(slot)));
            }
            let scopes = containers.map(|name| self.names.container(&name));
            if kind_of(id, Kind::RoleAssignment) && scopes.iter().any(|scope| id.is_within(scope)) {
                return Some((Kind::RoleAssignment, Some(slot)));
            }
        }
        let peers = past.map(|spec| spec.peer_vnet_ids.as_slice()).unwrap_or_default();
        let is_peering = peers
            .iter()
            .any(|peer| self.names.peering_out(peer) == *id || self.names.peering_in(peer) == *id);
        is_peering.then_some((Kind::Peering, None))
    }

    /// Scale-down and leftovers: highest slot first, each server leaves before its VM goes.
    pub(super) fn removals(&mut self, orphans: &[Orphan]) {
        let mut servers: Vec<&Orphan> =
            orphans.iter().filter(|orphan| orphan.kind == Kind::ScaleSet).collect();
        servers.sort_by_key(|orphan| std::cmp::Reverse(orphan.slot));
        let mut present: Vec<u32> = self.present_slots();
        let mut previous: Option<String> = None;
        for orphan in servers {
            let Some(slot) = orphan.slot else { continue };
            present.retain(|other| *other != slot);
            let leave = format!("leave server_{slot}");
            let action = Action::Ask {
                slot,
                node_name: self.names.server(slot),
                request: RequestAction::Leave,
                remaining: self.node_names(&present),
            };
            self.draft.add(&leave, action, Some(slot));
            let delete = format!("delete server_{slot}");
            self.draft.add(&delete, delete_action(orphan), Some(slot));
            self.draft.edge(&leave, &delete);
            self.draft.edge("write cluster document", &leave);
            // Clients stop asking a server before it goes.
            self.draft.edge(&format!("update {}", object::DNS_RECORD), &leave);
            if let Some(previous) = &previous {
                self.draft.edge(previous, &leave);
            }
            previous = Some(delete);
        }
        for orphan in orphans.iter().filter(|orphan| orphan.kind != Kind::ScaleSet) {
            if orphan.kind == Kind::Lock {
                continue;
            }
            let id = format!("delete {}", leftover_name(orphan));
            self.draft.add(&id, delete_action(orphan), orphan.slot);
            if let Some(slot) = orphan.slot {
                self.draft.edge(&format!("delete server_{slot}"), &id);
            }
        }
    }

    pub(super) fn present_slots(&self) -> Vec<u32> {
        let wanted = self.desired.slots.iter().copied();
        let extra = (self.spec.server_count..MAX_SLOTS)
            .filter(|slot| self.observed.object(&self.names.scale_set(*slot)).is_some());
        wanted.chain(extra).collect()
    }

    pub(super) fn node_names(&self, slots: &[u32]) -> Vec<String> {
        let mut names: Vec<String> = slots.iter().map(|slot| self.names.server(*slot)).collect();
        names.sort();
        names
    }
}

fn kind_of(id: &ArmId, kind: Kind) -> bool {
    let marker = format!("/providers/{}/", kind.resource_type()).to_lowercase();
    let key = id.key();
    key.rfind("/providers/").is_some_and(|at| key[at..].starts_with(&marker))
}

fn delete_action(orphan: &Orphan) -> Action {
    let reason = orphan.slot.map_or_else(
        || "the configuration no longer asks for it".to_owned(),
        |slot| format!("the cluster no longer has a slot {slot}"),
    );
    Action::Delete { kind: orphan.kind, id: orphan.id.clone(), reason }
}

fn leftover_name(orphan: &Orphan) -> String {
    let kind = match orphan.kind {
        Kind::Identity => "identity",
        Kind::BlobContainer => "container",
        Kind::RoleAssignment => "role assignment",
        Kind::PrivateDnsRecord => "dns record",
        Kind::Peering => "peering",
        _ => "object",
    };
    format!("{kind} {}", orphan.id.name())
}
