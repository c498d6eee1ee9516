//! A single snapshot is taken once: one whose time is over stays in the state, one that somebody took away does not.

use bytes::Bytes;
use hcs_planner::names::storage_account_name;
use hcs_planner::snapshots::id::SnapshotId;
use jiff::{SignedDuration, Timestamp};
use tfplugin::Value;

use crate::testing::core::{Done, Failure, Instance, Options, apply, refresh};
use crate::testing::{Azure, Provider, demo};

const NAME: &str = "before-migration";
const BLOB: &str = "~on-demand/before-migration.snap";

/// A cluster, and a snapshot of it that a state holds for thirty days.
async fn held() -> (Azure, Provider, Value, Instance) {
    let azure = Azure::new().await;
    let provider = azure.provider(Value::Null, None);
    let cluster = demo([("server_count", Value::from(1))]);
    let mut instance = Instance::default();
    apply(&provider.cluster(), &mut instance, Some(&cluster), Options::default()).await.unwrap();
    let account = storage_account_name(&Azure::cluster_id());
    azure.cloud.plant_blob(&account, "snapshots", BLOB, Bytes::from_static(b"archive"));
    let config = Value::object([
        ("cluster_id", Value::from(Azure::cluster_id().as_str())),
        ("name", NAME.into()),
        ("expires_after", "30d".into()),
    ]);
    let mut instance = Instance::default();
    let made = apply(&provider.snapshot(), &mut instance, Some(&config), Options::default()).await;
    assert_eq!(made, Ok(Done { added: 1, ..Done::default() }));
    (azure, provider, config, instance)
}

fn lose(azure: &Azure) {
    azure.cloud.remove_blob(&storage_account_name(&Azure::cluster_id()), "snapshots", BLOB);
}

/// As if its time ended so many hours from now.
fn ends_in(instance: &mut Instance, hours: i64) {
    let at = Timestamp::now() + SignedDuration::from_hours(hours);
    let object = instance.current.as_mut().unwrap();
    object.state = object.state.clone().with("expires_at", at.to_string());
}

#[tokio::test(start_paused = true)]
async fn an_expired_snapshot_stays_in_the_state_and_is_never_taken_again() {
    let (azure, provider, config, mut instance) = held().await;
    let resource = provider.snapshot();
    assert_eq!(instance.current.as_ref().unwrap().state.get("state"), &"available".into());
    lose(&azure);
    ends_in(&mut instance, -1);
    for _ in 0..2 {
        let again = apply(&resource, &mut instance, Some(&config), Options::default()).await;
        assert_eq!(again, Ok(Done::default()), "an empty plan");
        assert_eq!(instance.current.as_ref().unwrap().state.get("state"), &"expired".into());
    }
    let longer = config.clone().with("expires_after", "60d");
    let refused = apply(&resource, &mut instance, Some(&longer), Options::default()).await;
    let Err(Failure::Told(told)) = refused else { panic!("{refused:?}") };
    assert!(told[0].contains("has expired") && told[0].contains("another name"), "{told:?}");
    let gone = apply(&resource, &mut instance, None, Options::default()).await;
    assert_eq!(gone, Ok(Done { destroyed: 1, ..Done::default() }));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_gone_before_its_time_leaves_the_state() {
    let (azure, provider, _, mut instance) = held().await;
    lose(&azure);
    ends_in(&mut instance, 1);
    refresh(&provider.snapshot(), &mut instance).await.unwrap();
    assert!(instance.current.is_none(), "a plan would take it again, and say so");
}

/// Servers answer what they have answered before: a refusal must not stand for ever.
#[tokio::test(start_paused = true)]
async fn a_restore_that_was_refused_is_asked_for_anew_and_done_once() {
    let (azure, provider, _, _) = held().await;
    let account = storage_account_name(&Azure::cluster_id());
    let path = "hourly/20261129T020000Z.snap";
    let id = SnapshotId::of_cluster(&Azure::cluster_id(), path.to_owned()).to_string();
    let config = Value::object([
        ("cluster_id", Value::from(Azure::cluster_id().as_str())),
        ("snapshot_id", id.into()),
    ]);
    let (resource, mut instance) = (provider.restore(), Instance::default());
    for _ in 0..2 {
        let refused = apply(&resource, &mut instance, Some(&config), Options::default()).await;
        let Err(Failure::Told(told)) = refused else { panic!("{refused:?}") };
        assert!(told[0].contains("there is no snapshot"), "{told:?}");
        assert!(instance.current.is_none());
    }
    azure.cloud.plant_blob(&account, "snapshots", path, Bytes::from_static(b"archive"));
    let made = apply(&resource, &mut instance, Some(&config), Options::default()).await;
    assert_eq!(made, Ok(Done { added: 1, ..Done::default() }));
    let again = apply(&resource, &mut instance, Some(&config), Options::default()).await;
    assert_eq!(again, Ok(Done::default()));
    let restored =
        azure.cloud.with_estate(|estate| estate.servers.as_ref().unwrap().restored().to_vec());
    assert_eq!(restored, [path], "once");
}
