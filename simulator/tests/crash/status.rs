//! What a cluster says of itself, while it works, after a kill, and after a failure.

use std::time::Duration;

use hcs_engine::reconcile::Intent;
use hcs_engine::status::read_cluster_status;
use hcs_planner::ownership::Operation;
use hcs_simulator::CallFault;

use crate::tagged;
use crate::world::{Azure, End, Kill, spec};

#[tokio::test(start_paused = true)]
async fn a_cluster_tells_how_it_is_from_its_blobs_alone() {
    let azure = Azure::new().await;
    let (store, declared) = (azure.store(), spec(3));
    let create = azure.apply(&declared, Intent::Create, None);
    let (end, working) = tokio::join!(create, async {
        tokio::time::sleep(Duration::from_mins(2)).await;
        read_cluster_status(store.as_ref()).await.unwrap()
    });
    assert_eq!(end, End::Complete);
    let run = working.run.expect("a run works");
    assert_eq!((run.state.as_str(), run.operation), ("working", Operation::Create));
    assert!(run.step.is_some() && run.beat_seconds_ago < Some(10), "{run:?}");
    assert!(!working.is_well, "no server serves yet");

    tokio::time::sleep(Duration::from_mins(1)).await;
    let done = read_cluster_status(store.as_ref()).await.unwrap();
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
    let store = azure.store();
    assert_eq!(azure.apply(&spec(1), Intent::Create, None).await, End::Complete);
    let kill = Kill { at: 60, fault: CallFault::KillAfter };
    assert_eq!(azure.apply(&spec(3), azure.update(), Some(kill)).await, End::Killed);
    tokio::time::sleep(Duration::from_mins(5)).await;
    let killed = read_cluster_status(store.as_ref()).await.unwrap();
    assert_eq!(killed.run.map(|run| run.state).as_deref(), Some("dead"));
    assert!(killed.attention.iter().any(|line| line.contains("ended without a word")));

    azure.inject("policy:PUT:virtualNetworks:1");
    let changed = tagged(spec(3));
    let End::Failed(words) = azure.apply(&changed, azure.update(), None).await else {
        panic!("a policy forbids it")
    };
    let failed = read_cluster_status(store.as_ref()).await.unwrap();
    let failure = failed.last_failure.expect("it says why");
    assert!(words.contains(&failure.reason), "{words}");
    assert!(failure.reason.contains("RequestDisallowedByPolicy"), "{failure:?}");
    assert_eq!(failed.run.map(|run| run.state).as_deref(), Some("failed"));

    // The next run ends well; how the one before failed is still told, with its time.
    assert_eq!(azure.apply(&changed, azure.update(), None).await, End::Complete);
    tokio::time::sleep(Duration::from_mins(1)).await;
    let mended = read_cluster_status(store.as_ref()).await.unwrap();
    assert!(mended.is_well, "{:?}", mended.attention);
    assert_eq!(mended.last_failure, Some(failure));
}
