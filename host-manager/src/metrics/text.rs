//! What a host manager knows, in Prometheus' text. Pure.
//!
//! Names end in their units and stay: dashboards and alarms hang on them.

use std::fmt::Write as _;

use hcs_planner::dataplane::{ServerPhase, ServerStatus};
use hcs_planner::upgrade::UpgradePhase;

use crate::room::Room;

/// What is told.
pub(super) struct Facts {
    /// As the others read it.
    pub(super) status: ServerStatus,
    /// Whether Consul gave its own metrics just now.
    pub(super) has_answered: bool,
    /// Whether balancers give this server clients.
    pub(super) is_ready: bool,
    /// Of the data disk.
    pub(super) room: Option<Room>,
    /// When the server's certificate begins and ends.
    pub(super) leaf_unix_s: Option<(i64, i64)>,
    /// Whether a policy has kept nothing for too long.
    pub(super) are_snapshots_late: bool,
}

/// All gauges, in the order of this file.
pub(super) fn own(facts: &Facts) -> String {
    let status = &facts.status;
    let mut text = String::new();
    let consul = status.consul.as_ref();
    let version = consul.map_or("", |consul| consul.version.as_str());
    let labels = format!(
        "{{node=\"{}\",slot=\"{}\",host_manager=\"{}\",consul=\"{version}\"}}",
        status.node_name, status.slot, status.host_manager_version
    );
    let mut tell = |name: &str, help: &str, labels: &str, value: String| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{labels} {value}");
    };
    let whether = |is: bool| u8::from(is).to_string();
    tell("hcs_info", "Which server this is and what runs on it.", &labels, "1".to_owned());
    tell("hcs_consul_up", "Consul gives its metrics.", "", whether(facts.has_answered));
    tell("hcs_ready", "The balancers give this server clients.", "", whether(facts.is_ready));
    // What is not known is not told: a host manager that began anew without the storage account may not ask Autopilot.
    if let Some(consul) = consul {
        let help = "Autopilot calls all servers healthy.";
        tell("hcs_leader", "This server leads.", "", whether(consul.is_leader));
        tell("hcs_autopilot_healthy", help, "", whether(consul.healthy));
        let voters = consul.voters.len().to_string();
        tell("hcs_voters", "Servers with a vote, as this one sees them.", "", voters);
    }
    let silent = status.consul_silent_seconds.to_string();
    tell("hcs_consul_silent_seconds", "Since Consul answered last; 0 while it does.", "", silent);
    let is_working = status.phase == ServerPhase::Running && status.last_error.is_none();
    tell("hcs_host_manager_well", "The host manager has no error.", "", whether(is_working));
    let attention = status.attention.len().to_string();
    tell("hcs_attention", "Sentences that ask for somebody's attention.", "", attention);
    let help = "A snapshot policy has kept none for its stale_after, as this server sees it.";
    tell("hcs_snapshots_late", help, "", whether(facts.are_snapshots_late));
    if let Some((begins, expires)) = facts.leaf_unix_s {
        let help = "When the server's certificate begins, Unix time.";
        tell("hcs_certificate_begins_timestamp_seconds", help, "", begins.to_string());
        let help = "When the server's certificate ends, Unix time.";
        tell("hcs_certificate_expires_timestamp_seconds", help, "", expires.to_string());
    }
    if let Some(room) = facts.room {
        tell("hcs_data_disk_size_bytes", "Of the data disk.", "", room.total_bytes.to_string());
        tell("hcs_data_disk_free_bytes", "Of the data disk.", "", room.free_bytes.to_string());
    }
    let phase = status.upgrade.as_ref().map(|upgrade| upgrade.phase);
    let goes = phase == Some(UpgradePhase::Running);
    tell("hcs_upgrade_running", "Consul goes to another version.", "", whether(goes));
    let stopped = phase == Some(UpgradePhase::Stopped);
    tell("hcs_upgrade_stopped", "That way has stopped.", "", whether(stopped));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect_file;
    use serde_json::json;

    #[test]
    fn a_servers_own_metrics_are_these() {
        let status = serde_json::from_value(json!({
            "slot": 1, "node_name": "demo-server-1", "written_at": "2026-11-29T06:00:00Z",
            "sequence": 7, "address": "10.0.0.5", "phase": "running", "last_error": null,
            "consul": {
                "version": "1.22.7", "leader": "10.0.0.5:8300", "is_leader": true,
                "peers": ["demo-server-0", "demo-server-1", "demo-server-2"],
                "voters": ["demo-server-0", "demo-server-1", "demo-server-2"],
                "healthy": true, "failure_tolerance": 1, "acl_ready": true,
            },
            "certificate_expires_at": null, "host_manager_version": "0.1.0",
        }))
        .unwrap();
        let facts = Facts {
            status,
            has_answered: true,
            is_ready: true,
            room: Some(Room { total_bytes: 32, free_bytes: 16 }),
            leaf_unix_s: Some((1_794_395_200, 1_795_000_000)),
            are_snapshots_late: false,
        };
        expect_file!["own.txt"].assert_eq(&own(&facts));
    }

    /// An alarm on what nobody tells is silent for ever.
    #[test]
    fn alarms_and_the_guide_name_what_is_told() {
        let told = include_str!("own.txt");
        let alarms = include_str!("../../../examples/monitoring/hcs-alerts.yaml");
        let guide = include_str!("../../../docs/guides/monitoring.md");
        let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
        let names = |text: &'static str| {
            let words = text.split(|letter| !is_name(letter));
            let ours =
                words.filter(|word| word.starts_with("hcs_") && !word.starts_with("hcs_cluster"));
            ours.collect::<std::collections::BTreeSet<&str>>()
        };
        let told = names(told);
        assert!(names(alarms).len() > 10, "{alarms}");
        assert_eq!(names(alarms).difference(&told).collect::<Vec<_>>(), Vec::<&&str>::new());
        assert_eq!(names(guide), told, "the guide names all of them and no other");
    }
}
