//! The rights that the guides name are enough, and none of them is too many: a caller that holds them and nothing else
//! makes, changes and destroys a cluster in a group that it was given.

use std::collections::BTreeSet;
use std::sync::Arc;

use hcs_engine::arm::Arm;
use hcs_engine::permissions::Permissions;
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::rights::needed;
use hcs_planner::spec::ClusterSpec;
use hcs_simulator::CallFault;
use serde_json::json;
use tfplugin::{CancellationToken, Value};

use super::reads::{READER, assign, principal};
use super::unknown::network;
use crate::testing::core::{Failure, Instance, Options, apply, import, plan, refresh, whole};
use crate::testing::{Azure, GROUP, Kill, Provider, demo, group_id};

pub(super) const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
pub(super) const USER_ACCESS_ADMINISTRATOR: &str = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9";
pub(super) const NETWORK_CONTRIBUTOR: &str = "4d97b98b-1d4f-4787-a291-c67834d212e7";

pub(super) const PRIVATE_DNS_ZONE_CONTRIBUTOR: &str = "b12aa53e-6015-4669-85d0-8515ebb3ae7f";

/// Where the peer lives, and the zone of the hub.
const NETWORKS: &str = "rg-network";

fn peer() -> ArmId {
    group_id(NETWORKS).resource(Kind::VirtualNetwork.resource_type(), "hub")
}

fn zone() -> ArmId {
    group_id(NETWORKS).resource(Kind::PrivateDnsZone.resource_type(), "corp.example")
}

/// Name, id and scope of each role in the guide's first table.
fn documented() -> Vec<(String, &'static str, ArmId)> {
    let guide = include_str!("../../../../docs/guides/rights.md");
    let (_, table) = guide.split_once("| role | scope | for |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let role = match cells[1] {
            "Reader" => READER,
            "Contributor" => CONTRIBUTOR,
            "User Access Administrator" => USER_ACCESS_ADMINISTRATOR,
            "Network Contributor" => NETWORK_CONTRIBUTOR,
            "Private DNS Zone Contributor" => PRIVATE_DNS_ZONE_CONTRIBUTOR,
            other => panic!("the guide names the role {other}"),
        };
        let scope = match cells[2] {
            "your resource group" => group_id(GROUP),
            "the managed group" => Azure::cluster_id(),
            "each network in `peer_vnet_ids`" => peer(),
            "the zone of `private_dns_zone_id`" => zone(),
            other => panic!("the guide names the scope {other}"),
        };
        (cells[1].to_owned(), role, scope)
    })
    .collect()
}

/// A subscription with a managed group that somebody made, and a caller with all documented rights but one.
async fn given(without: Option<&str>) -> (Azure, Provider) {
    let azure = Azure::new().await;
    let tags = json!({ "location": "westeurope", "tags": { "owner": "platform" } });
    azure.put(&Azure::cluster_id(), "2024-07-01", tags).await;
    azure.put(&group_id(NETWORKS), "2024-07-01", json!({ "location": "westeurope" })).await;
    network(&azure, NETWORKS, "hub", "10.0.0.0/16").await;
    let zone = zone();
    azure.put(&zone, Kind::PrivateDnsZone.api_version(), json!({ "location": "global" })).await;
    let theirs =
        json!({ "properties": { "ttl": 60, "aRecords": [{ "ipv4Address": "10.0.0.9" }] } });
    let id = zone.child("A", "consul.demo-2");
    azure.put(&id, Kind::PrivateDnsRecord.api_version(), theirs).await;
    let caller = principal(&azure, "pipeline").await;
    for (name, role, scope) in documented() {
        if without != Some(name.as_str()) {
            assign(&azure, &caller, role, &scope).await;
        }
    }
    let provider = azure.provider_of(&azure.cloud.seen_by(&caller), Value::Null, None);
    (azure, provider)
}

fn config(servers: i64) -> Value {
    demo([
        ("location", Value::from("westeurope")),
        ("zones", vec!["1".to_owned(), "2".to_owned(), "3".to_owned()].into()),
        ("server_count", servers.into()),
        ("image", image("24.04.202609120")),
        ("peer_vnet_ids", vec![peer().to_string()].into()),
        ("private_dns_zone_id", zone().to_string().into()),
        ("tags", Value::map([("team", Value::from("net"))])),
    ])
}

pub(super) fn image(version: &str) -> Value {
    Value::object([
        ("publisher", Value::from("Canonical")),
        ("offer", "ubuntu-24_04-lts".into()),
        ("sku", "server".into()),
        ("version", version.into()),
    ])
}

