//! A cluster that begins with the state of a snapshot, killed at every call from when that could be asked for.

use hcs_engine::reconcile::Intent;
use hcs_planner::spec::ClusterSpec;
use hcs_release_maker::archive::{STATE_HEADER, sealed};
use hcs_simulator::CallFault;

use crate::with;
use crate::world::{Azure, End, Kill, spec};

const BLOB: &str = "demo/final-20261129T101500Z.snap";

/// Calls before the end of a create among which the restore is.
const LAST_CALLS: usize = 40;

async fn ground() -> (Azure, ClusterSpec) {
    let azure = Azure::new().await;
    let container = azure.keep_elsewhere("consul", BLOB, sealed(STATE_HEADER)).await;
    let clone =
        with(spec(1), |s| s.restore_from_snapshot_id = Some(format!("{container}/blobs/{BLOB}")));
    (azure, clone)
}

#[tokio::test(start_paused = true)]
async fn a_clone_has_its_state_once_wherever_its_create_is_killed() {
    let (azure, clone) = ground().await;
    assert_eq!(azure.apply(&clone, Intent::Create, None).await, End::Complete);
    let (whole, restored) = (azure.calls(), azure.restored());
    assert!(restored.len() == 1 && restored[0].starts_with("~on-demand/from-"), "{restored:?}");
    assert!(azure.plan(&clone).await.is_empty(), "and that is that");
    // It is remembered, and counts no more.
    let other = with(clone.clone(), |s| s.restore_from_snapshot_id = Some("another".to_owned()));
    assert_eq!(azure.plan(&other).await, ["grant caller blob access", "write spec"]);

    let mut killed = 0;
    for at in whole - LAST_CALLS..whole {
        for fault in [CallFault::KillBefore, CallFault::KillAfter] {
            let (azure, clone) = ground().await;
            let end = azure.apply(&clone, Intent::Create, Some(Kill { at, fault })).await;
            killed += usize::from(end == End::Killed);
            if end == End::Killed {
                let again = azure.apply(&clone, Intent::Create, None).await;
                let is_done = matches!(&again, End::Failed(why) if why.contains("exists already"));
                assert!(again == End::Complete || is_done, "{at} {fault:?}: {again:?}");
            }
            assert_eq!(azure.restored(), restored, "{at} {fault:?}");
            assert!(azure.plan(&clone).await.is_empty(), "{at} {fault:?}");
        }
    }
    assert!(killed > LAST_CALLS, "{killed}");
}

/// It is not ready, and no try is the last one.
#[tokio::test(start_paused = true)]
async fn a_clone_of_what_is_not_there_or_no_snapshot_says_so_and_goes_on_when_it_is() {
    let azure = Azure::new().await;
    let container = azure.keep_elsewhere("consul", BLOB, "no archive".into()).await;
    let from = |path: &str| {
        let id = format!("{container}/blobs/{path}");
        with(spec(1), |s| s.restore_from_snapshot_id = Some(id))
    };
    let told = |end: End| match end {
        End::Failed(why) => why,
        other => panic!("{other:?}"),
    };
    let absent = told(azure.apply(&from("demo/other.snap"), Intent::Create, None).await);
    assert!(absent.contains("there is no") && absent.contains("demo/other.snap"), "{absent}");
    let bad = told(azure.apply(&from(BLOB), azure.update(), None).await);
    assert!(bad.contains("is no good"), "{bad}");
    assert_eq!(azure.restored(), Vec::<String>::new());
    azure.write_elsewhere("consul", BLOB, sealed(STATE_HEADER));
    assert_eq!(azure.apply(&from(BLOB), azure.update(), None).await, End::Complete);
    assert_eq!(azure.restored().len(), 1);
}
