//! What the cluster has and no longer wants: found by tag and by deterministic id, never anything else.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::look::is_going;
use super::{MAX_SLOTS, Planner, Servers};
use crate::arm::{ArmId, Kind};
use crate::dataplane::container;
use crate::desired::{Desired, object};
use crate::names::{CLUSTER_TAG, SLOT_TAG};
use crate::plan::Action;
use crate::plan::graph::StepRef;
use crate::reach::{StorageAccess, StorageZone};
use crate::reference::point;

/// An object of this cluster that the spec no longer wants.
pub(super) struct Orphan {
    /// Its type.
    pub(super) kind: Kind,
    /// Its id.
    pub(super) id: ArmId,
    /// The server it belonged to.
    pub(super) slot: Option<u32>,
    /// Its logical name, as when it was made; what has none is told by its type.
    name: String,
}

impl Planner<'_> {
    /// Objects of this cluster that the spec no longer wants.
    pub(super) fn orphans(&self) -> Vec<Orphan> {
        let ours = self.others.iter().filter_map(|(key, body)| {
            let id = body.get("id").and_then(Value::as_str).map(ArmId::new)?;
            let (kind, slot) = self.classify(&id, body)?;
            Some((*key, kind, id, slot))
        });
        let ours: Vec<(&String, Kind, ArmId, Option<u32>)> = ours.collect();
        let slots = ours.iter().filter_map(|(.., slot)| *slot).collect();
        let mut known = self.logical_names(slots);
        let named = ours.into_iter().map(|(key, kind, id, slot)| {
            let name = known.remove(key).unwrap_or_else(|| type_and_name(kind, &id));
            Orphan { kind, id, slot, name }
        });
        let mut orphans: Vec<Orphan> = named.collect();
        // What tells an endpoint's address goes with it.
        let endpoint = self.names.private_endpoint();
        let goes = orphans.iter().any(|orphan| orphan.id == endpoint);
        orphans.retain(|orphan| !goes || orphan.kind != Kind::PrivateDnsZoneGroup);
        orphans
    }

    /// Logical names of what these slots had, and of what else comes and goes, by key.
    fn logical_names(&self, slots: BTreeSet<u32>) -> BTreeMap<String, String> {
        let mut past = Desired::default();
        let mut names = BTreeMap::from([
            (self.names.endpoint().key(), object::ENDPOINT.to_owned()),
            (self.names.endpoint_ip().key(), object::ENDPOINT_IP.to_owned()),
        ]);
        let ways = self.ways().into_iter().map(|(_, id, name)| (id.key(), name.to_owned()));
        names.extend(ways);
        for slot in slots {
            past.add_helper(self.spec, slot);
            let record = self.names.dns_record(&format!("server-{slot}"));
            names.insert(record.key(), object::server_record(slot));
        }
        names.extend(past.objects.into_values().map(|object| (object.key, object.name)));
        names
    }

    /// What a cluster has or has not, as it is declared: the way out, and the private way to its account.
    fn ways(&self) -> [(Kind, ArmId, &'static str); 6] {
        let names = &self.names;
        [
            (Kind::NatGateway, names.nat_gateway(), object::NAT_GATEWAY),
            (Kind::PublicIpAddress, names.nat_ip(), object::NAT_IP),
            (Kind::PrivateEndpoint, names.private_endpoint(), object::PRIVATE_ENDPOINT),
            (Kind::PrivateDnsZone, names.own_storage_zone(), object::STORAGE_ZONE),
            (Kind::PrivateDnsLink, names.storage_zone_link(), object::STORAGE_ZONE_LINK),
            (Kind::PrivateDnsZoneGroup, names.storage_zone_group(), object::STORAGE_ZONE_GROUP),
        ]
    }

    /// Kind and slot of an object that is ours; `None` for anything that we must not touch.
    pub(super) fn classify(&self, id: &ArmId, body: &Value) -> Option<(Kind, Option<u32>)> {
        let tag = |name: &str| body.get("tags")?.get(name)?.as_str();
        if tag(CLUSTER_TAG) == Some(self.names.uid.as_str()) {
            for (kind, own) in [
                (Kind::LoadBalancer, self.names.endpoint()),
                (Kind::PublicIpAddress, self.names.endpoint_ip()),
            ] {
                if own == *id {
                    return Some((kind, None));
                }
            }
            if let Some((kind, ..)) = self.ways().into_iter().find(|(_, own, _)| own == id) {
                return Some((kind, None));
            }
            // The name of a link follows from the network that it links.
            let network = point(body, "/properties/virtualNetwork/id").and_then(Value::as_str);
            if network.is_some_and(|network| self.names.dns_link_of(&ArmId::new(network)) == *id) {
                return Some((Kind::PrivateDnsLink, None));
            }
            let slot = tag(SLOT_TAG).and_then(|slot| slot.parse().ok());
            let kind =
                [Kind::ScaleSet, Kind::Identity].into_iter().find(|kind| kind_of(id, *kind))?;
            return slot.map(|slot| (kind, Some(slot)));
        }
        if self.observed.own_locks(&self.names).contains(id) {
            return Some((Kind::Lock, None));
        }
        // One of that name is somebody else's where ours was never declared.
        let had_group = self.observed.stored_spec.as_ref().is_some_and(|stored| {
            stored.storage_access == StorageAccess::PrivateEndpoint
                && stored.storage_zone != StorageZone::None
        });
        if had_group && self.names.storage_zone_group() == *id {
            return Some((Kind::PrivateDnsZoneGroup, None));
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

    fn is_going(&self, id: &ArmId) -> bool {
        self.observed.object(id).is_some_and(is_going)
    }

    /// Nobody tells an endpoint that goes of new addresses: it goes before the first server does.
    fn before_servers_go(&mut self, delete: StepRef) {
        let goes = |action: &Action| {
            matches!(action, Action::Ask { .. } | Action::Delete { kind: Kind::ScaleSet, .. })
        };
        let refs = self.draft.refs();
        let going: Vec<StepRef> =
            refs.filter(|(_, step)| goes(&step.action)).map(|(at, _)| at).collect();
        for step in going {
            self.draft.edge(delete, step);
        }
    }

    /// What a server leaves behind, and what else is no longer wanted.
    pub(super) fn leftovers(&mut self, servers: &Servers, orphans: &[Orphan]) {
        let helpers = self
            .desired
            .objects
            .values()
            .filter(|object| servers.helper.is_some() && object.slot == servers.helper)
            .map(|object| Orphan {
                kind: object.kind,
                id: object.id.clone(),
                slot: object.slot,
                name: object.name.clone(),
            });
        let helpers: Vec<Orphan> = helpers.collect();
        let mut deletes: Vec<(Kind, ArmId, StepRef)> = Vec::new();
        for orphan in orphans.iter().chain(&helpers) {
            if let (Kind::ScaleSet, Some(slot)) = (orphan.kind, orphan.slot) {
                // The others have had their turn.
                if self.is_going(&orphan.id) || self.situation.is_void(slot) {
                    let name = object::server(slot);
                    self.finish_delete(orphan.kind, &orphan.id, &name, Some(slot));
                }
                continue;
            }
            if orphan.kind == Kind::Lock {
                continue;
            }
            let id = format!("delete {}", orphan.name);
            let reason = orphan.slot.map_or_else(
                || "the configuration no longer asks for it".to_owned(),
                |slot| format!("the cluster no longer has a slot {slot}"),
            );
            let action = Action::Delete { kind: orphan.kind, id: orphan.id.clone(), reason };
            let delete = self.draft.add(id, action, orphan.slot);
            deletes.push((orphan.kind, orphan.id.clone(), delete));
            if orphan.kind == Kind::LoadBalancer {
                self.before_servers_go(delete);
            }
            // No subnet leads to it any more.
            if let (Kind::NatGateway, Some(network)) = (orphan.kind, self.written(object::VNET)) {
                self.draft.edge(network, delete);
            }
            // As long as nobody else tells the account's address, this one does.
            let told = self.written(object::STORAGE_ZONE_GROUP);
            if let (Some(told), true) = (told, orphan.id.is_within(&self.names.own_storage_zone()))
            {
                self.draft.edge(told, delete);
            }
            if let Some(slot) = orphan.slot {
                self.draft.edge_from(&format!("delete server_{slot}"), delete);
            }
        }
        for (kind, id, delete) in &deletes {
            for (other_kind, other, before) in &deletes {
                // A role goes before the container it is on, and a balancer before its address.
                let waits = match (kind, other_kind) {
                    (Kind::BlobContainer, Kind::RoleAssignment) => other.is_within(id),
                    (Kind::PublicIpAddress, Kind::LoadBalancer | Kind::NatGateway) => true,
                    (Kind::PrivateDnsZone, Kind::PrivateDnsLink) => other.is_within(id),
                    (Kind::PrivateDnsZone, Kind::PrivateDnsZoneGroup | Kind::PrivateEndpoint) => {
                        true
                    }
                    _ => false,
                };
                if waits {
                    self.draft.edge(*before, *delete);
                }
            }
        }
    }
}

fn kind_of(id: &ArmId, kind: Kind) -> bool {
    let marker = format!("/providers/{}/", kind.resource_type()).to_lowercase();
    let key = id.key();
    key.rfind("/providers/").is_some_and(|at| key[at..].starts_with(&marker))
}

fn type_and_name(kind: Kind, id: &ArmId) -> String {
    let words = match kind {
        Kind::RoleAssignment => "role assignment",
        Kind::Peering => "peering",
        Kind::PrivateDnsLink => "link",
        _ => "object",
    };
    match id.parent() {
        // Both sides of a peering, and the far sides of all peerings, may have the same name.
        Some(network) if kind == Kind::Peering => {
            format!("{words} {} of {}", id.name(), network.name())
        }
        _ => format!("{words} {}", id.name()),
    }
}
