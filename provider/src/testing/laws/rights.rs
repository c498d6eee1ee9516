//! The rights that the guides name are enough, and none of them is too many: a caller that holds them and nothing else
//! makes, changes and destroys a cluster in a group that it was given.

use hcs_planner::arm::{ArmId, Kind};
use hcs_simulator::CallFault;
use serde_json::json;
use tfplugin::Value;

use super::reads::{READER, assign, principal};
use super::unknown::network;
use crate::testing::core::{Failure, Instance, Options, apply, plan, refresh, whole};
use crate::testing::{Azure, GROUP, Kill, Provider, demo, group_id};

const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const USER_ACCESS_ADMINISTRATOR: &str = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9";
const NETWORK_CONTRIBUTOR: &str = "4d97b98b-1d4f-4787-a291-c67834d212e7";

/// Where the peer lives.
const NETWORKS: &str = "rg-network";

fn peer() -> ArmId {
    group_id(NETWORKS).resource(Kind::VirtualNetwork.resource_type(), "hub")
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
            other => panic!("the guide names the role {other}"),
        };
        let scope = match cells[2] {
            "your resource group" => group_id(GROUP),
            "the managed group" => Azure::cluster_id(),
            "each network in `peer_vnet_ids`" => peer(),
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
        ("peer_vnet_ids", vec![peer().to_string()].into()),
        ("tags", Value::map([("team", Value::from("net"))])),
    ])
}

/// What lies in the managed group, and its tags.
fn left(azure: &Azure) -> (Vec<String>, serde_json::Value) {
    let group = Azure::cluster_id();
    let group = azure.object(&group).expect("the group stays");
    let within = Azure::cluster_id().key() + "/providers/";
    let rows = azure.cloud.with_world(|world| world.objects());
    let ids =
        rows.into_iter().map(|row| row.id.to_lowercase()).filter(|id| id.starts_with(&within));
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
            let config = config(servers);
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
    // What comes later is theirs, too.
    azure.put(&theirs, "2024-05-01", body).await;
    apply(&cluster, &mut instance, None, Options::default()).await.unwrap();
    assert_eq!(left(&azure).0, [theirs.key()]);
}

/// A create or a destroy that is killed anywhere is gone on with, and in the end the group is as it was.
#[tokio::test(start_paused = true)]
async fn what_is_killed_in_a_given_group_is_finished_by_the_next() {
    for (goes, step, killed_at_least) in [(false, 5, 40), (true, 1, 40)] {
        let mut killed = 0;
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
            apply(&provider.cluster(), &mut instance, wanted.as_ref(), Options::default())
                .await
                .unwrap();
            if !goes {
                apply(&provider.cluster(), &mut instance, None, Options::default()).await.unwrap();
            }
            assert_eq!(left(&azure).0, Vec::<String>::new(), "destroy: {goes}, turn {turn}");
            let tags = json!({ "owner": "platform", "team": "net" });
            assert_eq!(left(&azure).1, tags, "destroy: {goes}, turn {turn}");
        }
        assert!(killed >= killed_at_least, "destroy: {goes}: {killed} of 60 were killed");
    }
}
