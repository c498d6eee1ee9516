//! Functions: what hcs knows without asking anybody.

use hcs_planner::maintenance::{self, Schedule, Work};
use hcs_planner::names::parse_cluster_id;
use hcs_planner::placement::{quorum, zone_of};
use hcs_planner::rules;
use tfplugin::{Attr, FunctionError, Model, TypedFunction};

use crate::cluster::MaintenanceWindow;

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

/// The next time at which a maintenance window is open: the opening that lasts at `from`, or the first one after it.
#[derive(Model)]
pub(crate) struct NextWindow {
    /// A window, such as `hcs_cluster.main.maintenance_windows[0]`. A literal needs all of `days`, `start`, `duration` and
    /// `time_zone`; `null` is the default.
    #[tf(required)]
    window: Attr<MaintenanceWindow>,
    /// From when on, RFC 3339, such as `plantimestamp()`.
    #[tf(required)]
    from: Attr<String>,
}

/// When it is open.
#[derive(Model)]
pub(crate) struct OpenWindow {
    /// When it opens, RFC 3339, in UTC.
    start: Attr<String>,
    /// When it closes.
    end: Attr<String>,
}

/// `next_window(window, from)`.
pub(crate) struct NextWindowFunction;

impl TypedFunction for NextWindowFunction {
    type Arguments = NextWindow;
    type Output = OpenWindow;

    fn name(&self) -> &'static str {
        "next_window"
    }

    fn call(&self, arguments: NextWindow) -> Result<OpenWindow, FunctionError> {
        let wrong = |told: String| FunctionError::new(told).at(0);
        let window = arguments.window.into_known().unwrap_or_default();
        let window = window.with_defaults().to_spec().map_err(|name| {
            wrong(format!("{name} is not set, or is no duration such as \"6h\""))
        })?;
        if let Some((_, told)) = window.faults().into_iter().next() {
            return Err(wrong(told));
        }
        let from = arguments.from.into_known().unwrap_or_default();
        let from = maintenance::moment(&from).map_err(|told| FunctionError::new(told).at(1))?;
        let schedule = Schedule { windows: &[window], exclusions: &[] };
        let opening = schedule.opening(Work::Fix, from);
        let opening = opening.ok_or_else(|| wrong("it never opens".to_owned()))?;
        Ok(OpenWindow {
            start: opening.start.to_string().into(),
            end: opening.end.to_string().into(),
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
    fn the_next_window_is_the_one_that_is_open_or_the_first_after() {
        let call = |start: &str, from: &str| {
            let window = MaintenanceWindow {
                days: vec!["Sunday".to_owned()].into(),
                start: start.into(),
                duration: "4h".into(),
                time_zone: "Europe/Berlin".into(),
            };
            NextWindowFunction.call(NextWindow { window: window.into(), from: from.into() })
        };
        let next = call("02:00", "2026-11-27T00:00:00Z").unwrap();
        assert_eq!(next.start, "2026-11-29T01:00:00Z".into());
        assert_eq!(next.end, "2026-11-29T05:00:00Z".into());
        let open = call("02:00", "2026-11-29T04:59:59Z").unwrap();
        assert_eq!(open.start, next.start);
        assert_eq!(call("2 am", "2026-11-27T00:00:00Z").err().unwrap().argument, Some(0));
        assert_eq!(call("02:00", "today").err().unwrap().argument, Some(1));
        let bare = MaintenanceWindow {
            start: "00:00".into(),
            duration: "6h".into(),
            ..MaintenanceWindow::default()
        };
        let from = "2026-11-27T12:00:00Z".into();
        let next = NextWindowFunction.call(NextWindow { window: bare.into(), from }).unwrap();
        assert_eq!(next.start, "2026-11-28T00:00:00Z".into(), "each day, UTC");
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
