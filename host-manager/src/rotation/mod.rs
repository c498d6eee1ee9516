//! Rotations of secrets, as far as one server decides them: what all have reached, and what comes next. Pure but for
//! [`gossip`].
//!
//! The leading server goes on with each rotation when everybody is ready for the next phase, and notes that in the
//! cluster's decisions. Every server looks there, and at nothing else, for which version counts.

pub mod gossip;

use std::time::Duration;

use hcs_planner::dataplane::{ClusterDocument, ServerStatus};
use hcs_planner::rotation::{Phase, Rotated, SecretVersion, Turn};

/// Who is away while a secret spreads gets it when it comes back within this time: clients that are switched off for the
/// night, agents whose configuration is rolled out by hand.
const KNOWN_FOR: Duration = Duration::from_hours(24);
/// What was in use is known for a week more.
const OLD_FOR: Duration = Duration::from_hours(7 * 24);
/// Clients that know the CA from a file need its successor before it signs: another apply hands it out.
const AUTHORITY_KNOWN_FOR: Duration = Duration::from_hours(7 * 24);

/// How long a rotation stays in a phase before it may go on.
pub fn stays_for(what: Rotated, phase: Phase) -> Duration {
    match (what, phase) {
        (Rotated::GossipKey, Phase::Known) => KNOWN_FOR,
        (Rotated::CertificateAuthority, Phase::Known) => AUTHORITY_KNOWN_FOR,
        (
            Rotated::GossipKey | Rotated::ClientToken | Rotated::CertificateAuthority,
            Phase::InUse,
        ) => OLD_FOR,
        _ => Duration::ZERO,
    }
}

/// What a server reports to have reached beside its words for the secrets: its certificate is signed by this version of
/// the CA.
pub const SERVER_CERTIFICATE: &str = "server_certificate";

/// Servers of the cluster that have not reached a version yet, by slot. `reported` is the word under which they say it.
pub fn behind(
    cluster: &ClusterDocument,
    statuses: &[ServerStatus],
    reported: &str,
    version: &SecretVersion,
) -> Vec<u32> {
    let has = |slot: u32| {
        let status = statuses.iter().find(|status| status.slot == slot);
        status.and_then(|status| status.rotations.get(reported)) == Some(version)
    };
    cluster.slots.iter().chain(&cluster.others).copied().filter(|slot| !has(*slot)).collect()
}

/// Whether a phase has lasted as long as it has to. `speed` is by how much schedules run faster in tests.
pub fn has_lasted(what: Rotated, turn: &Turn<'_>, now_unix_ms: u64, speed: f64) -> bool {
    let Some(phase) = turn.phase else { return false };
    let wait = stays_for(what, phase).div_f64(speed);
    let lasted = Duration::from_millis(now_unix_ms.saturating_sub(turn.since_unix_ms));
    lasted >= wait
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_server_that_is_silent_or_on_another_version_is_behind() {
        let version = SecretVersion::of_rotation("v");
        let word = Rotated::ManagementToken.as_str();
        let at = |slot, version: &SecretVersion| {
            let rotations = [(word.to_owned(), version.clone())].into();
            ServerStatus { rotations, ..samples::status(slot) }
        };
        let cluster = ClusterDocument { others: vec![7], ..samples::cluster(3) };
        let other = SecretVersion::of_rotation("w");
        let statuses = [at(0, &version), at(1, &other), samples::status(7)];
        assert_eq!(behind(&cluster, &statuses, word, &version), [1, 2, 7]);
        let all: Vec<ServerStatus> = [0, 1, 2, 7].map(|slot| at(slot, &version)).into();
        assert_eq!(behind(&cluster, &all, word, &version), [0; 0]);
        assert_eq!(behind(&cluster, &all, "another", &version), [0, 1, 2, 7]);
    }

    const HOUR_MS: u64 = 3_600_000;

    #[test]
    fn a_phase_lasts_as_long_as_clients_may_be_away() {
        let (target, first) = (SecretVersion::of_rotation("v"), SecretVersion::default());
        let turn = |phase| Turn {
            target: &target,
            in_use: &first,
            phase: Some(phase),
            since_unix_ms: 1_000,
            older: vec![],
        };
        let lasted =
            |what, phase, hours| has_lasted(what, &turn(phase), 1_000 + hours * HOUR_MS, 1.0);
        assert!(!lasted(Rotated::GossipKey, Phase::Known, 23));
        assert!(lasted(Rotated::GossipKey, Phase::Known, 24));
        assert!(!lasted(Rotated::ClientToken, Phase::InUse, 167));
        assert!(lasted(Rotated::ClientToken, Phase::InUse, 168));
        assert!(lasted(Rotated::ManagementToken, Phase::InUse, 0), "nobody waits for it");
        assert!(has_lasted(Rotated::GossipKey, &turn(Phase::Known), 25_000, 3_600.0));
    }
}
