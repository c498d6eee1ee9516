//! VM sizes: where they exist, in which zones, and what is withheld.

use serde_json::{Value, json};

use crate::world::World;
use crate::world::http::{Request, Response};
use crate::world::regions::{REGIONS, Region};

/// A VM size.
pub(crate) struct Size {
    pub(crate) name: &'static str,
    pub(crate) family: &'static str,
    pub(crate) vcpus: u64,
    memory_gib: u32,
    arm: bool,
}

const fn size(name: &'static str, family: &'static str, vcpus: u64, memory_gib: u32) -> Size {
    Size { name, family, vcpus, memory_gib, arm: false }
}

/// All sizes of the world.
pub(crate) const SIZES: &[Size] = &[
    size("Standard_B2s", "standardBSFamily", 2, 4),
    size("Standard_B2ms", "standardBSFamily", 2, 8),
    size("Standard_D2s_v3", "standardDSv3Family", 2, 8),
    size("Standard_D4s_v3", "standardDSv3Family", 4, 16),
    size("Standard_D2s_v5", "standardDSv5Family", 2, 8),
    size("Standard_D4s_v5", "standardDSv5Family", 4, 16),
    size("Standard_D8s_v5", "standardDSv5Family", 8, 32),
    size("Standard_D64s_v5", "standardDSv5Family", 64, 256),
    size("Standard_D2ds_v5", "standardDDSv5Family", 2, 8),
    size("Standard_D2as_v5", "standardDASv5Family", 2, 8),
    size("Standard_D4as_v5", "standardDASv5Family", 4, 16),
    size("Standard_E2s_v5", "standardESv5Family", 2, 16),
    size("Standard_F2s_v2", "standardFSv2Family", 2, 4),
    Size { arm: true, ..size("Standard_D2ps_v5", "standardDPSv5Family", 2, 8) },
];

/// The size of this name.
pub(crate) fn find(name: &str) -> Option<&'static Size> {
    SIZES.iter().find(|size| size.name.eq_ignore_ascii_case(name))
}

/// Why a size is withheld.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Restriction {
    /// Nowhere in the location.
    Location,
    /// Not in these zones.
    Zones(Vec<u8>),
}

/// What is withheld of a size in a location.
pub(crate) fn restriction(size: &Size, region: &Region) -> Option<Restriction> {
    match (region.name, size.name) {
        ("germanywestcentral", "Standard_D2s_v5" | "Standard_D4s_v5") => {
            Some(Restriction::Zones(vec![3]))
        }
        ("francecentral", "Standard_D2s_v5") => Some(Restriction::Location),
        _ => None,
    }
}

/// The zones in which a size exists, withheld or not.
pub(crate) fn zones(size: &Size, region: &Region) -> Vec<u8> {
    // Older sizes and Arm are missing in one zone of some regions.
    match (region.name, size.arm) {
        ("northeurope", true) => (1..region.zones).collect(),
        _ => (1..=region.zones).collect(),
    }
}

fn row(size: &Size, region: &Region) -> Value {
    let texts = |zones: &[u8]| zones.iter().map(u8::to_string).collect::<Vec<_>>();
    let zones = zones(size, region);
    let restrictions = match restriction(size, region) {
        None => json!([]),
        Some(Restriction::Location) => json!([{
            "type": "Location", "values": [region.name],
            "restrictionInfo": {"locations": [region.name]},
            "reasonCode": "NotAvailableForSubscription",
        }]),
        Some(Restriction::Zones(held)) => json!([{
            "type": "Zone", "values": [region.name],
            "restrictionInfo": {"locations": [region.name], "zones": texts(&held)},
            "reasonCode": "NotAvailableForSubscription",
        }]),
    };
    let capability = |name: &str, value: String| json!({"name": name, "value": value});
    json!({
        "resourceType": "virtualMachines",
        "name": size.name,
        "tier": "Standard",
        "size": size.name.trim_start_matches("Standard_"),
        "family": size.family,
        "locations": [region.name],
        "locationInfo": [{
            "location": region.name,
            "zones": texts(&zones),
            "zoneDetails": [],
        }],
        "capabilities": [
            capability("vCPUs", size.vcpus.to_string()),
            capability("MemoryGB", size.memory_gib.to_string()),
            capability("PremiumIO", "True".to_owned()),
            capability("HyperVGenerations", "V1,V2".to_owned()),
            capability("AcceleratedNetworkingEnabled", "True".to_owned()),
            // Microsoft's list of sizes with encryption at host leaves out the older burstable ones.
            capability(
                "EncryptionAtHostSupported",
                if size.family == "standardBSFamily" { "False" } else { "True" }.to_owned(),
            ),
            capability("CpuArchitectureType", if size.arm { "Arm64" } else { "x64" }.to_owned()),
        ],
        "restrictions": restrictions,
    })
}

/// `GET …/skus`, with its one filter: `location eq '…'`.
pub(crate) fn list(world: &World, req: &Request) -> Response {
    let filter = req.query("$filter").unwrap_or_default();
    let wanted = filter.split('\'').nth(1).map(crate::world::regions::normalise);
    let rows = REGIONS
        .iter()
        .filter(|region| wanted.as_ref().is_none_or(|w| w == region.name))
        .flat_map(|region| SIZES.iter().map(|size| row(size, region)))
        .collect();
    world.page(req, rows)
}
