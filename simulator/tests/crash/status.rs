//! What a cluster says of itself, while it works, after a kill, and after a failure.

use std::time::Duration;

use hcs_engine::blob::WriteCondition;
use hcs_engine::reconcile::Intent;
use hcs_engine::status::{ClusterStatus, read_cluster_status};
use hcs_planner::dataplane::{blob, container};
use hcs_planner::observed::READY_BLOB;
use hcs_planner::ownership::Operation;
use hcs_simulator::CallFault;

use crate::tagged;
use crate::world::{Azure, End, Kill, spec};

async fn look(azure: &Azure) -> ClusterStatus {
    read_cluster_status(azure.store().as_ref(), azure.now_unix_ms()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_tells_how_it_is_from_its_blobs_alone() {
    let azure = Azure::new().await;
    let declared = spec(3);
    let create = azure.apply(&declared, Intent::Create, None);
    let (end, working) = tokio::join!(create, async {
        tokio::time::sleep(Duration::from_mins(2)).await;
        look(&azure).await
    });
    assert_eq!(end, End::Complete);
    let run = working.run.expect("a run works");
    assert_eq!((run.state.as_str(), run.operation), ("working", Operation::Create));
    assert!(run.step.is_some() && run.beat_seconds_ago < Some(10), "{run:?}");
    assert!(!working.is_well, "no server serves yet");

    tokio::time::sleep(Duration::from_mins(1)).await;
    let done = look(&azure).await;
    assert_eq!(done.attention, [""; 0]);
    assert!(done.is_well && done.last_failure.is_none());
    assert_eq!((done.quorum.voters, done.quorum.needed), (3, 2));
    assert_eq!(done.servers.len(), 3);
    assert!(done.ca_certificate_expires_at.is_some());
    assert_eq!(done.run.map(|run| run.state).as_deref(), Some("done"));
}

#[tokio::test(start_paused = true)]
async fn a_killed_run_is_called_dead_and_a_failed_one_leaves_its_words() {
    let azure = Azure::new().await;
    assert_eq!(azure.apply(&spec(1), Intent::Create, None).await, End::Complete);
    let kill = Kill { at: 60, fault: CallFault::KillAfter };
    assert_eq!(azure.apply(&spec(3), azure.update(), Some(kill)).await, End::Killed);
    tokio::time::sleep(Duration::from_mins(5)).await;
    let killed = look(&azure).await;
    assert_eq!(killed.run.map(|run| run.state).as_deref(), Some("dead"));
    assert!(killed.attention.iter().any(|line| line.contains("ended without a word")));

    azure.inject("policy:PUT:virtualNetworks:1");
    let changed = tagged(spec(3));
    let End::Failed(words) = azure.apply(&changed, azure.update(), None).await else {
        panic!("a policy forbids it")
    };
    let failed = look(&azure).await;
    let failure = failed.last_failure.expect("it says why");
    assert!(words.contains(&failure.reason), "{words}");
    assert!(failure.reason.contains("RequestDisallowedByPolicy"), "{failure:?}");
    assert_eq!(failed.run.map(|run| run.state).as_deref(), Some("failed"));

    // The next run ends well; how the one before failed is still told, with its time.
    assert_eq!(azure.apply(&changed, azure.update(), None).await, End::Complete);
    tokio::time::sleep(Duration::from_mins(1)).await;
    let mended = look(&azure).await;
    assert!(mended.is_well, "{:?}", mended.attention);
    assert_eq!(mended.last_failure, Some(failure));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_was_not_seen_to_its_end_and_an_old_certificate_need_attention() {
    let azure = Azure::new().await;
    assert_eq!(azure.apply(&spec(3), Intent::Create, None).await, End::Complete);
    tokio::time::sleep(Duration::from_mins(1)).await;
    let (store, status) = (azure.store(), container::status(1));
    let mut said = store.get(&status, blob::STATUS).await.unwrap().unwrap();
    let mut row: serde_json::Value = serde_json::from_slice(&said.bytes).unwrap();
    row["certificate_expires_at"] = "2026-01-01T00:00:00Z".into();
    said.bytes = serde_json::to_vec(&row).unwrap().into();
    store.put(&status, blob::STATUS, said.bytes, WriteCondition::Always).await.unwrap();
    let years = 20 * 365 * 86_400_000;
    let late = read_cluster_status(store.as_ref(), azure.now_unix_ms() + years).await.unwrap();
    let ended =
        ["the authority", "demo-server-1"].map(|of| format!("the certificate of {of} has ended"));
    assert_eq!(late.attention, ended);

    store.delete(container::CONFIG, READY_BLOB).await.unwrap();
    let unseen = look(&azure).await;
    assert!(!unseen.is_well);
    assert!(unseen.attention[0].contains("not seen to its end"), "{:?}", unseen.attention);
}

#[tokio::test(start_paused = true)]
async fn what_a_server_says_will_not_last_needs_attention() {
    let azure = Azure::new().await;
    assert_eq!(azure.apply(&spec(3), Intent::Create, None).await, End::Complete);
    tokio::time::sleep(Duration::from_mins(1)).await;
    let (store, status) = (azure.store(), container::status(1));
    let said = store.get(&status, blob::STATUS).await.unwrap().unwrap();
    let mut row: serde_json::Value = serde_json::from_slice(&said.bytes).unwrap();
    row["attention"] = vec!["the data disk fills up"].into();
    let text = serde_json::to_vec(&row).unwrap();
    store.put(&status, blob::STATUS, text.into(), WriteCondition::Always).await.unwrap();
    assert_eq!(look(&azure).await.attention, ["demo-server-1: the data disk fills up"]);
}
