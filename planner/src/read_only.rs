//! Properties that ARM shows and does not take: reading an object and writing it back must leave them out.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::arm::Kind;

const TABLE: &str = include_str!("../data/read-only.tsv");

/// Patterns by type; a pattern's segments, `*` for any element.
static PATTERNS: LazyLock<BTreeMap<&'static str, Vec<Vec<&'static str>>>> = LazyLock::new(|| {
    let mut patterns: BTreeMap<&str, Vec<Vec<&str>>> = BTreeMap::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        if let Some((kind, pointer)) = line.split_once('\t') {
            patterns.entry(kind).or_default().push(pointer.split('/').skip(1).collect());
        }
    }
    patterns
});

/// Whether the property at this path of an object is shown only.
pub(crate) fn is_read_only(kind: Kind, path: &[&str]) -> bool {
    let matches = |pattern: &Vec<&str>| {
        pattern.len() == path.len()
            && pattern.iter().zip(path).all(|(want, have)| *want == "*" || want == have)
    };
    PATTERNS.get(table_name(kind)).is_some_and(|patterns| patterns.iter().any(matches))
}

fn table_name(kind: Kind) -> &'static str {
    match kind {
        Kind::ResourceGroup => "resource_group",
        Kind::NetworkSecurityGroup => "network_security_group",
        Kind::PublicIpAddress => "public_ip_address",
        Kind::NatGateway => "nat_gateway",
        Kind::VirtualNetwork => "virtual_network",
        Kind::Peering => "peering",
        Kind::LoadBalancer => "load_balancer",
        Kind::PrivateDnsZone => "private_dns_zone",
        Kind::PrivateDnsLink => "private_dns_link",
        Kind::PrivateDnsRecord => "private_dns_record",
        Kind::StorageAccount => "storage_account",
        Kind::BlobService => "blob_service",
        Kind::BlobContainer => "blob_container",
        Kind::Identity => "identity",
        Kind::ScaleSet => "scale_set",
        Kind::PrivateEndpoint => "private_endpoint",
        Kind::PrivateDnsZoneGroup => "private_dns_zone_group",
        // Written whole, never merged.
        Kind::Lock | Kind::RoleAssignment => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<&str> {
        text.split('/').collect()
    }

    #[test]
    fn provisioning_states_and_client_ids_are_shown_only() {
        let shown = [
            (Kind::ScaleSet, "properties/provisioningState"),
            (Kind::ScaleSet, "identity/userAssignedIdentities/any/clientId"),
            (Kind::VirtualNetwork, "properties/subnets/*/properties/ipConfigurations"),
            (Kind::StorageAccount, "properties/primaryEndpoints"),
        ];
        for (kind, text) in shown {
            assert!(is_read_only(kind, &path(text)), "{kind:?} {text}");
        }
        assert!(!is_read_only(Kind::VirtualNetwork, &path("properties/addressSpace")));
        assert!(!is_read_only(Kind::StorageAccount, &path("properties/accessTier")));
    }

    #[test]
    fn every_line_names_a_type_and_a_pointer() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
        assert!(lines.clone().count() > 100);
        assert!(lines.clone().all(|line| line.split('\t').count() == 2 && line.contains("\t/")));
    }
}
