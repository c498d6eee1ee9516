//! The documents through which provider and servers meet: containers, blob names and JSON shapes.
//!
//! Owns the words that both sides read. Never does I/O, and no document here ever holds a secret.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::names::Names;
use crate::requests::RequestResult;
use crate::rotation::{Rotations, SecretVersion};
use crate::spec::{ClusterSpec, defaults};
use crate::upgrade::{Maintenance, Upgrade};

/// Blob containers of a cluster's storage account.
pub mod container {
    /// Documents that the provider writes and every server reads.
    pub const CONFIG: &str = "config";
    /// Public certificates.
    pub const CERTIFICATES: &str = "certificates";
    /// Programs, stored under their SHA-256.
    pub const ARTIFACTS: &str = "artifacts";
    /// What all servers must share: gossip key, management token, CA key.
    pub const SECRETS_SHARED: &str = "secrets-shared";
    /// The token of client agents, which a server makes and whoever may read it hands out.
    pub const SECRETS_CLIENT: &str = "secrets-client";
    /// Requests of the provider to servers.
    pub const REQUESTS: &str = "requests";
    /// Snapshots of Consul's state.
    pub const SNAPSHOTS: &str = "snapshots";
    /// What servers decide among themselves: the one container with a document that they all write.
    pub const DECISIONS: &str = "decisions";
    /// Releases of Consul that servers fetched from the index, with what proves where they come from.
    pub const RELEASES: &str = "releases";

    /// Secrets that only the server of this slot may read.
    pub fn secrets(slot: u32) -> String {
        format!("secrets-{slot}")
    }

    /// Where the server of this slot publishes its status.
    pub fn status(slot: u32) -> String {
        format!("status-{slot}")
    }
}

/// The ports that a server serves.
pub mod port {
    use semver::Version;

    /// Raft and RPC, also of clients.
    pub const RPC: u16 = 8300;
    /// Gossip of servers and clients, TCP and UDP.
    pub const GOSSIP: u16 = 8301;
    /// Gossip among servers of several datacenters, TCP and UDP.
    pub const GOSSIP_WAN: u16 = 8302;
    /// HTTP API and UI with TLS.
    pub const HTTPS: u16 = 8501;
    /// Whether a server may be given clients, asked by balancers alone ([`super::READY_PATH`]).
    pub const READY: u16 = 8505;
    /// gRPC with TLS, for data planes.
    pub const GRPC_TLS: u16 = 8503;

    /// Metrics of Consul and its host manager, for whoever holds a token.
    pub const METRICS: u16 = 8506;

    /// SSH, of the machine.
    pub const SSH: u16 = 22;

    /// Whether this version has a port for gRPC with TLS.
    pub fn has_grpc_tls(version: &Version) -> bool {
        (version.major, version.minor) >= (1, 14)
    }
}

/// What balancers ask each server on [`port::READY`].
pub const READY_PATH: &str = "/ready";

