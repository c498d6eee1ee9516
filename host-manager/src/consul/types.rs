//! The parts of Consul's answers that we read. Unknown fields are ignored: versions add some.

use serde::{Deserialize, Serialize};

fn null_is_none<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// `GET agent/self`.
#[derive(Debug, Deserialize)]
pub struct AgentSelf {
    /// The agent's configuration.
    #[serde(rename = "Config")]
    pub config: AgentConfig,
}

/// `Config` in [`AgentSelf`].
#[derive(Debug, Deserialize)]
pub struct AgentConfig {
    /// The agent's version.
    #[serde(rename = "Version")]
    pub version: String,
}

/// One row of `GET agent/members`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Member {
    /// Node name.
    pub name: String,
    /// Gossip address.
    pub addr: String,
    /// Serf's member status.
    pub status: u8,
}

impl Member {
    /// Serf calls the member alive.
    pub fn is_alive(&self) -> bool {
        self.status == 1
    }
}

/// `GET operator/raft/configuration`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RaftConfiguration {
    /// All servers that Raft knows; Consul says `null` before it was founded.
    #[serde(default, deserialize_with = "null_is_none")]
    pub servers: Vec<RaftServer>,
}

/// One server in Raft's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RaftServer {
    /// Its id in Raft.
    #[serde(rename = "ID", default)]
    pub id: String,
    /// Node name.
    pub node: String,
    /// `ip:8300`.
    pub address: String,
    /// Whether it votes.
    pub voter: bool,
}

/// `GET operator/autopilot/health`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AutopilotHealth {
    /// All servers are healthy.
    pub healthy: bool,
    /// How many may fail now.
    pub failure_tolerance: u32,
    /// Each server; `null` right after an election, until Autopilot has looked.
    #[serde(default, deserialize_with = "null_is_none")]
    pub servers: Vec<AutopilotServer>,
}

/// One server as Autopilot sees it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AutopilotServer {
    /// Node name.
    pub name: String,
    /// `ip:8300`.
    pub address: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Alive and caught up.
    pub healthy: bool,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it leads.
    pub leader: bool,
}

/// `GET operator/autopilot/configuration`; also the body of `PUT`, hence every field that the
/// oldest supported version knows and none beyond.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AutopilotConfiguration {
    /// Dead servers leave Raft when a new one comes.
    pub cleanup_dead_servers: bool,
    /// Duration text.
    pub last_contact_threshold: String,
    /// Log entries a healthy server may trail.
    pub max_trailing_logs: u64,
    /// Autopilot never prunes below so many servers.
    pub min_quorum: u32,
    /// Duration text.
    pub server_stabilization_time: String,
    /// For check-and-set; not part of the body.
    #[serde(default, skip_serializing)]
    pub modify_index: u64,
}

/// A policy in `GET acl/policies` and `GET acl/policy/{id}`.
#[derive(Debug, Deserialize)]
pub struct AclPolicy {
    /// Id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name.
    #[serde(rename = "Name")]
    pub name: String,
    /// Rules; lists leave them out.
    #[serde(rename = "Rules", default)]
    pub rules: String,
}

/// `GET acl/token/{accessor}`.
#[derive(Deserialize)]
pub struct AclToken {
    /// Accessor.
    #[serde(rename = "AccessorID")]
    pub accessor: String,
    /// Secret; absent or hidden for callers without `acl:write`.
    #[serde(rename = "SecretID", default)]
    pub secret: String,
    /// Linked policies.
    #[serde(rename = "Policies", default)]
    pub policies: Option<Vec<AclLink>>,
}

/// A policy linked to a token.
#[derive(Debug, Deserialize)]
pub struct AclLink {
    /// Policy name.
    #[serde(rename = "Name")]
    pub name: String,
}

/// Answer to `PUT session/create`.
#[derive(Debug, Deserialize)]
pub struct SessionCreated {
    /// Session id.
    #[serde(rename = "ID")]
    pub id: String,
}
