//! Restarts a running member with a new version or configuration: one server at a time under a
//! lock, only while the cluster can spare one, the leader last.

use std::time::Duration;

use hcs_engine::error::EngineError;
use hcs_engine::jobs::LostJob;
use hcs_planner::dataplane::{ClusterDocument, ConsulStatus, ServerStatus};
use hcs_planner::observed::is_same_consul;
use semver::Version;

use crate::consul::client::{ConsulClient, ConsulError};
use crate::consul::health;
use crate::consul::types::{AutopilotHealth, AutopilotServer};
use crate::converge::{self, InvalidConfig, StartError, Wanted};
use crate::documents::Stores;
use crate::host::Host;
use crate::lock::{Lock, LockError};
use crate::memory::Memory;
use crate::service::Verb;
use crate::status::Board;
use crate::upgrade::plain;

const LOCK_KEY: &str = "hcs/rollout";
/// Outlives a restart of our own agent, through which the lock is renewed.
const LOCK_TTL_S: u32 = 120;
const NEWER_LEADS: &str = "a server of a newer version leads";
/// What was read for it is old.
pub const CHANGED: &str = "what is to run has changed since it was read";
const POLL: Duration = Duration::from_secs(1);
/// Autopilot looks every two seconds: so many good answers in a row are no memory of the time
/// before the restart.
const GOOD_ANSWERS: u32 = 5;

