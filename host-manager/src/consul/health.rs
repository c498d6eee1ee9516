//! What Consul says of itself and of the cluster, through one server.

use std::net::{IpAddr, SocketAddr};

use hcs_planner::dataplane::ConsulStatus;

use crate::consul::client::{ConsulClient, ConsulError};
use crate::consul::types::{AutopilotHealth, RaftServer};
use hcs_planner::dataplane::port;

/// Asks one server. Parts that need a leader are empty while there is none.
pub async fn observe(client: &ConsulClient, acl_ready: bool) -> Result<ConsulStatus, ConsulError> {
    let version = client.version().await?;
    let leader = client.leader().await?;
    let (servers, autopilot) = if leader.is_some() {
        let raft = client.raft_configuration(false).await?;
        (raft.servers, client.autopilot_health().await.unwrap_or_default())
    } else {
        // What the server itself remembers; nothing before the cluster was founded.
        let raft = client.raft_configuration(true).await;
        let servers = raft.map(|raft| raft.servers).unwrap_or_default();
        (servers, AutopilotHealth::default())
    };
    let is_leader = leader.as_deref() == Some(raft_address(client.address()).as_str());
    Ok(ConsulStatus {
        version,
        is_leader,
        leader,
        healthy: autopilot.healthy,
        failure_tolerance: autopilot.failure_tolerance,
        voters: names(servers.iter().filter(|server| server.voter)),
        peers: names(servers.iter()),
        acl_ready,
    })
}

/// How Raft writes a server's address.
pub fn raft_address(address: IpAddr) -> String {
    SocketAddr::new(address, port::RPC).to_string()
}

fn names<'a>(servers: impl Iterator<Item = &'a RaftServer>) -> Vec<String> {
    let mut names: Vec<String> = servers.map(|server| server.node.clone()).collect();
    names.sort();
    names
}

/// Whether `node` may leave without taking the quorum with it: those who stay and are healthy must
/// be a majority of those who stay. Servers that do not vote never matter.
pub fn may_leave(health: &AutopilotHealth, node: &str) -> bool {
    let voters = || health.servers.iter().filter(|server| server.voter);
    if !voters().any(|server| server.name == node) {
        return true;
    }
    let staying = voters().filter(|server| server.name != node);
    let (all, healthy) = staying.fold((0_u32, 0_u32), |(all, healthy), server| {
        (all + 1, healthy + u32::from(server.healthy))
    });
    healthy > all / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consul::types::AutopilotServer;

    /// Name, whether healthy, whether it votes.
    type Row = (&'static str, bool, bool);

    fn health(servers: &[Row]) -> AutopilotHealth {
        let servers = servers.iter().map(|&(name, healthy, voter)| AutopilotServer {
            name: name.to_owned(),
            address: String::new(),
            version: String::new(),
            healthy,
            voter,
            leader: false,
        });
        AutopilotHealth { healthy: true, failure_tolerance: 0, servers: servers.collect() }
    }

    #[test]
    fn leaving_never_costs_the_quorum() {
        let (ok, ill) = (true, false);
        let cases: [(&str, &[Row], bool); 7] = [
            ("three healthy", &[("a", ok, true), ("b", ok, true), ("c", ok, true)], true),
            (
                "one of the others is ill",
                &[("a", ok, true), ("b", ill, true), ("c", ok, true)],
                false,
            ),
            ("itself is ill", &[("a", ill, true), ("b", ok, true), ("c", ok, true)], true),
            ("two healthy", &[("a", ok, true), ("b", ok, true)], true),
            ("two, the other ill", &[("a", ok, true), ("b", ill, true)], false),
            ("the last one", &[("a", ok, true)], false),
            ("no voter", &[("a", ok, false), ("b", ill, true)], true),
        ];
        for (name, servers, expected) in cases {
            assert_eq!(may_leave(&health(servers), "a"), expected, "{name}");
        }
    }

    #[test]
    fn raft_addresses_carry_the_rpc_port() {
        assert_eq!(raft_address("10.0.0.4".parse().unwrap()), "10.0.0.4:8300");
        assert_eq!(raft_address("fd00::4".parse().unwrap()), "[fd00::4]:8300");
    }
}
