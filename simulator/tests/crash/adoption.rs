//! A cluster takes over from three servers of before, killed at any call of any step: those of before and the cluster's own
//! hold one state all the time, and nobody founds another one.

use hcs_engine::reconcile::Intent;
use hcs_planner::adoption::Adoption;
use hcs_simulator::CallFault;

use crate::world::{Azure, End, Kill, spec};

const BEFORE: [&str; 3] = ["before-0", "before-1", "before-2"];
const OWN: [&str; 3] = ["demo-server-0", "demo-server-1", "demo-server-2"];

async fn ground() -> (Azure, Adoption) {
    let azure = Azure::new().await;
    let adoption = azure.servers_of_before().await;
    (azure, adoption)
}

fn both() -> Vec<String> {
    BEFORE.iter().chain(&OWN).map(|name| (*name).to_owned()).collect()
}

/// What holds whatever happened: a majority has always answered, and a server of before is missing only when all of the
/// cluster's vote.
fn nothing_is_lost(azure: &Azure, what: &str) {
    assert_eq!(azure.times_without_quorum(), 0, "{what}");
    let voters = azure.voters();
    let has = |name: &&str| voters.iter().any(|voter| voter == name);
    assert!(BEFORE.iter().all(&has) || OWN.iter().all(&has), "{what}: {voters:?}");
}

/// Every call up to `calls`, some of them in the gate: `HCS_LAW_CASES` of the environment asks for all.
fn calls(calls: usize) -> impl Iterator<Item = usize> {
    let step = if std::env::var_os("HCS_LAW_CASES").is_some() { 1 } else { 3 };
    (0..calls).step_by(step)
}

const KILLS: [CallFault; 2] = [CallFault::KillBefore, CallFault::KillAfter];

#[tokio::test(start_paused = true)]
async fn three_servers_of_before_are_followed_and_then_go() {
    let (azure, adoption) = ground().await;
    let declared = spec(3);
    assert_eq!(azure.prepare(&declared, &adoption, None).await, End::Complete);
    assert_eq!(azure.apply(&declared, Intent::Create, None).await, End::Complete);
    assert_eq!(azure.voters(), both());
    assert!(azure.plan(&declared).await.is_empty());
    // More than half of the votes would go with it.
    let refused = azure.destroy(&declared, None).await;
    assert!(matches!(&refused, End::Failed(why) if why.contains("vote together")), "{refused:?}");
    assert_eq!(azure.part(false, None).await, End::Complete);
    assert_eq!(azure.voters(), OWN);
    assert!(azure.plan(&declared).await.is_empty());
    nothing_is_lost(&azure, "in the end");
    assert_eq!(azure.destroy(&declared, None).await, End::Complete);
}

/// Who went back may come again.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_left_those_of_before_joins_them_again_by_an_apply() {
    let (azure, adoption) = ground().await;
    assert_eq!(azure.prepare(&spec(3), &adoption, None).await, End::Complete);
    assert_eq!(azure.apply(&spec(3), Intent::Create, None).await, End::Complete);
    assert_eq!(azure.part(true, None).await, End::Complete);
    assert_eq!(azure.voters(), BEFORE);
    assert_eq!(azure.apply(&spec(3), azure.update(), None).await, End::Complete);
    assert_eq!(azure.voters(), both());
    assert!(azure.plan(&spec(3)).await.is_empty());
    nothing_is_lost(&azure, "again");
}

#[tokio::test(start_paused = true)]
async fn a_preparation_that_is_killed_anywhere_is_finished_by_the_next() {
    let (azure, adoption) = ground().await;
    assert_eq!(azure.prepare(&spec(3), &adoption, None).await, End::Complete);
    let (whole, mut killed) = (azure.calls(), 0);
    for at in calls(whole) {
        for fault in KILLS {
            let (azure, adoption) = ground().await;
            let what = format!("{at} {fault:?}");
            let end = azure.prepare(&spec(3), &adoption, Some(Kill { at, fault })).await;
            killed += usize::from(end == End::Killed);
            assert_eq!(azure.prepare(&spec(3), &adoption, None).await, End::Complete, "{what}");
            assert_eq!(azure.apply(&spec(3), Intent::Create, None).await, End::Complete, "{what}");
            assert_eq!(azure.voters(), both(), "{what}");
            nothing_is_lost(&azure, &what);
        }
    }
    assert!(killed > whole / 3, "{killed} of {whole}");
}

