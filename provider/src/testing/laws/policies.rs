//! One policy, one owner, and no snapshot lost by an order of core.

use bytes::Bytes;
use hcs_planner::names::storage_account_name;
use tfplugin::Value;

use crate::testing::core::{Done, Instance, Options, apply};
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

const POLICY: &str = "config/snapshot-policies/default.json";

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_made_again_keeps_its_snapshots_in_either_order() {
    for create_first in [false, true] {
        let (azure, provider, config) = ground().await;
        let policy = provider.policy();
        let mut instance = Instance::default();
        apply(&policy, &mut instance, Some(&config), Options::default()).await.unwrap();
        take_snapshot(&azure);
        let before = instance.current.clone().unwrap().state;
        let options = Options { replace: true, create_first };
        let done = apply(&policy, &mut instance, Some(&config), options).await.unwrap();
        assert_eq!(done, Done { added: 1, changed: 0, destroyed: 1 });
        assert!(
            has(&azure, &format!("snapshots/{SNAPSHOT}")),
            "{create_first}: the snapshot stays"
        );
        assert!(has(&azure, POLICY), "{create_first}: the policy is there");
        let after = instance.current.clone().unwrap().state;
        assert_ne!(before.get("incarnation_id"), after.get("incarnation_id"));
        let again = apply(&policy, &mut instance, Some(&config), Options::default()).await;
        assert_eq!(again, Ok(Done::default()), "{create_first}");
        // A destroy that stands alone does what was declared.
        apply(&policy, &mut instance, None, Options::default()).await.unwrap();
        assert!(!has(&azure, &format!("snapshots/{SNAPSHOT}")) && !has(&azure, POLICY));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_held_an_earlier_policy_of_the_name_deletes_nothing() {
    let (azure, provider, config) = ground().await;
    let policy = provider.policy();
    let (mut old, mut new) = (Instance::default(), Instance::default());
    apply(&policy, &mut old, Some(&config), Options::default()).await.unwrap();
    take_snapshot(&azure);
    // A block is renamed without `moved`, and core makes the new one first.
    apply(&policy, &mut new, Some(&config), Options::default()).await.unwrap();
    apply(&policy, &mut old, None, Options::default()).await.unwrap();
    assert!(has(&azure, POLICY) && has(&azure, &format!("snapshots/{SNAPSHOT}")));
    let again = apply(&policy, &mut new, Some(&config), Options::default()).await;
    assert_eq!(again, Ok(Done::default()));
    // Another one with other values is somebody's.
    let other = config.clone().with("interval", "2h");
    let refused = apply(&policy, &mut Instance::default(), Some(&other), Options::default()).await;
    assert!(format!("{refused:?}").contains("exists already"), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_policy_without_its_cluster_is_gone_and_its_destroy_ends_well() {
    let (azure, provider, config) = ground().await;
    let policy = provider.policy();
    let mut instance = Instance::default();
    apply(&policy, &mut instance, Some(&config), Options::default()).await.unwrap();
    let kept = instance.clone();
    let mut cluster =
        crate::testing::core::import(&provider.cluster(), Azure::cluster_id().as_str())
            .await
            .unwrap();
    apply(&provider.cluster(), &mut cluster, None, Options::default()).await.unwrap();
    assert!(azure.object(&Azure::cluster_id()).is_none());
    let mut instance = kept;
    apply(&policy, &mut instance, None, Options::default()).await.unwrap();
    assert!(instance.current.is_none());
}
