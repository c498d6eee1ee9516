//! Whether an upgrade can be taken back. Pure.

use hcs_planner::dataplane::{ClusterDocument, ServerStatus};
use hcs_planner::observed::is_same_consul;
use hcs_planner::upgrade::{Upgrade, UpgradePhase};

use super::turn::has_led_beyond;

/// Why an upgrade cannot be taken back; none when it can. `statuses` are those that servers wrote just now: what was said
/// before, a server may have led since.
pub fn stays(
    cluster: &ClusterDocument,
    upgrade: &Upgrade,
    statuses: &[ServerStatus],
) -> Option<String> {
    let (from, to) = (&upgrade.from.version, &upgrade.to.version);
    if !matches!(upgrade.phase, UpgradePhase::Running | UpgradePhase::Stopped) {
        return Some(format!("nothing is under way. {}", upgrade.told()));
    }
    if from == to {
        return Some("what ran before is not known".to_owned());
    }
    let instead = upgrade.snapshot.as_deref().map_or_else(String::new, |name| {
        format!(" The snapshot of before is {name}, for a cluster of the version before.")
    });
    let has_led = |who: &str| {
        format!(
            "{who} has led with Consul {to}, so the log may hold what {from} cannot read.{instead}"
        )
    };
    if upgrade.has_led {
        return Some(has_led("a server"));
    }
    let is_silent = |slot: &&u32| !statuses.iter().any(|status| status.slot == **slot);
    if let Some(slot) = cluster.slots.iter().find(is_silent) {
        return Some(format!(
            "server {slot} does not say now whether it has led with Consul {to}: bring it back first.{instead}"
        ));
    }
    let led = statuses.iter().find(|status| {
        let leads = |consul: &hcs_planner::dataplane::ConsulStatus| {
            consul.is_leader && is_same_consul(&consul.version, to)
        };
        status.consul.as_ref().is_some_and(leads) || has_led_beyond(from, status.led_with.as_ref())
    });
    led.map(|status| has_led(&status.node_name))
}
