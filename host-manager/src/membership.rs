//! Life as a member: meeting new servers, the agent token, Autopilot's settings.

use std::collections::BTreeMap;

use hcs_engine::blob::{BlobError, WriteCondition};
use hcs_planner::dataplane::{ClusterDocument, ServerPhase, ServerStatus, container};

use crate::consul::client::{ConsulClient, ConsulError};
use crate::consul::types::Member;
use crate::documents::{DocumentError, Stores};
use crate::formation::{Evidence, FORMED_MARKER};
use crate::host::Host;
use crate::report::chain;

/// All that the slots' blobs say. An unreadable slot is an error: what is not known must not count
/// as "there is no cluster".
pub async fn evidence(
    host: &Host,
    cluster: &ClusterDocument,
) -> Result<Vec<Evidence>, DocumentError> {
    let mut slots = cluster.slots.clone();
    if !slots.contains(&host.bootstrap.slot) {
        slots.push(host.bootstrap.slot);
    }
    let mut evidence = Vec::new();
    for slot in cluster.others.iter().copied().filter(|slot| !slots.contains(slot)) {
        // One that is gone has taken its container along, or our right to read it.
        match host.stores.status(slot).await {
            Ok(status) => evidence.push(Evidence { slot, formed: false, status }),
            Err(error) => tracing::info!(slot, error = %chain(&error), "this server is gone"),
        }
    }
    for slot in slots {
        let status = host.stores.status(slot).await?;
        let formed = host.stores.formed(slot).await?;
        evidence.push(Evidence { slot, formed, status });
    }
    Ok(evidence)
}

/// The last status of every other slot that can be read.
pub async fn peers(stores: &Stores, own: u32, cluster: &ClusterDocument) -> Vec<ServerStatus> {
    let others = cluster.slots.iter().chain(&cluster.others).copied().filter(|&slot| slot != own);
    let read = others.map(|slot| async move { (slot, stores.status(slot).await) });
    let mut peers = Vec::new();
    for (slot, status) in futures::future::join_all(read).await {
        match status {
            Ok(Some(status)) if status.phase != ServerPhase::Left => peers.push(status),
            Ok(_) => {}
            Err(error) => tracing::debug!(slot, error = %chain(&error), "status not readable"),
        }
    }
    peers
}

/// Writes the mark that this server has seen a formed cluster.
pub async fn mark_formed(host: &Host) -> Result<(), BlobError> {
    let container = container::status(host.bootstrap.slot);
    let text = format!("{{\"node_name\":\"{}\"}}\n", host.bootstrap.node_name);
    let written =
        host.stores.own.put(&container, FORMED_MARKER, text.into(), WriteCondition::Absent).await;
    match written {
        Ok(_) | Err(BlobError::ConditionFailed { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Which peers showed a sign of life since we last looked.
#[derive(Debug, Default)]
pub struct Introductions {
    seen: BTreeMap<u32, (String, u64)>,
}

impl Introductions {
    /// Addresses worth a join: joining a dead address blocks for ten seconds.
    pub fn worth_joining<'a>(
        &mut self,
        peers: &'a [ServerStatus],
        alive: &[String],
    ) -> Vec<&'a ServerStatus> {
        let mut worth = Vec::new();
        for peer in peers {
            let sign = (peer.written_at.clone(), peer.sequence);
            let is_new = self.seen.insert(peer.slot, sign.clone()) != Some(sign);
            if is_new && !alive.contains(&peer.address.to_string()) {
                worth.push(peer);
            }
        }
        worth
    }
}

/// Joins peers that gossip does not know yet.
pub async fn join(
    stores: &Stores,
    client: &ConsulClient,
    introductions: &mut Introductions,
    peers: &[ServerStatus],
) -> Result<(), ConsulError> {
    let members = client.members().await?;
    let alive: Vec<String> =
        members.into_iter().filter(Member::is_alive).map(|member| member.addr).collect();
    for peer in introductions.worth_joining(peers, &alive) {
        // A peer that was asked to leave must not be called back.
        if !matches!(stores.leave_request(peer.slot).await, Ok(None)) {
            continue;
        }
        let address = peer.address;
        match client.join(address).await {
            Ok(()) => tracing::info!(%address, "joined"),
            // The peer may not run yet; it joins us as well.
            Err(error) => tracing::debug!(error = %chain(&error), "not joined"),
        }
    }
    Ok(())
}

/// Half of the servers plus one.
pub fn quorum(server_count: u32) -> u32 {
    server_count / 2 + 1
}

/// Lets Autopilot clean up dead servers, but never below a quorum of the wanted cluster.
pub async fn ensure_autopilot(client: &ConsulClient, server_count: u32) -> Result<(), ConsulError> {
    let current = client.autopilot_configuration().await?;
    let mut wanted = current.clone();
    wanted.cleanup_dead_servers = true;
    wanted.min_quorum = quorum(server_count);
    if wanted != current && client.set_autopilot_configuration(&wanted).await? {
        tracing::info!(min_quorum = wanted.min_quorum, "Autopilot configured");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn peer(slot: u32, address: &str, sequence: u64) -> ServerStatus {
        ServerStatus { sequence, address: address.parse().unwrap(), ..samples::status(slot) }
    }

    #[test]
    fn only_peers_that_live_and_are_unknown_are_joined() {
        let mut introductions = Introductions::default();
        let alive = ["10.0.0.5".to_owned()];
        let mut joined = |peers: &[ServerStatus]| {
            let found = introductions.worth_joining(peers, &alive);
            found.iter().map(|peer| peer.address.to_string()).collect::<Vec<_>>()
        };
        let first = [peer(1, "10.0.0.5", 1), peer(2, "10.0.0.6", 1)];
        assert_eq!(joined(&first), ["10.0.0.6"]);
        assert!(joined(&first).is_empty(), "no sign of life since");
        assert_eq!(joined(&[peer(2, "10.0.0.6", 2)]), ["10.0.0.6"]);
    }

    #[test]
    fn quorum_is_more_than_half() {
        assert_eq!([1, 3, 4, 5, 7].map(quorum), [1, 2, 3, 3, 4]);
    }
}
