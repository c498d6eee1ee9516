//! A name serves a network once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hcs_engine::cloud::{
    ArmRequest, ArmResponse, Cloud, Method, PrincipalType, Target, TransportError,
};
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::{ROLE_BLOB_READER, cluster_uid};
use serde_json::json;
use tfplugin::{Context, Value, async_trait};

use super::reads::{READER, assign, principal};
use super::unknown::network;
use crate::testing::core::{Failure, Instance, Options, apply, plan, refresh, whole};
use crate::testing::{Azure, GROUP, demo, group_id};

fn vnet(name: &str) -> ArmId {
    group_id(GROUP).resource(Kind::VirtualNetwork.resource_type(), name)
}

#[tokio::test(start_paused = true)]
async fn two_clusters_of_one_name_in_one_network_are_refused_while_planning() {
    let azure = Azure::new().await;
    azure.put(&group_id("rg-2"), "2024-07-01", json!({ "location": "westeurope" })).await;
    network(&azure, GROUP, "hub", "10.0.0.0/16").await;
    network(&azure, GROUP, "other", "10.1.0.0/16").await;
    let provider = azure.provider(Value::Null, None);
    let peered = |group: &str, name: &str, hub: &str, cidr: &str| {
        Value::object([
            ("name", Value::from(name)),
            ("resource_group_name", group.into()),
            ("location", "westeurope".into()),
            ("vnet_cidr", cidr.into()),
            ("peer_vnet_ids", vec![vnet(hub).to_string()].into()),
        ])
    };
    let first = peered(GROUP, "demo", "hub", "172.25.16.0/24");
    let mut instance = Instance::default();
    apply(&provider.cluster(), &mut instance, Some(&first), Options::default()).await.unwrap();
    let second = async |name: &str, hub: &str| {
        let config = peered("rg-2", name, hub, "172.25.17.0/24");
        plan(&provider.cluster(), &Value::Null, &[], &config).await
    };
    let Err(Failure::Told(told)) = second("demo", "hub").await else {
        panic!("the name was not missed")
    };
    assert!(
        told[0].contains("hub") && told[0].contains("Give this cluster another name"),
        "{told:?}"
    );
    second("other", "hub").await.unwrap();
    second("demo", "other").await.unwrap();
    // A subnet in a network that is served so is no better.
    let config = demo([
        ("resource_group_name", Value::from("rg-2")),
        ("location", "westeurope".into()),
        ("subnet_id", vnet("hub").child("subnets", "servers").to_string().into()),
    ]);
    let outcome = plan(&provider.cluster(), &Value::Null, &[], &config).await;
    assert!(matches!(outcome, Err(Failure::Told(_))), "{outcome:?}");
    // One that is there already plans on.
    let state = instance.current.unwrap().state;
    plan(&provider.cluster(), &state, &[], &first).await.unwrap();
}

