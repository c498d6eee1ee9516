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

/// Decides. A server that has been a member keeps what it was started with: a changed
/// `server_count` must neither rewrite nor restart it.
pub fn decide(
    slot: u32,
    recorded: Option<Formation>,
    member: bool,
    cluster: &ClusterDocument,
    evidence: &[Evidence],
) -> Formation {
    if let (true, Some(recorded)) = (member, recorded) {
        return recorded;
    }
    // A single server whose VM was replaced has nobody to join: it is the cluster.
    let alone = cluster.slots == [slot] && cluster.server_count == 1;
    if alone {
        return Formation::Found { expect: 1 };
    }
    let exists = evidence.iter().any(Evidence::shows_a_cluster);
    if exists || !cluster.slots.contains(&slot) {
        return Formation::Join;
    }
    Formation::Found { expect: cluster.server_count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hcs_planner::dataplane::{ConsulArtifact, ConsulStatus};

    fn cluster(server_count: u32) -> ClusterDocument {
        ClusterDocument {
            generation: 1,
            datacenter: "dc1".into(),
            server_count,
            slots: (0..server_count).collect(),
            consul: ConsulArtifact {
                version: semver::Version::new(1, 8, 7),
                sha256: String::new(),
                file_name: "consul".into(),
            },
        }
    }

    fn status(phase: ServerPhase, peers: &[&str], leader: Option<&str>) -> ServerStatus {
        ServerStatus {
            slot: 0,
            node_name: "s0".into(),
            written_at: String::new(),
            sequence: 1,
            address: "10.0.0.4".parse().unwrap(),
            phase,
            last_error: None,
            consul: Some(ConsulStatus {
                version: "1.8.7".into(),
                leader: leader.map(str::to_owned),
                is_leader: false,
                healthy: false,
                failure_tolerance: 0,
                voters: vec![],
                peers: peers.iter().map(|&p| p.to_owned()).collect(),
                acl_ready: false,
            }),
            done_requests: vec![],
            certificate_expires_at: None,
            host_manager_version: String::new(),
        }
    }

    fn seen(slot: u32, formed: bool, status: Option<ServerStatus>) -> Evidence {
        Evidence { slot, formed, status }
    }

    #[test]
    fn a_second_cluster_is_never_founded() {
        use ServerPhase::{Left, Preparing, Running, Starting};
        let three = Formation::Found { expect: 3 };
        let five = Formation::Found { expect: 5 };
        let cases: Vec<(&str, u32, Option<Formation>, bool, u32, Vec<Evidence>, Formation)> = vec![
            ("first start", 0, None, false, 3, vec![], three),
            (
                "first start beside others that start",
                1,
                None,
                false,
                3,
                vec![seen(0, false, Some(status(Starting, &[], None)))],
                three,
            ),
            (
                "scale-up meets a leader",
                4,
                None,
                false,
                5,
                vec![seen(0, false, Some(status(Running, &["s0"], Some("10.0.0.4:8300"))))],
                Formation::Join,
            ),
            (
                "scale-up while the cluster has lost its leader",
                3,
                None,
                false,
                5,
                vec![seen(0, false, Some(status(Starting, &["s0", "s1", "s2"], None)))],
                Formation::Join,
            ),
            (
                "scale-up while the whole cluster is down",
                3,
                None,
                false,
                5,
                vec![seen(0, true, Some(status(Preparing, &[], None)))],
                Formation::Join,
            ),
            (
                "replaced server finds its own marker",
                1,
                None,
                false,
                3,
                vec![seen(1, true, None)],
                Formation::Join,
            ),
            ("member keeps its word after a scale-up", 0, Some(three), true, 5, vec![], three),
            (
                "member that joined stays a joiner",
                4,
                Some(Formation::Join),
                true,
                5,
                vec![],
                Formation::Join,
            ),
            ("count changed before anything formed", 0, Some(three), false, 5, vec![], five),
            (
                "cluster appeared before we were a member",
                2,
                Some(three),
                false,
                3,
                vec![seen(0, true, None)],
                Formation::Join,
            ),
            ("slot outside of the document", 7, None, false, 3, vec![], Formation::Join),
            (
                "a slot that left shows a cluster",
                2,
                None,
                false,
                3,
                vec![seen(2, false, Some(status(Left, &[], None)))],
                Formation::Join,
            ),
            (
                "single server on a new VM",
                0,
                None,
                false,
                1,
                vec![seen(0, true, None)],
                Formation::Found { expect: 1 },
            ),
        ];
        for (name, slot, recorded, member, count, evidence, expected) in cases {
            let decided = decide(slot, recorded, member, &cluster(count), &evidence);
            assert_eq!(decided, expected, "{name}");
        }
    }
}
