//! An import of anything plans empty: random configurations are applied, forgotten, imported and planned, by themselves
//! and by the configuration that is generated from the import.

use std::collections::BTreeMap;

use tfplugin::schema::{Attribute, Kind, Type};
use tfplugin::{Context, Value};

use super::encryption::{bring_keys, bring_set};
use super::inputs::{REGION, Step, random};
use super::unknown::network;
use super::{Random, cases};
use crate::testing::core::{Failure, Instance, Options, apply, import, plan, whole};
use crate::testing::{Azure, demo, group_id};

/// An attribute in one of the ways in which users write it: left out, null, empty, or with a value.
fn written(attribute: &Attribute, numbers: &mut Random) -> Option<Value> {
    let leaf = vec![Step::Name(attribute.name.clone())];
    match numbers.below(6) {
        0..=2 => None,
        3 => match &attribute.kind {
            Kind::Plain(Type::List(_)) => Some(Value::list([])),
            Kind::Plain(Type::Map(_)) => Some(match numbers.below(2) {
                0 => Value::Map(BTreeMap::new()),
                _ => Value::map([("owner", Value::Null)]),
            }),
            _ => Some(Value::Null),
        },
        _ => random(&leaf, numbers),
    }
}

fn config(attributes: &[Attribute], numbers: &mut Random) -> Value {
    let mut config = demo([("location", REGION.into()), ("server_count", Value::from(1))]);
    let fixed = ["name", "resource_group_name", "managed_resource_group_name", "location"];
    for attribute in attributes.iter().filter(|one| one.optional) {
        // Small clusters: how many servers there are is no matter of imports.
        if fixed.contains(&attribute.name.as_str()) || attribute.name == "server_count" {
            continue;
        }
        if let Some(value) = written(attribute, numbers) {
            config.set(attribute.name.clone(), value);
        }
    }
    match numbers.below(4) {
        0 => config.set("timeouts", Value::Map(BTreeMap::new())),
        1 => config.set("timeouts", Value::map([("create", Value::from("90m"))])),
        _ => {}
    }
    // What only goes together comes together, mostly.
    if config.get("consul_external_endpoint").as_bool() == Some(true) {
        config.set("consul_external_endpoint_allowed_cidrs", vec!["198.51.100.0/24".to_owned()]);
    } else if numbers.chance(2) {
        config.set("consul_external_endpoint_allowed_cidrs", Value::list([]));
    }
    if config.get("ssh_public_key").is_null() {
        config.set("ssh_allowed_cidrs", Value::Null);
    }
    if config.get("vm_size_fallbacks").as_list().is_some_and(|sizes| !sizes.is_empty()) {
        config.set("zone_fallback", "prefer");
    }
    if config.get("data_disk_type").as_str() == Some("PremiumV2_LRS")
        && config.get("zone_fallback").as_str() == Some("best_effort")
    {
        config.set("zone_fallback", "prefer");
    }
    // One that is there; a channel goes with none that is exact.
    if config.get("image").is_set() {
        config.set("image", super::rights::image("24.04.202609120"));
        config.set("image_upgrade_channel", Value::Null);
    }
    if config.get("source_image_id").is_set() {
        config.set("image", Value::Null);
        config.set("image_upgrade_channel", Value::Null);
        if numbers.chance(2) {
            config.set("image_plan", super::inputs::a_plan("l1"));
        }
    } else {
        config.set("image_plan", Value::Null);
    }
    if config.get("capacity_reservation_group_id").is_set() {
        config.set("zone_fallback", Value::Null);
        config.set("vm_size_fallbacks", Value::Null);
        config.set("vm_size", Value::Null);
    }
    // Roles of somebody else have laws of their own.
    config.set("role_assignment_mode", Value::Null);
    config.set("identities", Value::Null);
    let own_network = config.get("subnet_id").as_str().is_none();
    if own_network && config.get("outbound_type").as_str() == Some("user_defined_routing") {
        config.set("outbound_type", "none");
    }
    // Terraform reaches a private endpoint in a network that is there.
    let is_private = config.get("storage_access").as_str() == Some("private_endpoint");
    if own_network && is_private {
        config.set("storage_access", Value::Null);
    }
    let zone = config.get("storage_private_dns_zone_id").as_str().map(str::to_owned);
    if own_network || !is_private || zone.as_deref() == Some("None") {
        config.set("storage_private_dns_zone_id", Value::Null);
    }
    if let Some(common) = config.get("subnet_id").as_str().map(str::to_owned) {
        // In the network of the other.
        let network = common.rsplit_once("/subnets/").map_or("", |(network, _)| network);
        let own = config.get("zone_subnet_ids").as_map().cloned().unwrap_or_default();
        let here = |id: &Value| {
            let name = id.as_str().and_then(|id| id.rsplit_once('/')).map_or("", |(_, name)| name);
            Value::from(format!("{network}/subnets/{name}"))
        };
        if !own.is_empty() {
            let own = own.iter().map(|(zone, id)| (zone.clone(), here(id)));
            config.set("zone_subnet_ids", Value::map(own.collect::<Vec<_>>()));
        }
        config.set("vnet_cidr", Value::Null);
        config.set("peer_vnet_ids", if numbers.chance(2) { Value::list([]) } else { Value::Null });
    } else if config.get("zone_subnet_ids").as_map().is_some_and(|ids| !ids.is_empty()) {
        config.set("zone_subnet_ids", Value::Null);
    }
    config
}

