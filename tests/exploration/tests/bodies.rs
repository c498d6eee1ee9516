//! Every body that a cluster's life sends is one that Microsoft defines: the world refuses all others, and each type of
//! ours is among them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use hcs_exploration::run::{Drive, End};
use hcs_exploration::scenario::{Scenario, more_scenarios, scenarios, small_scenarios, spec};
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::spec::ClusterSpec;
use hcs_simulator::{Definitions, Method, Settings};

/// A path of the type, as ARM would be asked for one.
fn path_of(kind: Kind) -> String {
    let group = "/subscriptions/s/resourceGroups/g";
    let (namespace, types) = kind.resource_type().split_once('/').unwrap();
    if kind == Kind::ResourceGroup {
        return group.to_owned();
    }
    let named = types.split('/').map(|word| {
        let name = if word == "blobServices" { "default" } else { "n" };
        format!("/{word}/{name}")
    });
    format!("{group}/providers/{namespace}{}", named.collect::<String>())
}

/// The network of others that is in every scenario.
fn hub() -> ArmId {
    let subscription = Settings::default().subscription_id;
    ArmId::resource_group(&subscription, "theirs")
        .resource(Kind::VirtualNetwork.resource_type(), "hub")
}

#[test]
fn every_body_of_ours_is_what_microsoft_defines_and_every_type_is_sent() {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let peered = Scenario {
        name: "peered",
        from: Some(spec(1)),
        to: Some(ClusterSpec { peer_vnet_ids: vec![hub()], ..spec(1) }),
        lost: None,
        azure_speed: 1,
        keeps: &[],
    };
    let all = scenarios().into_iter().chain(small_scenarios()).chain(more_scenarios());
    for scenario in all.chain([peered]) {
        let mut subject = scenario.start().unwrap();
        let end = subject.go(&scenario, &Drive::quiet());
        assert!(matches!(end, End::Complete), "{}: {end:?}", scenario.name);
        for (operation, count) in subject.estate.world.bodies() {
            *seen.entry(operation.clone()).or_default() += count;
        }
    }
    for (operation, count) in &seen {
        println!("{operation:<48} {count:>6} bodies");
    }
    for kind in Kind::ALL {
        let path = path_of(kind);
        let operation = Definitions::built_in().operation(Method::Put, &path, kind.api_version());
        let operation = operation.unwrap_or_else(|| panic!("nothing defines {path}"));
        assert!(seen.contains_key(operation), "nothing sent {operation}");
    }
}
