//! Rules of the user's subnets in which the servers live.

use crate::arm::ArmId;
use crate::spec::ClusterSpec;

/// Subnets of zones, and no network that they could be in.
pub const ZONES_NEED_A_SUBNET: &str = "The subnets of zones are beside a subnet of yours, in which the load balancer and the \
                                       servers of all other zones live: set subnet_id, to one of them if there is no other.";

/// Id of a subnet.
pub fn subnet_id(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split('/').collect();
    let is_subnet = parts.len() == 11
        && parts[1].eq_ignore_ascii_case("subscriptions")
        && parts[7].eq_ignore_ascii_case("virtualNetworks")
        && parts[9].eq_ignore_ascii_case("subnets");
    if is_subnet {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not the id of a subnet; it ends in virtualNetworks/<network>/subnets/<subnet>."
    ))
}

/// The subnet of a zone.
pub fn zone_subnet_id(zone: &str, id: &str) -> Result<(), String> {
    if zone.parse::<u8>().ok().is_none_or(|number| number == 0 || number.to_string() != zone) {
        return Err(format!("{zone:?} is no zone; zones are \"1\", \"2\", \"3\"."));
    }
    subnet_id(id)
}

/// A subnet of a zone is in the network of all.
pub fn same_network(common: &ArmId, own: &ArmId) -> Result<(), String> {
    let (Some(common), Some(other)) = (common.parent(), own.parent()) else { return Ok(()) };
    if common == other {
        return Ok(());
    }
    Err(format!(
        "{} is in the network {}, and subnet_id in {}. The servers and their load balancer live in one network: choose a subnet \
         of that one.",
        own.name(),
        other.as_str(),
        common.as_str()
    ))
}

/// What of these is wrong together or alone: the attribute, and why.
pub(super) fn broken(spec: &ClusterSpec) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if spec.subnet_id.is_none() && !spec.zone_subnet_ids.is_empty() {
        found.push(("zone_subnet_ids".to_owned(), ZONES_NEED_A_SUBNET.to_owned()));
    }
    for (zone, id) in &spec.zone_subnet_ids {
        let checked = zone_subnet_id(zone, id.as_str()).and_then(|()| match &spec.subnet_id {
            Some(common) => same_network(common, id),
            None => Ok(()),
        });
        if let Err(why) = checked {
            found.push((format!("zone_subnet_ids[{zone:?}]"), why));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(network: &str, name: &str) -> ArmId {
        let group = "/subscriptions/s/resourceGroups/g";
        ArmId::new(format!(
            "{group}/providers/Microsoft.Network/virtualNetworks/{network}/subnets/{name}"
        ))
    }

    #[test]
    fn the_subnets_of_zones_are_in_one_network() {
        let told = |common: Option<ArmId>, zone: &str, id: ArmId| {
            let mut spec = ClusterSpec::new("s", "demo", "rg", "westeurope");
            (spec.subnet_id, spec.vnet_cidr) = (common, None);
            spec.zone_subnet_ids = [(zone.to_owned(), id)].into();
            broken(&spec)
        };
        let common = || Some(subnet("hub", "consul"));
        assert_eq!(told(common(), "2", subnet("HUB", "zone-2")), vec![]);
        for (common, zone, id, words) in [
            (None, "2", subnet("hub", "zone-2"), "set subnet_id"),
            (common(), "2", subnet("spoke", "zone-2"), "live in one network"),
            (common(), "02", subnet("hub", "zone-2"), "is no zone"),
            (common(), "two", subnet("hub", "zone-2"), "is no zone"),
            (common(), "2", ArmId::new("zone-2"), "not the id of a subnet"),
        ] {
            let found = told(common, zone, id);
            assert!(found.len() == 1 && found[0].1.contains(words), "{found:?}");
        }
    }
}
