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

const PROFILE_STORAGE: &str = "/properties/virtualMachineProfile/storageProfile";

/// Type, JSON pointer of the property and all below it, class. What neither a row nor [`at_creation`] names is
/// [`Effect::InPlace`].
const CLASSES: &[(Kind, &str, Effect)] = &[
    (Kind::ScaleSet, "/sku/name", Effect::RestartsServer),
    // Image and disks.
    (Kind::ScaleSet, PROFILE_STORAGE, Effect::ReplacesServer),
    (Kind::ScaleSet, "/zones", Effect::ReplacesServer),
    (Kind::ScaleSet, "/properties/platformFaultDomainCount", Effect::ReplacesServer),
    (Kind::ScaleSet, "/properties/singlePlacementGroup", Effect::ReplacesServer),
    (Kind::ScaleSet, "/properties/orchestrationMode", Effect::ReplacesServer),
    (Kind::RoleAssignment, "", Effect::RecreatesObject),
    (Kind::PublicIpAddress, "/sku", Effect::Impossible),
    (Kind::StorageAccount, "/kind", Effect::Impossible),
    (Kind::LoadBalancer, "/sku", Effect::Impossible),
    (Kind::NatGateway, "/sku", Effect::Impossible),
    (Kind::VirtualNetwork, "/properties/subnets/*/properties/addressPrefix", Effect::Impossible),
    (Kind::PrivateDnsLink, "/properties/virtualNetwork", Effect::Impossible),
];

/// Class of the property at this path of an object of this type.
pub fn effect(kind: Kind, path: &[&str]) -> Effect {
    if path == ["location"] {
        return Effect::Impossible;
    }
    if at_creation(kind).iter().any(|own| path.starts_with(own)) {
        return Effect::AtCreation;
    }
    let row = CLASSES.iter().find(|(of, pointer, _)| *of == kind && starts_with(path, pointer));
    row.map_or(Effect::InPlace, |(.., effect)| *effect)
}

/// Paths of this type that count at creation only.
pub(crate) fn at_creation(kind: Kind) -> &'static [&'static [&'static str]] {
    match kind {
        // An SSH key or a cloud-init of a newer provider must not touch a running server.
        Kind::ScaleSet => &[&["properties", "virtualMachineProfile", "osProfile"]],
        // Both follow the zones that the cluster was made with; the servers' zones may change later.
        Kind::PublicIpAddress => &[&["zones"]],
        Kind::StorageAccount => &[&["sku"]],
        _ => &[],
    }
}

/// Whether the property at this path counts at creation only.
pub(crate) fn is_at_creation<'p, I>(kind: Kind, path: impl Fn() -> I) -> bool
where
    I: Iterator<Item = &'p str>,
{
    at_creation(kind).iter().any(|own| path().eq(own.iter().copied()))
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
