//! Every name and id of a cluster's objects, derived from its spec alone: the same spec always gives the same ids.

use std::collections::BTreeMap;

use sha1::{Digest, Sha1};
use sha2::Sha256;
use uuid::{Builder, Uuid};

use crate::arm::{ArmId, Kind};
use crate::reach::{StorageZone, private_link_zone};
use crate::roles::Identities;
use crate::spec::ClusterSpec;

/// Namespace of our deterministic GUIDs, itself made once at random.
const GUID_NAMESPACE: Uuid = Uuid::from_u128(0x6f0c_53b1_94a7_4d7e_8f1e_2a52_7d36_c0a4);

/// Tag that marks an object as part of a cluster; its value is [`cluster_uid`].
pub const CLUSTER_TAG: &str = "hcs-cluster";
/// Tag of the managed group that tells one cluster from an earlier or later one of the same id; its value is
/// [`crate::ownership::RunRecord::incarnation_id`].
pub const INCARNATION_TAG: &str = "hcs-incarnation";
/// Tag of a managed group that was there before the cluster: a destroy empties it and leaves it.
pub const GIVEN_TAG: &str = "hcs-group-given";
/// Tag that names the slot of a per-server object.
pub const SLOT_TAG: &str = "hcs-slot";
/// Tag of what was declared of an object where somebody else may set the same.
pub const DECLARED_TAG: &str = "hcs-declared";
/// Metadata of a server's DNS record: the `uniqueId` of the scale set whose address it holds.
pub const SERVER_METADATA: &str = "hcs-server";
/// Metadata of a record in a zone that others use, too: whose it is, as [`CLUSTER_TAG`] says it of what has tags.
pub const OWNER_METADATA: &str = CLUSTER_TAG;
/// The subnet of the servers.
pub const SUBNET: &str = "servers";
/// The record that lists all servers.
pub const CLUSTER_RECORD: &str = "consul";

/// After the cluster's name, the name of its private DNS zone.
const DNS_ZONE_SUFFIX: &str = ".hcs.internal";

/// Storage Blob Data Reader; id from Microsoft's list of built-in roles.
pub const ROLE_BLOB_READER: &str = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";
/// Storage Blob Data Contributor; id from Microsoft's list of built-in roles.
pub const ROLE_BLOB_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";

/// Storage Blob Data Owner; id from Microsoft's list of built-in roles.
pub const ROLE_BLOB_OWNER: &str = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b";

/// The domain in which public addresses of a region have their names. Each region belongs to one cloud, and the regions of
/// the sovereign ones say so (Microsoft's pages on endpoints of Azure Government and of Azure in China).
pub fn public_ip_domain(location: &str) -> &'static str {
    let (public, government, china) =
        ("cloudapp.azure.com", "cloudapp.usgovcloudapi.net", "cloudapp.chinacloudapi.cn");
    by_cloud(location, public, government, china)
}

/// What holds in the cloud of this region.
pub(crate) fn by_cloud<T>(location: &str, public: T, government: T, china: T) -> T {
    if ["usgov", "usdod"].iter().any(|start| location.starts_with(start)) {
        government
    } else if location.starts_with("china") {
        china
    } else {
        public
    }
}

/// A GUID that depends on `parts` alone, without case.
pub fn deterministic_guid(parts: &[&str]) -> String {
    let text = parts.join("\n").to_lowercase();
    let digest = Sha1::new_with_prefix(GUID_NAMESPACE).chain_update(text).finalize();
    // RFC 9562 §5.5, as `Uuid::new_v5` does; the processor's own SHA-1 is several times faster.
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_sha1_bytes(bytes).into_uuid().to_string()
}

