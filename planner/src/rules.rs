//! What a user may declare: rules of Azure, of Consul and our own, each as a sentence for the user. Sources: Microsoft's
//! "Naming rules and restrictions for Azure resources" and "Use tags", Consul's agent configuration.
//!
//! One rule looks at one value; [`broken`] holds them all against a whole spec.

mod disks;
mod encryption;
mod images;
mod reach;
mod roles;
mod ssh;
mod subnets;

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;
use semver::Version;

use crate::arm::Kind;
use crate::spec::{ClusterSpec, ZoneFallback};
use crate::tags;
use crate::upgrade::{Maintenance, NO_INDEX, RELEASE_INDEX};
use crate::{maintenance, server_config};
pub use disks::{PREMIUM_V2_NEEDS_A_ZONE, disk_encryption_set_id};
pub use encryption::{key_name, key_vault_id, key_version};
pub use images::{
    CHANNEL_NEEDS_A_MARKETPLACE, PLAN_NEEDS_AN_IMAGE, RESERVATION_NEEDS_STRICT,
    RESERVATION_NEEDS_ZONES, capacity_reservation_group_id, image_plan, source_image_id,
};
pub use reach::{
    NO_WAY_TO_RELEASES, ROUTING_NEEDS_A_SUBNET, ZONE_NEEDS_AN_ENDPOINT, storage_private_dns_zone_id,
};
pub use roles::{
    EXTERNAL_NEEDS_IDENTITIES, IDENTITIES_NEED_EXTERNAL, enough_identities, identity_id,
};
pub use ssh::{SSH_NEEDS_A_KEY, ssh_allowed_cidr, ssh_public_key};
pub use subnets::{ZONES_NEED_A_SUBNET, same_network, subnet_id, zone_subnet_id};

/// Sizes of an OS disk in GiB.
pub const OS_DISK_GIB: RangeInclusive<f64> = 30.0..=2048.0;
/// Sizes of a data disk in GiB.
pub const DATA_DISK_GIB: RangeInclusive<f64> = 8.0..=4096.0;

/// An input that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The attribute, e.g. `zones[1]`.
    pub attribute: String,
    /// What is wrong and what to do.
    pub reason: String,
}

/// Lower-case letters, digits and hyphens, which are not at the edges.
fn is_label(name: &str, length_max: usize) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edges = !name.starts_with('-') && !name.ends_with('-');
    (1..=length_max).contains(&name.len()) && name.chars().all(plain) && edges
}

/// A cluster's name is part of scale sets, DNS labels and Consul node names.
pub fn cluster_name(name: &str) -> Result<(), String> {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if name.len() < 3 || !starts || !is_label(name, 32) {
        return Err(format!(
            "{name:?} does not fit: 3 to 32 lower-case letters, digits and hyphens, starting with \
             a letter and not ending with a hyphen, because it becomes part of VM, DNS and Consul \
             node names."
        ));
    }
    Ok(())
}

/// A resource group's name.
pub fn resource_group(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_alphanumeric() || "-_().".contains(c);
    if name.is_empty() || name.len() > 90 || name.ends_with('.') || !name.chars().all(plain) {
        return Err(format!(
            "{name:?} is no name for a resource group: 1 to 90 letters, digits, hyphens, \
             underscores, periods and parentheses, not ending with a period."
        ));
    }
    Ok(())
}

/// A management lock's name.
pub fn lock_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_alphanumeric() || "-_().".contains(c);
    if name.is_empty() || name.len() > 90 || !name.chars().all(plain) {
        return Err(format!(
            "{name:?} is no name for a lock: 1 to 90 letters, digits, hyphens, underscores, periods and parentheses."
        ));
    }
    Ok(())
}

