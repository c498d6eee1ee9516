//! Subnets of somebody's by zone.

use std::collections::BTreeMap;
use std::time::Duration;

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::rights::needed;
use hcs_planner::spec::ClusterSpec;
use hcs_simulator::CallFault;
use serde_json::{Value as Json, json};
use tfplugin::Value;

use super::reads::{READER, assign, principal};
use super::rights::{
    CONTRIBUTOR, NETWORK_CONTRIBUTOR, PRIVATE_DNS_ZONE_CONTRIBUTOR, USER_ACCESS_ADMINISTRATOR,
    image,
};
use super::{Random, cases};
use crate::testing::core::{Failure, Instance, Options, apply, import, plan, whole};
use crate::testing::{Azure, GROUP, Kill, demo, group_id};

const INTERFACE: &str =
    "/properties/virtualMachineProfile/networkProfile/networkInterfaceConfigurations/0";

fn network(name: &str) -> ArmId {
    group_id(GROUP).resource(Kind::VirtualNetwork.resource_type(), name)
}

fn subnet(name: &str) -> String {
    network("spoke").child("subnets", name).to_string()
}

/// A network with a subnet for all, one for each zone with a NAT gateway of that zone, and some that will not do.
async fn spoke() -> Azure {
    let azure = Azure::new().await;
    let row = |name: &str, prefix: &str| json!({ "name": name, "properties": { "addressPrefix": prefix } });
    let mut rows = vec![row("common", "10.20.0.0/26"), row("tiny", "10.20.2.0/29")];
    rows.push(json!({ "name": "web", "properties": { "addressPrefix": "10.20.3.0/24",
        "delegations": [{ "name": "d", "properties": { "serviceName": "Microsoft.Web/serverFarms" } }] } }));
    rows.push(json!({ "name": "walled", "properties": { "addressPrefix": "10.20.4.0/24",
        "defaultOutboundAccess": false } }));
    for zone in 1..=3 {
        let address =
            group_id(GROUP).resource(Kind::PublicIpAddress.resource_type(), &format!("nat-{zone}"));
        let body = json!({ "location": "westeurope", "zones": [zone.to_string()], "sku": { "name": "Standard" },
            "properties": { "publicIPAllocationMethod": "Static" } });
        azure.put(&address, Kind::PublicIpAddress.api_version(), body).await;
        let gateway =
            group_id(GROUP).resource(Kind::NatGateway.resource_type(), &format!("nat-{zone}"));
        let body = json!({ "location": "westeurope", "zones": [zone.to_string()], "sku": { "name": "Standard" },
            "properties": { "publicIpAddresses": [{ "id": address }] } });
        azure.put(&gateway, Kind::NatGateway.api_version(), body).await;
        let mut own = row(&format!("zone-{zone}"), &format!("10.20.1.{}/28", zone * 16));
        own["properties"]["natGateway"] = json!({ "id": gateway });
        rows.push(own);
    }
    let body = json!({ "location": "westeurope",
        "properties": { "addressSpace": { "addressPrefixes": ["10.20.0.0/16"] }, "subnets": rows } });
    azure.put(&network("spoke"), "2024-05-01", body).await;
    azure
}

