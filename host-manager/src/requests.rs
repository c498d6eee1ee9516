//! Leaves the cluster at the provider's request, for good, and safely through any interruption.
//!
//! Each call does what the moment allows; the durable memory says where to go on.

use hcs_planner::dataplane::ServerStatus;
use hcs_planner::requests::{Request, RequestAction};

use crate::consul::client::{ConsulClient, ConsulError};
use crate::consul::health;
use crate::consul::types::RaftConfiguration;
use crate::documents::{DocumentError, ServerSecrets};
use crate::host::Host;
use crate::memory::{Leave, Memory, MemoryError};
use crate::report::chain;
use crate::service::{ServiceError, Verb};

/// Why leaving does not go on at the moment.
#[derive(Debug, thiserror::Error)]
pub enum LeaveError {
    /// The request cannot be read.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A request of a newer version.
    #[error("request {0} asks for something that this host manager does not know")]
    NotUnderstood(String),
    /// A request of another kind.
    #[error("request {0} does not ask to leave, as one in this place does")]
    NotToLeave(String),
    /// A request that names someone else.
    #[error("the request to leave is for {0:?}")]
    WrongSlot(Option<u32>),
    /// The others could not decide anything without this server.
    #[error("request {0} waits: without this server the others would have no quorum")]
    WouldLoseQuorum(String),
    /// Still in Raft's configuration.
    #[error("request {0} is not done yet: the server is still in Raft's configuration")]
    StillMember(String),
    /// Consul did not do its part.
    #[error(transparent)]
    Consul(#[from] ConsulError),
    /// The service manager did not do its part.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The memory cannot be written; nothing was begun.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// What leaving needs to know.
pub struct Leaving<'a> {
    /// This server.
    pub host: &'a Host,
    /// Its Consul.
    pub client: &'a ConsulClient,
    /// The cluster's CA and management token, to ask the others.
    pub secrets: &'a ServerSecrets,
    /// Datacenter.
    pub datacenter: &'a str,
    /// The others.
    pub peers: &'a [ServerStatus],
}

/// Begins a request; from here on the server never goes back.
pub async fn begin(
    leaving: &Leaving<'_>,
    memory: &mut Memory,
    request: &Request,
) -> Result<(), LeaveError> {
    match request.action {
        RequestAction::Leave => {}
        RequestAction::Unknown => return Err(LeaveError::NotUnderstood(request.id.clone())),
        _ => return Err(LeaveError::NotToLeave(request.id.clone())),
    }
    let host = leaving.host;
    if request.slot != Some(host.bootstrap.slot) {
        return Err(LeaveError::WrongSlot(request.slot));
    }
    // A server that never became a member owes nobody anything.
    if memory.member {
        let health = leaving.client.autopilot_health().await?;
        if !health::may_leave(&health, &host.bootstrap.node_name) {
            return Err(LeaveError::WouldLoseQuorum(request.id.clone()));
        }
    }
    tracing::info!(request = %request.id, "leaving the cluster");
    memory.leave = Some(Leave { request_id: request.id.clone(), finished: false });
    Ok(memory.save(&host.paths)?)
}

/// Goes on with a request that has begun, until the server is out and Consul is stopped.
pub async fn go_on(leaving: &Leaving<'_>, memory: &mut Memory) -> Result<(), LeaveError> {
    let host = leaving.host;
    let Some(leave) = memory.leave.clone().filter(|leave| !leave.finished) else { return Ok(()) };
    // From now on a crash of Consul must not bring it back into the cluster at the next boot.
    disable(host).await;
    if host.service.is_active().await? {
        hand_over(leaving).await;
        match leaving.client.leave().await {
            // The answer may be lost, because the agent ends with it.
            Ok(()) | Err(ConsulError::Unreachable { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if memory.member && is_listed(leaving).await? {
        return Err(LeaveError::StillMember(leave.request_id));
    }
    host.service.tell(Verb::Stop).await?;
    disable(host).await;
    memory.done_requests.push(leave.request_id.clone());
    memory.leave = Some(Leave { finished: true, ..leave.clone() });
    memory.save(&host.paths)?;
    tracing::info!(request = %leave.request_id, "left the cluster");
    Ok(())
}

/// Not fatal: the durable memory keeps Consul stopped even if the unit stays enabled.
async fn disable(host: &Host) {
    if let Err(error) = host.service.tell(Verb::Disable).await {
        tracing::debug!(error = %chain(&error), "unit stays enabled");
    }
}

/// Versions before 1.15 cannot; there the followers elect after the leader has gone.
async fn hand_over(leaving: &Leaving<'_>) {
    let leader = leaving.client.leader().await.ok().flatten();
    if leader != Some(health::raft_address(leaving.host.instance.address)) {
        return;
    }
    match leaving.client.transfer_leadership().await {
        Ok(true) => tracing::info!("leadership handed over"),
        Ok(false) => tracing::info!("this Consul cannot hand over; the others will elect"),
        Err(error) => tracing::warn!(error = %chain(&error), "leadership not handed over"),
    }
}

/// Whether a server with a leader still lists us. The others are asked, because our own view ends
/// with our Consul. If Consul stopped before Raft heard of it, a peer is told to remove us.
async fn is_listed(leaving: &Leaving<'_>) -> Result<bool, LeaveError> {
    let own = health::raft_address(leaving.host.instance.address);
    let mut last_error = None;
    for peer in leaving.peers {
        let token = leaving.secrets.strongest_token();
        let ca = &leaving.secrets.ca_pem;
        let client = ConsulClient::new(peer.address, leaving.datacenter, ca, token)?;
        let seen: Result<RaftConfiguration, _> = client.raft_configuration(false).await;
        match seen {
            Ok(raft) if raft.servers.iter().any(|server| server.address == own) => {
                if !leaving.host.service.is_active().await? {
                    client.delete(&format!("operator/raft/peer?address={own}")).await?;
                }
                return Ok(true);
            }
            Ok(_) => return Ok(false),
            Err(error) => last_error = Some(error),
        }
    }
    match last_error {
        Some(error) => Err(error.into()),
        // Nobody else exists whom we could leave.
        None => Ok(false),
    }
}