/// A Consul datacenter is a DNS label.
pub fn datacenter(name: &str) -> Result<(), String> {
    if !is_label(name, 63) {
        return Err(format!(
            "{name:?} is no Consul datacenter: 1 to 63 lower-case letters, digits and hyphens, \
             neither starting nor ending with a hyphen, as it is a label in DNS names."
        ));
    }
    Ok(())
}

/// A snapshot policy's name is part of blob names.
pub fn policy_name(name: &str) -> Result<(), String> {
    if !is_label(name, 48) {
        return Err(format!(
            "{name:?} does not fit: 1 to 48 lower-case letters, digits and hyphens, neither \
             starting nor ending with a hyphen."
        ));
    }
    Ok(())
}

/// The network of a cluster; Azure takes five addresses of it, the load balancer one.
pub fn vnet_cidr(text: &str) -> Result<Ipv4Net, String> {
    let network: Ipv4Net = text.trim().parse().map_err(|_| {
        format!("{text:?} is no IPv4 network in CIDR notation; write e.g. \"172.25.16.0/24\".")
    })?;
    if network.addr() != network.network() {
        return Err(format!(
            "{text} has host bits set; the network with this prefix is {}.",
            network.trunc()
        ));
    }
    if network.prefix_len() > 27 {
        return Err(format!(
            "{text} is too small: Azure keeps 5 addresses of it, the load balancer needs one and \
             the servers up to 9. Use /27 or larger."
        ));
    }
    if network.prefix_len() < 8 {
        return Err(format!("{text} is too large: Azure networks are /8 or smaller."));
    }
    if !PRIVATE_RANGES.iter().any(|range| range.contains(&network)) {
        return Err(format!(
            "{text} is not a private network; use one inside 10.0.0.0/8, 172.16.0.0/12, \
             192.168.0.0/16 or 100.64.0.0/10."
        ));
    }
    Ok(network)
}

/// Where servers look for releases.
pub fn release_index(text: &str) -> Result<(), String> {
    let is_url = text.strip_prefix("https://").is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        let plain = |c: char| c.is_ascii_graphic() && !"?#@\\".contains(c);
        !host.is_empty() && rest.chars().all(plain)
    });
    if text == NO_INDEX || is_url {
        return Ok(());
    }
    Err(format!(
        "{text:?} is no release index: write the base URL of HashiCorp's releases ({RELEASE_INDEX:?}) or of a mirror, \
         https:// and without a query, or {NO_INDEX:?}."
    ))
}

/// How many servers.
pub fn server_count(count: f64) -> Result<(), String> {
    if [1.0, 3.0, 5.0, 7.0].contains(&count) {
        return Ok(());
    }
    Err(format!(
        "server_count is {count}; it is 1, 3, 5 or 7. An even number of voters survives no more \
         than the odd one below it, and more than 7 only slow every write."
    ))
}

/// The size of a disk.
pub fn disk_gib(name: &str, range: &RangeInclusive<f64>, gib: f64) -> Result<(), String> {
    if range.contains(&gib) && gib.fract() == 0.0 {
        return Ok(());
    }
    let (min, max) = (range.start(), range.end());
    Err(format!("{name} is {gib}; it is a whole number from {min} to {max}."))
}

/// How long a server's certificate may be good for.
pub const SERVER_CERTIFICATE_TTL_SECONDS: RangeInclusive<u64> = 3600..=365 * 24 * 3600;

/// How long a server's certificate is good for.
pub fn server_certificate_ttl(seconds: u64) -> Result<(), String> {
    let range = SERVER_CERTIFICATE_TTL_SECONDS;
    if seconds < *range.start() {
        return Err(format!(
            "server_certificate_ttl is {seconds} seconds; the smallest is \"1h\": servers renew theirs when half of it is \
             over, and the storage account may be away meanwhile."
        ));
    }
    if seconds > *range.end() {
        return Err(format!(
            "server_certificate_ttl is {} hours; the largest is \"8760h\", a year.",
            seconds / 3600
        ));
    }
    Ok(())
}

