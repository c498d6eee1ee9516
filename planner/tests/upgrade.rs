//! Another Consul over a way that the servers are on.

use hcs_planner::assumed::assumed;
use hcs_planner::dataplane::ConsulArtifact;
use hcs_planner::plan::plan;
use hcs_planner::spec::ClusterSpec;
use hcs_planner::upgrade::{By, Upgrade, UpgradePhase};

fn spec(version: &str) -> ClusterSpec {
    let spec = ClusterSpec::new("00000000-0000-0000-0000-000000000001", "demo", "rg", "westeurope");
    ClusterSpec { consul_version: version.parse().unwrap(), ..spec }
}

fn artifact(version: &str) -> ConsulArtifact {
    ConsulArtifact {
        version: version.parse().unwrap(),
        sha256: version.to_owned(),
        file_name: "consul".to_owned(),
    }
}

/// Why a cluster on its way from 1.20.6 to 1.21.5 does not go to this version; empty where it does.
fn told(phase: UpgradePhase, wanted: &str) -> String {
    let mut observed = assumed(&spec("1.21.5"));
    let document = observed.document.as_mut().unwrap();
    document.consul = artifact("1.21.5");
    observed.upgrade = Some(Box::new(Upgrade {
        id: "1".to_owned(),
        from: artifact("1.20.6"),
        to: artifact("1.21.5"),
        by: By::Declaration,
        phase,
        generation: 1,
        since: "2026-11-28T10:00:00Z".to_owned(),
        reason: None,
        snapshot: None,
        not_before: None,
        has_led: false,
        taken_back_for: None,
        refused: vec![],
        unknown: [].into(),
    }));
    plan(&spec(wanted), &observed).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn no_other_way_begins_over_one_that_has_stopped() {
    let stopped = told(UpgradePhase::Stopped, "1.22.7");
    for words in ["from Consul 1.20.6 to 1.21.5 has stopped", "hcs upgrade take-back", "1.22.7"] {
        assert!(stopped.contains(words), "{stopped}");
    }
    assert_eq!(told(UpgradePhase::Stopped, "1.21.5"), "", "the same again changes nothing");
    assert_eq!(told(UpgradePhase::Done, "1.22.7"), "");
    assert_eq!(told(UpgradePhase::Running, "1.22.7"), "", "two series are one step");
}

/// Some servers stand at the beginning of a way that is under way.
#[test]
fn a_step_counts_from_where_the_last_server_stands() {
    assert_eq!(told(UpgradePhase::Done, "2.0.3"), "");
    let far = told(UpgradePhase::Running, "2.0.3");
    assert!(far.contains("runs Consul 1.20.6"), "{far}");
}