/// Blob names inside the containers.
pub mod blob {
    /// In `config`: the stored spec of the cluster ([`crate::spec::ClusterSpec`]).
    pub const SPEC: &str = "spec.json";
    /// In `config`: [`super::ClusterDocument`].
    pub const CLUSTER: &str = "cluster.json";
    /// In `config`: who changes the cluster and whose it is ([`crate::ownership::RunRecord`]).
    pub const RUN: &str = "run.json";
    /// In `config`: [`crate::adoption::Adoption`], as long as servers of before are followed.
    pub const ADOPTION: &str = "adoption.json";
    /// In `config`: folder of [`crate::snapshots::policy::SnapshotPolicyDocument`]s.
    pub const SNAPSHOT_POLICIES: &str = "snapshot-policies/";
    /// In `certificates`: the cluster's CA, PEM. Every certificate in it is trusted; the first one signs.
    pub const CA_CERTIFICATE: &str = "ca.pem";
    /// In `secrets-shared`: 32 bytes, base64.
    pub const GOSSIP_KEY: &str = "gossip-key";
    /// In `secrets-shared`: the secret id of the management token, a UUID.
    pub const MANAGEMENT_TOKEN: &str = "management-token";
    /// In `secrets-shared`: the private key of the CA that signs, PEM. Servers sign their own certificates with it.
    pub const CA_KEY: &str = "ca-key.pem";
    /// In `secrets-{slot}`: the secret id of the server's agent token, a UUID.
    pub const AGENT_TOKEN: &str = "agent-token";
    /// In `secrets-client`: secret id of the token of client agents.
    pub const CLIENT_TOKEN: &str = "client-token";
    /// In `secrets-client`: the gossip key that somebody rotated to by hand, while it is in use.
    pub const ADOPTED_GOSSIP_KEY: &str = "gossip-key";
    /// In `decisions`: [`crate::jobs::Job`].
    pub const JOB: &str = "job.json";
    /// In `decisions`: [`crate::rotation::RotationsDocument`].
    pub const ROTATIONS: &str = "rotations.json";
    /// In `decisions`: [`crate::upgrade::Upgrade`].
    pub const UPGRADE: &str = "upgrade.json";
    /// In `status-{slot}`: [`super::ServerStatus`].
    pub const STATUS: &str = "status.json";
    /// The last restore of a snapshot.
    pub const RESTORE: &str = "restore.json";
    /// What a server collected for support; the last one.
    pub const SUPPORT: &str = "support.tar.gz";

    /// In `config`: the document of one snapshot policy.
    pub fn snapshot_policy(name: &str) -> String {
        format!("{SNAPSHOT_POLICIES}{name}.json")
    }

    /// In `decisions`: [`crate::snapshots::policy::PolicyReport`].
    pub fn policy_report(name: &str) -> String {
        format!("{SNAPSHOT_POLICIES}{name}.json")
    }

    /// In `requests`: prefix of all [`leave_request`]s.
    pub const LEAVE_REQUESTS: &str = "leave-";

    /// In `requests`: asks the server of this slot to leave the cluster for good.
    pub fn leave_request(slot: u32) -> String {
        format!("{LEAVE_REQUESTS}{slot}.json")
    }

    /// In `requests`: what the server of this slot, or whichever leads, is asked to do.
    pub fn request(slot: Option<u32>) -> String {
        match slot {
            Some(slot) => format!("server-{slot}.json"),
            None => "leader.json".to_owned(),
        }
    }

    /// In `snapshots`: folder of those that somebody asked for. No policy has this name.
    pub const ON_DEMAND: &str = "~on-demand/";

    /// In `artifacts`: a Consul archive or binary.
    pub fn consul_artifact(sha256: &str, file_name: &str) -> String {
        format!("consul/{sha256}/{file_name}")
    }

    /// In `releases`: a file of a release, under the name that its maker gave it.
    pub fn release(version: &semver::Version, file_name: &str) -> String {
        format!("consul/{version}/{file_name}")
    }

    /// In `artifacts`: a host manager binary.
    pub fn host_manager_artifact(sha256: &str) -> String {
        format!("host-manager/{sha256}/hcs-host-manager")
    }

    /// In `snapshots`: one snapshot; `time` is compact UTC, `20261122T231500Z`, so that names sort by age.
    pub fn snapshot(policy: &str, time: &str) -> String {
        format!("{policy}/{time}.snap")
    }
}

/// `/etc/hcs/bootstrap.json` on a server: all that it knows before it reads a blob. No secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootstrapConfig {
    /// The cluster's ARM id (its managed resource group).
    pub cluster_id: String,
    /// The server's slot, from 0.
    pub slot: u32,
    /// Consul node name.
    pub node_name: String,
    /// Logical availability zone; absent in regions without zones.
    pub zone: Option<String>,
    /// Blob endpoint of the storage account, as ARM gave it.
    pub blob_endpoint: String,
    /// ARM id of the identity that all servers share.
    pub shared_identity_id: String,
    /// ARM id of the identity of this slot.
    pub server_identity_id: String,
    /// Which host manager cloud-init fetches.
    pub host_manager_sha256: String,
}