/// Why the restart did not happen or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// Not now.
    #[error("the new configuration waits: {0}")]
    Waiting(&'static str),
    /// Whether anybody else works on the cluster cannot be told.
    #[error("whether an apply or another job works on the cluster is not known")]
    Unknown(#[source] EngineError),
    /// The job was lost on the way.
    #[error(transparent)]
    Lost(#[from] LostJob),
    /// Restarted, but not well again.
    #[error("Consul was restarted, but is no healthy voter after {} s", .0.as_secs())]
    NotRecovered(Duration),
    /// The new files are refused by the new program; the running Consul goes on.
    #[error(transparent)]
    Invalid(#[from] InvalidConfig),
    /// Consul.
    #[error(transparent)]
    Consul(#[from] ConsulError),
    /// The lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Why this server must wait; `None` when it is its turn. Pure.
pub fn reason_to_wait(
    cluster: &ClusterDocument,
    own: &ConsulStatus,
    peers: &[ServerStatus],
) -> Option<&'static str> {
    if own.leader.is_none() {
        return Some("the cluster has no leader");
    }
    if !own.healthy {
        return Some("the cluster is not healthy");
    }
    // One server alone is missed by everybody, a helper beside it or not.
    if cluster.server_count > 1 && own.voters.len() > 1 && own.failure_tolerance == 0 {
        return Some("the cluster could not spare a server");
    }
    let wanted = &cluster.consul.version;
    let behind = |peer: &ServerStatus| {
        let takes_part = cluster.others.contains(&peer.slot) && own.peers.contains(&peer.node_name);
        (cluster.slots.contains(&peer.slot) || takes_part)
            && peer.consul.as_ref().is_none_or(|consul| !is_same_consul(&consul.version, wanted))
    };
    // A change of the configuration alone cannot be seen from outside; then the order is free.
    if own.is_leader && !is_same_consul(&own.version, wanted) && peers.iter().any(behind) {
        return Some("the leader goes last");
    }
    // Autopilot asks gossip and Raft alone: it calls well what serves nobody.
    let is_silent =
        |peer: &ServerStatus| own.peers.contains(&peer.node_name) && peer.consul.is_none();
    if peers.iter().any(is_silent) {
        return Some("the Consul of another server does not answer");
    }
    None
}

/// Which documents say what is to run.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    /// Generation of the cluster's document.
    pub generation: u64,
    /// The note of the way to another Consul.
    pub upgrade_etag: Option<&'a str>,
}

impl Basis<'_> {
    /// Whether they are those that are there now; what cannot be read is not.
    pub async fn is_current(self, stores: &Stores) -> bool {
        let (cluster, upgrade) = tokio::join!(stores.cluster(), stores.upgrade());
        cluster.is_ok_and(|cluster| cluster.generation == self.generation)
            && upgrade.is_ok_and(|(_, etag)| etag.as_deref() == self.upgrade_etag)
    }
}

/// One try to restart with the wanted files, which Consul has called valid.
#[allow(clippy::too_many_arguments)]
pub async fn attempt(
    host: &Host,
    client: &ConsulClient,
    cluster: &ClusterDocument,
    basis: Basis<'_>,
    peers: &[ServerStatus],
    wanted: &Wanted,
    memory: &mut Memory,
    board: &Board,
) -> Result<(), RolloutError> {
    let own = health::observe(client, true).await?;
    if let Some(reason) = reason_to_wait(cluster, &own, peers) {
        return Err(RolloutError::Waiting(reason));
    }
    let node = &host.bootstrap.node_name;
    if goes_below_the_leader(&client.autopilot_health().await?, wanted.version()) {
        return Err(RolloutError::Waiting(NEWER_LEADS));
    }
    let Some(lock) = Lock::acquire(client, LOCK_KEY, node, LOCK_TTL_S).await? else {
        return Err(RolloutError::Waiting("another server is being restarted"));
    };
    lock.hold(async {
        // The server before us may have gone back just now: what was taken back reaches nobody else.
        if !basis.is_current(&host.stores).await {
            return Err(RolloutError::Waiting(CHANGED));
        }
        // Nobody is given to a server that is about to go, where another one can take them.
        let away = (own.voters.len() > 1).then(|| board.restarting());
        if away.is_some() {
            tokio::time::sleep(host.timing.drain).await;
        }
        // The server before us may have gone down with its restart.
        let own = health::observe(client, true).await?;
        if let Some(reason) = reason_to_wait(cluster, &own, peers) {
            return Err(RolloutError::Waiting(reason));
        }
        if goes_below_the_leader(&client.autopilot_health().await?, wanted.version()) {
            return Err(RolloutError::Waiting(NEWER_LEADS));
        }
        if own.is_leader && !client.transfer_leadership().await.unwrap_or(false) {
            tracing::info!("leadership not handed over; the others will elect");
        }
        tracing::info!(version = %cluster.consul.version, "restarting Consul");
        converge::start_as(host, wanted, memory, Verb::Restart).await?;
        recovered(host, client, &cluster.consul.version).await
    })
    .await?
}

/// Whether what leads is newer than this: what it has written, this may not be able to read. Pure.
pub fn goes_below_the_leader(health: &AutopilotHealth, version: &Version) -> bool {
    let leaders = health.servers.iter().filter(|server| server.leader);
    let mut versions = leaders.filter_map(|leader| leader.version.parse::<Version>().ok());
    versions.any(|leads| plain(&leads) > plain(version))
}

/// Waits until this server is a healthy voter again, as asked through its own agent.
async fn recovered(
    host: &Host,
    client: &ConsulClient,
    version: &Version,
) -> Result<(), RolloutError> {
    let (node, longest) = (&host.bootstrap.node_name, host.timing.recovery_max);
    let wait = async {
        let mut good = 0;
        while good < GOOD_ANSWERS {
            tokio::time::sleep(POLL).await;
            let health = client.autopilot_health().await.unwrap_or_default();
            let is_well = |server: &AutopilotServer| {
                server.name == *node
                    && server.healthy
                    && server.voter
                    && is_same_consul(&server.version, version)
            };
            let is_good = health.healthy && health.servers.iter().any(is_well);
            good = if is_good { good + 1 } else { 0 };
        }
    };
    tokio::time::timeout(longest, wait).await.map_err(|_| RolloutError::NotRecovered(longest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn consul(version: &str, is_leader: bool) -> ConsulStatus {
        ConsulStatus {
            version: version.to_owned(),
            leader: Some("10.0.0.4:8300".to_owned()),
            is_leader,
            healthy: true,
            failure_tolerance: 1,
            voters: ["s0", "s1", "s2"].map(str::to_owned).to_vec(),
            peers: ["s0", "s1", "s2"].map(str::to_owned).to_vec(),
            acl_ready: true,
        }
    }

    fn peer(slot: u32, consul: Option<ConsulStatus>) -> ServerStatus {
        ServerStatus { consul, ..samples::status(slot) }
    }

    #[test]
    fn nobody_goes_below_what_leads() {
        let server = |version: &str, leader| AutopilotServer {
            name: String::new(),
            address: String::new(),
            version: version.to_owned(),
            healthy: true,
            voter: true,
            leader,
        };
        let below = |leads: &str, to: &str| {
            let servers = vec![server("1.23.1", false), server(leads, true)];
            let health = AutopilotHealth { healthy: true, failure_tolerance: 1, servers };
            goes_below_the_leader(&health, &to.parse().unwrap())
        };
        assert!(below("1.22.7", "1.22.6"));
        assert!(!below("1.22.6", "1.22.6") && !below("1.22.6", "1.22.7"));
        assert!(!below("1.22.6", "1.22.6-dev"), "Consul says the numbers only");
        assert!(!goes_below_the_leader(&AutopilotHealth::default(), &Version::new(1, 2, 3)));
    }

    #[test]
    fn one_server_at_a_time_and_the_leader_last() {
        let cluster = samples::cluster(3);
        let (old, new) = ("1.21.0", "1.22.2");
        let leader = consul(old, true);
        let follower = consul(old, false);
        let ill = ConsulStatus { healthy: false, ..follower.clone() };
        let tight = ConsulStatus { failure_tolerance: 0, ..follower.clone() };
        let lost = ConsulStatus { leader: None, ..follower.clone() };
        let alone =
            ConsulStatus { failure_tolerance: 0, voters: vec!["a".to_owned()], ..leader.clone() };
        let done = || peer(1, Some(consul(new, false)));
        let behind = || peer(2, Some(consul(old, false)));
        let gone = peer(7, Some(consul(old, false)));
        let reconfigured = consul(new, true);
        let cases = [
            ("follower", &follower, vec![behind()], None),
            ("leader, one behind", &leader, vec![done(), behind()], Some("the leader goes last")),
            (
                "leader, one silent",
                &leader,
                vec![done(), peer(2, None)],
                Some("the leader goes last"),
            ),
            (
                "another is silent",
                &follower,
                vec![peer(2, None)],
                Some("the Consul of another server does not answer"),
            ),
            ("leader, all others done", &leader, vec![done()], None),
            ("leader, a leftover behind", &leader, vec![done(), gone], None),
            ("leader, same version", &reconfigured, vec![done()], None),
            ("not healthy", &ill, vec![], Some("the cluster is not healthy")),
            ("nothing to spare", &tight, vec![], Some("the cluster could not spare a server")),
            ("no leader", &lost, vec![], Some("the cluster has no leader")),
            ("the only server", &alone, vec![], None),
        ];
        let beside_a_helper = ConsulStatus { failure_tolerance: 0, ..leader.clone() };
        let lone = ClusterDocument { others: vec![1], ..samples::cluster(1) };
        assert_eq!(reason_to_wait(&lone, &beside_a_helper, &[done()]), None);
        for (name, own, peers, expected) in cases {
            assert_eq!(reason_to_wait(&cluster, own, &peers), expected, "{name}");
        }
        // Consul says the numbers of a prerelease only.
        let mut prerelease = cluster;
        prerelease.consul.version = Version::parse("1.22.2-dev").unwrap();
        assert_eq!(reason_to_wait(&prerelease, &leader, &[done()]), None);
        assert!(reason_to_wait(&prerelease, &leader, &[behind()]).is_some());
    }
}
