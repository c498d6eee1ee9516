//! What the exploration does in its long form, in a minute: every kill, a sample of all faults, some random stories.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use hcs_exploration::faults::{FAMILIES, Matrix, explore};
use hcs_exploration::random;
use hcs_exploration::scenario::{more_scenarios, scenarios, small_scenarios};
use hcs_simulator::{CallFault, Family};

const THREADS: usize = 2;

#[test]
fn a_run_that_is_killed_at_any_call_is_finished_by_the_next() {
    let all: Vec<_> = scenarios().into_iter().chain(more_scenarios()).collect();
    let names: Vec<&str> = all.iter().map(|scenario| scenario.name).collect();
    let faults = vec![CallFault::KillBefore, CallFault::KillAfter];
    let matrix =
        Matrix { scenario: None, faults, stride: 1, threads: THREADS, watches_secrets: false };
    let report = explore(all.clone(), &matrix).unwrap();
    assert_eq!(report.wrong, [""; 0]);
    assert_eq!(report.empty_cells(&names, &[Family::Process]), [""; 0]);
    assert!(report.distinct() > 6_000, "{}", report.distinct());
}

#[test]
fn a_sample_of_every_fault_at_every_kind_of_call_ends_well() {
    let matrix = Matrix {
        scenario: None,
        faults: vec![],
        stride: 23,
        threads: THREADS,
        watches_secrets: false,
    };
    let report = explore(scenarios(), &matrix).unwrap();
    assert_eq!(report.wrong, [""; 0]);
    let names: Vec<&str> = scenarios().iter().map(|scenario| scenario.name).collect();
    assert_eq!(report.empty_cells(&names, &FAMILIES), [""; 0]);
    assert!(report.distinct() > 1_000, "{}", report.distinct());
}

#[test]
fn random_stories_end_well_and_go_the_same_way_again() {
    let plan = random::Plan { runs: 2_000, seed: 1, replays: 200, threads: THREADS };
    let failures = std::env::temp_dir().join("hcs-exploration");
    let outcome = random::explore(small_scenarios(), &plan, &failures).unwrap();
    assert_eq!(outcome.wrong, [""; 0]);
    assert_eq!((outcome.runs, outcome.replayed), (2_000, 200));
}
