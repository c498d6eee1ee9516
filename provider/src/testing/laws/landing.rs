//! Clusters in networks of somebody else: closed accounts, no public address, a policy that tells names.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hcs_engine::cloud::{ArmRequest, ArmResponse, Cloud, PrincipalType, TransportError};
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::storage_account_name;
use hcs_simulator::{CallFault, SimCloud};
use serde_json::{Value as Json, json};
use tfplugin::{Value, async_trait};

use super::inputs::identity;
use super::reads::{assign, principal};
use super::unknown::network;
use crate::testing::core::{Failure, Instance, Options, apply, plan, refresh, whole};
use crate::testing::{Azure, GROUP, Kill, demo, group_id};

const ZONE: &str = "privatelink.blob.core.windows.net";
const SPOKE: &str = "spoke";

fn vnet() -> ArmId {
    group_id(GROUP).resource(Kind::VirtualNetwork.resource_type(), SPOKE)
}

fn hub_zone() -> ArmId {
    group_id("rg-hub").resource(Kind::PrivateDnsZone.resource_type(), ZONE)
}

/// A spoke whose subnet sends all to a firewall, and a hub that keeps the zone for private endpoints.
pub(super) async fn landing_zone() -> Azure {
    let azure = Azure::new().await;
    azure.put(&group_id("rg-hub"), "2024-07-01", json!({ "location": "westeurope" })).await;
    network(&azure, GROUP, SPOKE, "10.20.0.0/24").await;
    azure
        .put(&hub_zone(), Kind::PrivateDnsZone.api_version(), json!({ "location": "global" }))
        .await;
    azure
}

/// The hub's zone answers in the spoke.
async fn link_hub(azure: &Azure) {
    let body = json!({ "location": "global", "properties": {
        "virtualNetwork": { "id": vnet() }, "registrationEnabled": false,
        "resolutionPolicy": "NxDomainRedirect" } });
    let link = hub_zone().child("virtualNetworkLinks", SPOKE);
    azure.put(&link, Kind::PrivateDnsLink.api_version(), body).await;
}