/// Twelve hex digits that identify a cluster: value of the [`CLUSTER_TAG`], part of the storage account's name.
pub fn cluster_uid(cluster_id: &ArmId) -> String {
    hex(&Sha256::digest(cluster_id.key().as_bytes())[..6])
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Name of the managed group when the user gives none.
pub fn default_managed_group(resource_group: &str, cluster: &str) -> String {
    format!("{resource_group}-mrg-{cluster}")
}

/// The ARM id of the managed group, or `subscription/resource-group/name` for a cluster with the default one.
pub fn parse_cluster_id(text: &str) -> Result<ArmId, String> {
    let id = ArmId::new(text.trim());
    let parts: Vec<&str> = id.as_str().split('/').collect();
    match parts.as_slice() {
        ["", subscriptions, subscription, groups, group]
            if subscriptions.eq_ignore_ascii_case("subscriptions")
                && groups.eq_ignore_ascii_case("resourceGroups") =>
        {
            Ok(ArmId::resource_group(subscription, group))
        }
        [subscription, group, name] if !subscription.is_empty() => {
            Ok(ArmId::resource_group(subscription, &default_managed_group(group, name)))
        }
        _ => Err(format!(
            "{text:?} is neither the id of a managed resource group \
             (/subscriptions/<id>/resourceGroups/<group>) nor <subscription id>/<resource \
             group>/<cluster name>."
        )),
    }
}

/// Storage account of a cluster: 3 to 24 lower-case letters and digits, unique in all of Azure.
pub fn storage_account_name(cluster_id: &ArmId) -> String {
    format!("hcs{}", cluster_uid(cluster_id))
}

/// Id of a cluster's storage account.
pub fn storage_account(cluster_id: &ArmId) -> ArmId {
    let name = storage_account_name(cluster_id);
    cluster_id.resource(Kind::StorageAccount.resource_type(), &name)
}

/// Id of a role assignment on `scope`; depends on the identity's id, so that it is known before the principal is.
pub fn role_assignment_id(scope: &ArmId, principal: &str, role: &str) -> ArmId {
    let name = deterministic_guid(&[scope.as_str(), principal, role]);
    scope.resource(Kind::RoleAssignment.resource_type(), &name)
}

/// Id of a built-in role, as role assignments of a subscription name it.
pub fn role_definition_id(subscription_id: &str, role: &str) -> String {
    format!(
        "/subscriptions/{subscription_id}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    )
}

fn server_suffix(slot: u32) -> String {
    format!("-server-{slot}")
}

/// Names and ids of one cluster.
#[derive(Clone, Debug)]
pub struct Names {
    /// The managed group, which is the cluster's id.
    pub cluster_id: ArmId,
    /// See [`cluster_uid`].
    pub uid: String,
    name: String,
    location: String,
    storage_account: ArmId,
    /// What the containers are children of.
    blob_service: ArmId,
    own_subnet: Option<ArmId>,
    zone_subnets: BTreeMap<String, ArmId>,
    shared_zone: Option<ArmId>,
    lock_name: String,
    storage_zone: StorageZone,
    identities: Option<Identities>,
}

impl Names {
    /// Names of the cluster that `spec` declares.
    pub fn new(spec: &ClusterSpec) -> Self {
        let cluster_id =
            ArmId::resource_group(&spec.subscription_id, &spec.managed_resource_group_name);
        let uid = cluster_uid(&cluster_id);
        let storage_account = storage_account(&cluster_id);
        Self {
            blob_service: storage_account.child("blobServices", "default"),
            storage_account,
            cluster_id,
            uid,
            name: spec.name.clone(),
            location: spec.location.clone(),
            own_subnet: spec.subnet_id.clone(),
            zone_subnets: spec.zone_subnet_ids.clone(),
            shared_zone: spec.private_dns_zone_id.clone(),
            lock_name: spec.lock_name.clone(),
            storage_zone: spec.storage_zone.clone(),
            identities: spec.identities.clone(),
        }
    }

    /// An object in the managed group whose name is the cluster's with `suffix`.
    fn own(&self, kind: Kind, suffix: &str) -> ArmId {
        self.cluster_id.resource(kind.resource_type(), &[&self.name, suffix].concat())
    }

    /// Network security group of the subnet.
    pub fn security_group(&self) -> ArmId {
        self.own(Kind::NetworkSecurityGroup, "-nsg")
    }

    /// Public IP of the NAT gateway.
    pub fn nat_ip(&self) -> ArmId {
        self.own(Kind::PublicIpAddress, "-nat-ip")
    }

    /// NAT gateway.
    pub fn nat_gateway(&self) -> ArmId {
        self.own(Kind::NatGateway, "-nat")
    }

    /// Virtual network of the servers: the cluster's own, or that of the user's subnet.
    pub fn vnet(&self) -> ArmId {
        let users = self.own_subnet.as_ref().and_then(ArmId::parent);
        users.unwrap_or_else(|| self.own(Kind::VirtualNetwork, "-vnet"))
    }

    /// Subnet of the load balancer, of the private endpoint, and of the servers whose zone has none of its own: the
    /// cluster's own, or the user's.
    pub fn subnet(&self) -> ArmId {
        self.own_subnet.clone().unwrap_or_else(|| self.vnet().child("subnets", SUBNET))
    }

    /// Subnet of a server in this zone, or outside of any.
    pub fn subnet_in(&self, zone: Option<&str>) -> ArmId {
        let own = zone.and_then(|zone| self.zone_subnets.get(zone));
        own.cloned().unwrap_or_else(|| self.subnet())
    }

    /// Public IP of the external endpoint.
    pub fn endpoint_ip(&self) -> ArmId {
        self.own(Kind::PublicIpAddress, "-endpoint-ip")
    }

    /// Load balancer of the external endpoint.
    pub fn endpoint(&self) -> ArmId {
        self.own(Kind::LoadBalancer, "-endpoint")
    }

    /// Label of the external endpoint's name in Azure's public DNS: unique in a region.
    pub fn endpoint_label(&self) -> String {
        format!("{}-{}", self.name, self.uid)
    }

    /// The external endpoint's name in Azure's public DNS.
    pub fn endpoint_name(&self) -> String {
        let domain = public_ip_domain(&self.location);
        format!("{}.{}.{domain}", self.endpoint_label(), self.location)
    }

    /// Internal load balancer.
    pub fn load_balancer(&self) -> ArmId {
        self.own(Kind::LoadBalancer, "-lb")
    }

    /// The domain in which all names of the cluster end: its own zone, or its part of a shared one.
    pub fn dns_domain(&self) -> String {
        match &self.shared_zone {
            Some(zone) => [&self.name, ".", zone.name()].concat(),
            None => [&self.name, DNS_ZONE_SUFFIX].concat(),
        }
    }

    /// Private DNS zone of the cluster's own.
    pub fn dns_zone(&self) -> ArmId {
        self.own(Kind::PrivateDnsZone, DNS_ZONE_SUFFIX)
    }

    /// The zone of somebody else in which the cluster has its records, if it has no zone of its own.
    pub fn shared_zone(&self) -> Option<&ArmId> {
        self.shared_zone.as_ref()
    }

    /// What all of the cluster's record names end with in a shared zone, after a dot: many clusters fit into one zone.
    pub fn record_suffix(&self) -> &str {
        &self.name
    }

    /// Link of the zone to the cluster's network.
    pub fn dns_link(&self) -> ArmId {
        self.dns_zone().child("virtualNetworkLinks", "servers")
    }

    /// Link of the zone to a peer's network, where clients ask for the servers by name.
    pub fn dns_link_of(&self, peer: &ArmId) -> ArmId {
        self.dns_zone().child("virtualNetworkLinks", &peer_label(peer))
    }

    /// A records of one name below [`Self::dns_domain`].
    pub fn dns_record(&self, label: &str) -> ArmId {
        match &self.shared_zone {
            Some(zone) => zone.child("A", &[label, ".", self.record_suffix()].concat()),
            None => self.dns_zone().child("A", label),
        }
    }

    /// The name by which clients join: it lists all servers.
    pub fn join_name(&self) -> String {
        format!("{CLUSTER_RECORD}.{}", self.dns_domain())
    }

    /// Storage account, see [`storage_account_name`].
    pub fn storage_account(&self) -> ArmId {
        self.storage_account.clone()
    }

    /// The account's private endpoint.
    pub fn private_endpoint(&self) -> ArmId {
        self.own(Kind::PrivateEndpoint, "-blob")
    }

    /// Network interface of the account's private endpoint, which Azure makes and takes away with it.
    pub fn private_endpoint_interface(&self) -> ArmId {
        let name = [&self.name, "-blob-nic"].concat();
        self.cluster_id.resource("Microsoft.Network/networkInterfaces", &name)
    }

    /// Which zone tells the endpoint's address. An endpoint has one; the name is the portal's.
    pub fn storage_zone_group(&self) -> ArmId {
        self.private_endpoint().child("privateDnsZoneGroups", "default")
    }

    /// The cluster's own zone for the account's private address.
    pub fn own_storage_zone(&self) -> ArmId {
        let name = private_link_zone(&self.location);
        self.cluster_id.resource(Kind::PrivateDnsZone.resource_type(), &name)
    }

    /// The zone that tells the account's private address; none where somebody else sees to that.
    pub fn storage_zone(&self) -> Option<ArmId> {
        match &self.storage_zone {
            StorageZone::System => Some(self.own_storage_zone()),
            StorageZone::None => None,
            StorageZone::Existing(id) => Some(id.clone()),
        }
    }

    /// Link of the cluster's own zone of the account to the servers' network.
    pub fn storage_zone_link(&self) -> ArmId {
        self.own_storage_zone().child("virtualNetworkLinks", "servers")
    }

    /// What the account says of all its blobs.
    pub fn blob_service(&self) -> ArmId {
        self.blob_service.clone()
    }

    /// Blob container.
    pub fn container(&self, container: &str) -> ArmId {
        self.blob_service.child("containers", container)
    }

    /// Identity that all servers share.
    pub fn shared_identity(&self) -> ArmId {
        match &self.identities {
            Some(given) => given.shared_id.clone(),
            None => self.own_shared_identity(),
        }
    }

    /// The one that the cluster makes where nobody brings one.
    pub(crate) fn own_shared_identity(&self) -> ArmId {
        self.own(Kind::Identity, "-servers")
    }

    /// A server's name: VM scale set, identity, Consul node.
    pub fn server(&self, slot: u32) -> String {
        [&self.name, server_suffix(slot).as_str()].concat()
    }

    /// Identity of one server.
    pub fn server_identity(&self, slot: u32) -> ArmId {
        let given = self.identities.as_ref().and_then(|given| given.server_ids.get(slot as usize));
        given.cloned().unwrap_or_else(|| self.own_server_identity(slot))
    }

    /// The one that the cluster makes where nobody brings one.
    pub(crate) fn own_server_identity(&self, slot: u32) -> ArmId {
        self.own(Kind::Identity, &server_suffix(slot))
    }

    /// Whether a server of this slot would have an identity.
    pub(crate) fn has_identity(&self, slot: u32) -> bool {
        self.identities.as_ref().is_none_or(|given| given.server_ids.len() > slot as usize)
    }

    /// Scale set of one server.
    pub fn scale_set(&self, slot: u32) -> ArmId {
        self.own(Kind::ScaleSet, &server_suffix(slot))
    }

    /// Lock on the managed group.
    pub fn lock(&self) -> ArmId {
        self.cluster_id.resource(Kind::Lock.resource_type(), &self.lock_name)
    }

    /// Our side of a peering.
    pub fn peering_out(&self, peer: &ArmId) -> ArmId {
        self.vnet().child("virtualNetworkPeerings", &peer_label(peer))
    }

    /// The peer's side of a peering.
    pub fn peering_in(&self, peer: &ArmId) -> ArmId {
        let name = format!("hcs-{}-{}", self.name, self.uid);
        peer.child("virtualNetworkPeerings", &name)
    }
}

/// What lies at the cluster and concerns a peer: two peers may have one name.
fn peer_label(peer: &ArmId) -> String {
    let suffix = &deterministic_guid(&[peer.as_str()])[..8];
    format!("to-{}-{suffix}", peer.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_the_uuid_5_of_its_parts_and_never_changes() {
        let guid = deterministic_guid(&["leave", "c-Server-0", "ABC"]);
        // Python: uuid.uuid5(namespace, "leave\nc-server-0\nabc").
        assert_eq!(guid, "a37847b5-efb4-50a1-b6aa-d7235f9de049");
    }

    #[test]
    fn each_cloud_has_a_domain_of_its_own() {
        for (location, domain) in [
            ("westeurope", "cloudapp.azure.com"),
            ("usgovvirginia", "cloudapp.usgovcloudapi.net"),
            ("usdodeast", "cloudapp.usgovcloudapi.net"),
            ("chinanorth3", "cloudapp.chinacloudapi.cn"),
        ] {
            assert_eq!(public_ip_domain(location), domain, "{location}");
        }
    }
}