/// A word that asks for a rotation: it is stored, shown in plans, and compared.
pub fn rotation_trigger(word: &str) -> Result<(), String> {
    let length = word.chars().count();
    if (1..=64).contains(&length) && !word.chars().any(char::is_control) {
        return Ok(());
    }
    Err("it is a word of 1 to 64 characters, such as \"2026-12\"; leave it out to rotate nothing"
        .into())
}

/// The version of Consul.
pub fn consul_version(version: &Version) -> Result<(), String> {
    // Below 1.8 the operator API that gates every change is not there.
    if *version < Version::new(1, 8, 0) {
        return Err(format!("Consul {version} is too old: 1.8.0 is the oldest that hcs runs."));
    }
    if version.major > 2 {
        return Err(format!("Consul {version} is not known to this version of hcs."));
    }
    if version.build.as_str().contains("ent") {
        return Err(format!("{version} is an Enterprise build; hcs runs the Community Edition."));
    }
    Ok(())
}

/// The zone at this place of a list.
pub fn zone(zones: &[String], at: usize) -> Result<(), String> {
    let Some(zone) = zones.get(at) else { return Ok(()) };
    if zones[..at].contains(zone) {
        return Err(format!("Zone {zone} is listed twice."));
    }
    if zone.parse::<u8>().is_err() {
        return Err(format!("{zone:?} is no zone; zones are \"1\", \"2\", \"3\"."));
    }
    Ok(())
}

/// Id of a virtual network.
pub fn vnet_id(text: &str) -> Result<(), String> {
    if is_id_of(text, Kind::VirtualNetwork) {
        return Ok(());
    }
    Err(format!("{text:?} is not the id of a virtual network."))
}

/// Id of a private DNS zone.
pub fn private_dns_zone_id(text: &str) -> Result<(), String> {
    if is_id_of(text, Kind::PrivateDnsZone) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not the id of a private DNS zone; it ends in Microsoft.Network/privateDnsZones/<zone>."
    ))
}

/// Whether a text is the id of an object of this type in some group.
fn is_id_of(text: &str, kind: Kind) -> bool {
    is_id_of_type(text, kind.resource_type())
}

/// The same for a type that no cluster is made of.
fn is_id_of_type(text: &str, resource_type: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    parts.len() == 9
        && parts[1].eq_ignore_ascii_case("subscriptions")
        && parts[6..8].join("/").eq_ignore_ascii_case(resource_type)
}

/// Addresses that may call the external endpoint.
pub fn allowed_cidr(text: &str) -> Result<(), String> {
    match text.parse::<Ipv4Net>() {
        Ok(net) if net.addr() == net.network() => Ok(()),
        Ok(net) => Err(format!("{text} has host bits set; the range is {}.", net.trunc())),
        Err(_) => Err(format!("{text:?} is no IPv4 range; write e.g. \"203.0.113.0/24\".")),
    }
}

/// An endpoint that nobody may call.
pub const ENDPOINT_NEEDS_CIDRS: &str = "Consul would be open to nobody, or to all. List the IPv4 ranges that may call \
                                        it, e.g. [\"203.0.113.0/24\"].";

/// Networks that the internet does not route (RFC 1918, RFC 6598).
const PRIVATE_RANGES: [Ipv4Net; 4] = [
    private_range([10, 0, 0, 0], 8),
    private_range([172, 16, 0, 0], 12),
    private_range([192, 168, 0, 0], 16),
    private_range([100, 64, 0, 0], 10),
];

const fn private_range([a, b, c, d]: [u8; 4], prefix_len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix_len)
}

/// The user's group and the managed one.
pub fn other_group(own: &str, managed: &str) -> Result<(), String> {
    if !own.eq_ignore_ascii_case(managed) {
        return Ok(());
    }
    Err("The managed group must be another one than resource_group_name: destroying the cluster \
         deletes the managed group with all that is in it."
        .to_owned())
}