/// The form in which this version writes documents, and the newest that it understands.
///
/// Fields are added and never change their meaning or type, and words are added to lists of words: for that the form
/// stays. It grows when a program that does not know something must not act on the document, or not write it again.
pub const FORMAT: u32 = 1;

/// Who may act on a document, and what a newer version wrote into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// The form in which it was written.
    #[serde(default = "first_format")]
    pub format: u32,
    /// The oldest form that a program must know to act on it or to write it again.
    #[serde(default = "first_format")]
    pub needs_format: u32,
    /// Fields that this version does not know; they are written again as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

impl Default for Form {
    fn default() -> Self {
        Self { format: FORMAT, needs_format: 1, unknown: BTreeMap::new() }
    }
}

impl Form {
    /// Whether this version may act on the document and write it again.
    pub fn is_understood(&self) -> bool {
        self.needs_format <= FORMAT
    }
}

fn first_format() -> u32 {
    1
}

/// `config/cluster.json`: what every server runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterDocument {
    /// Grows with every write of the provider.
    pub generation: u64,
    /// Consul datacenter.
    pub datacenter: String,
    /// How many voters the cluster has when all is well.
    pub server_count: u32,
    /// Slots that belong to the cluster, ascending.
    pub slots: Vec<u32>,
    /// Slots that are there for a while: a helper, servers that are about to go. They may hold the cluster's data when
    /// a server of [`Self::slots`] is made anew, so it meets them before it founds anything.
    #[serde(default)]
    pub others: Vec<u32>,
    /// Which Consul is declared; which one is in force, [`crate::upgrade::in_force`] says.
    pub consul: ConsulArtifact,
    /// The one before, to which the servers may go back for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consul_before: Option<Box<ConsulArtifact>>,
    /// Generation at which a declaration brought [`Self::consul`] to a cluster that ran another one. What an apply writes
    /// down because the servers have chosen it is no declaration.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub consul_declared_at: u64,
    /// What the user adds to the servers' configuration.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub consul_server_config: Map<String, Value>,
    /// What the servers may do by themselves, and when.
    #[serde(default, skip_serializing_if = "Maintenance::is_none")]
    pub maintenance: Maintenance,
    /// What the servers' certificates say.
    #[serde(default)]
    pub certificates: ServerCertificates,
    /// Which host manager looks after the servers; none in documents before it was renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_manager: Option<HostManagerArtifact>,
    /// The one before, to which a pin may go back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_manager_before: Option<HostManagerArtifact>,
    /// Which version of each secret the cluster is to have; nothing of what was never rotated.
    #[serde(default, skip_serializing_if = "Rotations::is_empty")]
    pub rotations: Rotations,
    /// Its form.
    #[serde(flatten)]
    pub form: Form,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Version of the host manager that belongs to this code: all programs of a release have one.
pub fn own_version() -> semver::Version {
    semver::Version::parse(env!("CARGO_PKG_VERSION")).unwrap_or(semver::Version::new(0, 0, 0))
}

/// A host manager in the `artifacts` container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostManagerArtifact {
    /// The version that it must report.
    pub version: semver::Version,
    /// SHA-256 of the program, lower-case hex.
    pub sha256: String,
}

/// What each server puts into the certificate that it makes for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerCertificates {
    /// How long one is good for. It is renewed when half of that is over.
    pub ttl_seconds: u64,
    /// The domain below which each server has a name, `server-{slot}.{domain}`.
    pub domain: String,
    /// Names that all servers answer to.
    pub names: Vec<String>,
    /// Addresses at which a balancer answers for them: the internal one's, then the external endpoint's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

