//! A policy whose snapshots lie in somebody's account: the servers get one right there, for as long as a policy needs it.

use bytes::Bytes;
use hcs_planner::arm::ArmId;
use hcs_planner::names::{ROLE_BLOB_CONTRIBUTOR, storage_account_name};
use hcs_simulator::{CallFault, Settings};
use serde_json::{Value as Json, json};
use tfplugin::{ApplyRequest, Context, Value};

use super::reads::{READER, assign, principal};
use crate::testing::core::{
    Done, Failure, Instance, Object, Options, apply, import, plan, refresh,
};
use crate::testing::{Azure, Kill, Provider, demo};

const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

/// The platform team's.
const SUBSCRIPTION: &str = "99999999-1111-4111-8111-111111111111";

fn account() -> ArmId {
    let group = ArmId::resource_group(SUBSCRIPTION, "rg-backups");
    group.resource("Microsoft.Storage/storageAccounts", "backups")
}

fn container(name: &str) -> ArmId {
    ArmId::new(format!("{}/blobServices/default/containers/{name}", account()))
}

async fn ground() -> (Azure, Provider) {
    let settings =
        Settings { other_subscription_ids: vec![SUBSCRIPTION.to_owned()], ..Settings::default() };
    let azure = Azure::with(settings).await;
    let group = ArmId::resource_group(SUBSCRIPTION, "rg-backups");
    azure.put(&group, "2024-07-01", json!({ "location": "northeurope" })).await;
    let provider = azure.provider(Value::Null, None);
    let cluster = demo([("server_count", Value::from(1))]);
    let mut instance = Instance::default();
    apply(&provider.cluster(), &mut instance, Some(&cluster), Options::default()).await.unwrap();
    let body = json!({ "location": "northeurope", "kind": "StorageV2", "sku": { "name": "Standard_LRS" }, "properties": {} });
    azure.put(&account(), "2023-05-01", body).await;
    let service = ArmId::new(format!("{}/blobServices/default", account()));
    azure.put(&service, "2023-05-01", json!({ "properties": {} })).await;
    for name in ["one", "two"] {
        azure.put(&container(name), "2023-05-01", json!({ "properties": {} })).await;
    }
    (azure, provider)
}

fn config(name: &str, place: Option<&ArmId>) -> Value {
    Value::object([
        ("cluster_id", Value::from(Azure::cluster_id().as_str())),
        ("name", name.into()),
        ("interval", "1h".into()),
        ("storage_container_id", Value::from(place.map(|place| place.as_str().to_owned()))),
    ])
}

/// Principals that may write to a container by an assignment on it.
fn may_write(azure: &Azure, container: &ArmId) -> Vec<String> {
    let within = container.key() + "/providers/microsoft.authorization/roleassignments/";
    let rows = azure.cloud.with_world(|world| world.objects());
    let ids =
        rows.into_iter().map(|row| row.id).filter(|id| id.to_lowercase().starts_with(&within));
    let bodies = ids.filter_map(|id| azure.object(&ArmId::new(id)));
    let of_role = |body: &Json| {
        let role = body.pointer("/properties/roleDefinitionId")?.as_str()?;
        let principal = body.pointer("/properties/principalId")?.as_str()?;
        role.ends_with(ROLE_BLOB_CONTRIBUTOR).then(|| principal.to_owned())
    };
    bodies.filter_map(|body| of_role(&body)).collect()
}

/// Who the servers are.
fn servers(azure: &Azure) -> String {
    let name = "demo-servers";
    let id = Azure::cluster_id().resource("Microsoft.ManagedIdentity/userAssignedIdentities", name);
    let body = azure.object(&id).expect(name);
    body.pointer("/properties/principalId").unwrap().as_str().unwrap().to_owned()
}

fn document(azure: &Azure, name: &str) -> Json {
    let blobs = azure.cloud.blobs(&storage_account_name(&Azure::cluster_id()));
    serde_json::from_slice(&blobs[&format!("config/snapshot-policies/{name}.json")]).unwrap()
}

/// Its folder in the container, with a slash at its end.
fn folder(azure: &Azure, name: &str) -> String {
    let document = document(azure, name);
    format!("{}/{name}/", document["place"]["folder"].as_str().unwrap())
}

