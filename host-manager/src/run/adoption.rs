//! Taking over from servers of before: who waits to be let in by them, takes the lead from one, or takes one out that is
//! gone. Which of them goes when is decided by whoever asks.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use hcs_planner::requests::{Request, RequestOutcome};

use super::requests::{Answer, note};
use super::{Documents, Manager, RoundError};
use crate::consul::client::{ConsulClient, ConsulError};
use crate::consul::health::raft_address;
use crate::consul::types::Member;
use crate::host::Host;
use crate::report::chain;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Gossip calls a machine without power failed within seconds; a network that is slow takes longer.
const LOOKS_MAX: u32 = 120;
/// A leader hands over within an election.
const HAND_OVER_LOOKS_MAX: u32 = 20;

impl Manager {
    /// Who is to be joined, where the cluster takes over from others. Members know them by gossip.
    pub(super) async fn look_for_servers_of_before(&mut self) -> Result<(), RoundError> {
        let adoption = if self.memory.member { None } else { self.host.stores.adoption().await? };
        let servers = adoption.into_iter().flat_map(|adoption| adoption.servers);
        self.waits_for_before = servers.map(|server| server.address).collect();
        Ok(())
    }

    /// What a server that is not let in says.
    pub(super) fn waits_for_servers_of_before(&self) -> Option<String> {
        let addresses: Vec<String> =
            self.waits_for_before.iter().map(ToString::to_string).collect();
        (!addresses.is_empty()).then(|| {
            format!(
                "waits to be let in by the servers of before at {}: ports 8300 to 8302 must be open to them and back, TCP \
                 and UDP, and their gossip key and authority must be those that were prepared",
                addresses.join(", ")
            )
        })
    }

    /// Beside the rounds.
    pub(super) fn take_leadership(&mut self, documents: &Documents, request: Request) {
        let own = raft_address(self.host.instance.address);
        self.beside_the_rounds(documents, request, move |host, client, from| async move {
            lead_instead(&host, &client, &own, &from).await
        });
    }

    /// Beside the rounds.
    pub(super) fn remove_server_of_before(&mut self, documents: &Documents, request: Request) {
        self.beside_the_rounds(documents, request, |host, client, gone| async move {
            remove(&host, &client, &gone).await
        });
    }

    fn beside_the_rounds<W, F>(&mut self, documents: &Documents, request: Request, work: W)
    where
        W: FnOnce(std::sync::Arc<Host>, ConsulClient, Before) -> F + Send + 'static,
        F: Future<Output = Result<(), Ended>> + Send,
    {
        let Some((name, address)) = request.server_of_before() else {
            let reason = "the server of before has to be named, with its address".to_owned();
            return self.answer(&request.id, Err((RequestOutcome::Refused, reason)));
        };
        let before = Before { name: name.to_owned(), address };
        let (host, board) = (self.host.clone(), self.board.clone());
        let client = documents.client.clone();
        self.serves = Some(tokio::spawn(async move {
            let answer: Answer = match work(host.clone(), client, before).await {
                Ok(()) => Ok(BTreeMap::new()),
                Err(ended) => Err((ended.outcome(), chain(&ended))),
            };
            note(&board, host.clock.now_unix_ms(), &request.id, answer);
        }));
    }
}

/// A server of before.
struct Before {
    name: String,
    address: IpAddr,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("Consul before 1.15 cannot hand over its leadership")]
    CannotHandOver,
    #[error("{0} still leads")]
    StillLeads(String),
    #[error("{0} is alive in gossip: its machine has to be off before it is taken out")]
    StillAlive(String),
    #[error("{0} is still in Raft's configuration")]
    StillListed(String),
    #[error(transparent)]
    Consul(#[from] ConsulError),
}

impl Ended {
    fn outcome(&self) -> RequestOutcome {
        match self {
            Self::CannotHandOver => RequestOutcome::Refused,
            _ => RequestOutcome::Failed,
        }
    }
}

/// This server leads in the end, or at least the one of before does not.
async fn lead_instead(
    host: &Host,
    client: &ConsulClient,
    own: &str,
    from: &Before,
) -> Result<(), Ended> {
    let theirs = raft_address(from.address);
    for look in 0..HAND_OVER_LOOKS_MAX {
        match client.leader().await? {
            Some(leader) if leader == theirs => {}
            Some(_) => return Ok(()),
            None => {
                host.clock.sleep(LOOK).await;
                continue;
            }
        }
        if look.is_multiple_of(10) {
            let raft = client.raft_configuration(false).await?;
            let own = raft.servers.into_iter().find(|server| server.address == own);
            let id = own.map(|server| server.id).unwrap_or_default();
            if !client.transfer_leadership_to(&id).await? {
                return Err(Ended::CannotHandOver);
            }
        }
        host.clock.sleep(LOOK).await;
    }
    Err(Ended::StillLeads(from.name.clone()))
}

/// Waits until it is out. Who is alive is left alone; an election in between is no end.
async fn remove(host: &Host, client: &ConsulClient, gone: &Before) -> Result<(), Ended> {
    for _ in 0..LOOKS_MAX {
        match is_out(client, gone).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => tracing::debug!(error = chain(&error), "not out yet"),
        }
        host.clock.sleep(LOOK).await;
    }
    let members = client.members().await?;
    let is_alive = members.iter().any(|member| member.name == gone.name && member.is_alive());
    let name = gone.name.clone();
    Err(if is_alive { Ended::StillAlive(name) } else { Ended::StillListed(name) })
}

/// Takes what is not alive out of Raft, where Autopilot has not done that yet, then out of gossip.
async fn is_out(client: &ConsulClient, gone: &Before) -> Result<bool, ConsulError> {
    let members = client.members().await?;
    let member = members.iter().find(|member| member.name == gone.name);
    if member.is_some_and(Member::is_alive) {
        return Ok(false);
    }
    let address = raft_address(gone.address);
    let raft = client.raft_configuration(false).await?;
    if raft.servers.iter().any(|server| server.address == address) {
        tracing::info!(server = gone.name, "a server of before is taken out of Raft");
        client.delete(&format!("operator/raft/peer?address={address}")).await?;
        return Ok(false);
    }
    if member.is_some() {
        client.put_only(&format!("agent/force-leave/{}?prune", gone.name), &()).await?;
        return Ok(false);
    }
    Ok(true)
}