impl ServerCertificates {
    /// Of the servers of a cluster.
    pub fn new(spec: &ClusterSpec, names: &Names) -> Self {
        Self {
            ttl_seconds: spec.server_certificate_ttl_seconds,
            domain: names.dns_domain(),
            // Whether there is an endpoint or not: one that comes later needs no new certificate.
            names: vec![names.join_name(), names.endpoint_name()],
            addresses: Vec::new(),
        }
    }
}

impl Default for ServerCertificates {
    /// Of documents before servers renewed their certificates.
    fn default() -> Self {
        Self {
            ttl_seconds: defaults::SERVER_CERTIFICATE_TTL_SECONDS,
            domain: String::new(),
            names: Vec::new(),
            addresses: Vec::new(),
        }
    }
}

/// A Consul program in the `artifacts` container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsulArtifact {
    /// The version it must report.
    pub version: semver::Version,
    /// SHA-256 of the blob, lower-case hex.
    pub sha256: String,
    /// `consul_1.22.2_linux_amd64.zip` (unpacked by the server) or a bare `consul`.
    pub file_name: String,
}

/// `status-{slot}/status.json`: what a server says of itself and of the cluster, every few seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Slot of the writer.
    pub slot: u32,
    /// Consul node name.
    pub node_name: String,
    /// RFC 3339, the writer's clock.
    pub written_at: String,
    /// Grows by one with each write since the host manager started.
    pub sequence: u64,
    /// Address on which Consul serves; other servers join it.
    pub address: IpAddr,
    /// What the host manager is doing.
    pub phase: ServerPhase,
    /// Last error, in one sentence without secrets.
    pub last_error: Option<String>,
    /// Whether waiting cannot heal [`Self::last_error`]: what the server was given is wrong.
    #[serde(default)]
    pub last_error_is_final: bool,
    /// What the running Consul reports, if it answers.
    pub consul: Option<ConsulStatus>,
    /// Ids of requests that this server has finished.
    #[serde(default)]
    pub done_requests: Vec<String>,
    /// RFC 3339; `NotAfter` of the server certificate on disk.
    pub certificate_expires_at: Option<String>,
    /// Seconds since Consul last answered its host manager; 0 while it answers, and for a server that left.
    #[serde(default)]
    pub consul_silent_seconds: u64,
    /// What came of requests, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<RequestResult>,
    /// The host manager's own version.
    pub host_manager_version: String,
    /// SHA-256 of the host manager that wrote this, lower-case hex.
    #[serde(default)]
    pub host_manager_sha256: String,
    /// What works, and will not for long: each a sentence with its mend.
    #[serde(default)]
    pub attention: Vec<String>,
    /// Versions of rotated secrets that this server works with, by [`crate::rotation::Rotated::as_str`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rotations: BTreeMap<String, SecretVersion>,
    /// Generation of the cluster's document by which this server works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_generation: Option<u64>,
    /// The last way from one Consul to another, as this server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Box<Upgrade>>,
    /// The newest Consul with which this server has ever led: what it wrote then, older ones may not be able to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub led_with: Option<semver::Version>,
}

/// Where a server's host manager is in its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerPhase {
    /// Fetching programs, configuration and secrets.
    Preparing,
    /// Consul was started and does not report a leader yet.
    Starting,
    /// Consul serves.
    Running,
    /// The server left the cluster at the provider's request.
    Left,
    /// Something that a newer version knows.
    #[serde(other)]
    Unknown,
}

/// What Consul reports through one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsulStatus {
    /// Version of the running agent.
    pub version: String,
    /// `ip:port` of the leader; absent without one.
    pub leader: Option<String>,
    /// Whether this server leads.
    pub is_leader: bool,
    /// Autopilot's verdict on the whole cluster.
    pub healthy: bool,
    /// How many servers may fail now.
    pub failure_tolerance: u32,
    /// Node names of the Raft voters, sorted.
    pub voters: Vec<String>,
    /// Node names in the Raft configuration, voters or not, sorted.
    pub peers: Vec<String>,
    /// ACLs are bootstrapped and this server's agent token works.
    pub acl_ready: bool,
}
