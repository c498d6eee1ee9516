//! Spec -> desired: every Azure object that a cluster is made of, with its body and what it needs first.

mod compute;
mod encryption;
mod images;
mod network;
mod private;
mod shared;
mod storage;

pub use network::PRIVATE_ENDPOINT_ADDRESS;
pub(crate) use network::balancer_addresses;
pub(crate) use private::is_closed;
pub use storage::KEPT_DAYS;
pub(crate) use storage::role_of_servers;
pub(crate) use storage::{SHARED_CONTAINERS, SHARED_STATUS};

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::arm::{ArmId, Kind};
use crate::given_group;
use crate::names::{CLUSTER_TAG, GIVEN_TAG, INCARNATION_TAG, Names, SLOT_TAG};
use crate::observed::Observed;
use crate::placement::{Place, alternatives, place_of};
use crate::plan::{MAX_SLOTS, has_failed};
use crate::reference::point;
use crate::spec::{ClusterSpec, LockLevel, ZoneFallback};
use crate::tags;

/// Logical names of the objects that there is one of.
pub mod object {
    /// Managed resource group.
    pub const RESOURCE_GROUP: &str = "resource_group";
    /// Lock on it.
    pub const LOCK: &str = "lock";
    /// Network security group.
    pub const SECURITY_GROUP: &str = "network_security_group";
    /// NAT gateway's public IP.
    pub const NAT_IP: &str = "nat_public_ip";
    /// NAT gateway.
    pub const NAT_GATEWAY: &str = "nat_gateway";
    /// Virtual network.
    pub const VNET: &str = "virtual_network";
    /// Internal load balancer.
    pub const LOAD_BALANCER: &str = "load_balancer";
    /// Private DNS zone.
    pub const DNS_ZONE: &str = "dns_zone";
    /// Link of the zone to the network.
    pub const DNS_LINK: &str = "dns_link";
    /// The record that lists all servers.
    pub const DNS_RECORD: &str = "dns_record_consul";
    /// Public IP of the external endpoint.
    pub const ENDPOINT_IP: &str = "endpoint_public_ip";
    /// Load balancer of the external endpoint.
    pub const ENDPOINT: &str = "endpoint_load_balancer";
    /// Storage account.
    pub const STORAGE_ACCOUNT: &str = "storage_account";
    /// What the account says of all its blobs.
    pub const BLOB_SERVICE: &str = "blob_service";
    /// The account's private endpoint.
    pub const PRIVATE_ENDPOINT: &str = "private_endpoint_blob";
    /// The cluster's own zone for the account's private address.
    pub const STORAGE_ZONE: &str = "dns_zone_blob";
    /// Link of it to the servers' network.
    pub const STORAGE_ZONE_LINK: &str = "dns_link_blob";
    /// Which zone tells the account's private address.
    pub const STORAGE_ZONE_GROUP: &str = "dns_zone_group_blob";
    /// What leads to the account where it is closed to the public.
    pub(crate) const PRIVATE_WAY: [&str; 4] =
        [PRIVATE_ENDPOINT, STORAGE_ZONE, STORAGE_ZONE_LINK, STORAGE_ZONE_GROUP];
    /// Identity that all servers share.
    pub const SHARED_IDENTITY: &str = "identity_servers";

    /// A server's scale set.
    pub fn server(slot: u32) -> String {
        format!("server_{slot}")
    }

    /// A server's identity.
    pub fn server_identity(slot: u32) -> String {
        format!("identity_server_{slot}")
    }

    /// A server's own record.
    pub fn server_record(slot: u32) -> String {
        format!("dns_record_server_{slot}")
    }

    /// A blob container.
    pub fn container(name: &str) -> String {
        format!("container_{}", name.replace('-', "_"))
    }

    /// Start of the names that [`address`] gives.
    pub(crate) const ADDRESS_PREFIX: &str = "address_server_";

    /// Pseudo object whose output is a server's private address.
    pub fn address(slot: u32) -> String {
        format!("{ADDRESS_PREFIX}{slot}")
    }
}

/// One Azure object as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredObject {
    /// Logical name, the key in `azure_resources`.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// Its id.
    pub id: ArmId,
    /// [`ArmId::key`] of it.
    pub key: String,
    /// Its place in the order of the logical names.
    pub number: usize,
    /// Its body: owned properties only, with references ([`crate::reference`]).
    pub body: Value,
    /// Logical names that must exist first.
    pub needs: Vec<String>,
    /// The server it belongs to.
    pub slot: Option<u32>,
    /// Where a server belongs, and the subnet there, though it may be elsewhere; only of scale sets.
    pub declared: Option<(Place, ArmId)>,
}