const DONE: Done = Done { added: 0, changed: 0, destroyed: 0 };

#[tokio::test(start_paused = true)]
async fn the_servers_may_write_to_a_container_as_long_as_a_policy_names_it() {
    let (azure, provider) = ground().await;
    let (policy, one, two) = (provider.policy(), container("one"), container("two"));
    let options = Options::default;
    let (mut first, mut second) = (Instance::default(), Instance::default());
    apply(&policy, &mut first, Some(&config("a", Some(&one))), options()).await.unwrap();
    apply(&policy, &mut second, Some(&config("b", Some(&one))), options()).await.unwrap();
    assert_eq!(may_write(&azure, &one), [servers(&azure)]);
    let place = &document(&azure, "a")["place"];
    assert_eq!(place["container_id"], one.as_str());
    let folder_of = folder(&azure, "a");
    assert!(folder_of.starts_with("demo-") && folder_of.len() == "demo-01234567/a/".len());

    // Another spelling is the same place.
    let shouted = ArmId::new(one.as_str().replace("resourceGroups", "RESOURCEGROUPS"));
    for again in [&one, &shouted] {
        let done = apply(&policy, &mut first, Some(&config("a", Some(again))), options()).await;
        assert_eq!(done, Ok(DONE), "{again}");
    }
    let id = format!("{}/snapshotPolicies/a", Azure::cluster_id());
    let mut imported = import(&policy, &id).await.unwrap();
    let done = apply(&policy, &mut imported, Some(&config("a", Some(&one))), options()).await;
    assert_eq!(done, Ok(DONE), "an import gives it back");

    // Somewhere else, in place; what the other policy needs stays.
    let done = apply(&policy, &mut first, Some(&config("a", Some(&two))), options()).await;
    assert_eq!(done, Ok(Done { changed: 1, ..DONE }));
    assert_eq!((may_write(&azure, &one).len(), may_write(&azure, &two).len()), (1, 1));
    apply(&policy, &mut second, Some(&config("b", None)), options()).await.unwrap();
    assert_eq!((may_write(&azure, &one).len(), may_write(&azure, &two).len()), (0, 1));
    assert_eq!(document(&azure, "b").get("place"), None);
    // A replacement goes on where it was, with the right that it has.
    let replaced = Options { replace: true, create_first: false };
    apply(&policy, &mut first, Some(&config("a", Some(&two))), replaced).await.unwrap();
    assert_eq!((may_write(&azure, &two).len(), folder(&azure, "a")), (1, folder_of));
    apply(&policy, &mut first, None, options()).await.unwrap();
    assert_eq!(may_write(&azure, &two).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_lies_elsewhere_is_told_by_the_servers_and_purged_in_its_own_folder_only() {
    let (azure, provider) = ground().await;
    let (policy, one) = (provider.policy(), container("one"));
    let mut instance = Instance::default();
    let config = config("a", Some(&one)).with("on_delete", "purge");
    apply(&policy, &mut instance, Some(&config), Options::default()).await.unwrap();
    let own = storage_account_name(&Azure::cluster_id());
    let incarnation = document(&azure, "a")["incarnation_id"].clone();
    let folder = folder(&azure, "a");
    let kept_in = format!("{}/{}", one.as_str().to_lowercase(), folder.trim_end_matches("/a/"));
    let report = json!({
        "incarnation_id": incarnation, "kept_in": kept_in,
        "kept": { "count": 2, "oldest": "2026-11-22T22:15:00Z", "newest": "2026-11-22T23:15:00Z", "total_size_bytes": 700 },
    });
    let path = "snapshot-policies/a.json";
    azure.cloud.plant_blob(&own, "decisions", path, report.to_string().into());
    refresh(&policy, &mut instance).await.unwrap();
    let state = instance.current.clone().unwrap().state;
    assert_eq!(state.get("snapshot_count").as_i64(), Some(2));
    assert_eq!(state.get("last_success_at").as_str(), Some("2026-11-22T23:15:00Z"));
    assert_eq!(state.get("total_size_bytes").as_i64(), Some(700));

    let mine = format!("{folder}20261122T231500Z.snap");
    let others = ["demo-ffffffff/a/20261122T231500Z.snap", "a/20261122T231500Z.snap"];
    for name in others.iter().copied().chain([mine.as_str()]) {
        azure.cloud.plant_blob("backups", "one", name, Bytes::from_static(b"snapshot"));
    }
    // Reading state and plan needs no right there; deleting does.
    let denied = apply(&policy, &mut instance, None, Options::default()).await;
    let Err(Failure::Told(told)) = denied else { panic!("{denied:?}") };
    assert!(told[0].contains("Storage Blob Data Contributor"), "{told:?}");
    assert_eq!(document(&azure, "a")["enabled"], false, "it takes no more");
    assert!(azure.cloud.has_blob("backups", "one", &mine));
    let caller = azure.cloud.with_world(|world| world.settings().caller_object_id.clone());
    assign(&azure, &caller, ROLE_BLOB_CONTRIBUTOR, &account()).await;
    apply(&policy, &mut instance, None, Options::default()).await.unwrap();
    assert!(!azure.cloud.has_blob("backups", "one", &mine));
    assert_eq!(may_write(&azure, &one), [""; 0]);
    assert!(others.iter().all(|name| azure.cloud.has_blob("backups", "one", name)));
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_not_there_or_goes_with_the_cluster_is_told_and_nothing_is_written() {
    let (azure, provider) = ground().await;
    let policy = provider.policy();
    let own = hcs_planner::names::storage_account(&Azure::cluster_id());
    let elsewhere = container("one").as_str().replace("/backups/", "/nowhere/");
    let table = [
        (container("three").to_string(), "Storage container does not exist"),
        (elsewhere, "Storage account does not exist"),
        (format!("{own}/blobServices/default/containers/snapshots"), "goes with the cluster"),
    ];
    for (id, expected) in table {
        let mut instance = Instance::default();
        let config = config("a", Some(&ArmId::new(id)));
        let refused = apply(&policy, &mut instance, Some(&config), Options::default()).await;
        let Err(Failure::Told(told)) = refused else { panic!("{refused:?}") };
        assert!(told[0].contains(expected), "{told:?}");
        let name = "snapshot-policies/a.json";
        let account = storage_account_name(&Azure::cluster_id());
        assert!(instance.current.is_none() && !azure.cloud.has_blob(&account, "config", name));
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_may_not_give_the_right_is_told_who_must_and_how() {
    let (azure, _) = ground().await;
    let caller = principal(&azure, "pipeline").await;
    assign(&azure, &caller, READER, &account()).await;
    assign(&azure, &caller, CONTRIBUTOR, &Azure::cluster_id()).await;
    let own = hcs_planner::names::storage_account(&Azure::cluster_id());
    assign(&azure, &caller, ROLE_BLOB_CONTRIBUTOR, &own).await;
    let provider = azure.provider_of(&azure.cloud.seen_by(&caller), Value::Null, None);
    let (policy, one) = (provider.policy(), container("one"));
    let config = config("a", Some(&one));
    let planned = plan(&policy, &Value::Null, &[], &config).await.unwrap();
    let request = ApplyRequest::new(Value::Null, planned.planned, config.clone());
    let response = policy.apply(&Context::new(), request).await;
    let told: Vec<String> = response.diagnostics.iter().map(|one| one.detail.clone()).collect();
    assert!(!response.diagnostics.has_errors() && told.len() == 1, "{told:?}");
    for part in ["az role assignment create", &servers(&azure), one.as_str(), "last_error"] {
        assert!(told[0].contains(part), "{part}: {told:?}");
    }
    assert_eq!(document(&azure, "a")["place"]["container_id"], one.as_str());
    assert_eq!(may_write(&azure, &one), [""; 0]);
    let mut instance = Instance { current: Some(Object::of(response.state)), deposed: vec![] };
    let again = apply(&policy, &mut instance, Some(&config), Options::default()).await;
    assert_eq!(again, Ok(DONE));
}

/// An apply of a provider that dies at this call; whether it got so far.
async fn dies(azure: &Azure, kill: Kill, instance: &mut Instance, config: Option<&Value>) -> bool {
    let dying = azure.provider(Value::Null, Some(kill));
    let policy = dying.policy();
    let mut state = instance.clone();
    tokio::select! {
        biased;
        _ = apply(&policy, &mut state, config, Options::default()) => {
            *instance = state;
            false
        }
        () = dying.death() => true,
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_killed_while_a_policy_moves_or_goes_leaves_no_right_behind() {
    let (azure, provider) = ground().await;
    let (policy, one, two) = (provider.policy(), container("one"), container("two"));
    let there = config("a", Some(&one));
    let moved = config("a", Some(&two));
    let mut killed = 0;
    for fault in [CallFault::KillBefore, CallFault::KillAfter] {
        for at in 0..60 {
            let kill = Kill { at, fault };
            let mut instance = Instance::default();
            apply(&policy, &mut instance, Some(&there), Options::default()).await.unwrap();
            let moving = dies(&azure, kill, &mut instance, Some(&moved)).await;
            refresh(&policy, &mut instance).await.unwrap();
            // Something else of it is changed one day.
            let later = moved.clone().with("interval", "2h");
            apply(&policy, &mut instance, Some(&later), Options::default()).await.unwrap();
            assert_eq!(may_write(&azure, &one).len(), 0, "{kill}");
            assert_eq!(may_write(&azure, &two).len(), 1, "{kill}");
            let going = dies(&azure, kill, &mut instance, None).await;
            apply(&policy, &mut instance, None, Options::default()).await.unwrap();
            assert_eq!(may_write(&azure, &two).len(), 0, "{kill}");
            killed += usize::from(moving) + usize::from(going);
        }
    }
    assert!(killed > 40, "{killed}");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_made_again_elsewhere_leaves_no_right_where_it_was() {
    let (azure, provider) = ground().await;
    let (policy, one, two) = (provider.policy(), container("one"), container("two"));
    let mut instance = Instance::default();
    apply(&policy, &mut instance, Some(&config("a", Some(&one))), Options::default())
        .await
        .unwrap();
    let replaced = Options { replace: true, create_first: false };
    apply(&policy, &mut instance, Some(&config("a", Some(&two))), replaced).await.unwrap();
    assert_eq!((may_write(&azure, &one).len(), may_write(&azure, &two).len()), (0, 1));
    // One that is refused leaves none either.
    let mut second = Instance::default();
    let refused =
        apply(&policy, &mut second, Some(&config("a", Some(&one))), Options::default()).await;
    assert!(format!("{refused:?}").contains("exists already"), "{refused:?}");
    assert_eq!((may_write(&azure, &one).len(), may_write(&azure, &two).len()), (0, 1));
}

/// One policy leaves a container as another one comes to it, in whatever order their calls meet, and however long one of
/// them takes.
#[tokio::test(start_paused = true)]
async fn whoever_comes_to_a_container_that_another_policy_leaves_has_its_right() {
    let (azure, provider) = ground().await;
    let (policy, one, two) = (provider.policy(), container("one"), container("two"));
    for case in 0..240 {
        let later = case / 4;
        let (mut leaves, mut comes) = (Instance::default(), Instance::default());
        let there = config("a", Some(&one));
        apply(&policy, &mut leaves, Some(&there), Options::default()).await.unwrap();
        let (moved, new) = (config("a", Some(&two)), config("b", Some(&one)));
        // A destroy leaves as a move does.
        let moved = (case % 2 == 0).then_some(&moved);
        let slow = Kill { at: later, fault: CallFault::SlowRequest };
        let slow = azure.provider(Value::Null, (case % 4 > 1).then_some(slow)).policy();
        let leaving = apply(&slow, &mut leaves, moved, Options::default());
        let coming = async {
            for _ in 0..later {
                tokio::task::yield_now().await;
            }
            apply(&policy, &mut comes, Some(&new), Options::default()).await
        };
        let (left, came) = tokio::join!(leaving, coming);
        left.unwrap();
        came.unwrap();
        assert_eq!(may_write(&azure, &one), [servers(&azure)], "{case}");
        for instance in [&mut leaves, &mut comes] {
            apply(&policy, instance, None, Options::default()).await.unwrap();
        }
        assert_eq!((may_write(&azure, &one).len(), may_write(&azure, &two).len()), (0, 0));
    }
}
