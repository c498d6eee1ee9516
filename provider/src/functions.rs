//! Functions: what hcs knows without asking anybody.

use hcs_planner::names::parse_cluster_id;
use hcs_planner::placement::{quorum, zone_of};
use hcs_planner::rules;
use tfplugin::{Attr, FunctionError, Model, TypedFunction};

/// The zone of each server. Servers go to the zones in turn, by their slots, as `hcs_cluster` places them; where a region
/// has no zones the list is empty.
#[derive(Model)]
pub(crate) struct ZonePlacement {
    /// Number of servers: 1, 3, 5 or 7.
    #[tf(required)]
    servers: Attr<u32>,
    /// Zones in the order of placement.
    #[tf(required)]
    zones: Attr<Vec<String>>,
}

/// `zone_placement(servers, zones)`.
pub(crate) struct ZonePlacementFunction;

impl TypedFunction for ZonePlacementFunction {
    type Arguments = ZonePlacement;
    type Output = Vec<String>;

    fn name(&self) -> &'static str {
        "zone_placement"
    }

    fn call(&self, arguments: ZonePlacement) -> Result<Vec<String>, FunctionError> {
        let servers = servers(arguments.servers)?;
        let zones = arguments.zones.into_known().unwrap_or_default();
        if let Some(told) = (0..zones.len()).find_map(|index| rules::zone(&zones, index).err()) {
            return Err(FunctionError::new(told).at(1));
        }
        Ok((0..servers).filter_map(|slot| zone_of(slot, &zones)).map(str::to_owned).collect())
    }
}

/// Votes that a cluster of so many servers needs. It survives the loss of all the others.
#[derive(Model)]
pub(crate) struct Quorum {
    /// Number of servers: 1, 3, 5 or 7.
    #[tf(required)]
    servers: Attr<u32>,
}

/// `quorum(servers)`.
pub(crate) struct QuorumFunction;

impl TypedFunction for QuorumFunction {
    type Arguments = Quorum;
    type Output = u32;

    fn name(&self) -> &'static str {
        "quorum"
    }

    fn call(&self, arguments: Quorum) -> Result<u32, FunctionError> {
        servers(arguments.servers).map(quorum)
    }
}

/// The parts of a cluster's id. It takes both forms that an import takes: the id of the managed resource group, and
/// `<subscription id>/<resource group>/<name>`.
#[derive(Model)]
pub(crate) struct ParseClusterId {
    /// `hcs_cluster.id`, or the short form.
    #[tf(required)]
    id: Attr<String>,
}

/// What it gives.
#[derive(Model)]
pub(crate) struct ClusterId {
    /// The ARM id of the managed resource group.
    id: Attr<String>,
    /// Its subscription.
    subscription_id: Attr<String>,
    /// Its name.
    managed_resource_group_name: Attr<String>,
}

/// `parse_cluster_id(id)`.
pub(crate) struct ParseClusterIdFunction;

impl TypedFunction for ParseClusterIdFunction {
    type Arguments = ParseClusterId;
    type Output = ClusterId;

    fn name(&self) -> &'static str {
        "parse_cluster_id"
    }

    fn call(&self, arguments: ParseClusterId) -> Result<ClusterId, FunctionError> {
        let text = arguments.id.into_known().unwrap_or_default();
        let id = parse_cluster_id(&text).map_err(|told| FunctionError::new(told).at(0))?;
        Ok(ClusterId {
            subscription_id: id.segment("subscriptions").map(str::to_owned).into(),
            managed_resource_group_name: id.name().into(),
            id: id.to_string().into(),
        })
    }
}

fn servers(count: Attr<u32>) -> Result<u32, FunctionError> {
    let count = count.into_known().unwrap_or_default();
    rules::server_count(f64::from(count)).map_err(|told| FunctionError::new(told).at(0))?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_placed_as_a_cluster_places_them() {
        let call = |servers: u32, zones: &[&str]| {
            let zones: Vec<String> = zones.iter().map(|zone| (*zone).to_owned()).collect();
            let arguments = ZonePlacement { servers: servers.into(), zones: zones.into() };
            ZonePlacementFunction.call(arguments)
        };
        assert_eq!(call(5, &["1", "2", "3"]).unwrap(), ["1", "2", "3", "1", "2"]);
        assert_eq!(call(3, &["3", "1"]).unwrap(), ["3", "1", "3"]);
        assert!(call(3, &[]).unwrap().is_empty());
        assert_eq!(call(4, &["1"]).unwrap_err().argument, Some(0));
        assert_eq!(call(3, &["1", "1"]).unwrap_err().argument, Some(1));
    }

    #[test]
    fn a_quorum_is_a_majority() {
        let of = |servers: u32| QuorumFunction.call(Quorum { servers: servers.into() }).unwrap();
        assert_eq!([1, 3, 5, 7].map(of), [1, 2, 3, 4]);
    }

    #[test]
    fn both_forms_of_an_id_come_apart() {
        for text in ["/subscriptions/s/resourcegroups/rg-mrg-demo", "s/rg/demo"] {
            let parsed = ParseClusterIdFunction.call(ParseClusterId { id: text.into() }).unwrap();
            assert_eq!(parsed.id, "/subscriptions/s/resourceGroups/rg-mrg-demo".into());
            assert_eq!(parsed.subscription_id, "s".into());
            assert_eq!(parsed.managed_resource_group_name, "rg-mrg-demo".into());
        }
        assert!(ParseClusterIdFunction.call(ParseClusterId { id: "demo".into() }).is_err());
    }
}
