//! Clusters and worlds for tests.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod laws;
pub(crate) mod scenarios;
pub(crate) mod world;

use hcs_planner::arm::ArmId;
use hcs_planner::spec::ClusterSpec;

/// A cluster of `servers` on `zones` zones.
pub(crate) fn spec(servers: u32, zones: u32) -> ClusterSpec {
    ClusterSpec {
        consul_datacenter: "dc1".into(),
        server_count: servers,
        zones: (1..=zones).map(|zone| zone.to_string()).collect(),
        consul_version: "1.22.2".parse().unwrap(),
        ..ClusterSpec::new("00000000-0000-0000-0000-000000000001", "demo", "rg", "westeurope")
    }
}

/// The same, changed.
pub(crate) fn with(mut spec: ClusterSpec, change: impl FnOnce(&mut ClusterSpec)) -> ClusterSpec {
    change(&mut spec);
    spec
}

/// Another network, in a group of its own.
pub(crate) fn peer(name: &str) -> ArmId {
    ArmId::resource_group("00000000-0000-0000-0000-000000000001", "hub")
        .resource("Microsoft.Network/virtualNetworks", name)
}
