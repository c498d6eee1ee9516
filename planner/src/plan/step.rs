//! What a plan is made of: steps, each one write or one wait.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arm::{ArmId, Kind};
use crate::diff::Difference;
use crate::placement::Place;
use crate::reference::has_reference;
use crate::requests::RequestAction;
use crate::rotation::{Rotated, SecretVersion};

/// What a step does to the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Action {
    /// Writes an ARM object whole and waits until it is provisioned.
    Put {
        /// Logical name; its final body is the object's output.
        object: String,
        /// Type.
        kind: Kind,
        /// Id.
        id: ArmId,
        /// Body, with references.
        body: Value,
        /// Whether it exists already.
        update: bool,
        /// Why, for an update.
        differences: Vec<Difference>,
        /// Where else a new server may be made, in this order, when Azure has no capacity there. A set that failed for
        /// want of capacity is deleted before the next try.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        alternatives: Vec<Place>,
    },
    /// Waits for a write that an earlier run began.
    AwaitProvisioned {
        /// Logical name; its final body is the object's output.
        object: String,
        /// Type.
        kind: Kind,
        /// Id.
        id: ArmId,
    },
    /// Deletes an ARM object and waits until it is gone.
    Delete {
        /// Type.
        kind: Kind,
        /// Id.
        id: ArmId,
        /// Why.
        reason: String,
    },
    /// Gives a running server the model that its scale set has by now, which restarts it.
    Restart {
        /// The server.
        slot: u32,
        /// Its scale set.
        scale_set: ArmId,
        /// Why.
        reason: String,
        /// Whether its machine has no power: then nobody goes out by it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_off: bool,
    },
    /// Gives the caller the right to read and write blobs of the new account, and waits until a write succeeds.
    GrantCallerBlobAccess {
        /// The account.
        account: ArmId,
    },
    /// Writes a document.
    WriteDocument {
        /// Container.
        container: String,
        /// Blob.
        name: String,
        /// JSON, with references.
        content: Value,
        /// Whether the host managers restart every server because of it: one at a time, the leader last.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        restarts_servers: bool,
    },
    /// Makes a secret once; what exists is kept.
    MintSecret {
        /// Which one.
        secret: Secret,
    },
    /// Stores a program under its hash; what exists is kept.
    UploadArtifact {
        /// Which one.
        artifact: Artifact,
    },
    /// Reads the private address of a new server.
    ReadAddress {
        /// Its slot.
        slot: u32,
        /// Its scale set.
        scale_set: ArmId,
    },
    /// Asks a server to do something and waits until the others see it done.
    Ask {
        /// The server.
        slot: u32,
        /// Its Consul node name.
        node_name: String,
        /// What.
        request: RequestAction,
        /// The voters that must be healthy afterwards, by slot.
        remaining: Vec<Voter>,
    },
    /// Takes back a request that an interrupted run has left: it was meant for the server that was there before.
    Withdraw {
        /// The slot whose server it names.
        slot: u32,
    },
    /// Brings a snapshot of whatever account into the cluster's own and has the leading server restore it, once.
    RestoreSnapshot {
        /// Id of the snapshot.
        snapshot_id: String,
    },
    /// Waits until exactly these servers are healthy voters under one leader, all with this Consul.
    WaitHealthy {
        /// The voters, by slot.
        voters: Vec<Voter>,
        /// The version that each of them must run; none while the servers are on their way to another by themselves.
        consul_version: Option<semver::Version>,
    },
}

impl Action {
    /// Whether a server boots by it: what boots refers to its cloud-init; a write of a running one does not.
    pub fn boots_server(&self) -> bool {
        match self {
            Self::Put { kind: Kind::ScaleSet, update, body, .. } => !update || has_reference(body),
            _ => false,
        }
    }
}

/// A server that has a vote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Voter {
    /// Its slot.
    pub slot: u32,
    /// Its Consul node name.
    pub node_name: String,
}

/// Secrets of a cluster, each version made once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Which one.
    pub kind: SecretKind,
    /// Which version of it.
    #[serde(default, skip_serializing_if = "SecretVersion::is_first")]
    pub version: SecretVersion,
}

impl Secret {
    /// The version that a cluster is made with.
    pub fn first(kind: SecretKind) -> Self {
        Self { kind, version: SecretVersion::default() }
    }
}

/// What is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretKind {
    /// Private key and certificate of the cluster's CA.
    CertificateAuthority,
    /// Gossip encryption key.
    GossipKey,
    /// Management token.
    ManagementToken,
    /// Agent token of one server.
    AgentToken {
        /// Its slot.
        slot: u32,
    },
}

impl SecretKind {
    /// What is made anew for a rotation in a cluster with servers in these slots. The servers themselves make the clients'
    /// token.
    pub fn of_rotation(what: Rotated, slots: impl IntoIterator<Item = u32>) -> Vec<Self> {
        match what {
            Rotated::GossipKey => vec![Self::GossipKey],
            Rotated::ManagementToken => vec![Self::ManagementToken],
            Rotated::CertificateAuthority => vec![Self::CertificateAuthority],
            Rotated::ClientToken => vec![],
            Rotated::AgentTokens => {
                slots.into_iter().map(|slot| Self::AgentToken { slot }).collect()
            }
        }
    }
}

/// Programs that servers run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Artifact {
    /// Consul of this version.
    Consul {
        /// The version.
        version: semver::Version,
    },
    /// The host manager that belongs to this provider.
    HostManager,
}

/// One node of the DAG.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Unique in the plan and stable between plans: `create server_0`.
    pub id: String,
    /// What it does.
    #[serde(flatten)]
    pub action: Action,
    /// The server it concerns.
    pub slot: Option<u32>,
}
