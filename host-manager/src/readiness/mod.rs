//! Whether this server may be given clients: asked by the balancers every few seconds, answered by what is true now.

pub mod serve;

use std::fmt;
use std::time::Duration;

use crate::consul::client::{ConsulClient, ConsulError};
use crate::consul::health::raft_address;
use crate::consul::types::AutopilotHealth;

/// Who asks waits five seconds at most; a Consul that needs longer serves nobody well.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why this server is not to be given clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unready {
    /// Consul was not started yet, or the server left.
    NotStarted,
    /// Consul does not answer in time.
    Silent,
    /// The agent knows no leader.
    NoLeader,
    /// Autopilot does not list this server, or not as a voter.
    NoVoter,
    /// Autopilot says that it does not hear the leader, or that its log is far behind.
    Unhealthy,
    /// Clients would refuse what it serves.
    CertificateEnded,
    /// Its turn to be restarted has come.
    Restarts,
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotStarted => "Consul does not run here",
            Self::Silent => "Consul does not answer",
            Self::NoLeader => "no leader is known",
            Self::NoVoter => "this server has no vote",
            Self::Unhealthy => "Autopilot calls this server unhealthy: it does not hear the leader, or its log is behind",
            Self::CertificateEnded => "the server's certificate has ended",
            Self::Restarts => "this server is about to be restarted, or was just now",
        })
    }
}

/// Asks the server's own Consul.
pub async fn look(client: Option<ConsulClient>, certificate_ended: bool) -> Result<(), Unready> {
    let client = client.ok_or(Unready::NotStarted)?;
    if certificate_ended {
        return Err(Unready::CertificateEnded);
    }
    let asked = async {
        if client.leader().await?.is_none() {
            return Ok((false, None));
        }
        match client.autopilot_health().await {
            Ok(health) => Ok((true, Some(health))),
            Err(error) if error.status() == Some(403) => Ok((true, None)),
            Err(error) => Err(error),
        }
    };
    let asked: Result<Result<_, ConsulError>, _> = tokio::time::timeout(PATIENCE, asked).await;
    let Ok(Ok((has_leader, health))) = asked else { return Err(Unready::Silent) };
    verdict(has_leader, health.as_ref(), &raft_address(client.address()))
}

/// By what Consul says. Without the right to ask Autopilot, as after a start while the storage account is away, a leader
/// is enough: otherwise a power cut of all would leave the balancers with nobody. Pure.
fn verdict(has_leader: bool, health: Option<&AutopilotHealth>, own: &str) -> Result<(), Unready> {
    if !has_leader {
        return Err(Unready::NoLeader);
    }
    // After an election Autopilot lists nobody until it has looked.
    let Some(health) = health.filter(|health| !health.servers.is_empty()) else { return Ok(()) };
    match health.servers.iter().find(|server| server.address == own) {
        None => Err(Unready::NoVoter),
        Some(server) if !server.voter => Err(Unready::NoVoter),
        Some(server) if !server.healthy => Err(Unready::Unhealthy),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consul::types::AutopilotServer;

    #[test]
    fn only_a_healthy_voter_under_a_leader_is_given_clients() {
        let own = "10.0.0.4:8300";
        let health = |healthy, voter| {
            let server = AutopilotServer {
                name: "a".to_owned(),
                address: own.to_owned(),
                version: String::new(),
                healthy,
                voter,
                leader: false,
            };
            // The cluster as a whole may be ill: this one serves.
            AutopilotHealth { healthy: false, failure_tolerance: 0, servers: vec![server] }
        };
        let cases = [
            (verdict(true, Some(&health(true, true)), own), Ok(())),
            (verdict(true, None, own), Ok(())),
            (verdict(true, Some(&AutopilotHealth::default()), own), Ok(())),
            (verdict(false, None, own), Err(Unready::NoLeader)),
            (verdict(true, Some(&health(true, false)), own), Err(Unready::NoVoter)),
            (verdict(true, Some(&health(true, true)), "10.0.0.5:8300"), Err(Unready::NoVoter)),
            (verdict(true, Some(&health(false, true)), own), Err(Unready::Unhealthy)),
        ];
        for (found, expected) in cases {
            assert_eq!(found, expected);
        }
    }
}