/// Inputs of which a cluster takes one: the first, the second, why.
pub const EXCLUSIVE: [(&str, &str, &str); 3] = [
    (
        "subnet_id",
        "vnet_cidr",
        "The servers live in your subnet or in a network of the cluster's own; leave one out.",
    ),
    (
        "subnet_id",
        "peer_vnet_ids",
        "The servers live in your network: peer that one, and leave peer_vnet_ids out.",
    ),
    (
        "source_image_id",
        "image",
        "The servers are made from an image of your gallery or from one of the marketplace; leave one out.",
    ),
];

/// Other sizes without leave to use them.
pub const FALLBACKS_NEED_A_ZONE_FALLBACK: &str = "With zone_fallback = \"strict\" (the default) a server is what is \
                                                  declared, where it is declared, or nothing. Set zone_fallback to \
                                                  \"prefer\" or \"best_effort\", or leave vm_size_fallbacks out.";

/// ARM's normal form of a region: `West Europe` is `westeurope`.
pub fn location(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase()
}

/// Everything in `spec` that cannot be, in the order of its attributes.
pub fn broken(spec: &ClusterSpec) -> Vec<Broken> {
    let mut found = Vec::new();
    let mut check = |attribute: &str, outcome: Result<(), String>| {
        if let Err(reason) = outcome {
            found.push(Broken { attribute: attribute.to_owned(), reason });
        }
    };
    check("name", cluster_name(&spec.name));
    check("resource_group_name", resource_group(&spec.resource_group_name));
    let managed = &spec.managed_resource_group_name;
    check("managed_resource_group_name", resource_group(managed));
    check("managed_resource_group_name", other_group(&spec.resource_group_name, managed));
    check("consul_datacenter", datacenter(&spec.consul_datacenter));
    check("server_count", server_count(f64::from(spec.server_count)));
    for at in 0..spec.zones.len() {
        check(&format!("zones[{at}]"), zone(&spec.zones, at));
    }
    if spec.zone_fallback == ZoneFallback::Strict && !spec.vm_size_fallbacks.is_empty() {
        check("vm_size_fallbacks", Err(FALLBACKS_NEED_A_ZONE_FALLBACK.to_owned()));
    }
    let disks = [
        ("os_disk_gib", OS_DISK_GIB, spec.os_disk_gib),
        ("data_disk_gib", DATA_DISK_GIB, spec.data_disk_gib),
    ];
    for (name, range, gib) in disks {
        check(name, disk_gib(name, &range, f64::from(gib)));
    }
    check("server_certificate_ttl", server_certificate_ttl(spec.server_certificate_ttl_seconds));
    if let Some(key) = &spec.ssh_public_key {
        check("ssh_public_key", ssh_public_key(key));
    }
    if spec.ssh_public_key.is_none() && !spec.ssh_allowed_cidrs.is_empty() {
        check("ssh_allowed_cidrs", Err(SSH_NEEDS_A_KEY.to_owned()));
    }
    for (at, cidr) in spec.ssh_allowed_cidrs.iter().enumerate() {
        check(&format!("ssh_allowed_cidrs[{at}]"), ssh_allowed_cidr(&cidr.to_string()));
    }
    if let Some(cidr) = &spec.vnet_cidr {
        check("vnet_cidr", vnet_cidr(&cidr.to_string()).map(|_| ()));
    }
    if let Some(id) = &spec.subnet_id {
        check("subnet_id", subnet_id(id.as_str()));
        let others = [spec.vnet_cidr.is_some(), !spec.peer_vnet_ids.is_empty()];
        for ((_, other, why), _) in EXCLUSIVE.iter().zip(others).filter(|(_, is_set)| *is_set) {
            check(other, Err((*why).to_owned()));
        }
    }
    for (at, id) in spec.peer_vnet_ids.iter().enumerate() {
        check(&format!("peer_vnet_ids[{at}]"), vnet_id(id.as_str()));
    }
    if let Some(id) = &spec.private_dns_zone_id {
        check("private_dns_zone_id", private_dns_zone_id(id.as_str()));
    }
    if let Some(id) = reach::zone_id(&spec.storage_zone) {
        check("storage_private_dns_zone_id", storage_private_dns_zone_id(id.as_str()));
    }
    for (attribute, why) in disks::broken(spec).into_iter().chain(encryption::broken(spec)) {
        check(attribute, Err(why));
    }
    for (attribute, why) in images::broken(spec) {
        check(attribute, Err(why));
    }
    for (attribute, why) in subnets::broken(spec) {
        check(&attribute, Err(why));
    }
    for (attribute, why) in roles::broken(spec) {
        check(attribute, Err(why));
    }
    for (attribute, why) in reach::broken(spec) {
        check(attribute, Err(why.to_owned()));
    }
    if let Some(endpoint) = &spec.external_endpoint {
        if endpoint.allowed_cidrs.is_empty() {
            check("consul_external_endpoint_allowed_cidrs", Err(ENDPOINT_NEEDS_CIDRS.to_owned()));
        }
        for (at, cidr) in endpoint.allowed_cidrs.iter().enumerate() {
            check(
                &format!("consul_external_endpoint_allowed_cidrs[{at}]"),
                allowed_cidr(&cidr.to_string()),
            );
        }
    }
    check("consul_version", consul_version(&spec.consul_version));
    if let Some(version) = &spec.min_consul_version {
        check("min_consul_version", consul_version(version));
    }
    if let Some(config) = &spec.consul_server_config {
        check("consul_server_config", server_config::parse(config).map(drop));
    }
    maintenance(&spec.maintenance, &mut check);
    check("tags", tags::check_all(&spec.tags));
    for (key, value) in &spec.tags {
        check("tags", tags::check(key, value));
    }
    found
}