/// Many clusters have their names in one zone of a hub's. Each writes and deletes its own, and a name is had once.
#[tokio::test(start_paused = true)]
async fn clusters_share_a_zone_and_leave_each_others_records_alone() {
    let azure = Azure::new().await;
    let rg = async |name: &str| {
        azure.put(&group_id(name), "2024-07-01", json!({ "location": "westeurope" })).await;
    };
    rg("rg-2").await;
    rg("rg-hub").await;
    let zone = group_id("rg-hub").resource(Kind::PrivateDnsZone.resource_type(), "corp.example");
    let config = |group: &str, name: &str, servers: i64| {
        Value::object([
            ("name", Value::from(name)),
            ("resource_group_name", group.into()),
            ("location", "westeurope".into()),
            ("server_count", servers.into()),
            ("private_dns_zone_id", zone.to_string().into()),
        ])
    };
    let provider = azure.provider(Value::Null, None);
    let cluster = provider.cluster();
    // A zone that is not there yet may be made by the same run; the apply needs it.
    plan(&cluster, &Value::Null, &[], &config(GROUP, "demo", 1)).await.unwrap();
    let version = Kind::PrivateDnsZone.api_version();
    azure.put(&zone, version, json!({ "location": "global" })).await;
    let records = || {
        let rows = azure.cloud.with_world(|world| world.objects());
        let prefix = zone.key() + "/a/";
        let names = rows
            .into_iter()
            .filter_map(|row| Some(row.id.to_lowercase().strip_prefix(&prefix)?.to_owned()));
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    // Those of a cluster whose name ends in the same, and one that nobody knows.
    let uid = cluster_uid(&group_id("rg-mrg-longer-demo"));
    let theirs = ["consul.longer-demo", "server-0.longer-demo", "server-2.longer-demo"];
    for (name, metadata) in theirs
        .map(|name| (name, json!({ "hcs-cluster": uid })))
        .into_iter()
        .chain([("consul.third", json!({}))])
    {
        let body = json!({ "properties": {
            "ttl": 60, "aRecords": [{ "ipv4Address": "10.0.0.9" }], "metadata": metadata,
        } });
        azure.put(&zone.child("A", name), version, body).await;
    }
    let before = records();
    let mut instance = Instance::default();
    for servers in [3, 1] {
        let config = config(GROUP, "demo", servers);
        apply(&cluster, &mut instance, Some(&config), Options::default()).await.unwrap();
        refresh(&cluster, &mut instance).await.unwrap();
        let state = instance.current.clone().unwrap().state;
        let planned = plan(&cluster, &state, &[], &config).await.unwrap().planned;
        assert_eq!(planned, whole(cluster.as_ref(), &state), "nothing is planned");
        let host = "consul.demo.corp.example";
        assert_eq!(state.get("retry_join"), &vec![host.to_owned()].into());
        let url = state.get("consul_private_endpoint_url").as_str().unwrap().to_owned();
        assert_eq!(url, format!("https://{host}:8501"));
    }
    let mut both = before.clone();
    both.extend(["consul.demo", "server-0.demo"].map(str::to_owned));
    both.sort();
    assert_eq!(records(), both);
    // What is in the records is what the servers have.
    let state = instance.current.clone().unwrap().state;
    let address = state.get("servers").as_list().unwrap()[0].get("private_ip").clone();
    for name in ["consul.demo", "server-0.demo"] {
        let record = azure.object(&zone.child("A", name)).unwrap();
        let told = record["properties"]["aRecords"][0]["ipv4Address"].as_str();
        assert_eq!(told, address.as_str(), "{name}");
    }
    // A second one of the name, or a record that nobody knows, is told while planning.
    for (name, why) in [("demo", "another cluster of this name"), ("third", "does not say")] {
        let outcome = plan(&cluster, &Value::Null, &[], &config("rg-2", name, 1)).await;
        let Err(Failure::Told(told)) = outcome else { panic!("{name}: {outcome:?}") };
        assert!(told[0].contains(why) && told[0].contains("another name"), "{told:?}");
    }
    // The same at the apply, of a name beside the first, before anything is made.
    let body = json!({ "properties": { "ttl": 60, "aRecords": [{ "ipv4Address": "10.0.0.9" }],
        "metadata": { "hcs-cluster": uid } } });
    azure.put(&zone.child("A", "server-5.fifth"), version, body).await;
    let fifth = config("rg-2", "fifth", 1);
    let mut other = Instance::default();
    let outcome = apply(&cluster, &mut other, Some(&fifth), Options::default()).await;
    let Err(Failure::Told(told)) = outcome else { panic!("{outcome:?}") };
    assert!(told[0].contains("server-5.fifth") && told[0].contains("another cluster"), "{told:?}");
    assert!(azure.object(&group_id("rg-2-mrg-fifth")).is_none(), "nothing was made");
    azure.delete(&zone.child("A", "server-5.fifth")).await;
    // The names stay where they are; another zone is another cluster.
    let moved = config(GROUP, "demo", 1).with("private_dns_zone_id", Value::Null);
    assert!(!plan(&cluster, &state, &[], &moved).await.unwrap().requires_replace.is_empty());
    apply(&cluster, &mut instance, None, Options::default()).await.unwrap();
    assert_eq!(records(), before);
}

/// A balancer of others, in another group, has its front end in the cluster's subnet: a destroy says so before it begins,
/// in a group of the cluster's own as in one that was given.
#[tokio::test(start_paused = true)]
async fn what_others_hang_on_the_network_is_told_before_the_first_server_goes() {
    for is_given in [false, true] {
        let azure = Azure::new().await;
        if is_given {
            let body = json!({ "location": "westeurope" });
            azure.put(&Azure::cluster_id(), "2024-07-01", body).await;
        }
        let provider = azure.provider(Value::Null, None);
        let config = demo([("location", Value::from("westeurope"))]);
        let mut instance = Instance::default();
        apply(&provider.cluster(), &mut instance, Some(&config), Options::default()).await.unwrap();
        let subnet = Azure::cluster_id()
            .resource(Kind::VirtualNetwork.resource_type(), "demo-vnet")
            .child("subnets", "servers");
        let theirs = group_id(GROUP).resource(Kind::LoadBalancer.resource_type(), "apps");
        let body = json!({ "location": "westeurope", "sku": { "name": "Standard" }, "properties": {
            "frontendIPConfigurations": [{ "name": "front", "properties": {
                "subnet": { "id": subnet }, "privateIPAllocationMethod": "Dynamic" } }] } });
        azure.put(&theirs, Kind::LoadBalancer.api_version(), body).await;
        let outcome = apply(&provider.cluster(), &mut instance, None, Options::default()).await;
        let Err(Failure::Told(told)) = outcome else { panic!("{outcome:?}") };
        assert!(told[0].contains("loadBalancers/apps") && told[0].contains("in use"), "{told:?}");
        assert_eq!(azure.cloud.with_world(|world| world.running_machines()).len(), 3);
        azure.delete(&theirs).await;
        apply(&provider.cluster(), &mut instance, None, Options::default()).await.unwrap();
        let machines = azure.cloud.with_world(|world| world.running_machines());
        assert_eq!(machines.len(), 0, "given: {is_given}");
    }
}

/// Somebody else's record that comes after the plan: it is there when the apply looks for itself.
struct Late {
    near: Arc<dyn Cloud>,
    record: ArmId,
    looks: AtomicUsize,
}

/// A plan looks once, and core plans again inside apply.
const LOOKS_OF_PLANS: usize = 2;

#[async_trait]
impl Cloud for Late {
    async fn send(&self, request: &ArmRequest) -> Result<ArmResponse, TransportError> {
        let is_look =
            matches!(&request.target, Target::Path(path) if path.contains("recordsetnamesuffix"));
        if is_look && self.looks.fetch_add(1, Ordering::Relaxed) == LOOKS_OF_PLANS {
            let path = format!("{}?api-version=2024-06-01", self.record);
            let mut put = ArmRequest::new(Method::Put, Target::Path(path));
            put.body = Some(json!({ "properties": { "ttl": 60,
                "aRecords": [{ "ipv4Address": "10.0.0.9" }] } }));
            self.near.send(&put).await?;
        }
        self.near.send(request).await
    }

    async fn authorize(&self) -> Result<(), TransportError> {
        self.near.authorize().await
    }

    async fn caller_type(&self) -> Result<Option<PrincipalType>, TransportError> {
        self.near.caller_type().await
    }

    async fn caller_object_id(&self) -> Result<String, TransportError> {
        self.near.caller_object_id().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_taken_since_the_plan_is_told_before_anything_is_made() {
    let azure = Azure::new().await;
    let zone = group_id(GROUP).resource(Kind::PrivateDnsZone.resource_type(), "corp.example");
    let version = Kind::PrivateDnsZone.api_version();
    azure.put(&zone, version, json!({ "location": "global" })).await;
    let provider = azure.provider_through(&azure.cloud, |near| {
        let record = zone.child("A", "server-0.demo");
        Arc::new(Late { near, record, looks: AtomicUsize::new(0) })
    });
    let config = demo([
        ("location", Value::from("westeurope")),
        ("private_dns_zone_id", zone.to_string().into()),
    ]);
    let mut instance = Instance::default();
    let outcome =
        apply(&provider.cluster(), &mut instance, Some(&config), Options::default()).await;
    let Err(Failure::Told(told)) = outcome else { panic!("{outcome:?}") };
    assert!(told[0].contains("server-0.demo is there already"), "{told:?}");
    assert!(azure.object(&Azure::cluster_id()).is_none(), "nothing was made");
}

/// A team that uses a cluster sees the cluster's group, and not the zone of the hub.
#[tokio::test(start_paused = true)]
async fn whoever_may_not_see_the_hubs_zone_reads_the_cluster_without_its_addresses() {
    let azure = Azure::new().await;
    azure.put(&group_id("rg-hub"), "2024-07-01", json!({ "location": "westeurope" })).await;
    let zone = group_id("rg-hub").resource(Kind::PrivateDnsZone.resource_type(), "corp.example");
    let version = Kind::PrivateDnsZone.api_version();
    azure.put(&zone, version, json!({ "location": "global" })).await;
    let provider = azure.provider(Value::Null, None);
    let config = demo([
        ("location", Value::from("westeurope")),
        ("private_dns_zone_id", zone.to_string().into()),
    ]);
    let mut instance = Instance::default();
    apply(&provider.cluster(), &mut instance, Some(&config), Options::default()).await.unwrap();
    let team = principal(&azure, "team").await;
    assign(&azure, &team, READER, &Azure::cluster_id()).await;
    assign(&azure, &team, ROLE_BLOB_READER, &Azure::cluster_id()).await;
    let theirs = azure.provider_of(&azure.cloud.seen_by(&team), Value::Null, None);
    let data = theirs.helm_data();
    let ty = data.schema().implied_type();
    let config = Value::object([("cluster_id", Value::from(Azure::cluster_id().as_str()))]);
    let config = Value::from_msgpack(&config.to_msgpack(&ty).unwrap(), &ty).unwrap();
    let read = data.read(&Context::new(), config).await;
    assert!(!read.diagnostics.has_errors(), "{:?}", read.diagnostics);
    let values = read.state.get("config").as_str().unwrap().to_owned();
    assert!(values.contains("consul.demo.corp.example"), "{values}");
}

/// Two creates of one name at once: neither sees the other's records while it plans, and one has the name in the end.
#[tokio::test(start_paused = true)]
async fn of_two_that_come_for_one_name_at_once_the_second_is_told() {
    let azure = Azure::new().await;
    let zone = group_id(GROUP).resource(Kind::PrivateDnsZone.resource_type(), "corp.example");
    let version = Kind::PrivateDnsZone.api_version();
    azure.put(&zone, version, json!({ "location": "global" })).await;
    let config = demo([
        ("location", Value::from("westeurope")),
        ("server_count", 1.into()),
        ("private_dns_zone_id", zone.to_string().into()),
    ]);
    let provider = azure.provider(Value::Null, None);
    let cluster = provider.cluster();
    let mut instance = Instance::default();
    let id = zone.child("A", "consul.demo");
    let theirs = json!({ "properties": { "ttl": 60, "aRecords": [{ "ipv4Address": "10.0.0.9" }],
        "metadata": { "hcs-cluster": "0123456789ab" } } });
    let applying = apply(&cluster, &mut instance, Some(&config), Options::default());
    // The other one is as far in the middle of this one's machines.
    let coming = async {
        tokio::time::sleep(std::time::Duration::from_mins(3)).await;
        azure.put(&id, version, theirs).await;
    };
    let (outcome, ()) = tokio::join!(applying, coming);
    let Err(Failure::Told(told)) = outcome else { panic!("{outcome:?}") };
    assert!(told[0].contains("consul.demo"), "{told:?}");
    let record = azure.object(&id).unwrap();
    assert_eq!(record["properties"]["aRecords"][0]["ipv4Address"], "10.0.0.9", "theirs stays");
}

/// Either half of a peering deleted, or the peer's addresses changed: the next plan says so, one apply mends it.
#[tokio::test(start_paused = true)]
async fn a_peering_that_somebody_broke_is_drift_and_is_mended_in_order() {
    for breaking in ["out", "in", "addresses"] {
        let azure = Azure::new().await;
        network(&azure, GROUP, "hub", "10.0.0.0/16").await;
        let provider = azure.provider(Value::Null, None);
        let config = demo([
            ("location", Value::from("westeurope")),
            ("peer_vnet_ids", vec![vnet("hub").to_string()].into()),
        ]);
        let mut instance = Instance::default();
        apply(&provider.cluster(), &mut instance, Some(&config), Options::default()).await.unwrap();
        let own = Azure::cluster_id().resource(Kind::VirtualNetwork.resource_type(), "demo-vnet");
        let half = |network: &ArmId| {
            let body = azure.object(network).unwrap();
            let id = body["properties"]["virtualNetworkPeerings"][0]["id"].as_str().unwrap();
            ArmId::new(id)
        };
        let (to, back) = (half(&own), half(&vnet("hub")));
        match breaking {
            "addresses" => network(&azure, GROUP, "hub", "10.8.0.0/16").await,
            "out" => {
                let lock =
                    Azure::cluster_id().resource(Kind::Lock.resource_type(), "hcs-cannot-delete");
                azure.delete(&lock).await;
                azure.delete(&to).await;
            }
            _ => azure.delete(&back).await,
        }
        refresh(&provider.cluster(), &mut instance).await.unwrap();
        let state = instance.current.clone().unwrap().state;
        let told = format!("{:?}", state.get("drift"));
        assert!(told.contains("peering"), "{breaking}: {told}");
        apply(&provider.cluster(), &mut instance, Some(&config), Options::default()).await.unwrap();
        for half in [&to, &back] {
            let body = azure.object(half).unwrap();
            let words =
                (&body["properties"]["peeringState"], &body["properties"]["peeringSyncLevel"]);
            assert_eq!(words, (&json!("Connected"), &json!("FullyInSync")), "{breaking}");
        }
        let state = instance.current.clone().unwrap().state;
        let planned = plan(&provider.cluster(), &state, &[], &config).await.unwrap().planned;
        assert_eq!(planned, whole(provider.cluster().as_ref(), &state), "{breaking}");
    }
}

/// The far halves have one name in every peer, and a cluster that takes the place of another is not in its own way.
#[tokio::test(start_paused = true)]
async fn a_cluster_with_peers_is_replaced_and_destroyed() {
    let azure = Azure::new().await;
    for (name, space) in
        [("hub", "10.0.0.0/16"), ("spoke", "10.1.0.0/16"), ("third", "10.2.0.0/16")]
    {
        network(&azure, GROUP, name, space).await;
    }
    let provider = azure.provider(Value::Null, None);
    let config = demo([
        ("location", Value::from("westeurope")),
        (
            "peer_vnet_ids",
            ["hub", "spoke", "third"].map(|name| vnet(name).to_string()).to_vec().into(),
        ),
    ]);
    let mut instance = Instance::default();
    apply(&provider.cluster(), &mut instance, Some(&config), Options::default()).await.unwrap();
    let state = instance.current.clone().unwrap().state;
    let elsewhere = config.clone().with("managed_resource_group_name", "rg-elsewhere");
    let planned = plan(&provider.cluster(), &state, &[], &elsewhere).await.unwrap();
    assert!(!planned.requires_replace.is_empty());
    apply(&provider.cluster(), &mut instance, None, Options::default()).await.unwrap();
    for name in ["hub", "spoke", "third"] {
        let body = azure.object(&vnet(name)).unwrap();
        assert_eq!(body["properties"]["virtualNetworkPeerings"], json!([]), "{name}");
    }
}
