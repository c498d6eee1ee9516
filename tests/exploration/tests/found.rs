//! What the exploration has found, each as a case by the name of its call, and the files under `cases/`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use hcs_exploration::case::Stage;
use hcs_exploration::random::tell;
use hcs_exploration::run::Drive;
use hcs_exploration::scenario::{Scenario, scenarios, small_scenarios};
use hcs_exploration::story::Story;
use hcs_simulator::{CallFault, Script, Strike};

fn scenario(name: &str) -> Scenario {
    let mut all = scenarios().into_iter().chain(small_scenarios());
    all.find(|scenario| scenario.name == name).unwrap_or_else(|| panic!("no scenario {name}"))
}

/// Strikes every call of this kind, one case each; returns how many there were.
fn strike(name: &str, verb: &str, of: &str, object: &str, fault: CallFault) -> usize {
    let stage = Stage::new(scenario(name)).unwrap();
    let drive = Drive::by(Script::default());
    stage.start.clone().go(&stage.scenario, &drive);
    let calls = drive.script.calls();
    let is_meant = |call: &&hcs_simulator::Call| {
        call.verb == verb && call.of == of && call.name == object && fault.fits(call)
    };
    let meant: Vec<_> = calls.iter().filter(is_meant).collect();
    for call in &meant {
        let verdict = stage.case(&[Strike { at: call.number, fault }]);
        assert_eq!(verdict.wrong, [""; 0], "{name}: {} at {call}", fault.word());
        assert_eq!(verdict.struck.len(), 1, "{call}");
    }
    meant.len()
}

#[test]
fn a_404_to_a_delete_is_not_believed() {
    let table = [
        ("virtualMachineScaleSets", "demo-server-3"),
        ("userAssignedIdentities", "demo-server-4"),
        ("containers", "status-4"),
    ];
    for (of, object) in table {
        assert!(strike("5 to 3", "DELETE", of, object, CallFault::NotFound) > 0, "{object}");
    }
}

#[test]
fn a_request_to_leave_outlives_nobody() {
    for fault in [CallFault::KillBefore, CallFault::Stop] {
        assert!(strike("5 to 3", "GET", "status-1", "status.json", fault) > 2);
        assert!(strike("replace", "DELETE", "requests", "leave-3.json", fault) > 0);
    }
}

#[test]
fn a_storage_account_that_failed_while_it_was_made_is_made_again() {
    let account = "hcs4d2ee040945e";
    for fault in [CallFault::Fails, CallFault::Cancels, CallFault::Slow] {
        assert_eq!(strike("create", "PUT", "storageAccounts", account, fault), 1);
    }
}

#[test]
fn a_cancelled_operation_costs_no_hour() {
    let stage = Stage::new(scenario("create")).unwrap();
    let drive = Drive::by(Script::default());
    stage.start.clone().go(&stage.scenario, &drive);
    let calls = drive.script.calls();
    let accepted = calls.iter().filter(|call| CallFault::Cancels.fits(call));
    let mut count = 0;
    for call in accepted {
        let mut subject = stage.start.clone();
        let strikes = [Strike { at: call.number, fault: CallFault::Cancels }];
        subject.go(&stage.scenario, &Drive::by(Script::of(&strikes)));
        let minutes = (subject.now_ms - stage.start.now_ms) / 60_000;
        assert!(minutes < 30, "{call}: {minutes} minutes");
        count += 1;
    }
    assert!(count > 5, "{count}");
}

#[test]
fn a_tag_that_somebody_adds_right_before_a_write_stays() {
    for (of, object) in [("virtualNetworks", "demo-vnet"), ("loadBalancers", "demo-lb")] {
        assert!(strike("tags 3", "PUT", of, object, CallFault::Tagged) > 0, "{object}");
    }
}

#[test]
fn a_container_that_is_not_seen_hides_nothing() {
    assert!(strike("create", "GET", "config", "spec.json", CallFault::ContainerUnseen) > 0);
}

#[test]
fn what_a_scale_set_was_before_is_not_taken_for_what_it_is() {
    let (of, object) = ("virtualMachineScaleSets", "demo-server-1");
    assert!(strike("replace", "GET", of, object, CallFault::StaleRead) > 0);
}

#[test]
fn a_server_whose_set_failed_is_made_again_with_the_same_key() {
    let (of, object) = ("virtualMachineScaleSets", "demo-server-0");
    assert_eq!(strike("create", "PUT", of, object, CallFault::Fails), 1);
}

#[test]
fn a_create_that_was_killed_after_its_last_call_is_imported() {
    assert!(strike("create", "PUT", "config", "run.json", CallFault::KillAfter) > 1);
}

#[test]
fn every_case_that_ever_failed_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let story = Story::parse(&fs::read_to_string(&file).unwrap());
        let story = story.unwrap_or_else(|| panic!("{} is no story", file.display()));
        let stage = Stage::new(scenario(&story.scenario)).unwrap();
        assert_eq!(tell(&stage, &story).wrong, [""; 0], "{}", file.display());
    }
}