/// Everything that a spec implies in Azure, by logical name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// The objects.
    pub objects: BTreeMap<String, DesiredObject>,
    /// Slots of the servers.
    pub slots: Vec<u32>,
}

impl Desired {
    /// What `spec` implies, with every server where it belongs.
    pub fn new(spec: &ClusterSpec) -> Self {
        Self::for_world(spec, &Observed::default())
    }

    /// What `spec` implies in this world: a server that found room somewhere else, as the spec allows, stays there.
    pub fn for_world(spec: &ClusterSpec, observed: &Observed) -> Self {
        let mut builder = Builder::new(spec, observed, BTreeMap::new());
        builder.groups();
        network::build(&mut builder);
        storage::build(&mut builder);
        private::build(&mut builder);
        for slot in 0..spec.server_count {
            compute::build(&mut builder, slot);
        }
        network::build_addresses(&mut builder);
        let mut desired =
            Self { objects: builder.objects, slots: (0..spec.server_count).collect() };
        desired.number();
        desired
    }

    fn number(&mut self) {
        for (number, object) in self.objects.values_mut().enumerate() {
            object.number = number;
        }
    }

    /// Adds one more server for a while: its objects, without anything that tells clients of it.
    pub(crate) fn add_helper(&mut self, spec: &ClusterSpec, slot: u32) {
        let nothing = Observed::default();
        let mut builder = Builder::new(spec, &nothing, std::mem::take(&mut self.objects));
        compute::build(&mut builder, slot);
        self.objects = builder.objects;
        self.number();
    }

    /// An object by its id.
    pub fn by_id(&self, id: &ArmId) -> Option<&DesiredObject> {
        self.objects.values().find(|object| object.id == *id)
    }

    /// How many role assignments the cluster takes of its subscription's 4,000.
    pub fn role_assignment_count(&self) -> usize {
        self.objects.values().filter(|object| object.kind == Kind::RoleAssignment).count()
    }
}

/// What objects that exist give to those that refer to them, by logical name: bodies, and `privateIp` of the servers.
/// Servers that only help, or go, are part of it.
pub fn outputs(spec: &ClusterSpec, observed: &Observed) -> BTreeMap<String, Value> {
    let names = Names::new(spec);
    let mut outputs: BTreeMap<String, Value> = Desired::new(spec)
        .objects
        .into_values()
        .filter_map(|object| Some((object.name, observed.objects.get(&object.key)?.clone())))
        .collect();
    for slot in spec.server_count..MAX_SLOTS {
        let extra = [
            (object::server_identity(slot), names.server_identity(slot)),
            (object::server(slot), names.scale_set(slot)),
        ];
        let found =
            extra.into_iter().filter_map(|(name, id)| Some((name, observed.object(&id)?.clone())));
        outputs.extend(found);
    }
    for (slot, address) in &observed.addresses {
        outputs.insert(object::address(*slot), json!({ "privateIp": address }));
    }
    outputs
}

/// The zone and size of a server's body in ARM, observed or desired.
pub fn place_in(body: &Value) -> Place {
    let text = |pointer: &str| point(body, pointer).and_then(Value::as_str).map(str::to_owned);
    Place { zone: text("/zones/0"), vm_size: text("/sku/name").unwrap_or_default() }
}

/// The body of a server's scale set as it would be at another place, in the cluster's subnet there.
pub fn moved_to(body: &Value, place: &Place, names: &Names) -> Value {
    moved_into(body, place, &names.subnet_in(place.zone.as_deref()))
}

/// The same with the subnet by its id.
pub(crate) fn moved_into(body: &Value, place: &Place, subnet_id: &ArmId) -> Value {
    let mut body = body.clone();
    compute::set_place(&mut body, place, subnet_id);
    body
}

/// An element of a named list. `json!` would copy the properties; this takes them.
fn named(name: &str, properties: Value) -> Value {
    let mut element = json!({ "name": name });
    element["properties"] = properties;
    element
}

/// Collects the objects of one cluster.
struct Builder<'a> {
    spec: &'a ClusterSpec,
    observed: &'a Observed,
    names: Names,
    objects: BTreeMap<String, DesiredObject>,
}

impl<'a> Builder<'a> {
    fn new(
        spec: &'a ClusterSpec,
        observed: &'a Observed,
        objects: BTreeMap<String, DesiredObject>,
    ) -> Self {
        Self { spec, observed, names: Names::new(spec), objects }
    }

