//! One policy, one owner, and no snapshot lost by an order of core.

use bytes::Bytes;
use hcs_planner::names::storage_account_name;
use tfplugin::{ApplyRequest, Context, Value};

use crate::testing::core::{Done, Instance, Options, apply, import};
use crate::testing::{Azure, Provider, demo};

const SNAPSHOT: &str = "default/20261122T231500Z.snap";

async fn ground() -> (Azure, Provider, Value) {
    let azure = Azure::new().await;
    let provider = azure.provider(Value::Null, None);
    let cluster = demo([("server_count", Value::from(1))]);
    let mut instance = Instance::default();
    apply(&provider.cluster(), &mut instance, Some(&cluster), Options::default()).await.unwrap();
    let config = Value::object([
        ("cluster_id", Value::from(Azure::cluster_id().as_str())),
        ("interval", "1h".into()),
        ("on_delete", "purge".into()),
    ]);
    (azure, provider, config)
}

fn account() -> String {
    storage_account_name(&Azure::cluster_id())
}

fn take_snapshot(azure: &Azure) {
    azure.cloud.plant_blob(&account(), "snapshots", SNAPSHOT, Bytes::from_static(b"snapshot"));
}

fn has(azure: &Azure, name: &str) -> bool {
    azure.cloud.blobs(&account()).contains_key(name)
}

fn has_snapshot(azure: &Azure) -> bool {
    has(azure, &format!("snapshots/{SNAPSHOT}"))
}

const PATH: &str = "snapshot-policies/default.json";
const POLICY: &str = "config/snapshot-policies/default.json";

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_made_again_keeps_its_snapshots_in_either_order() {
    let (azure, provider, config) = ground().await;
    let policy = provider.policy();
    let mut instance = Instance::default();
    apply(&policy, &mut instance, Some(&config), Options::default()).await.unwrap();
    take_snapshot(&azure);
    let before = instance.current.clone().unwrap().state;
    // Both have one name: made first, the new one meets the old one, and nothing happens.
    let options = Options { replace: true, create_first: true };
    let refused = apply(&policy, &mut instance, Some(&config), options).await;
    assert!(format!("{refused:?}").contains("create_before_destroy"), "{refused:?}");
    assert!(has_snapshot(&azure) && has(&azure, POLICY));
    let kept = instance.current.clone().unwrap().state;
    assert_eq!(before.get("incarnation_id"), kept.get("incarnation_id"));

    let options = Options { replace: true, create_first: false };
    let done = apply(&policy, &mut instance, Some(&config), options).await.unwrap();
    assert_eq!(done, Done { added: 1, changed: 0, destroyed: 1 });
    assert!(has_snapshot(&azure) && has(&azure, POLICY));
    let after = instance.current.clone().unwrap().state;
    assert_ne!(before.get("incarnation_id"), after.get("incarnation_id"));
    let again = apply(&policy, &mut instance, Some(&config), Options::default()).await;
    assert_eq!(again, Ok(Done::default()));
    // A destroy that stands alone does what was declared.
    apply(&policy, &mut instance, None, Options::default()).await.unwrap();
    assert!(!has_snapshot(&azure) && !has(&azure, POLICY));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_a_state_holds_is_nobody_elses() {
    let (azure, provider, config) = ground().await;
    let policy = provider.policy();
    let mut holder = Instance::default();
    apply(&policy, &mut holder, Some(&config), Options::default()).await.unwrap();
    take_snapshot(&azure);
    // A block that was renamed without `moved`, a second workspace, and one that wants other values.
    for other in [config.clone(), config.clone().with("interval", "2h")] {
        let mut second = Instance::default();
        let refused = apply(&policy, &mut second, Some(&other), Options::default()).await;
        assert!(format!("{refused:?}").contains("exists already"), "{refused:?}");
        assert!(second.current.is_none() && has_snapshot(&azure));
    }
    let again = apply(&policy, &mut holder, Some(&config), Options::default()).await;
    assert_eq!(again, Ok(Done::default()));
}

#[tokio::test(start_paused = true)]
async fn a_create_that_died_is_gone_on_with_by_the_next_and_by_no_import() {
    let (azure, provider, config) = ground().await;
    let policy = provider.policy();
    let mut first = Instance::default();
    apply(&policy, &mut first, Some(&config), Options::default()).await.unwrap();
    // What the storage holds between the two writes of a create.
    let written = azure.cloud.blobs(&account()).remove(POLICY).unwrap();
    let mut document: serde_json::Value = serde_json::from_slice(&written).unwrap();
    document["is_held"] = false.into();
    azure.cloud.plant_blob(&account(), "config", PATH, document.to_string().into());

    let id = format!("{}/snapshotPolicies/default", Azure::cluster_id());
    let refused = import(&policy, &id).await.map(|_| ());
    assert!(format!("{refused:?}").contains("not finished"), "{refused:?}");
    let (mut second, changed) = (Instance::default(), config.clone().with("interval", "2h"));
    apply(&policy, &mut second, Some(&changed), Options::default()).await.unwrap();
    let again = apply(&policy, &mut second, Some(&changed), Options::default()).await;
    assert_eq!(again, Ok(Done::default()));
    // Whoever believes to hold the first deletes nothing.
    apply(&policy, &mut first, None, Options::default()).await.unwrap();
    assert!(has(&azure, POLICY));
    import(&policy, &id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_purge_without_its_document_deletes_no_snapshot() {
    let (azure, provider, config) = ground().await;
    let policy = provider.policy();
    let mut instance = Instance::default();
    apply(&policy, &mut instance, Some(&config), Options::default()).await.unwrap();
    take_snapshot(&azure);
    // Whoever removed the document may have kept the snapshots on purpose.
    azure.cloud.remove_blob(&account(), "config", PATH);
    let prior = instance.current.unwrap().state;
    let private = crate::leg::destroy();
    let request = ApplyRequest::new(prior, Value::Null, Value::Null).with_private(private);
    let response = policy.apply(&Context::new(), request).await;
    assert!(response.state.is_null() && !response.diagnostics.has_errors());
    assert!(has_snapshot(&azure));
}

#[tokio::test(start_paused = true)]
async fn a_policy_without_its_cluster_is_gone_and_its_destroy_ends_well() {
    let (azure, provider, config) = ground().await;
    let policy = provider.policy();
    let mut instance = Instance::default();
    apply(&policy, &mut instance, Some(&config), Options::default()).await.unwrap();
    let kept = instance.clone();
    let mut cluster = import(&provider.cluster(), Azure::cluster_id().as_str()).await.unwrap();
    apply(&provider.cluster(), &mut cluster, None, Options::default()).await.unwrap();
    assert!(azure.object(&Azure::cluster_id()).is_none());
    let mut instance = kept;
    apply(&policy, &mut instance, None, Options::default()).await.unwrap();
    assert!(instance.current.is_none());
}
