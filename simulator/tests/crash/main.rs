//! Kills a run at every call that it makes, before the call is sent and after it was carried out, and runs again.
//!
//! Virtual time, no sockets. By default every so many calls are tried; `HCS_SIM_FULL=1` tries each one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod faults;
mod world;

use std::collections::BTreeSet;

use hcs_engine::reconcile::{Beginning, Intent};
use hcs_planner::spec::{ClusterSpec, ExternalEndpoint, ZoneFallback};
use hcs_simulator::CallFault;
use world::{Azure, End, Kill, elsewhere, spec};

/// Runs of one scenario in the default test.
const RUNS_PER_SCENARIO: usize = 40;

/// From nothing or from a finished cluster to what is declared.
struct Scenario {
    name: &'static str,
    from: Option<ClusterSpec>,
    to: Option<ClusterSpec>,
    /// A server that died meanwhile.
    lost: Option<u32>,
}

pub(crate) fn tagged(mut spec: ClusterSpec) -> ClusterSpec {
    spec.tags = [("team".to_owned(), "blue".to_owned())].into();
    spec
}

pub(crate) fn with(mut spec: ClusterSpec, change: impl FnOnce(&mut ClusterSpec)) -> ClusterSpec {
    change(&mut spec);
    spec
}

fn larger(spec: ClusterSpec) -> ClusterSpec {
    with(spec, |s| s.vm_size = "Standard_D4s_v5".into())
}

fn larger_disk(spec: ClusterSpec) -> ClusterSpec {
    with(spec, |s| s.data_disk_gib = 64)
}

fn reachable(spec: ClusterSpec) -> ClusterSpec {
    let allowed_cidrs = vec!["203.0.113.0/24".parse().unwrap()];
    with(spec, |s| s.external_endpoint = Some(ExternalEndpoint { allowed_cidrs }))
}

fn old_consul(spec: ClusterSpec) -> ClusterSpec {
    with(spec, |s| s.consul_version = "1.21.5".parse().unwrap())
}

fn two_zones(spec: ClusterSpec) -> ClusterSpec {
    with(spec, |s| {
        s.zones.pop();
    })
}

fn scenario(
    name: &'static str,
    from: impl Into<Option<ClusterSpec>>,
    to: impl Into<Option<ClusterSpec>>,
) -> Scenario {
    Scenario { name, from: from.into(), to: to.into(), lost: None }
}

fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("create", None, spec(3)),
        scenario("scale 3 to 5", spec(3), spec(5)),
        scenario("scale 5 to 3", spec(5), spec(3)),
        scenario("tags", spec(3), tagged(spec(3))),
        scenario("resize", spec(3), larger(spec(3))),
        scenario("larger disk", spec(3), larger_disk(spec(3))),
        scenario("larger disk, 1", spec(1), larger_disk(spec(1))),
        scenario("zone removed", spec(3), two_zones(spec(3))),
        scenario("endpoint added", spec(3), reachable(spec(3))),
        scenario("endpoint removed", reachable(spec(3)), spec(3)),
        scenario("upgrade", old_consul(spec(3)), spec(3)),
        scenario("all at once", old_consul(spec(3)), reachable(larger_disk(larger(spec(5))))),
        scenario("destroy", spec(3), None),
        Scenario { lost: Some(1), ..scenario("lost server", spec(3), spec(3)) },
        Scenario { lost: Some(4), ..scenario("lost server, 5 to 3", spec(5), spec(3)) },
    ]
}

impl Scenario {
    /// A world in which the scenario can begin.
    async fn start(&self) -> Azure {
        let azure = Azure::new().await;
        if let Some(from) = &self.from {
            assert_eq!(azure.apply(from, Intent::Create, None).await, End::Complete);
            if let Some(slot) = self.lost {
                azure.lose(from, slot).await;
            }
        }
        azure
    }

    async fn run(&self, azure: &Azure, kill: Option<Kill>) -> End {
        match (&self.from, &self.to) {
            (_, Some(to)) => {
                // A killed create is a create again: Terraform has noted nothing.
                let intent = if self.from.is_none() { Intent::Create } else { azure.update() };
                azure.apply(to, intent, kill).await
            }
            (Some(from), None) => azure.destroy(from, kill).await,
            (None, None) => End::Complete,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_killed_at_any_call_is_finished_by_the_next() {
    let full = std::env::var_os("HCS_SIM_FULL").is_some();
    let mut total = 0;
    for scenario in scenarios() {
        let azure = scenario.start().await;
        if let (Some(slot), Some(to)) = (scenario.lost, &scenario.to) {
            let plan = azure.plan(to).await;
            assert!(plan.contains(&format!("delete server_{slot}")), "{plan:?}");
            assert!(!plan.contains(&format!("leave server_{slot}")), "{plan:?}");
        }
        let before = azure.calls();
        assert_eq!(scenario.run(&azure, None).await, End::Complete, "{}", scenario.name);
        let calls = azure.calls() - before;
        let wanted = azure.objects();
        let stride = if full { 1 } else { (2 * calls).div_ceil(RUNS_PER_SCENARIO).max(1) };
        let mut runs = 0;
        for at in (0..calls).step_by(stride) {
            for fault in [CallFault::KillBefore, CallFault::KillAfter] {
                check(&scenario, Kill { at, fault }, &wanted).await;
                runs += 1;
            }
        }
        println!("{}: {calls} calls, {runs} kills, all finished by one more run", scenario.name);
        total += runs;
    }
    println!("{total} kills");
}

async fn check(scenario: &Scenario, kill: Kill, wanted: &[String]) {
    let azure = scenario.start().await;
    let context = format!("{} killed {kill:?}", scenario.name);
    let end = scenario.run(&azure, Some(kill)).await;
    let secrets = azure.secrets();
    let again = scenario.run(&azure, None).await;
    assert_eq!(again, End::Complete, "{context} (the first run: {end:?})");
    assert_eq!(azure.objects(), wanted, "{context}: exactly one object of each");
    if let Some(to) = &scenario.to {
        assert_eq!(azure.plan(to).await, Vec::<String>::new(), "{context}: nothing left to do");
        let kept = azure.secrets();
        for (name, bytes) in secrets {
            // A slot that left took its secrets with it.
            if kept.contains_key(&name) {
                assert_eq!(kept.get(&name), Some(&bytes), "{context}: {name} was made twice");
            }
        }
    }
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
