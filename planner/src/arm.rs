//! ARM ids and the api-version that we speak for each type.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Id of an ARM object. Compares without case, as ARM does; keeps the spelling it was given.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArmId(String);

impl ArmId {
    /// Wraps an id; a trailing slash is dropped.
    pub fn new(id: impl Into<String>) -> Self {
        let mut id = id.into();
        while id.ends_with('/') {
            id.pop();
        }
        Self(id)
    }

    /// `/subscriptions/{subscription}/resourceGroups/{group}`.
    pub fn resource_group(subscription_id: &str, group: &str) -> Self {
        Self::new(["/subscriptions/", subscription_id, "/resourceGroups/", group].concat())
    }

    /// A resource of this group, e.g. `Microsoft.Network/virtualNetworks` and its name.
    pub fn resource(&self, resource_type: &str, name: &str) -> Self {
        Self([&self.0, "/providers/", resource_type, "/", name].concat())
    }

    /// A child of this resource.
    pub fn child(&self, segment: &str, name: &str) -> Self {
        Self([&self.0, "/", segment, "/", name].concat())
    }

    /// The spelling it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form to compare and to index by.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }

    /// The value that follows a segment, e.g. `resourceGroups`.
    pub fn segment(&self, name: &str) -> Option<&str> {
        let mut parts = self.0.split('/');
        parts.find(|part| part.eq_ignore_ascii_case(name))?;
        parts.next()
    }

    /// The object that this one is a child of, e.g. the network of a subnet; none for a top-level object.
    pub fn parent(&self) -> Option<Self> {
        let (rest, _) = self.0.rsplit_once('/')?;
        let (parent, _) = rest.rsplit_once('/')?;
        let below = parent.rsplit_once("/providers/")?.1;
        (below.split('/').count() >= 3).then(|| Self(parent.to_owned()))
    }

    /// Whether it is the id of an object of this type, wherever that lies.
    pub fn is_a(&self, kind: Kind) -> bool {
        let Some((_, below)) = self.0.rsplit_once("/providers/") else { return false };
        let mut parts = below.split('/');
        let namespace = parts.next();
        // Types and names take turns.
        let own = namespace.into_iter().chain(parts.step_by(2));
        own.map(str::to_lowercase).eq(kind.resource_type().to_lowercase().split('/'))
    }

    /// The last segment.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Whether `self` is `other` or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        let (own, other) = (self.key(), other.key());
        own == other || own.strip_prefix(&other).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl PartialEq for ArmId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ArmId {}

impl fmt::Display for ArmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Types of ARM objects that a cluster is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Resource group.
    ResourceGroup,
    /// Management lock.
    Lock,
    /// Network security group.
    NetworkSecurityGroup,
    /// Public IP address.
    PublicIpAddress,
    /// NAT gateway.
    NatGateway,
    /// Virtual network with its subnet inline.
    VirtualNetwork,
    /// One side of a peering.
    Peering,
    /// Load balancer.
    LoadBalancer,
    /// Private DNS zone.
    PrivateDnsZone,
    /// Link of a private DNS zone to a virtual network.
    PrivateDnsLink,
    /// A records of one name.
    PrivateDnsRecord,
    /// Storage account.
    StorageAccount,
    /// What an account says of all its blobs; it comes and goes with the account.
    BlobService,
    /// Blob container.
    BlobContainer,
    /// User-assigned identity.
    Identity,
    /// Role assignment.
    RoleAssignment,
    /// VM scale set.
    ScaleSet,
    /// An address in a network that leads to one object.
    PrivateEndpoint,
    /// Which zones tell the address of a private endpoint.
    PrivateDnsZoneGroup,
}

impl Kind {
    /// Every one of them.
    pub const ALL: [Self; Self::PrivateDnsZoneGroup as usize + 1] = [
        Self::ResourceGroup,
        Self::Lock,
        Self::NetworkSecurityGroup,
        Self::PublicIpAddress,
        Self::NatGateway,
        Self::VirtualNetwork,
        Self::Peering,
        Self::LoadBalancer,
        Self::PrivateDnsZone,
        Self::PrivateDnsLink,
        Self::PrivateDnsRecord,
        Self::StorageAccount,
        Self::BlobService,
        Self::BlobContainer,
        Self::Identity,
        Self::RoleAssignment,
        Self::ScaleSet,
        Self::PrivateEndpoint,
        Self::PrivateDnsZoneGroup,
    ];

