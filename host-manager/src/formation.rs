//! Decides whether a server founds the cluster or joins one. Pure.
//!
//! Two safeties lie on top of each other: we give `bootstrap_expect` only while nothing shows that
//! the cluster has existed, and Consul itself refuses to bootstrap next to servers that have peers.

use hcs_planner::dataplane::{ClusterDocument, ServerPhase, ServerStatus};
use serde::{Deserialize, Serialize};

/// Blob in `status-{slot}` that a server writes once, when it is first in a Raft configuration.
/// Unlike the status it is never overwritten, so it also tells of a cluster that is down now.
pub const FORMED_MARKER: &str = "formed.json";

/// How a server comes into the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Formation {
    /// Waits for so many servers that expect the same, then all found the cluster.
    Found {
        /// `bootstrap_expect`.
        expect: u32,
    },
    /// Waits to be let into a cluster that exists.
    Join,
}

impl Formation {
    /// What goes into the configuration.
    pub fn bootstrap_expect(self) -> Option<u32> {
        match self {
            Self::Found { expect } => Some(expect),
            Self::Join => None,
        }
    }
}

/// What the blobs say of one slot, our own included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The slot.
    pub slot: u32,
    /// The marker exists.
    pub formed: bool,
    /// The last status.
    pub status: Option<ServerStatus>,
}

impl Evidence {
    /// Whether this slot has seen a cluster.
    fn shows_a_cluster(&self) -> bool {
        let seen = self.status.as_ref().is_some_and(|status| {
            let consul = status.consul.as_ref();
            matches!(status.phase, ServerPhase::Running | ServerPhase::Left)
                || consul.is_some_and(|c| c.leader.is_some() || !c.peers.is_empty())
        });
        self.formed || seen
    }
}

/// Decides. Beside servers of before nobody founds anything. A server that has been a member keeps what it was started
/// with: a changed `server_count` must neither rewrite nor restart it.
pub fn decide(
    slot: u32,
    recorded: Option<Formation>,
    member: bool,
    cluster: &ClusterDocument,
    evidence: &[Evidence],
    follows_others: bool,
) -> Formation {
    if let (true, Some(recorded)) = (member, recorded) {
        return recorded;
    }
    if follows_others {
        return Formation::Join;
    }
    // A single server whose VM is gone has nobody to join: it is the cluster. While it is made anew, others hold its
    // data: it joins them.
    let alone = cluster.slots == [slot] && cluster.server_count == 1;
    if alone && cluster.others.is_empty() {
        return Formation::Found { expect: 1 };
    }
    let exists = evidence.iter().any(Evidence::shows_a_cluster);
    let may_found = cluster.slots.contains(&slot) && !exists;
    match recorded {
        // The founders do not notice at the same moment that they have founded. Consul does not
        // bootstrap beside servers that have peers, so the word may stand; a restart would only
        // disturb the first election.
        Some(recorded) if exists => recorded,
        _ if may_found => Formation::Found { expect: cluster.server_count },
        _ => Formation::Join,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{self, cluster};
    use hcs_planner::dataplane::ConsulStatus;

    fn status(phase: ServerPhase, peers: &[&str], leader: Option<&str>) -> ServerStatus {
        let consul = ConsulStatus {
            version: "1.8.7".into(),
            leader: leader.map(str::to_owned),
            is_leader: false,
            healthy: false,
            failure_tolerance: 0,
            voters: vec![],
            peers: peers.iter().map(|&p| p.to_owned()).collect(),
            acl_ready: false,
        };
        ServerStatus { phase, consul: Some(consul), ..samples::status(0) }
    }

    fn seen(slot: u32, formed: bool, status: Option<ServerStatus>) -> Evidence {
        Evidence { slot, formed, status }
    }

    const THREE: Formation = Formation::Found { expect: 3 };
    const FIVE: Formation = Formation::Found { expect: 5 };

    /// Name, our slot, servers in the document, what the blobs say, what must be decided.
    type Fresh = (&'static str, u32, u32, Vec<Evidence>, Formation);

    #[test]
    fn a_second_cluster_is_never_founded() {
        use ServerPhase::{Left, Preparing, Running, Starting};
        let all = ["s0", "s1", "s2"];
        let led = status(Running, &["s0"], Some("10.0.0.4:8300"));
        let leaderless = status(Starting, &all, None);
        let starting = status(Starting, &[], None);
        let down = status(Preparing, &[], None);
        let left = status(Left, &[], None);
        let cases: [Fresh; 9] = [
            ("first start", 0, 3, vec![], THREE),
            ("beside others that start", 1, 3, vec![seen(0, false, Some(starting))], THREE),
            ("scale-up meets a leader", 4, 5, vec![seen(0, false, Some(led))], Formation::Join),
            ("no leader now", 3, 5, vec![seen(0, false, Some(leaderless))], Formation::Join),
            ("the cluster is down", 3, 5, vec![seen(0, true, Some(down))], Formation::Join),
            ("replaced, own marker", 1, 3, vec![seen(1, true, None)], Formation::Join),
            ("slot outside of the document", 7, 3, vec![], Formation::Join),
            ("slot was left before", 2, 3, vec![seen(2, false, Some(left))], Formation::Join),
            (
                "single server on a new VM",
                0,
                1,
                vec![seen(0, true, None)],
                Formation::Found { expect: 1 },
            ),
        ];
        for (name, slot, count, evidence, expected) in cases {
            assert_eq!(
                decide(slot, None, false, &cluster(count), &evidence, false),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn a_lone_server_joins_who_holds_its_data() {
        let beside_helper = ClusterDocument { others: vec![1], ..cluster(1) };
        let helper =
            seen(1, true, Some(status(ServerPhase::Running, &["s1"], Some("10.0.0.5:8300"))));
        assert_eq!(decide(0, None, false, &beside_helper, &[helper], false), Formation::Join);
        // Alone in the document, and nothing is heard of a helper: nobody else can hold anything.
        assert_eq!(decide(0, None, false, &cluster(1), &[], false), Formation::Found { expect: 1 });
    }

    /// Name, what was decided, whether a member, servers in the document, whether a cluster
    /// exists, what must be decided now.
    type Again = (&'static str, Formation, bool, u32, bool, Formation);

    #[test]
    fn beside_servers_of_before_nothing_is_founded() {
        for count in [1, 3, 5] {
            for recorded in [None, Some(THREE), Some(Formation::Join)] {
                let decided = decide(0, recorded, false, &cluster(count), &[], true);
                assert_eq!(decided, Formation::Join, "{count} {recorded:?}");
            }
        }
        assert_eq!(decide(0, Some(THREE), true, &cluster(3), &[], true), THREE, "a member stays");
    }

    #[test]
    fn a_decision_stands_once_it_could_matter() {
        let cases: [Again; 6] = [
            ("member after a scale-up", THREE, true, 5, false, THREE),
            ("member that joined", Formation::Join, true, 5, true, Formation::Join),
            ("another founder noticed first", THREE, false, 3, true, THREE),
            ("not let in yet", Formation::Join, false, 5, true, Formation::Join),
            ("count changed before anything formed", THREE, false, 5, false, FIVE),
            ("marker deleted after a total loss", Formation::Join, false, 3, false, THREE),
        ];
        for (name, recorded, member, count, exists, expected) in cases {
            let evidence = [seen(0, exists, None)];
            let decided = decide(1, Some(recorded), member, &cluster(count), &evidence, false);
            assert_eq!(decided, expected, "{name}");
        }
    }
}
