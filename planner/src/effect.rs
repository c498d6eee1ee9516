//! What a change of a property does: each property of each type is in one class.
//!
//! Facts: Microsoft's pages on scale sets (a zone, an image or a disk of a running instance is fixed by its model),
//! public addresses (zones), storage accounts (redundancy is converted, not written) and subnets (a prefix in use).

use serde::{Deserialize, Serialize};

use crate::arm::Kind;

/// Class of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// A write of the object changes it; nothing else notices.
    InPlace,
    /// The server restarts with the new model: one server at a time, the leader last.
    RestartsServer,
    /// The server is made anew: another one joins first, then it leaves, goes and comes back.
    ReplacesServer,
    /// Azure takes no change; the object goes and comes back at once.
    RecreatesObject,
    /// Counts when the object is made and never again.
    AtCreation,
    /// Azure offers no way; [`reason`] tells why.
    Impossible,
}

/// A JSON pointer (`*` is any one segment), and the class of the property there and of all below it.
type Class = (&'static str, Effect);

/// Classes of a type's properties, the first that fits counts. What a desired body holds is named here, or in
/// [`at_creation`], or is a tag or the location: a test says so, and a new type does not compile without its list.
fn classes(kind: Kind) -> &'static [Class] {
    use Effect::{Impossible, InPlace, RecreatesObject, ReplacesServer, RestartsServer};
    match kind {
        Kind::ResourceGroup | Kind::Identity | Kind::PrivateDnsZone => &[],
        Kind::Lock => &[("/properties/level", InPlace), ("/properties/notes", InPlace)],
        Kind::NetworkSecurityGroup => &[("/properties/securityRules", InPlace)],
        Kind::PublicIpAddress => &[
            ("/sku", Impossible),
            ("/properties/publicIPAllocationMethod", InPlace),
            ("/properties/dnsSettings", InPlace),
        ],
        Kind::NatGateway => &[("/sku", Impossible), ("/properties/publicIpAddresses", InPlace)],
        Kind::VirtualNetwork => &[
            ("/properties/subnets/*/properties/addressPrefix", Impossible),
            ("/properties/subnets", InPlace),
            ("/properties/addressSpace", InPlace),
        ],
        Kind::Peering => &[
            ("/properties/allowForwardedTraffic", InPlace),
            ("/properties/allowVirtualNetworkAccess", InPlace),
            ("/properties/remoteVirtualNetwork", InPlace),
        ],
        Kind::LoadBalancer => &[
            ("/sku", Impossible),
            ("/properties/frontendIPConfigurations", InPlace),
            ("/properties/backendAddressPools", InPlace),
            ("/properties/loadBalancingRules", InPlace),
            ("/properties/probes", InPlace),
        ],
        Kind::PrivateDnsLink => &[
            ("/properties/virtualNetwork", Impossible),
            ("/properties/registrationEnabled", InPlace),
            ("/properties/resolutionPolicy", InPlace),
        ],
        Kind::PrivateDnsRecord => &[
            ("/properties/aRecords", InPlace),
            ("/properties/metadata", InPlace),
            ("/properties/ttl", InPlace),
        ],
        Kind::StorageAccount => &[
            ("/kind", Impossible),
            ("/identity", InPlace),
            ("/properties/encryption", InPlace),
            ("/properties/allowBlobPublicAccess", InPlace),
            ("/properties/allowCrossTenantReplication", InPlace),
            ("/properties/allowedCopyScope", InPlace),
            ("/properties/isLocalUserEnabled", InPlace),
            ("/properties/allowSharedKeyAccess", InPlace),
            ("/properties/minimumTlsVersion", InPlace),
            ("/properties/networkAcls", InPlace),
            ("/properties/publicNetworkAccess", InPlace),
            ("/properties/supportsHttpsTrafficOnly", InPlace),
        ],
        Kind::BlobService => &[
            ("/properties/containerDeleteRetentionPolicy", InPlace),
            ("/properties/deleteRetentionPolicy", InPlace),
        ],
        Kind::BlobContainer => &[("/properties/publicAccess", InPlace)],
        Kind::RoleAssignment => &[("", RecreatesObject)],
        Kind::PrivateEndpoint => &[
            ("/properties/customNetworkInterfaceName", Impossible),
            ("/properties/privateLinkServiceConnections", InPlace),
            ("/properties/subnet", Impossible),
        ],
        Kind::PrivateDnsZoneGroup => &[("", RecreatesObject)],
        Kind::ScaleSet => &[
            ("/sku/name", RestartsServer),
            ("/sku", InPlace),
            // Image and disks.
            ("/properties/virtualMachineProfile/storageProfile", ReplacesServer),
            ("/properties/virtualMachineProfile/securityProfile/encryptionAtHost", ReplacesServer),
            // What Azure takes at creation alone, or from a machine that is off.
            ("/plan", ReplacesServer),
            ("/properties/virtualMachineProfile/capacityReservation", ReplacesServer),
            ("/zones", ReplacesServer),
            ("/properties/platformFaultDomainCount", ReplacesServer),
            ("/properties/singlePlacementGroup", ReplacesServer),
            ("/properties/orchestrationMode", ReplacesServer),
            ("/identity", InPlace),
            ("/properties/overprovision", InPlace),
            ("/properties/upgradePolicy", InPlace),
            ("/properties/virtualMachineProfile/diagnosticsProfile", InPlace),
            // Which subnet a machine is in is fixed by its interface, which a write of the model does not touch.
            (
                "/properties/virtualMachineProfile/networkProfile/networkInterfaceConfigurations/*/properties/ipConfigurations/*/properties/subnet",
                ReplacesServer,
            ),
            ("/properties/virtualMachineProfile/networkProfile", InPlace),
        ],
    }
}

