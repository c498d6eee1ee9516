//! Locations and their zones.

/// A location of Azure.
pub(crate) struct Region {
    /// Name.
    pub(crate) name: &'static str,
    /// Display name.
    pub(crate) display: &'static str,
    /// Number of zones, 0 without.
    pub(crate) zones: u8,
}

const fn region(name: &'static str, display: &'static str, zones: u8) -> Region {
    Region { name, display, zones }
}

/// All locations of the world. `germanywestcentral` withholds zone 3 of some sizes,
/// `francecentral` withholds them wholly.
pub(crate) const REGIONS: &[Region] = &[
    region("westeurope", "West Europe", 3),
    region("northeurope", "North Europe", 3),
    region("eastus", "East US", 3),
    region("eastus2", "East US 2", 3),
    region("eastus2euap", "East US 2 EUAP", 4),
    region("uksouth", "UK South", 3),
    region("swedencentral", "Sweden Central", 3),
    region("germanywestcentral", "Germany West Central", 3),
    region("francecentral", "France Central", 3),
    region("westus", "West US", 0),
    region("northcentralus", "North Central US", 0),
];

/// `West Europe` and `westeurope` are the same place.
pub(crate) fn normalise(location: &str) -> String {
    location.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase()
}

/// The location of this normalised name.
pub(crate) fn find(location: &str) -> Option<&'static Region> {
    REGIONS.iter().find(|region| region.name == location)
}

/// Names of all locations, as messages list them.
pub(crate) fn names() -> String {
    REGIONS.iter().map(|r| r.name).collect::<Vec<_>>().join(",")
}

/// Physical zone behind a logical one, different for each subscription.
pub(crate) fn physical_zone(subscription: &str, region: &Region, logical: u8) -> String {
    let shift = subscription.bytes().fold(0_u32, |sum, byte| sum + u32::from(byte));
    let zones = u32::from(region.zones.max(1));
    let physical = (u32::from(logical) - 1 + shift) % zones + 1;
    format!("{}-az{physical}", region.name)
}