fn maintenance(maintenance: &Maintenance, check: &mut impl FnMut(&str, Result<(), String>)) {
    for (at, window) in maintenance.windows.iter().enumerate() {
        for (name, told) in window.faults() {
            check(&format!("maintenance_windows[{at}].{name}"), Err(told));
        }
    }
    for (at, one) in maintenance.exclusions.iter().enumerate() {
        let path = |name: &str| format!("maintenance_exclusions[{at}].{name}");
        check(&path("start"), maintenance::moment(&one.start).map(drop));
        check(&path("end"), maintenance::moment(&one.end).map(drop));
        check(&path("end"), exclusion(&one.start, &one.end));
    }
    if let Some(index) = &maintenance.release_index {
        check("consul_release_index", release_index(index));
    }
}

/// A time that is left out ends after it began.
pub fn exclusion(start: &str, end: &str) -> Result<(), String> {
    match (maintenance::moment(start), maintenance::moment(end)) {
        (Ok(begins), Ok(ends)) if ends <= begins => Err(format!(
            "it ends at {end}, and begins at {start}: write the later moment as its end."
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_azure_or_consul_refuse_are_refused() {
        for name in ["a", "Demo", "demo-", "-demo", "1demo", "de_mo", &"a".repeat(33)] {
            assert!(cluster_name(name).is_err(), "{name}");
        }
        assert!(cluster_name("demo-1").is_ok());
        for name in ["", "rg.", "a/b", &"a".repeat(91)] {
            assert!(resource_group(name).is_err(), "{name}");
        }
        assert!(resource_group("rg_(x).y-1").is_ok());
    }

    #[test]
    fn networks_are_private_aligned_and_large_enough() {
        for text in ["10.0.0.0", "10.0.0.1/24", "10.0.0.0/28", "8.8.8.0/24", "10.0.0.0/7", "x"] {
            assert!(vnet_cidr(text).is_err(), "{text}");
        }
        assert!(vnet_cidr("172.25.16.0/24").is_ok());
    }
}