    /// `Namespace/type` as ARM spells it.
    pub fn resource_type(self) -> &'static str {
        match self {
            Self::ResourceGroup => "Microsoft.Resources/resourceGroups",
            Self::Lock => "Microsoft.Authorization/locks",
            Self::NetworkSecurityGroup => "Microsoft.Network/networkSecurityGroups",
            Self::PublicIpAddress => "Microsoft.Network/publicIPAddresses",
            Self::NatGateway => "Microsoft.Network/natGateways",
            Self::VirtualNetwork => "Microsoft.Network/virtualNetworks",
            Self::Peering => "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
            Self::LoadBalancer => "Microsoft.Network/loadBalancers",
            Self::PrivateDnsZone => "Microsoft.Network/privateDnsZones",
            Self::PrivateDnsLink => "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
            Self::PrivateDnsRecord => "Microsoft.Network/privateDnsZones/A",
            Self::StorageAccount => "Microsoft.Storage/storageAccounts",
            Self::BlobService => "Microsoft.Storage/storageAccounts/blobServices",
            Self::BlobContainer => "Microsoft.Storage/storageAccounts/blobServices/containers",
            Self::Identity => "Microsoft.ManagedIdentity/userAssignedIdentities",
            Self::RoleAssignment => "Microsoft.Authorization/roleAssignments",
            Self::ScaleSet => "Microsoft.Compute/virtualMachineScaleSets",
            Self::PrivateEndpoint => "Microsoft.Network/privateEndpoints",
            Self::PrivateDnsZoneGroup => "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
        }
    }

    /// The api-version whose shapes the planner writes and compares.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::ResourceGroup | Self::ScaleSet => "2024-07-01",
            Self::Lock => "2020-05-01",
            Self::NetworkSecurityGroup
            | Self::PublicIpAddress
            | Self::NatGateway
            | Self::VirtualNetwork
            | Self::Peering
            | Self::LoadBalancer
            | Self::PrivateEndpoint
            | Self::PrivateDnsZoneGroup => "2024-01-01",
            Self::PrivateDnsZone | Self::PrivateDnsLink | Self::PrivateDnsRecord => "2024-06-01",
            Self::StorageAccount | Self::BlobService | Self::BlobContainer => "2023-05-01",
            Self::Identity => "2023-01-31",
            Self::RoleAssignment => "2022-04-01",
        }
    }

    /// Whether objects of this type carry tags.
    pub fn has_tags(self) -> bool {
        !matches!(
            self,
            Self::Lock
                | Self::Peering
                | Self::PrivateDnsRecord
                | Self::BlobService
                | Self::BlobContainer
                | Self::RoleAssignment
                | Self::PrivateDnsZoneGroup
        )
    }
}

/// What stands before and behind the first `marker`, which is ASCII and has no case in ids.
///
/// A lower-cased copy is no place to look: letters of other alphabets change their length with their case.
pub fn split_once_without_case<'a>(text: &'a str, marker: &str) -> Option<(&'a str, &'a str)> {
    let at = text.to_ascii_lowercase().find(&marker.to_ascii_lowercase())?;
    Some((&text[..at], &text[at + marker.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new kind does not compile here before it has its place.
    #[test]
    fn every_kind_is_among_all() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            let own = match kind {
                Kind::ResourceGroup => 0,
                Kind::Lock => 1,
                Kind::NetworkSecurityGroup => 2,
                Kind::PublicIpAddress => 3,
                Kind::NatGateway => 4,
                Kind::VirtualNetwork => 5,
                Kind::Peering => 6,
                Kind::LoadBalancer => 7,
                Kind::PrivateDnsZone => 8,
                Kind::PrivateDnsLink => 9,
                Kind::PrivateDnsRecord => 10,
                Kind::StorageAccount => 11,
                Kind::BlobService => 12,
                Kind::BlobContainer => 13,
                Kind::Identity => 14,
                Kind::RoleAssignment => 15,
                Kind::ScaleSet => 16,
                Kind::PrivateEndpoint => 17,
                Kind::PrivateDnsZoneGroup => 18,
            };
            assert_eq!(own, place);
        }
    }

    #[test]
    fn ids_compare_without_case() {
        let a = ArmId::new("/subscriptions/S/resourcegroups/RG/");
        let b = ArmId::resource_group("s", "rg");
        assert_eq!(a, b);
        assert_eq!(a.as_str(), "/subscriptions/S/resourcegroups/RG");
        assert_eq!(a.segment("resourceGroups"), Some("RG"));
    }

    #[test]
    fn a_sibling_with_a_longer_name_is_not_within() {
        let group = ArmId::resource_group("s", "rg");
        assert!(group.resource("Microsoft.Network/virtualNetworks", "v").is_within(&group));
        assert!(!ArmId::resource_group("s", "rg2").is_within(&group));
    }
}