/// What `-generate-config-out` writes of a state: everything that can be set and is not null.
fn generated(attributes: &[Attribute], state: &Value) -> Value {
    let settable = attributes.iter().filter(|one| one.required || one.optional);
    let set = settable.filter(|one| !state.get(&one.name).is_null());
    let mut config = Value::object(set.map(|one| (one.name.clone(), state.get(&one.name).clone())));
    if !state.get("timeouts").is_null() {
        config.set("timeouts", state.get("timeouts").clone());
    }
    config
}

/// A hub's zone for private endpoints, which the networks of this test see.
async fn hub_zone(azure: &Azure, zone: &hcs_planner::arm::ArmId) {
    let (kind, link) =
        (hcs_planner::arm::Kind::PrivateDnsZone, hcs_planner::arm::Kind::PrivateDnsLink);
    azure.put(zone, kind.api_version(), serde_json::json!({ "location": "global" })).await;
    for name in ["own-1", "own-2"] {
        let network = hcs_planner::arm::Kind::VirtualNetwork.resource_type();
        let id = group_id("rg").resource(network, name);
        let body = serde_json::json!({
            "location": "global",
            "properties": { "virtualNetwork": { "id": id }, "registrationEnabled": false },
        });
        azure.put(&zone.child("virtualNetworkLinks", name), link.api_version(), body).await;
    }
}

/// Keys that a configuration names, and the feature that hosts need.
async fn security_team(azure: &Azure, config: &Value) {
    azure.register_encryption_at_host().await;
    if config.get("customer_managed_key").is_set() {
        bring_keys(azure).await;
    }
    if let Some(set) = config.get("disk_encryption_set_id").as_str() {
        bring_set(azure, &hcs_planner::arm::ArmId::new(set), REGION).await;
    }
    super::gallery::bring_room(azure, REGION).await;
    tokio::time::sleep(std::time::Duration::from_mins(15)).await;
}

/// Networks and zones that a configuration may name.
async fn platform(azure: &Azure) {
    for (name, space) in [
        ("peer-1", "10.250.1.0/24"),
        ("peer-2", "10.250.2.0/24"),
        ("own-1", "10.251.1.0/24"),
        ("own-2", "10.251.2.0/24"),
    ] {
        network(azure, "rg", name, space).await;
    }
    for number in 1..3 {
        let kind = hcs_planner::arm::Kind::PrivateDnsZone;
        let zone = format!("hub-{number}.example");
        let zone = group_id("rg").resource(kind.resource_type(), &zone);
        let body = serde_json::json!({ "location": "global" });
        azure.put(&zone, kind.api_version(), body).await;
    }
}

