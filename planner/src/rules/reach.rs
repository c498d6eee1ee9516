//! Rules of the ways out of the servers' network, and of the way to the storage account.

use super::is_id_of;
use crate::arm::{ArmId, Kind};
use crate::reach::{OutboundType, StorageAccess, StorageZone, is_private_link_zone, release_host};
use crate::spec::ClusterSpec;
use crate::upgrade::RELEASE_INDEX;

/// A route table without a subnet that it could hang on.
pub const ROUTING_NEEDS_A_SUBNET: &str = "The routes are those of your own subnet's route table: set subnet_id. A network of the \
                                          cluster's own has a NAT gateway (\"nat_gateway\") or no way out (\"none\").";

/// A zone of an endpoint that is not there.
pub const ZONE_NEEDS_AN_ENDPOINT: &str = "The zone tells the address of the account's private endpoint, and there is none. Set \
                                          storage_access = \"private_endpoint\", or leave storage_private_dns_zone_id out.";

/// Servers that look for releases where they cannot come.
pub const NO_WAY_TO_RELEASES: &str = "With outbound_type = \"none\" the servers reach nothing outside of their network, so not \
                                      https://releases.hashicorp.com either. Set consul_release_index to a mirror that they \
                                      reach, or consul_upgrade_channel = \"none\": then an apply brings releases.";

/// Who tells the address of the private endpoint.
pub fn storage_private_dns_zone_id(text: &str) -> Result<(), String> {
    let zone = StorageZone::of(text);
    let StorageZone::Existing(id) = &zone else { return Ok(()) };
    if is_id_of(text, Kind::PrivateDnsZone) && is_private_link_zone(id) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is neither \"System\" (a zone of the cluster's own) nor \"None\" (somebody else, such as a policy, sees to the \
         name) nor the id of a zone for private endpoints of blobs, which ends in \
         Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net."
    ))
}

/// What of these is wrong together: the attribute, and why.
pub(super) fn broken(spec: &ClusterSpec) -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    if spec.outbound_type == OutboundType::UserDefinedRouting && spec.subnet_id.is_none() {
        found.push(("outbound_type", ROUTING_NEEDS_A_SUBNET));
    }
    if spec.storage_access == StorageAccess::PublicEndpoint
        && spec.storage_zone != StorageZone::System
    {
        found.push(("storage_private_dns_zone_id", ZONE_NEEDS_AN_ENDPOINT));
    }
    let is_public_index = release_host(spec).is_some_and(|(host, _)| is_makers(&host));
    if spec.outbound_type == OutboundType::None && is_public_index {
        found.push(("consul_upgrade_channel", NO_WAY_TO_RELEASES));
    }
    found
}

/// Whether it is the host of HashiCorp's own releases.
fn is_makers(host: &str) -> bool {
    let own = RELEASE_INDEX.trim_start_matches("https://").split('/').next();
    own.is_some_and(|own| own.eq_ignore_ascii_case(host))
}

/// The zone of somebody, where one is named.
pub(super) fn zone_id(zone: &StorageZone) -> Option<&ArmId> {
    match zone {
        StorageZone::Existing(id) => Some(id),
        StorageZone::System | StorageZone::None => None,
    }
}