/// Class of the property at this path of an object of this type.
pub fn effect(kind: Kind, path: &[&str]) -> Effect {
    if path == ["location"] {
        return Effect::Impossible;
    }
    if begins_at_creation(kind, path) {
        return Effect::AtCreation;
    }
    let class = classes(kind).iter().find(|(pointer, _)| starts_with(path, pointer));
    class.map_or(Effect::InPlace, |(_, effect)| *effect)
}

/// Whether somebody has thought of the property at this path.
pub fn is_classified(kind: Kind, path: &[&str]) -> bool {
    matches!(path.first(), Some(&"location" | &"tags"))
        || begins_at_creation(kind, path)
        || classes(kind).iter().any(|(pointer, _)| starts_with(path, pointer))
}

/// Paths of this type that count at creation only; `*` is an element of a list.
pub(crate) fn at_creation(kind: Kind) -> &'static [&'static [&'static str]] {
    match kind {
        // An SSH key, a cloud-init or a habit of a newer provider must not touch a running server.
        Kind::ScaleSet => &[
            &["properties", "virtualMachineProfile", "osProfile"],
            &["properties", "virtualMachineProfile", "securityProfile", "securityType"],
            &["properties", "virtualMachineProfile", "securityProfile", "uefiSettings"],
            &[
                "properties",
                "virtualMachineProfile",
                "networkProfile",
                "networkInterfaceConfigurations",
                "*",
                "properties",
                "enableAcceleratedNetworking",
            ],
        ],
        // Both follow the zones that the cluster was made with; the servers' zones may change later.
        Kind::PublicIpAddress => &[&["zones"]],
        // How often it is encrypted, and which of its services by keys of the account, cannot be changed.
        Kind::StorageAccount => &[
            &["sku"],
            &["properties", "encryption", "requireInfrastructureEncryption"],
            &["properties", "encryption", "services"],
        ],
        _ => &[],
    }
}

/// Whether the property at this path counts at creation only.
pub(crate) fn is_at_creation<'p, I>(kind: Kind, path: impl Fn() -> I) -> bool
where
    I: Iterator<Item = &'p str>,
{
    at_creation(kind).iter().any(|own| {
        let mut path = path();
        own.iter().all(|wanted| path.next().is_some_and(|have| is_segment(wanted, have)))
            && path.next().is_none()
    })
}

/// Whether some of what lies below this path counts at creation only.
pub(crate) fn holds_at_creation(kind: Kind, path: &[&str]) -> bool {
    at_creation(kind).iter().any(|own| {
        own.len() > path.len() && own.iter().zip(path).all(|(own, have)| is_segment(own, have))
    })
}

fn begins_at_creation(kind: Kind, path: &[&str]) -> bool {
    at_creation(kind).iter().any(|own| {
        own.len() <= path.len() && own.iter().zip(path).all(|(own, have)| is_segment(own, have))
    })
}

fn is_segment(wanted: &str, have: &str) -> bool {
    wanted == "*" || wanted == have
}

/// Why Azure takes no change of the property at this path.
pub fn reason(kind: Kind, path: &[&str]) -> &'static str {
    match (kind, path.first().copied()) {
        (_, Some("location")) => "Azure does not move objects between regions",
        (_, Some("sku" | "kind")) => "Azure does not change the kind of an object that exists",
        (Kind::VirtualNetwork, _) => {
            "Azure does not change the address range of a subnet whose addresses are in use"
        }
        (Kind::PrivateDnsLink, _) => "a link leads to one network for as long as it exists",
        (Kind::PrivateEndpoint, _) => "Azure does not move a private endpoint to another subnet",
        _ => "Azure offers no way to change it",
    }
}

fn starts_with(path: &[&str], pointer: &str) -> bool {
    let mut own = path.iter();
    pointer.split('/').skip(1).all(|wanted| {
        own.next().is_some_and(|segment| wanted == "*" || segment.eq_ignore_ascii_case(wanted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_property_is_in_its_class() {
        let table: &[(Kind, &str, Effect)] = &[
            (Kind::ScaleSet, "sku/name", Effect::RestartsServer),
            (Kind::ScaleSet, "sku/capacity", Effect::InPlace),
            (Kind::ScaleSet, "zones", Effect::ReplacesServer),
            (
                Kind::ScaleSet,
                "properties/virtualMachineProfile/storageProfile/dataDisks",
                Effect::ReplacesServer,
            ),
            (
                Kind::ScaleSet,
                "properties/virtualMachineProfile/osProfile/customData",
                Effect::AtCreation,
            ),
            (
                Kind::ScaleSet,
                "properties/virtualMachineProfile/securityProfile/encryptionAtHost",
                Effect::ReplacesServer,
            ),
            (
                Kind::ScaleSet,
                "properties/virtualMachineProfile/securityProfile/uefiSettings/vTpmEnabled",
                Effect::AtCreation,
            ),
            (Kind::ScaleSet, "tags/team", Effect::InPlace),
            (Kind::ScaleSet, "location", Effect::Impossible),
            (Kind::PublicIpAddress, "zones", Effect::AtCreation),
            (
                Kind::VirtualNetwork,
                "properties/subnets/servers/properties/addressPrefix",
                Effect::Impossible,
            ),
            (
                Kind::VirtualNetwork,
                "properties/subnets/servers/properties/natGateway/id",
                Effect::InPlace,
            ),
            (Kind::RoleAssignment, "properties/principalId", Effect::RecreatesObject),
            (Kind::NetworkSecurityGroup, "properties/securityRules", Effect::InPlace),
        ];
        for (kind, path, expected) in table {
            let path: Vec<&str> = path.split('/').collect();
            assert_eq!(effect(*kind, &path), *expected, "{kind:?} {path:?}");
        }
    }
}
