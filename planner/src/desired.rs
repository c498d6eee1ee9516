//! Spec -> desired: every Azure object that a cluster is made of, with its body and what it needs first.

mod compute;
mod network;
mod storage;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::arm::{ArmId, Kind};
use crate::names::{CLUSTER_TAG, Names, SLOT_TAG};
use crate::spec::{ClusterSpec, LockLevel};

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
    /// Storage account.
    pub const STORAGE_ACCOUNT: &str = "storage_account";
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

    /// Pseudo object whose output is a server's private address.
    pub fn address(slot: u32) -> String {
        format!("address_server_{slot}")
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
    /// Its body: owned properties only, with references ([`crate::reference`]).
    pub body: Value,
    /// JSON pointers into the body that count at creation only and are never compared.
    pub create_only: &'static [&'static str],
    /// Logical names that must exist first.
    pub needs: Vec<String>,
    /// The server it belongs to.
    pub slot: Option<u32>,
}

/// Everything that a spec implies in Azure, by logical name.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The objects.
    pub objects: BTreeMap<String, DesiredObject>,
    /// Slots of the servers.
    pub slots: Vec<u32>,
}

impl Desired {
    /// What `spec` implies.
    pub fn new(spec: &ClusterSpec) -> Self {
        let mut builder = Builder::new(spec);
        builder.groups();
        network::build(&mut builder);
        storage::build(&mut builder);
        for slot in 0..spec.server_count {
            compute::build(&mut builder, slot);
        }
        network::build_records(&mut builder);
        Self { objects: builder.objects, slots: (0..spec.server_count).collect() }
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

/// Collects the objects of one cluster.
struct Builder<'a> {
    spec: &'a ClusterSpec,
    names: Names,
    objects: BTreeMap<String, DesiredObject>,
}

impl<'a> Builder<'a> {
    fn new(spec: &'a ClusterSpec) -> Self {
        Self { spec, names: Names::new(spec), objects: BTreeMap::new() }
    }

    /// Tags of an object: the user's, then ours, which win.
    fn tags(&self, slot: Option<u32>) -> Value {
        let mut tags = self.spec.tags.clone();
        tags.insert(CLUSTER_TAG.into(), self.names.uid.clone());
        if let Some(slot) = slot {
            tags.insert(SLOT_TAG.into(), slot.to_string());
        }
        json!(tags)
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
            body["tags"] = self.tags(slot);
        }
        let create_only = create_only(kind);
        let needs = needs.iter().map(|need| (*need).to_owned()).collect();
        let object = DesiredObject { name: name.clone(), kind, id, body, create_only, needs, slot };
        self.objects.insert(name, object);
    }

    fn groups(&mut self) {
        let group = self.names.cluster_id.clone();
        let location = self.spec.location.clone();
        self.add(
            object::RESOURCE_GROUP,
            Kind::ResourceGroup,
            group,
            json!({ "location": location }),
            &[],
        );
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

/// What counts at creation only: changing it would replace servers, or ARM never shows it again.
fn create_only(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::ScaleSet => &[
            "/properties/virtualMachineProfile/osProfile",
            "/properties/virtualMachineProfile/storageProfile/imageReference",
        ],
        _ => &[],
    }
}
