//! Clusters and worlds for tests.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod laws;
pub(crate) mod scenarios;
pub(crate) mod world;

use std::collections::BTreeMap;

use hcs_planner::arm::ArmId;
use hcs_planner::spec::{ClusterSpec, ImageReference, LockLevel, ZoneFallback};

/// A cluster of `servers` on `zones` zones.
pub(crate) fn spec(servers: u32, zones: u32) -> ClusterSpec {
    ClusterSpec {
        subscription_id: "00000000-0000-0000-0000-000000000001".into(),
        name: "demo".into(),
        resource_group_name: "rg".into(),
        managed_resource_group_name: "rg-mrg-demo".into(),
        location: "westeurope".into(),
        consul_datacenter: "dc1".into(),
        server_count: servers,
        zones: (1..=zones).map(|zone| zone.to_string()).collect(),
        zone_fallback: ZoneFallback::Strict,
        vm_size: "Standard_D2s_v5".into(),
        vm_size_fallbacks: vec![],
        image: ImageReference::default(),
        os_disk_gib: 64,
        data_disk_gib: 32,
        ssh_public_key: None,
        ssh_allowed_cidrs: vec![],
        vnet_cidr: Some("172.25.16.0/24".parse().unwrap()),
        subnet_id: None,
        peer_vnet_ids: vec![],
        external_endpoint: None,
        consul_version: "1.22.2".parse().unwrap(),
        artifact_source: None,
        lock: LockLevel::CanNotDelete,
        deletion_protection: false,
        force_destroy: false,
        ignored_tags: hcs_planner::tags::IgnoredTags::default(),
        timeouts: None,
        tags: BTreeMap::new(),
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