    /// Where the server of this slot is to be: where it is, if the spec allows that, else where it belongs.
    fn place(&self, slot: u32) -> Place {
        let own = place_of(slot, self.spec);
        if self.spec.zone_fallback == ZoneFallback::Strict {
            return own;
        }
        let Some(have) = self.observed.object(&self.names.scale_set(slot)) else { return own };
        // One that never came up is tried at its own place first.
        if has_failed(have) && !self.observed.has_spoken(slot, have) {
            return own;
        }
        let have = place_in(have);
        // Where it was declared before it is not because it found room there: it follows the declaration.
        let stored = self.observed.stored_spec.as_ref();
        let was_declared = stored.is_some_and(|spec| place_of(slot, spec) == have);
        if !was_declared && alternatives(slot, self.spec).contains(&have) { have } else { own }
    }

    /// Tags of an object: those of the user's that its type takes, then ours, which win.
    fn tags(&self, kind: Kind, slot: Option<u32>) -> Value {
        let mut tags = Map::new();
        for (key, value) in tags::of_kind(kind, &self.spec.tags) {
            tags.insert(key.clone(), Value::String(value.clone()));
        }
        tags.insert(CLUSTER_TAG.into(), Value::String(self.names.uid.clone()));
        if let Some(slot) = slot {
            tags.insert(SLOT_TAG.into(), Value::String(slot.to_string()));
        }
        Value::Object(tags)
    }

    /// Whether the cluster has a network of its own.
    fn has_network(&self) -> bool {
        self.spec.subnet_id.is_none()
    }

    /// Whether the cluster makes its identities, and gives them their roles.
    fn has_identities(&self) -> bool {
        self.spec.identities.is_none()
    }

    /// What an object in the servers' network needs first.
    fn network_needs(&self) -> &'static [&'static str] {
        if self.has_network() {
            &[object::RESOURCE_GROUP, object::VNET]
        } else {
            &[object::RESOURCE_GROUP]
        }
    }

    fn add(&mut self, name: impl Into<String>, kind: Kind, id: ArmId, body: Value, needs: &[&str]) {
        self.add_for_slot(name, kind, id, body, needs, None);
    }

    fn add_for_slot(
        &mut self,
        name: impl Into<String>,
        kind: Kind,
        id: ArmId,
        mut body: Value,
        needs: &[&str],
        slot: Option<u32>,
    ) {
        let name = name.into();
        if kind.has_tags() {
            body["tags"] = self.tags(kind, slot);
        }
        let needs = needs.iter().map(|need| (*need).to_owned()).collect();
        let key = id.key();
        let declared = slot.filter(|_| kind == Kind::ScaleSet).map(|slot| {
            let place = place_of(slot, self.spec);
            let subnet_id = self.names.subnet_in(place.zone.as_deref());
            (place, subnet_id)
        });
        let name_of = name.clone();
        let object = DesiredObject { name, kind, id, key, number: 0, body, needs, slot, declared };
        self.objects.insert(name_of, object);
    }

    fn groups(&mut self) {
        let group = self.names.cluster_id.clone();
        // A group lies anywhere; where a given one lies is not ours to say.
        let is_given = given_group::is_given(&self.names, self.observed);
        let own = self.observed.object(&group).and_then(|group| group.get("location")?.as_str());
        let location = own.filter(|_| is_given).unwrap_or(&self.spec.location).to_owned();
        self.add(
            object::RESOURCE_GROUP,
            Kind::ResourceGroup,
            group,
            json!({ "location": location }),
            &[],
        );
        let incarnation = self.observed.incarnation_id(&self.names.cluster_id);
        if let (Some(incarnation), Some(group)) =
            (incarnation, self.objects.get_mut(object::RESOURCE_GROUP))
        {
            group.body["tags"][INCARNATION_TAG] = json!(incarnation);
        }
        if let (true, Some(group)) = (is_given, self.objects.get_mut(object::RESOURCE_GROUP)) {
            group.body["tags"][GIVEN_TAG] = json!("true");
        }
        if self.spec.lock == LockLevel::CanNotDelete {
            let notes = "Made by hcs: a Consul cluster lives here. terraform destroy removes it.";
            self.add(
                object::LOCK,
                Kind::Lock,
                self.names.lock(),
                json!({ "properties": { "level": "CanNotDelete", "notes": notes } }),
                &[object::RESOURCE_GROUP],
            );
        }
    }
}