/// Inputs that are left out mostly, or go with others: the law goes on until each was tried.
const RARE: &[&str] = &[
    "zones",
    "tags",
    "image",
    "peer_vnet_ids",
    "private_dns_zone_id",
    "subnet_id",
    "zone_subnet_ids",
    "timeouts",
    "vm_size_fallbacks",
    "ssh_public_key",
    "ssh_allowed_cidrs",
    "outbound_type",
    "data_disk_type",
    "disk_encryption_set_id",
    "source_image_id",
    "image_plan",
    "capacity_reservation_group_id",
    "encryption_at_host_enabled",
    "customer_managed_key",
    "storage_access",
    "storage_private_dns_zone_id",
];

#[tokio::test(start_paused = true)]
async fn an_import_of_anything_plans_empty() {
    let wanted = cases(60);
    let mut numbers = Random(9);
    let (mut done, mut refused, mut seen) = (0, 0, BTreeMap::<String, usize>::new());
    let untried = |seen: &BTreeMap<String, usize>| -> Vec<&str> {
        let is_untried = |name: &&str| !seen.contains_key(&format!("{name} set"));
        RARE.iter().copied().filter(is_untried).collect()
    };
    while done < wanted || !untried(&seen).is_empty() {
        assert!(done < 4 * wanted, "never tried: {:?}", untried(&seen));
        assert!(refused < 20 * wanted, "{refused} configurations are refused, {done} applied");
        let azure = Azure::new().await;
        platform(&azure).await;
        let default_tags = match numbers.below(3) {
            0 => Value::Null,
            1 => Value::map([("t0", Value::from(format!("{}", numbers.below(200))))]),
            _ => Value::map([("env", Value::from("test")), ("none", Value::Null)]),
        };
        let provider = azure.provider(default_tags, None);
        let resource = provider.cluster();
        let schema = resource.schema();
        let config = config(&schema.block.attributes, &mut numbers);
        if let Some(zone) = config.get("storage_private_dns_zone_id").as_str()
            && let (zone, false) = (hcs_planner::arm::ArmId::new(zone), zone == "System")
        {
            hub_zone(&azure, &zone).await;
        }
        security_team(&azure, &config).await;
        let mut instance = Instance::default();
        match apply(&resource, &mut instance, Some(&config), Options::default()).await {
            Ok(_) => done += 1,
            Err(Failure::Told(_)) => {
                refused += 1;
                continue;
            }
            Err(bug) => panic!("{bug:?}\n{config:?}"),
        }
        for (name, value) in config.as_map().into_iter().flatten() {
            let kind = match value {
                value if value.is_null() => "null",
                value if value.as_list() == Some(&[]) => "empty",
                value if value.as_map().is_some_and(BTreeMap::is_empty) => "empty",
                _ => "set",
            };
            *seen.entry(format!("{name} {kind}")).or_default() += 1;
        }
        let id = Azure::cluster_id();
        let imported = import(&resource, id.as_str()).await.unwrap().current.unwrap();
        let by_hand = plan(&resource, &imported.state, &[], &config).await.unwrap();
        let state = whole(resource.as_ref(), &imported.state);
        let differ = |planned: &Value| {
            let names = schema.block.attributes.iter().map(|one| one.name.as_str());
            let names = names.chain(["timeouts"]);
            let others = names.filter(|name| planned.get(name) != state.get(name));
            let told = others
                .map(|name| format!("{name}: {:?} -> {:?}", state.get(name), planned.get(name)));
            told.collect::<Vec<_>>()
        };
        assert_eq!(differ(&by_hand.planned), Vec::<String>::new(), "{config:?}");
        for generated in [
            generated(&schema.block.attributes, &state),
            resource.generate_config(&Context::new(), state.clone()).await,
        ] {
            let planned = plan(&resource, &imported.state, &[], &generated).await.unwrap();
            assert_eq!(differ(&planned.planned), Vec::<String>::new(), "generated {generated:?}");
        }
    }
    println!(
        "{done} clusters imported; {refused} configurations refused; {} ways to write an input",
        seen.len()
    );
}
