//! Runs of the engine on a simulated Azure: manners that must not mislead them, places that are full, and what is
//! refused. Every fault at every call is the exploration's business.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod adoption;
mod faults;
mod first_state;
mod rotation;
mod status;
mod world;

use std::collections::BTreeSet;

use hcs_engine::reconcile::{Beginning, Intent};
use hcs_planner::names::Names;
use hcs_planner::plan::{Action, Step};
use hcs_planner::spec::{ClusterSpec, ZoneFallback};
use hcs_simulator::CallFault;
use world::{Azure, End, Kill, elsewhere, spec};

pub(crate) fn tagged(mut spec: ClusterSpec) -> ClusterSpec {
    spec.tags = [("team".to_owned(), "blue".to_owned())].into();
    spec
}

pub(crate) fn with(mut spec: ClusterSpec, change: impl FnOnce(&mut ClusterSpec)) -> ClusterSpec {
    change(&mut spec);
    spec
}

#[tokio::test(start_paused = true)]
async fn a_second_create_of_a_finished_cluster_is_refused() {
    let azure = Azure::new().await;
    assert_eq!(azure.begin(&spec(3), Intent::Create).await, Ok(Beginning::Fresh));
    for again in [spec(3), spec(5)] {
        let refused = azure.begin(&again, Intent::Create).await.unwrap_err();
        assert!(refused.contains("exists already"), "{refused}");
    }
    assert_eq!(azure.plan(&spec(3)).await, Vec::<String>::new());
    let objects = azure.objects();
    let unique: BTreeSet<_> = objects.iter().map(|id| id.to_lowercase()).collect();
    assert_eq!(unique.len(), objects.len());
}

#[tokio::test(start_paused = true)]
async fn lost_answers_and_throttling_only_cost_time() {
    let faults = [
        "drop-after:PUT:virtualMachineScaleSets:2",
        "drop-after:PUT:storageAccounts:1",
        "500:PUT:virtualNetworks:2",
        "429:PUT:*:5",
        "503:GET:*:3",
        "failed-lro:natGateways:1",
    ];
    for fault in faults {
        let azure = Azure::new().await;
        azure.inject(fault);
        let first = azure.apply(&spec(3), Intent::Create, None).await;
        if first != End::Complete {
            assert!(fault.starts_with("failed-lro"), "{fault}: {first:?}");
            assert_eq!(azure.apply(&spec(3), azure.update(), None).await, End::Complete, "{fault}");
        }
        assert_eq!(azure.plan(&spec(3)).await, Vec::<String>::new(), "{fault}");
    }
}

/// A zone that has no room: with a fallback the server takes the next place of the plan and stays there; without one
/// the apply ends with Azure's words, and goes on when there is room.
#[tokio::test(start_paused = true)]
async fn a_full_zone_leads_to_the_next_place_or_stops() {
    let prefers = with(spec(3), |s| {
        s.zone_fallback = ZoneFallback::Prefer;
        s.vm_size_fallbacks = vec!["Standard_D2as_v5".into()];
    });
    for refused in 1..=2 {
        let azure = Azure::new().await;
        azure.inject(&format!("capacity:virtualMachineScaleSets:{refused}"));
        assert_eq!(azure.apply(&prefers, Intent::Create, None).await, End::Complete);
        assert_eq!(azure.plan(&prefers).await, Vec::<String>::new(), "it stays where it is");
        let observed = azure.observed(&prefers).await;
        let elsewhere = elsewhere(&prefers, &observed);
        assert!((1..=2).contains(&elsewhere), "{elsewhere} servers are elsewhere");
        // A new server may be moved under a lock, too.
        azure.inject("capacity:virtualMachineScaleSets:1");
        let five = with(prefers.clone(), |s| s.server_count = 5);
        assert_eq!(azure.apply(&five, azure.update(), None).await, End::Complete);
        assert_eq!(azure.plan(&five).await, Vec::<String>::new());
    }
    let azure = Azure::new().await;
    azure.inject("capacity:virtualMachineScaleSets:1");
    let End::Failed(words) = azure.apply(&spec(3), Intent::Create, None).await else {
        panic!("strict means strict")
    };
    assert!(words.contains("ZonalAllocationFailed"), "{words}");
    assert_eq!(azure.apply(&spec(3), azure.update(), None).await, End::Complete);
    assert_eq!(azure.plan(&spec(3)).await, Vec::<String>::new());
}

/// A planted bug: secrets that are written whatever is there. The check above must see it.
#[tokio::test(start_paused = true)]
async fn secrets_that_are_overwritten_would_be_seen() {
    let azure = Azure::new().await;
    let kill = Kill { at: usize::MAX, fault: CallFault::KillBefore };
    assert_eq!(azure.apply(&spec(3), Intent::Create, Some(kill)).await, End::Complete);
    let before = azure.secrets();
    azure.forget_the_servers().await;
    azure.ignore_conditions();
    let _ = azure.apply(&spec(3), azure.update(), None).await;
    assert_ne!(azure.secrets(), before, "a store without conditions changes what was made once");
}

/// The order of a plan lets a machine that is off be restarted before the healthy ones; one that runs by now counts again.
#[tokio::test(start_paused = true)]
async fn a_machine_that_somebody_started_is_not_restarted_as_one_that_is_off() {
    let (azure, spec) = (Azure::new().await, spec(3));
    assert_eq!(azure.apply(&spec, Intent::Create, None).await, End::Complete);
    for (is_off, is_overtaken) in [(true, true), (false, false)] {
        let action = Action::Restart {
            slot: 0,
            scale_set: Names::new(&spec).scale_set(0),
            reason: "its machine is off".to_owned(),
            is_off,
        };
        let step = Step { id: "restart server_0".to_owned(), action, slot: Some(0) };
        let report = azure.carry_out(&spec, step).await;
        assert_eq!(report.is_overtaken(), is_overtaken, "{report:?}");
        assert_eq!(report.is_complete(), !is_overtaken, "{report:?}");
    }
}