fn by_zone(ids: &[(&'static str, &str)]) -> (&'static str, Value) {
    let ids = ids.iter().map(|(zone, name)| (*zone, Value::from(subnet(name))));
    ("zone_subnet_ids", Value::map(ids.collect::<Vec<_>>()))
}

fn config(more: &[(&'static str, Value)]) -> Value {
    let own = [("location", Value::from("westeurope")), ("subnet_id", subnet("common").into())];
    demo(own.into_iter().chain(more.iter().cloned()))
}

/// Of each server: zone (empty outside of any), the name of its subnet, the address that it has, which one it is.
fn servers(azure: &Azure, state: &Value) -> Vec<(String, String, String, Json)> {
    let rows = state.get("servers").as_list().unwrap();
    let told = |row: &Value, name: &str| row.get(name).as_str().unwrap().to_owned();
    let each = rows.iter().map(|row| {
        let body = azure.object(&ArmId::new(told(row, "vmss_id"))).unwrap();
        let id = body
            .pointer(&format!("{INTERFACE}/properties/ipConfigurations/0/properties/subnet/id"));
        let id = ArmId::new(id.unwrap().as_str().unwrap());
        assert_eq!(id.parent(), Some(network("spoke")));
        let zone = body["zones"][0].as_str().unwrap_or_default().to_owned();
        (
            zone,
            id.name().to_owned(),
            told(row, "private_ip"),
            body["properties"]["uniqueId"].clone(),
        )
    });
    each.collect()
}

/// Where an address is, by the prefixes above.
fn subnet_of(address: &str) -> String {
    let parts: Vec<u8> = address.split('.').map(|part| part.parse().unwrap()).collect();
    match parts[2] {
        0 => "common".to_owned(),
        1 => format!("zone-{}", parts[3] / 16),
        other => panic!("{address} is in {other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn servers_live_in_the_subnet_of_their_zone_and_only_those_of_another_one_are_made_anew() {
    let azure = spoke().await;
    let cluster = azure.provider(Value::Null, None).cluster();
    let mut instance = Instance::default();
    let steps: [&[(&'static str, &str)]; 5] = [
        &[],
        &[("1", "zone-1"), ("2", "zone-2")],
        // Server 1 stays, server 0 goes back to all, server 2 goes.
        &[("2", "zone-2"), ("3", "zone-3")],
        // One subnet for two zones, and a zone that has no server.
        &[("2", "zone-2"), ("3", "zone-2"), ("9", "zone-1")],
        &[],
    ];
    let mut before: BTreeMap<String, (String, Json)> = BTreeMap::new();
    for step in steps {
        let config = config(&[by_zone(step)]);
        apply(&cluster, &mut instance, Some(&config), Options::default()).await.unwrap();
        let state = instance.current.clone().unwrap().state;
        let planned = plan(&cluster, &state, &[], &config).await.unwrap();
        assert_eq!(planned.planned, whole(cluster.as_ref(), &state), "{step:?} plans nothing");
        let now = servers(&azure, &state);
        assert_eq!(now.iter().map(|one| one.0.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
        for (zone, name, address, birth) in now {
            let declared =
                step.iter().find(|(own, _)| *own == zone).map_or("common", |(_, name)| name);
            assert_eq!(name, declared, "zone {zone} after {step:?}");
            assert_eq!(subnet_of(&address), name, "zone {zone} after {step:?}");
            if let Some((old, old_birth)) =
                before.insert(zone.clone(), (name.clone(), birth.clone()))
            {
                assert_eq!(old == name, old_birth == birth, "zone {zone} after {step:?}");
            }
        }
        // The balancer stays where it is.
        let balancer = Azure::cluster_id().resource(Kind::LoadBalancer.resource_type(), "demo-lb");
        let frontend = azure.object(&balancer).unwrap();
        let id =
            &frontend["properties"]["frontendIPConfigurations"][0]["properties"]["subnet"]["id"];
        assert_eq!(id.as_str().map(str::to_lowercase), Some(subnet("common").to_lowercase()));
        let imported =
            import(&cluster, Azure::cluster_id().as_str()).await.unwrap().current.unwrap();
        let planned = plan(&cluster, &imported.state, &[], &config).await.unwrap();
        assert_eq!(planned.planned, whole(cluster.as_ref(), &imported.state), "imported {step:?}");
    }
}

/// A cluster of one server whose zone had no room, and what it applies with.
async fn moved(azure: &Azure, config: &Value) -> Instance {
    let cluster = azure.provider(Value::Null, None).cluster();
    let mut instance = Instance::default();
    let full = "capacity:virtualMachineScaleSets:1".parse().unwrap();
    azure.cloud.with_world(|world| world.inject(full));
    apply(&cluster, &mut instance, Some(config), Options::default()).await.unwrap();
    instance
}

fn of_one(subnets: &[(&'static str, &str)], more: &[(&'static str, Value)]) -> Value {
    let own = [by_zone(subnets), ("server_count", 1.into()), ("zone_fallback", "prefer".into())];
    config(&own.into_iter().chain(more.iter().cloned()).collect::<Vec<_>>())
}

/// A server that finds no room in its zone lives in the subnet of the zone where it does, and stays there. Only another
/// subnet for that zone makes it anew.
#[tokio::test(start_paused = true)]
async fn a_server_that_goes_elsewhere_lives_in_the_subnet_there() {
    let azure = spoke().await;
    let cluster = azure.provider(Value::Null, None).cluster();
    let mut instance = moved(&azure, &of_one(&[("1", "zone-1"), ("2", "zone-2")], &[])).await;
    let tags = ("tags", Value::map([("team", Value::from("blue"))]));
    let mut before = None;
    for (subnets, more, name, stays) in [
        (&[("1", "zone-1"), ("2", "zone-2")], &[][..], "zone-2", true),
        // Nothing of where it is.
        (&[("1", "zone-1"), ("2", "zone-2")], &[tags], "zone-2", true),
        // Where it was declared, and is not.
        (&[("1", "zone-3"), ("2", "zone-2")], &[], "zone-2", true),
        // Where it is.
        (&[("1", "zone-3"), ("2", "zone-1")], &[], "zone-1", false),
    ] {
        let config = of_one(subnets, more);
        if let Some(current) = &instance.current {
            let planned = plan(&cluster, &current.state, &[], &config).await.unwrap().planned;
            let address = planned.get("servers").as_list().unwrap()[0].get("private_ip");
            assert_eq!(!address.is_unknown(), stays, "the plan of {subnets:?} {more:?}");
        }
        apply(&cluster, &mut instance, Some(&config), Options::default()).await.unwrap();
        let state = instance.current.clone().unwrap().state;
        let planned = plan(&cluster, &state, &[], &config).await.unwrap();
        assert_eq!(planned.planned, whole(cluster.as_ref(), &state));
        let (zone, own, address, birth) = servers(&azure, &state).remove(0);
        assert_eq!((zone.as_str(), own.as_str()), ("2", name), "{subnets:?} {more:?}");
        assert_eq!(subnet_of(&address), name);
        let old = before.replace(birth.clone());
        assert_eq!(old.is_none_or(|old| old == birth), stays, "{subnets:?} {more:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_outside_of_zones_lives_in_the_subnet_of_all() {
    let azure = spoke().await;
    let outside = [("zones", vec!["1".to_owned()].into()), ("zone_fallback", "best_effort".into())];
    let instance = moved(&azure, &of_one(&[("1", "zone-1")], &outside)).await;
    let (zone, name, address, _) = servers(&azure, &instance.current.unwrap().state).remove(0);
    assert_eq!((zone.as_str(), name.as_str()), ("", "common"));
    assert_eq!(subnet_of(&address), "common");
}

/// What a subnet lacks, of a cluster that is made and of one that runs already.
#[tokio::test(start_paused = true)]
async fn what_a_subnet_of_a_zone_lacks_is_told_while_planning() {
    let azure = spoke().await;
    let cluster = azure.provider(Value::Null, None).cluster();
    let mut instance = Instance::default();
    apply(&cluster, &mut instance, Some(&config(&[])), Options::default()).await.unwrap();
    let running = instance.current.unwrap().state;
    let told = async |state: &Value, more: &[(&'static str, Value)]| match plan(
        &cluster,
        state,
        &[],
        &config(more),
    )
    .await
    {
        Ok(planned) => format!("{:?}", planned.diagnostics),
        Err(failure) => format!("{failure:?}"),
    };
    let all = [("1", "zone-1"), ("2", "zone-2"), ("3", "zone-3")];
    for state in [&Value::Null, &running] {
        let found = told(state, &[by_zone(&all)]).await;
        assert!(!found.contains("NAT gateway") && !found.contains("Subnet"), "{found}");
        for (zone, name, words) in [
            ("2", "ghost", "has no subnet \\\"ghost\\\" now"),
            ("2", "tiny", "The subnet tiny is 10.20.2.0/29"),
            ("2", "web", "Subnet is delegated"),
            ("2", "walled", "The subnet has no NAT gateway"),
            ("4", "zone-2", "Zone 4 is none of the cluster's zones (those are 1, 2, 3)"),
        ] {
            let subnets = [("1", "zone-1"), (zone, name), ("3", "zone-3")];
            let found = told(state, &[by_zone(&subnets)]).await;
            assert!(found.contains(words), "{words}: {found}");
        }
    }
    // No server comes into the subnet of a zone that the cluster has not, until it has.
    let walled = by_zone(&[("1", "zone-1"), ("3", "walled")]);
    let zones = |zones: &[&str]| {
        ("zones", Value::from(zones.iter().map(|zone| (*zone).to_owned()).collect::<Vec<_>>()))
    };
    let one = [walled.clone(), zones(&["1"]), ("server_count", 1.into())];
    let found = told(&Value::Null, &one).await;
    assert!(!found.contains("NAT gateway"), "{found}");
    let mut instance = Instance::default();
    let azure = spoke().await;
    let cluster = azure.provider(Value::Null, None).cluster();
    apply(&cluster, &mut instance, Some(&config(&one)), Options::default()).await.unwrap();
    let two = config(&[walled, zones(&["1", "3"]), ("server_count", 1.into())]);
    let state = instance.current.unwrap().state;
    let found = format!("{:?}", plan(&cluster, &state, &[], &two).await);
    assert!(found.contains("The subnet has no NAT gateway"), "{found}");
}

/// Each subnet in which a server may be made, and no other.
#[tokio::test(start_paused = true)]
async fn whoever_applies_may_join_each_subnet_of_a_server() {
    let azure = spoke().await;
    azure.put(&Azure::cluster_id(), "2024-07-01", json!({ "location": "westeurope" })).await;
    let zone = group_id(GROUP).resource(Kind::PrivateDnsZone.resource_type(), "corp.example");
    azure.put(&zone, Kind::PrivateDnsZone.api_version(), json!({ "location": "global" })).await;
    let ids = [("1", "zone-1"), ("2", "zone-2"), ("9", "zone-3")];
    let spec = ClusterSpec {
        managed_resource_group_name: Azure::cluster_id().name().to_owned(),
        subnet_id: Some(ArmId::new(subnet("common"))),
        vnet_cidr: None,
        zone_subnet_ids: ids.map(|(zone, name)| (zone.into(), ArmId::new(subnet(name)))).into(),
        private_dns_zone_id: Some(zone.clone()),
        ..ClusterSpec::new(
            Azure::cluster_id().segment("subscriptions").unwrap(),
            "demo",
            GROUP,
            "westeurope",
        )
    };
    let needs = needed(&spec, true);
    let named = needs.iter().filter(|need| need.role == "Network Contributor");
    let named: Vec<&str> = named.map(|need| need.scope.name()).collect();
    assert_eq!(named, ["common", "zone-1", "zone-2"]);
    let caller = principal(&azure, "pipeline").await;
    let roles = [
        ("Reader", READER),
        ("Contributor", CONTRIBUTOR),
        ("User Access Administrator", USER_ACCESS_ADMINISTRATOR),
        ("Network Contributor", NETWORK_CONTRIBUTOR),
        ("Private DNS Zone Contributor", PRIVATE_DNS_ZONE_CONTRIBUTOR),
    ];
    let role = |name: &str| roles.iter().find(|(own, _)| *own == name).unwrap().1;
    for need in needs.iter().filter(|need| need.scope.name() != "zone-2") {
        assign(&azure, &caller, role(need.role), &need.scope).await;
    }
    let provider = azure.provider_of(&azure.cloud.seen_by(&caller), Value::Null, None);
    let config = config(&[
        by_zone(&ids),
        ("private_dns_zone_id", zone.to_string().into()),
        ("zones", vec!["1".to_owned(), "2".to_owned(), "3".to_owned()].into()),
        ("image", image("24.04.202609120")),
    ]);
    let cluster = provider.cluster();
    let mut instance = Instance::default();
    let outcome = apply(&cluster, &mut instance, Some(&config), Options::default()).await;
    let Err(Failure::Told(told)) = outcome else { panic!("zone-2 is not needed: {outcome:?}") };
    assert!(told.join(" ").contains("subnets/zone-2"), "{told:?}");
    assign(&azure, &caller, NETWORK_CONTRIBUTOR, &ArmId::new(subnet("zone-2"))).await;
    apply(&cluster, &mut instance, Some(&config), Options::default()).await.unwrap();
    let state = instance.current.clone().unwrap().state;
    let subnets: Vec<String> = servers(&azure, &state).into_iter().map(|one| one.1).collect();
    assert_eq!(subnets, ["zone-1", "zone-2", "common"]);
}

/// Killed anywhere while subnets of zones come to servers that run, and some of them find no room.
#[tokio::test(start_paused = true)]
async fn whoever_is_killed_while_servers_move_is_followed_by_one_who_finishes() {
    let (mut killed, mut random) = (0, Random(81));
    let wanted = cases(16);
    for case in 0..wanted {
        let azure = spoke().await;
        let fallback = [("zone_fallback", Value::from("prefer"))];
        let more = if case % 2 == 0 { &fallback[..] } else { &[] };
        let before = config(more);
        let after = config(&[&[by_zone(&[("1", "zone-1"), ("3", "zone-3")])], more].concat());
        let cluster = azure.provider(Value::Null, None).cluster();
        let mut instance = Instance::default();
        apply(&cluster, &mut instance, Some(&before), Options::default()).await.unwrap();
        let births = servers(&azure, &instance.current.clone().unwrap().state);
        if case % 2 == 0 {
            let full = "capacity:virtualMachineScaleSets:1".parse().unwrap();
            azure.cloud.with_world(|world| world.inject(full));
        }
        let fault = if random.chance(2) { CallFault::KillBefore } else { CallFault::KillAfter };
        let dying = azure.provider(Value::Null, Some(Kill { at: 20 + random.below(160), fault }));
        let (mut state, cluster) = (instance.clone(), dying.cluster());
        tokio::select! {
            biased;
            outcome = apply(&cluster, &mut state, Some(&after), Options::default()) => {
                outcome.unwrap();
                instance = state;
            }
            () = dying.death() => killed += 1,
        }
        tokio::time::sleep(Duration::from_mins(30)).await;
        let again = azure.provider(Value::Null, None).cluster();
        apply(&again, &mut instance, Some(&after), Options::default()).await.unwrap();
        let state = instance.current.clone().unwrap().state;
        let planned = plan(&again, &state, &[], &after).await.unwrap();
        assert_eq!(planned.planned, whole(again.as_ref(), &state), "case {case} plans nothing");
        let now = servers(&azure, &state);
        assert_eq!(now.len(), births.len());
        for (zone, name, address, _) in &now {
            let wanted = match zone.as_str() {
                "1" => "zone-1",
                "3" => "zone-3",
                _ => "common",
            };
            assert_eq!((name.as_str(), subnet_of(address)), (wanted, wanted.to_owned()), "{case}");
        }
        if case % 2 == 1 {
            assert_eq!(now[1].3, births[1].3, "case {case}: server 1 stays");
        }
    }
    assert!(killed >= wanted / 2, "{killed} were killed");
}