/// What lies in the managed group, its tags, and what else there is in the hub's zone than was there before.
fn left(azure: &Azure) -> (Vec<String>, serde_json::Value) {
    let group = Azure::cluster_id();
    let group = azure.object(&group).expect("the group stays");
    let within = Azure::cluster_id().key() + "/providers/";
    let zone = zone().key() + "/a/";
    let rows = azure.cloud.with_world(|world| world.objects());
    let ids = rows.into_iter().map(|row| row.id.to_lowercase()).filter(|id| {
        let record = id.strip_prefix(&zone);
        id.starts_with(&within) || record.is_some_and(|name| name != "consul.demo-2")
    });
    let ids = ids.filter(|id| !id.contains("/microsoft.authorization/"));
    (ids.collect(), group["tags"].clone())
}

#[tokio::test(start_paused = true)]
async fn the_documented_rights_make_change_and_destroy_a_cluster_in_a_given_group() {
    let (azure, provider) = given(None).await;
    let cluster = provider.cluster();
    let mut instance = Instance::default();
    for turn in 0..2 {
        for servers in [3, 5, 3] {
            // Once with the hub's zone, once with one of its own.
            let mut config = config(servers);
            if turn == 1 {
                config.set("private_dns_zone_id", Value::Null);
            }
            apply(&cluster, &mut instance, Some(&config), Options::default()).await.unwrap();
            refresh(&cluster, &mut instance).await.unwrap();
            let state = instance.current.clone().unwrap().state;
            let planned = plan(&cluster, &state, &[], &config).await.unwrap().planned;
            assert_eq!(planned, whole(cluster.as_ref(), &state), "turn {turn}: nothing is planned");
        }
        apply(&cluster, &mut instance, None, Options::default()).await.unwrap();
        assert_eq!(left(&azure).0, Vec::<String>::new(), "turn {turn}");
        assert_eq!(left(&azure).1, json!({ "owner": "platform", "team": "net" }));
        let hub = azure.object(&peer()).unwrap();
        assert_eq!(hub["properties"]["virtualNetworkPeerings"], json!([]), "turn {turn}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_of_them_the_create_names_what_is_missing_and_the_next_one_goes_on() {
    for (name, role, scope) in documented() {
        let (azure, provider) = given(Some(&name)).await;
        let cluster = provider.cluster();
        let mut instance = Instance::default();
        let outcome = apply(&cluster, &mut instance, Some(&config(1)), Options::default()).await;
        let Err(Failure::Told(told)) = outcome else { panic!("{name} is not needed: {outcome:?}") };
        let told = told.join("\n");
        assert!(
            told.contains("does not have") || told.contains("does not exist"),
            "{name}: {told}"
        );
        let caller = group_id(GROUP).resource(Kind::Identity.resource_type(), "pipeline");
        let caller = azure.object(&caller).unwrap()["properties"]["principalId"].clone();
        assign(&azure, caller.as_str().unwrap(), role, &scope).await;
        apply(&cluster, &mut instance, Some(&config(1)), Options::default()).await.unwrap();
        apply(&cluster, &mut instance, None, Options::default()).await.unwrap();
        assert_eq!(left(&azure).0, Vec::<String>::new(), "{name}");
    }
}

/// What `hcs doctor` looks for is what the guide names: whoever takes a row away is told that row, and nothing else.
#[tokio::test(start_paused = true)]
async fn the_rights_that_are_looked_for_are_those_of_the_guide() {
    let names = documented().into_iter().map(|(name, ..)| Some(name)).chain([None]);
    for without in names {
        let (azure, _) = given(without.as_deref()).await;
        let caller = group_id(GROUP).resource(Kind::Identity.resource_type(), "pipeline");
        let caller = azure.object(&caller).unwrap()["properties"]["principalId"].clone();
        let cloud = azure.cloud.seen_by(caller.as_str().unwrap());
        let arm =
            Arm::new(Arc::new(cloud), Arc::new(azure.clock.clone()), CancellationToken::new());
        let id = Azure::cluster_id();
        let subscription = id.segment("subscriptions").unwrap();
        let spec = ClusterSpec {
            managed_resource_group_name: id.name().to_owned(),
            peer_vnet_ids: vec![peer()],
            private_dns_zone_id: Some(zone()),
            ..ClusterSpec::new(subscription, "demo", GROUP, "westeurope")
        };
        let mut short = BTreeSet::new();
        for need in needed(&spec, true) {
            let held = Permissions::read(&arm, &need.scope).await.unwrap().unwrap();
            if !need.actions.iter().all(|action| held.allow(action)) {
                short.insert(need.role.to_owned());
            }
        }
        assert_eq!(short, without.into_iter().collect());
    }
}

#[tokio::test(start_paused = true)]
async fn a_given_group_with_others_things_in_it_is_refused_and_theirs_stay() {
    let (azure, provider) = given(None).await;
    let cluster = provider.cluster();
    let mut instance = Instance::default();
    let theirs = Azure::cluster_id().resource("Microsoft.Network/publicIPAddresses", "somebodys");
    let body = json!({ "location": "westeurope", "sku": { "name": "Standard" },
        "properties": { "publicIPAllocationMethod": "Static" } });
    azure.put(&theirs, "2024-05-01", body.clone()).await;
    let outcome = apply(&cluster, &mut instance, Some(&config(1)), Options::default()).await;
    let Err(Failure::Told(told)) = outcome else { panic!("{outcome:?}") };
    assert!(told[0].contains("does not belong to this cluster"), "{told:?}");
    azure.delete(&theirs).await;
    apply(&cluster, &mut instance, Some(&config(1)), Options::default()).await.unwrap();
    // What comes later is theirs, too, peerings of networks of theirs included. A replacement would find no empty group,
    // so nothing of it begins.
    azure.put(&theirs, "2024-05-01", body).await;
    let vnet = Azure::cluster_id().resource(Kind::VirtualNetwork.resource_type(), "theirs");
    let space = json!({ "location": "westeurope",
        "properties": { "addressSpace": { "addressPrefixes": ["10.9.0.0/16"] } } });
    azure.put(&vnet, "2024-05-01", space).await;
    let peering = vnet.child("virtualNetworkPeerings", "to-hub");
    let remote = json!({ "properties": { "remoteVirtualNetwork": { "id": peer() } } });
    azure.put(&peering, "2024-05-01", remote).await;
    let replace = Options { replace: true, ..Options::default() };
    let outcome = apply(&cluster, &mut instance, Some(&config(1)), replace).await;
    let Err(Failure::Told(told)) = outcome else { panic!("{outcome:?}") };
    assert!(told[0].contains("takes an empty group only"), "{told:?}");
    assert_eq!(azure.cloud.with_world(|world| world.running_machines()).len(), 1);
    apply(&cluster, &mut instance, None, Options::default()).await.unwrap();
    let mut kept = [theirs.key(), vnet.key(), peering.key()];
    kept.sort();
    assert_eq!(left(&azure).0, kept);
}

/// The tags of groups are many people's business: what they take off is put back, or told, and never makes the group ours
/// or the cluster gone.
#[tokio::test(start_paused = true)]
async fn tags_that_somebody_takes_off_a_given_group_lose_nothing() {
    for (kept, is_told) in [
        (json!({ "hcs-cluster": "uid", "hcs-incarnation": "incarnation" }), false),
        (json!({ "hcs-cluster": "uid" }), false),
        (json!({}), true),
    ] {
        let (azure, provider) = given(None).await;
        let cluster = provider.cluster();
        let mut instance = Instance::default();
        apply(&cluster, &mut instance, Some(&config(1)), Options::default()).await.unwrap();
        let before = azure.object(&Azure::cluster_id()).unwrap()["tags"].clone();
        let mut tags = json!({ "owner": "platform" });
        for name in kept.as_object().unwrap().keys() {
            tags[name] = before[name].clone();
        }
        let body = json!({ "location": "westeurope", "tags": tags });
        azure.put(&Azure::cluster_id(), "2024-07-01", body).await;
        refresh(&cluster, &mut instance).await.unwrap();
        assert!(instance.current.is_some(), "{kept}: the cluster is not gone");
        let outcome = apply(&cluster, &mut instance, None, Options::default()).await;
        if is_told {
            let Err(Failure::Told(told)) = outcome else { panic!("{outcome:?}") };
            assert!(told[0].contains("put them back: hcs-cluster = "), "{told:?}");
            let body = json!({ "location": "westeurope", "tags": before });
            azure.put(&Azure::cluster_id(), "2024-07-01", body).await;
            apply(&cluster, &mut instance, None, Options::default()).await.unwrap();
        } else {
            outcome.unwrap();
        }
        assert_eq!(left(&azure).0, Vec::<String>::new(), "{kept}: the group stays, emptied");
    }
}

/// A lock of others on an object of ours is met before the first server goes.
#[tokio::test(start_paused = true)]
async fn a_lock_of_others_in_a_given_group_stops_the_destroy_before_it_begins() {
    let (azure, provider) = given(None).await;
    let cluster = provider.cluster();
    let mut instance = Instance::default();
    apply(&cluster, &mut instance, Some(&config(1)), Options::default()).await.unwrap();
    let account = left(&azure)
        .0
        .into_iter()
        .find(|id| id.matches('/').count() == 8 && id.contains("/storageaccounts/"))
        .unwrap();
    let lock = ArmId::new(account).resource(Kind::Lock.resource_type(), "backup");
    let body = json!({ "properties": { "level": "CanNotDelete" } });
    azure.put(&lock, Kind::Lock.api_version(), body).await;
    let before = left(&azure).0;
    let outcome = apply(&cluster, &mut instance, None, Options::default()).await;
    let Err(Failure::Told(told)) = outcome else { panic!("{outcome:?}") };
    assert!(told[0].contains("locks/backup"), "{told:?}");
    assert_eq!(left(&azure).0, before, "nothing went");
    azure.delete(&lock).await;
    apply(&cluster, &mut instance, None, Options::default()).await.unwrap();
    assert_eq!(left(&azure).0, Vec::<String>::new());
}

/// An object of ours that lost its tag is ours by its name.
#[tokio::test(start_paused = true)]
async fn what_lost_its_tag_goes_with_the_rest() {
    let (azure, provider) = given(None).await;
    let cluster = provider.cluster();
    let mut instance = Instance::default();
    apply(&cluster, &mut instance, Some(&config(1)), Options::default()).await.unwrap();
    let untagged: Vec<ArmId> = left(&azure).0.into_iter().map(ArmId::new).collect();
    azure.cloud.with_world(|world| {
        for id in &untagged {
            world.take_tags(id.as_str());
        }
    });
    apply(&cluster, &mut instance, None, Options::default()).await.unwrap();
    assert_eq!(left(&azure).0, Vec::<String>::new());
}

/// A create or a destroy that is killed anywhere is gone on with, and in the end the group is as it was.
#[tokio::test(start_paused = true)]
async fn what_is_killed_in_a_given_group_is_finished_by_the_next() {
    for (goes, step, killed_at_least) in [(false, 5, 40), (true, 1, 40)] {
        let (mut killed, mut imported) = (0, 0);
        for turn in 0..60 {
            let (azure, provider) = given(None).await;
            let mut instance = Instance::default();
            let wanted = (!goes).then(|| config(1));
            if goes {
                let made = config(1);
                apply(&provider.cluster(), &mut instance, Some(&made), Options::default())
                    .await
                    .unwrap();
            }
            let caller = group_id(GROUP).resource(Kind::Identity.resource_type(), "pipeline");
            let caller = azure.object(&caller).unwrap()["properties"]["principalId"].clone();
            let cloud = azure.cloud.seen_by(caller.as_str().unwrap());
            let fault = if turn % 2 == 0 { CallFault::KillAfter } else { CallFault::KillBefore };
            let dying =
                azure.provider_of(&cloud, Value::Null, Some(Kill { at: turn * step, fault }));
            // The state is as it was before: a killed run writes none.
            let mut state = instance.clone();
            let resource = dying.cluster();
            tokio::select! {
                biased;
                result = apply(&resource, &mut state, wanted.as_ref(), Options::default()) => {
                    result.unwrap();
                    instance = state;
                }
                () = dying.death() => killed += 1,
            }
            let cluster = provider.cluster();
            let again = apply(&cluster, &mut instance, wanted.as_ref(), Options::default()).await;
            if let Err(refused) = again {
                // Killed between the answer and Terraform's write of its state: told what to import.
                assert!(
                    !goes && format!("{refused:?}").contains("terraform import"),
                    "{refused:?}"
                );
                let id = Azure::cluster_id();
                instance = import(&provider.cluster(), id.as_str()).await.unwrap();
                imported += 1;
            }
            if !goes {
                apply(&provider.cluster(), &mut instance, None, Options::default()).await.unwrap();
            }
            assert_eq!(left(&azure).0, Vec::<String>::new(), "destroy: {goes}, turn {turn}");
            let tags = json!({ "owner": "platform", "team": "net" });
            assert_eq!(left(&azure).1, tags, "destroy: {goes}, turn {turn}");
        }
        assert!(killed >= killed_at_least, "destroy: {goes}: {killed} of 60 were killed");
        assert!(
            imported <= 2,
            "{imported} of 60 had to be imported: that is one call, with its answer"
        );
    }
}
