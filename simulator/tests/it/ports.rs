//! The engine's ports over a world: virtual time, roles on blobs, lost answers.

use std::time::Duration;

use bytes::Bytes;
use hcs_engine::blob::{BlobError, BlobStores as _, WriteCondition};
use hcs_engine::clock::Clock as _;
use hcs_engine::cloud::{ArmRequest, Cloud as _, Method, Target, TransportError};
use hcs_simulator::{Settings, SimClock, SimCloud};
use serde_json::json;

use crate::support::{ACCOUNT, BLOB_CONTRIBUTOR, GROUPS, ROLES, STORAGE, account};

fn group() -> String {
    format!("/subscriptions/{}/resourceGroups/g", Settings::default().subscription_id)
}

fn put(path: &str, version: &str, body: serde_json::Value) -> ArmRequest {
    let target = Target::Path(format!("{path}?api-version={version}"));
    ArmRequest { body: Some(body), ..ArmRequest::new(Method::Put, target) }
}

#[tokio::test(start_paused = true)]
async fn virtual_time_carries_an_account_from_accepted_to_written() {
    let clock = SimClock::starting_at(1_795_000_000_000);
    let cloud = SimCloud::new(Settings::default(), clock.clone());
    let wall = std::time::Instant::now();
    let place = json!({"location": "westeurope"});
    assert_eq!(cloud.send(&put(&group(), GROUPS, place)).await.unwrap().status, 201);
    let id = format!("{}/providers/{ACCOUNT}", group());
    let accepted = cloud.send(&put(&id, STORAGE, account())).await.unwrap();
    assert_eq!(accepted.status, 202);
    let url = accepted.header("location").unwrap().to_owned();
    let poll = ArmRequest::new(Method::Get, Target::Url(url));
    let body = loop {
        let answer = cloud.send(&poll).await.unwrap();
        if answer.status == 200 {
            break answer.body;
        }
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        clock.sleep(Duration::from_secs(seconds)).await;
    };
    let container = format!("{id}/blobServices/default/containers/config");
    cloud.send(&put(&container, STORAGE, json!({"properties": {}}))).await.unwrap();
    let endpoint = body.pointer("/properties/primaryEndpoints/blob").unwrap().as_str().unwrap();
    let blobs = cloud.open(endpoint).unwrap();
    let refused = blobs.put("config", "x", Bytes::from("1"), WriteCondition::Always).await;
    assert!(matches!(refused, Err(BlobError::Denied { .. })), "{refused:?}");
    let name = "00000000-0000-4000-8000-000000000001";
    let role = format!("{id}/providers/Microsoft.Authorization/roleAssignments/{name}");
    let caller = cloud.caller_object_id().await.unwrap();
    let subscription = Settings::default().subscription_id;
    let definition = format!(
        "/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{BLOB_CONTRIBUTOR}"
    );
    let body = json!({"properties": {"roleDefinitionId": definition, "principalId": caller}});
    assert_eq!(cloud.send(&put(&role, ROLES, body)).await.unwrap().status, 201);
    clock.sleep(Duration::from_secs(21)).await;
    let etag = blobs.put("config", "x", Bytes::from("1"), WriteCondition::Absent).await.unwrap();
    let again = blobs.put("config", "x", Bytes::from("2"), WriteCondition::Absent).await;
    assert!(matches!(again, Err(BlobError::ConditionFailed { .. })));
    blobs.put("config", "x", Bytes::from("2"), WriteCondition::Matches(etag)).await.unwrap();
    clock.sleep(Duration::from_secs(5)).await;
    let read = blobs.get("config", "x").await.unwrap().unwrap();
    assert_eq!((read.bytes, read.age), (Bytes::from("2"), Some(Duration::from_secs(5))));
    assert_eq!(blobs.list("config", "").await.unwrap().len(), 1);
    let absent = blobs.get("none", "x").await;
    assert!(matches!(absent, Err(BlobError::NoContainer { .. })));
    assert!(wall.elapsed() < Duration::from_secs(5), "virtual time is not real time");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_an_unknown_outcome_and_a_foreign_url_is_refused() {
    let cloud = SimCloud::new(Settings::default(), SimClock::starting_at(0));
    cloud.with_world(|world| world.inject("drop-after:PUT:*:1".parse().unwrap()));
    let lost = cloud.send(&put(&group(), GROUPS, json!({"location": "westeurope"}))).await;
    assert!(matches!(lost, Err(TransportError::OutcomeUnknown { .. })));
    assert_eq!(cloud.with_world(|world| world.objects().len()), 2, "it took effect");
    let foreign = Target::Url("https://evil.example/x".to_owned());
    let refused = cloud.send(&ArmRequest::new(Method::Get, foreign)).await;
    assert!(matches!(refused, Err(TransportError::ForeignHost { .. })));
}
