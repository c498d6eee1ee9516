//! Reads only read: whatever rights are missing, validate, plan, refresh, data source and import ask and change nothing,
//! and look into no container but the four that a reader needs.

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::{ROLE_BLOB_READER, deterministic_guid, storage_account_name};
use serde_json::json;
use tfplugin::{Context, Value};

use crate::testing::core::{Instance, Options, apply, import, plan, refresh, whole};
use crate::testing::{Azure, GROUP, demo, group_id};

pub(super) const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

/// A principal that has only what it is given.
pub(super) async fn principal(azure: &Azure, name: &str) -> String {
    let id = group_id(GROUP).resource(Kind::Identity.resource_type(), name);
    azure.put(&id, Kind::Identity.api_version(), json!({ "location": "westeurope" })).await;
    let body = azure.object(&id).unwrap();
    body["properties"]["principalId"].as_str().unwrap().to_owned()
}

pub(super) async fn assign(azure: &Azure, principal: &str, role: &str, scope: &ArmId) {
    let name = deterministic_guid(&[scope.as_str(), principal, role]);
    let id = scope.resource(Kind::RoleAssignment.resource_type(), &name);
    let subscription = scope.segment("subscriptions").unwrap();
    let definition = format!(
        "/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    );
    let body = json!({ "properties": { "roleDefinitionId": definition, "principalId": principal,
        "principalType": "ServicePrincipal" } });
    azure.put(&id, Kind::RoleAssignment.api_version(), body).await;
}

/// Rights that a caller may have, the more the later.
const RIGHTS: [&str; 6] = [
    "none",
    "reader of the user's group",
    "reader of both groups",
    "reader of both groups and of config",
    "reader of both groups and of what a reader needs",
    "owner",
];

#[tokio::test(start_paused = true)]
async fn whoever_may_only_look_changes_nothing_and_looks_where_it_may() {
    let azure = Azure::new().await;
    let owner = azure.provider(Value::Null, None);
    let config = demo([("location", "westeurope".into())]);
    let mut cluster = Instance::default();
    apply(&owner.cluster(), &mut cluster, Some(&config), Options::default()).await.unwrap();
    let id = Azure::cluster_id();
    let policy_config =
        Value::object([("cluster_id", Value::from(id.as_str())), ("interval", "1h".into())]);
    let mut policy = Instance::default();
    apply(&owner.policy(), &mut policy, Some(&policy_config), Options::default()).await.unwrap();

    let account = id.resource(Kind::StorageAccount.resource_type(), &storage_account_name(&id));
    let container = |name: &str| account.child("blobServices", "default").child("containers", name);
    let mut asked = 0;
    for (at, rights) in RIGHTS.iter().enumerate() {
        let cloud = if *rights == "owner" {
            azure.cloud.clone()
        } else {
            let who = principal(&azure, &format!("caller-{at}")).await;
            if at >= 1 {
                assign(&azure, &who, READER, &group_id(GROUP)).await;
            }
            if at >= 2 {
                assign(&azure, &who, READER, &id).await;
            }
            if at >= 3 {
                assign(&azure, &who, ROLE_BLOB_READER, &container("config")).await;
            }
            if at >= 4 {
                for name in ["certificates", "snapshots", "status-0", "status-1", "status-2"] {
                    assign(&azure, &who, ROLE_BLOB_READER, &container(name)).await;
                }
            }
            azure.cloud.seen_by(&who)
        };
        let provider = azure.provider_of(&cloud, Value::Null, None);
        let (mut seen, mut seen_policy) = (cluster.clone(), policy.clone());
        let refreshed = refresh(&provider.cluster(), &mut seen).await;
        let refreshed_policy = refresh(&provider.policy(), &mut seen_policy).await;
        let object = seen.current.clone().unwrap_or_default();
        let changed = plan(&provider.cluster(), &object.state, &[], &config).await;
        let _ = plan(&provider.cluster(), &Value::Null, &[], &config).await;
        let imported = import(&provider.cluster(), id.as_str()).await;
        let imported_policy =
            import(&provider.policy(), &format!("{id}/snapshotPolicies/default")).await;
        let data = provider.cluster_data();
        let asking = Value::object([("id", Value::from(id.as_str()))]);
        let ty = data.schema().implied_type();
        let asking = Value::from_msgpack(&asking.to_msgpack(&ty).unwrap(), &ty).unwrap();
        let read = data.read(&Context::new(), asking).await;
        asked += 8;

        assert_eq!(
            (provider.writes(), provider.blob_writes()),
            (0, 0),
            "{rights}: reads only read"
        );
        let allowed = |name: &String| {
            ["config", "certificates", "decisions", "snapshots"].contains(&name.as_str())
                || name.starts_with("status-")
        };
        let containers = provider.containers();
        assert!(containers.iter().all(allowed), "{rights}: {containers:?}");
        assert!(seen.current.is_some(), "{rights}: what may not be read is not gone");
        assert!(seen_policy.current.is_some(), "{rights}: nor is the policy");
        if at >= 2 {
            refreshed.unwrap();
            refreshed_policy.unwrap();
            let planned = changed.unwrap();
            let state = whole(provider.cluster().as_ref(), &object.state);
            assert_eq!(planned.planned, state, "{rights}: nothing is planned");
        }
        let words = format!("{imported:?} {:?}", read.diagnostics);
        if at >= 4 {
            imported_policy.unwrap();
        }
        if at >= 3 {
            imported.unwrap();
            assert!(!read.diagnostics.has_errors(), "{rights}: {:?}", read.diagnostics);
        } else {
            assert!(words.contains("Cannot read"), "{rights}: {words}");
        }
        if at == 2 {
            assert!(words.contains("Storage Blob Data Reader"), "{words}");
            assert!(words.contains(account.name()), "role and scope: {words}");
        }
    }
    println!("{} sets of rights, {asked} reads", RIGHTS.len());
}

#[tokio::test(start_paused = true)]
async fn what_a_cluster_tells_after_its_apply_is_what_azure_has() {
    let azure = Azure::new().await;
    let provider = azure.provider(Value::Null, None);
    let mut cluster = Instance::default();
    apply(&provider.cluster(), &mut cluster, Some(&demo([])), Options::default()).await.unwrap();
    let state = cluster.current.unwrap().state;
    assert_eq!(state.get("image_version").as_str(), Some("24.04.202611050"));
    let balancer = Azure::cluster_id().resource(Kind::LoadBalancer.resource_type(), "demo-lb");
    let balancer = azure.object(&balancer).unwrap();
    let address =
        &balancer["properties"]["frontendIPConfigurations"][0]["properties"]["privateIPAddress"];
    assert!(address.is_string(), "{balancer}");
    let told = state.get("consul_private_endpoint_ip_address");
    assert_eq!(told.as_str(), address.as_str());
}

#[tokio::test(start_paused = true)]
async fn helm_values_are_for_a_cluster_that_there_is_in_either_form_of_its_id() {
    let azure = Azure::new().await;
    let provider = azure.provider(Value::Null, None);
    let mut cluster = Instance::default();
    apply(&provider.cluster(), &mut cluster, Some(&demo([])), Options::default()).await.unwrap();
    let read = async |cluster_id: &str| {
        let data = provider.helm_data();
        let ty = data.schema().implied_type();
        let config = Value::object([("cluster_id", Value::from(cluster_id))]);
        let config = Value::from_msgpack(&config.to_msgpack(&ty).unwrap(), &ty).unwrap();
        data.read(&Context::new(), config).await
    };
    let id = Azure::cluster_id();
    let subscription = id.segment("subscriptions").unwrap();
    for id in [id.to_string(), format!("{subscription}/{GROUP}/demo")] {
        let found = read(&id).await;
        assert!(!found.diagnostics.has_errors(), "{id}: {:?}", found.diagnostics);
        let values = found.state.get("config").as_str().unwrap().to_owned();
        assert!(values.contains("secretName: \"demo-bootstrap-token\""), "{values}");
    }
    for (id, why) in [("demo", "neither the id"), (group_id("other").as_str(), "no cluster")] {
        let refused = format!("{:?}", read(id).await.diagnostics);
        assert!(refused.contains(why) && refused.contains("cluster_id"), "{id}: {refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn zones_are_what_a_cluster_would_take_and_a_wrong_size_is_told() {
    let azure = Azure::new().await;
    let data = azure.provider(Value::Null, None).zones_data();
    let read = async |location: &str, size: Option<&str>| {
        let asking =
            Value::object([("location", Value::from(location)), ("vm_size", Value::from(size))]);
        data.read(&Context::new(), asking).await
    };
    let found = read("West Europe", None).await;
    assert!(!found.diagnostics.has_errors(), "{:?}", found.diagnostics);
    let config = demo([("location", "westeurope".into())]);
    let cluster = azure.provider(Value::Null, None).cluster();
    let planned = plan(&cluster, &Value::Null, &[], &config).await.unwrap().planned;
    assert_eq!(found.state.get("zones"), planned.get("zones"));
    assert_eq!(found.state.get("vm_size"), planned.get("vm_size"));
    assert_eq!(found.state.get("physical_zones").as_map().unwrap().len(), 3);
    let told = |response: &tfplugin::DataResponse| format!("{:?}", response.diagnostics);
    let wrong = read("westeurope", Some("Standard_Z99")).await;
    assert!(told(&wrong).contains("does not have the VM size Standard_Z99"), "{}", told(&wrong));
    assert!(told(&read("atlantis", None).await).contains("no region"));
}