/// A create that comes before all is prepared makes no server: it would found a cluster of its own.
#[tokio::test(start_paused = true)]
async fn a_create_beside_half_a_preparation_makes_no_server() {
    let (azure, adoption) = ground().await;
    assert_eq!(azure.prepare(&spec(3), &adoption, None).await, End::Complete);
    let whole = azure.calls();
    let mut refused = 0;
    for at in calls(whole) {
        let (azure, adoption) = ground().await;
        let kill = Kill { at, fault: CallFault::KillAfter };
        if azure.prepare(&spec(3), &adoption, Some(kill)).await != End::Killed {
            continue;
        }
        // Nothing says yet that it is to follow others.
        if azure.store().get("config", "adoption.json").await.ok().flatten().is_none() {
            continue;
        }
        match azure.apply(&spec(3), Intent::Create, None).await {
            End::Failed(why) if why.contains("hcs adopt prepare") => {
                refused += 1;
                assert_eq!(azure.voters(), BEFORE, "{at}");
            }
            // All was there.
            End::Complete => assert_eq!(azure.voters(), both(), "{at}"),
            other => panic!("{at}: {other:?}"),
        }
    }
    assert!(refused > 1, "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_create_that_is_killed_anywhere_still_joins_those_of_before() {
    let (azure, adoption) = ground().await;
    assert_eq!(azure.prepare(&spec(3), &adoption, None).await, End::Complete);
    assert_eq!(azure.apply(&spec(3), Intent::Create, None).await, End::Complete);
    let whole = azure.calls();
    for at in (0..whole).step_by(if whole > 200 { whole / 60 } else { 3 }) {
        for fault in KILLS {
            let (azure, adoption) = ground().await;
            let what = format!("{at} {fault:?}");
            assert_eq!(azure.prepare(&spec(3), &adoption, None).await, End::Complete, "{what}");
            let end = azure.apply(&spec(3), Intent::Create, Some(Kill { at, fault })).await;
            if end == End::Killed {
                let again = azure.apply(&spec(3), Intent::Create, None).await;
                let is_done = matches!(&again, End::Failed(why) if why.contains("exists already"));
                assert!(again == End::Complete || is_done, "{what}: {again:?}");
            }
            assert_eq!(azure.voters(), both(), "{what}");
            nothing_is_lost(&azure, &what);
        }
    }
}

/// Of a create that no state holds: it is still the next create's to go on with.
#[tokio::test(start_paused = true)]
async fn whoever_goes_back_halfway_may_create_again() {
    let (azure, adoption) = ground().await;
    assert_eq!(azure.prepare(&spec(3), &adoption, None).await, End::Complete);
    assert_eq!(azure.apply(&spec(3), Intent::Create, None).await, End::Complete);
    let whole = azure.calls();
    let (azure, adoption) = ground().await;
    assert_eq!(azure.prepare(&spec(3), &adoption, None).await, End::Complete);
    let kill = Kill { at: whole - whole / 10, fault: CallFault::KillAfter };
    assert_eq!(azure.apply(&spec(3), Intent::Create, Some(kill)).await, End::Killed);
    assert_ne!(azure.voters(), BEFORE, "somebody has joined");
    assert_eq!(azure.part(true, None).await, End::Complete);
    assert_eq!(azure.voters(), BEFORE);
    assert_eq!(azure.apply(&spec(3), Intent::Create, None).await, End::Complete);
    assert_eq!(azure.voters(), both());
    nothing_is_lost(&azure, "again");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_killed_anywhere_is_finished_by_the_next() {
    for undoes in [false, true] {
        let followed = || async {
            let (azure, adoption) = ground().await;
            assert_eq!(azure.prepare(&spec(3), &adoption, None).await, End::Complete);
            assert_eq!(azure.apply(&spec(3), Intent::Create, None).await, End::Complete);
            azure
        };
        let azure = Box::pin(followed()).await;
        assert_eq!(azure.part(undoes, None).await, End::Complete);
        let (whole, mut killed) = (azure.calls(), 0);
        for at in calls(whole) {
            for fault in KILLS {
                let (azure, what) =
                    (Box::pin(followed()).await, format!("{undoes} {at} {fault:?}"));
                let end = azure.part(undoes, Some(Kill { at, fault })).await;
                killed += usize::from(end == End::Killed);
                nothing_is_lost(&azure, &what);
                let again = azure.part(undoes, None).await;
                let is_done =
                    matches!(&again, End::Failed(why) if why.contains("nothing is adopted"));
                assert!(again == End::Complete || (is_done && !undoes), "{what}: {again:?}");
                let left: &[&str] = if undoes { &BEFORE } else { &OWN };
                assert_eq!(azure.voters(), left, "{what}");
                nothing_is_lost(&azure, &what);
                if undoes {
                    assert_eq!(azure.destroy(&spec(3), None).await, End::Complete, "{what}");
                    assert_eq!(azure.voters(), BEFORE, "{what}");
                }
            }
        }
        assert!(killed > whole / 3, "{killed} of {whole}");
    }
}