pub(super) fn corporate(more: &[(&'static str, Value)]) -> Value {
    let own = [
        ("location", Value::from("germanywestcentral")),
        ("subnet_id", vnet().child("subnets", "servers").to_string().into()),
        ("outbound_type", "user_defined_routing".into()),
        ("storage_access", "private_endpoint".into()),
    ];
    demo(own.into_iter().chain(more.iter().cloned()))
}

/// Types of all that is in the managed group.
fn types(azure: &Azure) -> Vec<String> {
    let group = Azure::cluster_id().key();
    let rows = azure.cloud.with_world(|world| world.objects());
    let own = rows.into_iter().map(|row| row.id.to_lowercase());
    let own = own.filter_map(|id| id.strip_prefix(&format!("{group}/")).map(str::to_owned));
    let types = own.map(|id| id.split('/').take(3).skip(1).collect::<Vec<_>>().join("/"));
    // Roles are told by their own.
    types.filter(|one| one != "microsoft.authorization/roleassignments").collect()
}

/// The account of `demo` as Azure shows it.
fn account(azure: &Azure) -> Option<Json> {
    azure.object(&hcs_planner::names::storage_account(&Azure::cluster_id()))
}

/// Servers whose identity the account does not let in, though there is one.
fn cut_off(cloud: &SimCloud) -> Vec<u32> {
    let name = storage_account_name(&Azure::cluster_id());
    let identity = |slot: u32| {
        let id = Kind::Identity.resource_type();
        Azure::cluster_id().resource(id, &format!("demo-server-{slot}")).to_string()
    };
    cloud.with_world(|world| {
        // Who has no machine asks for nothing.
        let machines = world.running_machines().len();
        let slots = 0..u32::try_from(machines).unwrap();
        let principal = |slot: u32| world.principal_of_identity(&identity(slot));
        slots
            .filter(|slot| {
                principal(*slot)
                    .is_some_and(|found| !world.firewall_lets_in(&found.object_id, &name))
            })
            .collect()
    })
}

/// Looks before and after each call, as a server might that needs its account just then.
struct Watch {
    near: Arc<dyn Cloud>,
    world: SimCloud,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Watch {
    fn look(&self, at: &str) {
        let cut_off = cut_off(&self.world);
        if !cut_off.is_empty() {
            self.seen.lock().unwrap().push(format!("{at}: servers {cut_off:?} are cut off"));
        }
    }
}

#[async_trait]
impl Cloud for Watch {
    async fn send(&self, request: &ArmRequest) -> Result<ArmResponse, TransportError> {
        self.look("before");
        let response = self.near.send(request).await;
        self.look(&format!("after {:?} {:?}", request.method, request.target));
        response
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

/// Applies, and plans nothing afterwards.
async fn lands(azure: &Azure, instance: &mut Instance, config: &Value) {
    assert_eq!(seen_while(azure, instance, config).await, [""; 0], "servers reach their account");
}

/// The same; says when servers were cut off.
async fn seen_while(azure: &Azure, instance: &mut Instance, config: &Value) -> Vec<String> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let provider = azure.provider_through(&azure.cloud, |near| {
        let world = azure.cloud.clone();
        Arc::new(Watch { near, world, seen: Arc::clone(&seen) })
    });
    let cluster = provider.cluster();
    apply(&cluster, instance, Some(config), Options::default()).await.unwrap();
    refresh(&cluster, instance).await.unwrap();
    let state = instance.current.clone().unwrap().state;
    let planned = plan(&cluster, &state, &[], config).await.unwrap().planned;
    assert_eq!(planned, whole(cluster.as_ref(), &state), "nothing is planned");
    std::mem::take(&mut *seen.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_corporate_cluster_has_no_public_address_and_a_closed_account() {
    for (zone, is_given) in [("System", false), ("hub", false), ("hub", true), ("System", true)] {
        let azure = landing_zone().await;
        let mut more = Vec::new();
        if zone == "hub" {
            link_hub(&azure).await;
            more.push(("storage_private_dns_zone_id", hub_zone().to_string().into()));
        }
        if is_given {
            azure
                .put(&Azure::cluster_id(), "2024-07-01", json!({ "location": "westeurope" }))
                .await;
        }
        let mut instance = Instance::default();
        for servers in [1, 3, 1] {
            let mut more = more.clone();
            more.push(("server_count", Value::from(servers)));
            lands(&azure, &mut instance, &corporate(&more)).await;
            let types = types(&azure);
            for public in ["publicipaddresses", "natgateways"] {
                assert!(!types.iter().any(|one| one.ends_with(public)), "{types:?}");
            }
            let body = account(&azure).unwrap();
            let properties = &body["properties"];
            assert_eq!(properties["publicNetworkAccess"], "Disabled");
            assert_eq!(properties["networkAcls"]["defaultAction"], "Deny");
        }
        let state = instance.current.clone().unwrap().state;
        let address = state.get("storage_private_endpoint_ip_address").as_str().map(str::to_owned);
        assert!(address.is_some_and(|address| address.starts_with("10.20.0.")), "{zone}");
        let name = format!("{}.blob.core.windows.net", storage_account_name(&Azure::cluster_id()));
        let outbound = state.get("required_outbound").as_list().unwrap()[0].clone();
        assert_eq!(outbound.get("name").as_str(), Some(name.as_str()));
        let provider = azure.provider(Value::Null, None);
        apply(&provider.cluster(), &mut instance, None, Options::default()).await.unwrap();
        assert_eq!(types(&azure), [""; 0], "{zone}, given: {is_given}");
        assert_eq!(azure.object(&Azure::cluster_id()).is_some(), is_given);
        let record = hub_zone().child("A", &storage_account_name(&Azure::cluster_id()));
        assert_eq!(azure.object(&record), None, "the hub's zone is as before");
    }
}

/// What a policy of Azure does that is deployed where a private endpoint comes: it makes a zone group by its own hands.
async fn policy_tells_names(azure: &Azure) {
    let endpoint = Azure::cluster_id().resource(Kind::PrivateEndpoint.resource_type(), "demo-blob");
    let body = json!({ "properties": { "privateDnsZoneConfigs": [
        { "name": "storageBlob-privateDnsZone", "properties": { "privateDnsZoneId": hub_zone() } },
    ] } });
    loop {
        tokio::time::sleep(Duration::from_secs(20)).await;
        if azure
            .object(&endpoint)
            .is_some_and(|it| it["properties"]["provisioningState"] == "Succeeded")
        {
            break;
        }
    }
    // Azure's policies deploy ten minutes after they saw it.
    tokio::time::sleep(Duration::from_mins(10)).await;
    let group = endpoint.child("privateDnsZoneGroups", "deployedByPolicy");
    azure.put(&group, Kind::PrivateDnsZoneGroup.api_version(), body).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_tells_the_name_ten_minutes_late_is_waited_for_and_left_alone() {
    let azure = landing_zone().await;
    link_hub(&azure).await;
    let config = corporate(&[("storage_private_dns_zone_id", "None".into())]);
    let mut instance = Instance::default();
    let provider = azure.provider(Value::Null, None);
    let cluster = provider.cluster();
    let applying = apply(&cluster, &mut instance, Some(&config), Options::default());
    let (outcome, ()) = tokio::join!(applying, policy_tells_names(&azure));
    outcome.unwrap();
    lands(&azure, &mut instance, &config).await;
    let endpoint = Azure::cluster_id().resource(Kind::PrivateEndpoint.resource_type(), "demo-blob");
    let theirs = endpoint.child("privateDnsZoneGroups", "deployedByPolicy");
    assert!(azure.object(&theirs).is_some(), "the policy's group stays");
    apply(&cluster, &mut instance, None, Options::default()).await.unwrap();
    assert_eq!(types(&azure), [""; 0]);
}

/// The account opens and closes, the zone changes hands, under servers that need it.
#[tokio::test(start_paused = true)]
async fn servers_reach_their_account_at_every_moment_of_a_change() {
    let azure = landing_zone().await;
    let open = [("storage_access", Value::from("public_endpoint"))];
    let hub = [("storage_private_dns_zone_id", Value::from(hub_zone().to_string()))];
    let mut instance = Instance::default();
    lands(&azure, &mut instance, &corporate(&open)).await;
    assert!(!types(&azure).iter().any(|one| one.ends_with("privateendpoints")));
    lands(&azure, &mut instance, &corporate(&[])).await;
    assert_eq!(account(&azure).unwrap()["properties"]["publicNetworkAccess"], "Disabled");
    lands(&azure, &mut instance, &corporate(&open)).await;
    assert!(!types(&azure).iter().any(|one| one.ends_with("privateendpoints")));
    let properties = account(&azure).unwrap()["properties"].clone();
    assert_eq!(properties["networkAcls"]["defaultAction"], "Allow", "whoever had access has it");
    // A hub's zone that denies the names that it does not know would cut them off until it knows this one.
    link_hub(&azure).await;
    lands(&azure, &mut instance, &corporate(&hub)).await;
}

/// With a policy that tells the name ten minutes later it closes ten minutes later, and without one it does not.
#[tokio::test(start_paused = true)]
async fn an_account_closes_when_somebody_has_told_its_name() {
    let open = corporate(&[("storage_access", "public_endpoint".into())]);
    let config = corporate(&[("storage_private_dns_zone_id", "None".into())]);
    for has_policy in [true, false] {
        let azure = landing_zone().await;
        link_hub(&azure).await;
        let mut instance = Instance::default();
        lands(&azure, &mut instance, &open).await;
        if has_policy {
            let closing = lands(&azure, &mut instance, &config);
            let ((), ()) = tokio::join!(closing, policy_tells_names(&azure));
            assert_eq!(account(&azure).unwrap()["properties"]["publicNetworkAccess"], "Disabled");
            continue;
        }
        let provider = azure.provider(Value::Null, None);
        let outcome =
            apply(&provider.cluster(), &mut instance, Some(&config), Options::default()).await;
        let Err(Failure::Told(told)) = outcome else { panic!("{outcome:?}") };
        assert!(told[0].contains("no zone group, and the account stays open"), "{told:?}");
        assert_eq!(cut_off(&azure.cloud), [0; 0]);
        // Whoever gives it up is as before.
        lands(&azure, &mut instance, &open).await;
    }
}

/// Without it nobody reads the cluster's record, not even to mend it.
#[tokio::test(start_paused = true)]
async fn a_private_way_that_somebody_deleted_is_drift_and_comes_back() {
    let endpoint = Azure::cluster_id().resource(Kind::PrivateEndpoint.resource_type(), "demo-blob");
    let zone = Azure::cluster_id().resource(Kind::PrivateDnsZone.resource_type(), ZONE);
    for gone in [
        endpoint.clone(),
        endpoint.child("privateDnsZoneGroups", "default"),
        zone.child("virtualNetworkLinks", "servers"),
    ] {
        let azure = landing_zone().await;
        let config = corporate(&[("lock", Value::object([("kind", Value::from("None"))]))]);
        let mut instance = Instance::default();
        lands(&azure, &mut instance, &config).await;
        let machines = azure.cloud.with_world(|world| world.running_machines());
        azure.delete(&gone).await;
        assert!(!cut_off(&azure.cloud).is_empty(), "{gone} is needed");
        let cluster = azure.provider(Value::Null, None).cluster();
        refresh(&cluster, &mut instance).await.unwrap();
        let state = instance.current.clone().unwrap().state;
        let drift = format!("{:?}", state.get("drift"));
        assert!(drift.contains(&format!("{} is missing", gone.name())), "{drift}");
        seen_while(&azure, &mut instance, &config).await;
        assert_eq!(cut_off(&azure.cloud), [0; 0], "{gone}");
        assert_eq!(azure.cloud.with_world(|world| world.running_machines()), machines);
    }
}

/// The cluster's own network loses its way out, and gets it back.
#[tokio::test(start_paused = true)]
async fn a_way_out_goes_and_comes_without_a_servers_notice() {
    let azure = Azure::new().await;
    let config = |word: &str| {
        demo([("location", Value::from("westeurope")), ("outbound_type", word.into())])
    };
    let mut instance = Instance::default();
    for word in ["none", "nat_gateway", "none"] {
        lands(&azure, &mut instance, &config(word)).await;
        let types = types(&azure);
        let has = |what: &str| types.iter().any(|one| one.ends_with(what));
        let wanted = word == "nat_gateway";
        assert_eq!((has("natgateways"), has("publicipaddresses")), (wanted, wanted), "{word}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_route_the_apply_stops_before_a_server_and_goes_on_with_one() {
    let azure = landing_zone().await;
    azure.cloud.with_world(|world| world.come_from_network(None));
    let provider = azure.provider(Value::Null, None);
    let cluster = provider.cluster();
    let config = corporate(&[("server_count", 1.into())]);
    let planned = plan(&cluster, &Value::Null, &[], &config).await.unwrap();
    let told = format!("{:?}", planned.diagnostics);
    assert!(told.contains("needs a route"), "{told}");
    let mut instance = Instance::default();
    let outcome = apply(&cluster, &mut instance, Some(&config), Options::default()).await;
    let Err(Failure::Told(told)) = outcome else { panic!("{outcome:?}") };
    for part in ["private endpoint", "route"] {
        assert!(told[0].contains(part), "{part}: {told:?}");
    }
    assert_eq!(azure.cloud.with_world(|world| world.running_machines()).len(), 0);
    azure.cloud.with_world(|world| world.come_from_network(Some(vnet().to_string())));
    lands(&azure, &mut instance, &config).await;
}

/// Killed at every call of a create and of a destroy, in a group that was given: the next one finishes it.
#[tokio::test(start_paused = true)]
async fn whoever_is_killed_beside_a_closed_account_is_followed_by_one_who_finishes() {
    let config = corporate(&[
        ("server_count", 1.into()),
        ("lock", Value::object([("kind", Value::from("None"))])),
    ]);
    let (mut killed, mut random) = (0, super::Random(18));
    for round in 0..super::cases(24) {
        let azure = landing_zone().await;
        azure.put(&Azure::cluster_id(), "2024-07-01", json!({ "location": "westeurope" })).await;
        let mut instance = Instance::default();
        for wanted in [Some(&config), None] {
            let fault = if random.chance(2) { CallFault::KillBefore } else { CallFault::KillAfter };
            let kill = Kill { at: random.below(150), fault };
            let dying = azure.provider(Value::Null, Some(kill));
            let (mut state, cluster) = (instance.clone(), dying.cluster());
            tokio::select! {
                biased;
                outcome = apply(&cluster, &mut state, wanted, Options::default()) => {
                    outcome.unwrap();
                    instance = state;
                }
                () = dying.death() => killed += 1,
            }
            // Another machine, half an hour later.
            tokio::time::sleep(Duration::from_mins(30)).await;
            let provider = azure.provider(Value::Null, None);
            let cluster = provider.cluster();
            let outcome = apply(&cluster, &mut instance, wanted, Options::default()).await;
            assert!(outcome.is_ok(), "round {round}, {kill}, {}: {outcome:?}", wanted.is_some());
        }
        assert_eq!(types(&azure), [""; 0], "round {round}");
    }
    assert!(killed > 20, "{killed}");
}

const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

/// A landing zone with a managed group and identities of a platform team's, and a pipeline that is Contributor of the two
/// groups; its right to blobs is one of those that the platform team gives.
async fn platform() -> (Azure, String) {
    let azure = landing_zone().await;
    azure.put(&Azure::cluster_id(), "2024-07-01", json!({ "location": "westeurope" })).await;
    for name in ["servers", "others"]
        .map(str::to_owned)
        .into_iter()
        .chain((0..10).map(|slot| format!("server-{slot}")))
    {
        let id = ArmId::new(identity(&name));
        azure.put(&id, Kind::Identity.api_version(), json!({ "location": "westeurope" })).await;
    }
    let caller = principal(&azure, "pipeline").await;
    assign(&azure, &caller, CONTRIBUTOR, &group_id(GROUP)).await;
    assign(&azure, &caller, CONTRIBUTOR, &Azure::cluster_id()).await;
    assign(&azure, &caller, hcs_planner::names::ROLE_BLOB_CONTRIBUTOR, &Azure::cluster_id()).await;
    (azure, caller)
}

fn external(servers: i64, ids: usize) -> Value {
    let ids: Vec<String> = (0..ids).map(|slot| identity(&format!("server-{slot}"))).collect();
    corporate(&[
        ("server_count", servers.into()),
        ("zones", vec!["1".to_owned(), "2".to_owned()].into()),
        // Whoever may not read the subscription names an exact version.
        ("image", super::rights::image("24.04.202609120")),
        ("role_assignment_mode", "external".into()),
        (
            "identities",
            Value::object([
                ("shared_id", Value::from(identity("servers"))),
                ("server_ids", ids.into()),
            ]),
        ),
        ("lock", Value::object([("kind", Value::from("None"))])),
    ])
}

/// What a platform team makes of `required_role_assignments`.
async fn assign_required(azure: &Azure, planned: &Value, without: Option<usize>) {
    let rows = planned.get("required_role_assignments").as_list().unwrap().to_vec();
    for (at, row) in rows.iter().enumerate().filter(|(at, _)| Some(*at) != without) {
        let text = |name: &str| row.get(name).as_str().unwrap().to_owned();
        let role = match text("role_definition_name").as_str() {
            "Storage Blob Data Reader" => hcs_planner::names::ROLE_BLOB_READER,
            "Storage Blob Data Contributor" => hcs_planner::names::ROLE_BLOB_CONTRIBUTOR,
            other => panic!("{other}"),
        };
        let scope = ArmId::new(text("scope"));
        let id = scope.resource(
            Kind::RoleAssignment.resource_type(),
            &hcs_planner::names::deterministic_guid(&[
                "platform",
                &at.to_string(),
                &text("principal_id"),
            ]),
        );
        let definition =
            hcs_planner::names::role_definition_id(scope.segment("subscriptions").unwrap(), role);
        let body = json!({ "properties": {
            "roleDefinitionId": definition, "principalId": text("principal_id"),
            "principalType": "ServicePrincipal", "condition": text("condition"),
            "conditionVersion": text("condition_version"),
        } });
        azure.put(&id, Kind::RoleAssignment.api_version(), body).await;
    }
}

fn assignments(azure: &Azure) -> Vec<String> {
    let rows = azure.cloud.with_world(|world| world.objects());
    let ids = rows.into_iter().map(|row| row.id.to_lowercase());
    ids.filter(|id| id.contains("/roleassignments/")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_contributor_of_two_groups_makes_changes_and_destroys_a_cluster_whose_roles_others_assign()
 {
    let (azure, caller) = platform().await;
    let cloud = azure.cloud.seen_by(&caller);
    let provider = azure.provider_of(&cloud, Value::Null, None);
    let cluster = provider.cluster();
    let config = external(3, 7);
    // Before anything is there the plan says what to assign, and the apply makes nothing without it.
    let planned = plan(&cluster, &Value::Null, &[], &config).await.unwrap();
    assert!(planned.planned.get("required_role_assignments").is_wholly_known());
    assert!(format!("{:?}", planned.diagnostics).contains("Roles are missing"));
    let mut instance = Instance::default();
    let outcome = apply(&cluster, &mut instance, Some(&config), Options::default()).await;
    let Err(Failure::Told(told)) = outcome else { panic!("{outcome:?}") };
    assert!(told[0].contains("Storage Blob Data Reader for server-0"), "{told:?}");
    assert_eq!(types(&azure), [""; 0], "nothing was made");
    assign_required(&azure, &planned.planned, None).await;
    let before = assignments(&azure);
    for config in [external(1, 7), external(3, 7), external(5, 7), external(3, 4)] {
        apply(&cluster, &mut instance, Some(&config), Options::default()).await.unwrap();
        refresh(&cluster, &mut instance).await.unwrap();
        let state = instance.current.clone().unwrap().state;
        let planned = plan(&cluster, &state, &[], &config).await.unwrap();
        assert_eq!(planned.planned, whole(cluster.as_ref(), &state), "nothing is planned");
        assert!(!format!("{:?}", planned.diagnostics).contains("Roles"));
        // Each server reads its own secrets and nobody else's.
        let account = storage_account_name(&Azure::cluster_id());
        azure.cloud.with_world(|world| {
            for slot in 0..3 {
                let id = identity(&format!("server-{slot}"));
                let principal = world.principal_of_identity(&id).unwrap().object_id.clone();
                for other in 0..3 {
                    let container = format!("secrets-{other}");
                    let may = world.allows_blob(&principal, &account, &container, "read");
                    assert_eq!(may, slot == other, "{slot} reads {container}");
                }
                assert!(world.allows_blob(
                    &principal,
                    &account,
                    &format!("status-{slot}"),
                    "write"
                ));
                assert!(!world.allows_blob(&principal, &account, "config", "write"));
            }
        });
    }
    // A machine is made anew beside a helper, which has the identity after the last.
    let larger = external(3, 4).with("data_disk_gib", 64);
    apply(&cluster, &mut instance, Some(&larger), Options::default()).await.unwrap();
    apply(&cluster, &mut instance, None, Options::default()).await.unwrap();
    assert_eq!(types(&azure), [""; 0]);
    assert_eq!(assignments(&azure), before, "not one was made or taken away");
    for name in ["servers", "server-0", "server-3"] {
        assert!(azure.object(&ArmId::new(identity(name))).is_some(), "{name} stays");
    }
}

/// Each of them is needed, and each that lacks is named.
#[tokio::test(start_paused = true)]
async fn each_role_that_lacks_is_named_before_anything_is_made() {
    let (azure, caller) = platform().await;
    let cluster = azure.provider_of(&azure.cloud.seen_by(&caller), Value::Null, None).cluster();
    let config = external(1, 2);
    let planned = plan(&cluster, &Value::Null, &[], &config).await.unwrap().planned;
    let rows = planned.get("required_role_assignments").as_list().unwrap().len();
    assert_eq!(rows, 6);
    for without in 0..rows {
        let (azure, caller) = platform().await;
        assign_required(&azure, &planned_by(&azure, &caller, &config).await, Some(without)).await;
        let cluster = azure.provider_of(&azure.cloud.seen_by(&caller), Value::Null, None).cluster();
        let mut instance = Instance::default();
        let outcome = apply(&cluster, &mut instance, Some(&config), Options::default()).await;
        let Err(Failure::Told(told)) = outcome else { panic!("{without}: {outcome:?}") };
        let lines = told[0].lines().filter(|line| line.contains(" for ") && line.contains(" on /"));
        assert_eq!(lines.count(), 1, "{without}: {told:?}");
        assert_eq!(types(&azure), [""; 0], "nothing was made");
    }
}

async fn planned_by(azure: &Azure, caller: &str, config: &Value) -> Value {
    let cluster = azure.provider_of(&azure.cloud.seen_by(caller), Value::Null, None).cluster();
    plan(&cluster, &Value::Null, &[], config).await.unwrap().planned
}

#[tokio::test(start_paused = true)]
async fn an_identity_of_a_running_server_stays() {
    let (azure, caller) = platform().await;
    let cluster = azure.provider_of(&azure.cloud.seen_by(&caller), Value::Null, None).cluster();
    let config = external(1, 3);
    assign_required(&azure, &planned_by(&azure, &caller, &config).await, None).await;
    let mut instance = Instance::default();
    apply(&cluster, &mut instance, Some(&config), Options::default()).await.unwrap();
    let state = instance.current.clone().unwrap().state;
    let other = vec![identity("server-9"), identity("server-1"), identity("server-2")];
    let identities = Value::object([
        ("shared_id", Value::from(identity("others"))),
        ("server_ids", other.into()),
    ]);
    let outcome = plan(&cluster, &state, &[], &config.with("identities", identities)).await;
    let Err(Failure::Told(told)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("knows its identities from the day it was made"), "{told:?}");
}
