//! What servers are asked to do once, and what came of it.
//!
//! A request is a blob; whoever asks needs no way into the network. One server, or whichever leads, finds it within
//! seconds, does it once, and says so in its status.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::adoption::AdoptedServer;
use crate::names::deterministic_guid;

/// So many results a server keeps in its status.
pub const RESULTS_MAX: usize = 20;

/// `requests/*.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Identifies this request; a status repeats it when it is done.
    pub id: String,
    /// The server that is meant; none: whichever leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// What it shall do.
    pub action: RequestAction,
    /// More of it, in the action's own words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, Value>,
    /// Seconds since the Unix epoch; whoever finds it later does nothing. None: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_unix_s: Option<u64>,
    /// Who asked, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

impl Request {
    /// A request without more.
    pub fn new(id: String, slot: Option<u32>, action: RequestAction) -> Self {
        Self {
            id,
            slot,
            action,
            arguments: BTreeMap::new(),
            expires_unix_s: None,
            asked_by: None,
            unknown: BTreeMap::new(),
        }
    }

    /// Asks whichever leads for a snapshot under this name, which goes at a time where one is given.
    pub fn snapshot(id: String, name: &str, expires_at: Option<String>) -> Self {
        let name = (argument::SNAPSHOT.to_owned(), Value::from(name));
        let ends = expires_at.map(|at| (argument::EXPIRES_AT.to_owned(), Value::from(at)));
        let arguments = [name].into_iter().chain(ends).collect();
        Self { arguments, ..Self::new(id, None, RequestAction::Snapshot) }
    }

    /// Asks whichever leads to put the state back to this snapshot.
    pub fn restore(id: String, name: &str) -> Self {
        let arguments = [(argument::SNAPSHOT.to_owned(), Value::from(name))].into();
        Self { arguments, ..Self::new(id, None, RequestAction::Restore) }
    }

    /// Asks one server to lead instead of a server of before.
    pub fn take_leadership(id: String, slot: u32, from: &AdoptedServer) -> Self {
        Self { arguments: who(from), ..Self::new(id, Some(slot), RequestAction::TakeLeadership) }
    }

    /// Asks one server to take a server of before out of the cluster. Whoever leads may be one of before, which takes no
    /// requests.
    pub fn remove_server(id: String, slot: u32, gone: &AdoptedServer) -> Self {
        Self { arguments: who(gone), ..Self::new(id, Some(slot), RequestAction::RemoveServer) }
    }

    /// The server of before that it is about: its name and its address.
    pub fn server_of_before(&self) -> Option<(&str, IpAddr)> {
        let text = |name: &str| self.arguments.get(name).and_then(Value::as_str);
        Some((text(argument::NODE_NAME)?, text(argument::ADDRESS)?.parse().ok()?))
    }

    /// Asked for by an apply that works on the cluster, and good as long as it does.
    #[must_use]
    pub fn beside_run(mut self, run_id: &str) -> Self {
        self.arguments.insert(argument::BESIDE_RUN.to_owned(), Value::from(run_id));
        self
    }

    /// The apply that asks for it and waits for it, if one does.
    pub fn asking_run(&self) -> Option<&str> {
        self.arguments.get(argument::BESIDE_RUN).and_then(Value::as_str)
    }

    /// Without a trial of the snapshot in a server that is thrown away.
    #[must_use]
    pub fn without_trial(mut self) -> Self {
        self.arguments.insert(argument::WITHOUT_TRIAL.to_owned(), Value::from(true));
        self
    }

    /// Whether nobody will do it any more.
    pub fn is_over(&self, now_unix_ms: u64) -> bool {
        self.expires_unix_s.is_some_and(|at| at.saturating_mul(1000) < now_unix_ms)
    }
}

fn who(server: &AdoptedServer) -> BTreeMap<String, Value> {
    let name = (argument::NODE_NAME.to_owned(), Value::from(server.node_name.as_str()));
    let address = (argument::ADDRESS.to_owned(), Value::from(server.address.to_string()));
    [name, address].into()
}

/// What a [`Request`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestAction {
    /// Hand over leadership if it leads, leave Raft and gossip, stop Consul and keep it stopped.
    Leave,
    /// Take a snapshot now and keep it under [`argument::SNAPSHOT`] of `snapshots`.
    Snapshot,
    /// Make another certificate now, whatever is left of the one in use.
    RenewCertificate,
    /// Stop to lead, so that another server does.
    TransferLeadership,
    /// Go back to the Consul that ran before an upgrade that has not ended.
    TakeBackUpgrade,
    /// Collect what somebody who helps wants to see, without secrets.
    SupportBundle,
    /// Put the cluster's state back to the snapshot [`argument::SNAPSHOT`], after one of what is there.
    Restore,
    /// Lead instead of a server of before, [`argument::NODE_NAME`], which is about to go.
    TakeLeadership,
    /// Take a server of before, [`argument::NODE_NAME`] at [`argument::ADDRESS`], whose machine is off, out of Raft and
    /// gossip.
    RemoveServer,
    /// Something that a newer version knows.
    #[serde(other)]
    Unknown,
}

/// Names of arguments and of what results say.
pub mod argument {
    /// What Consul calls a server.
    pub const NODE_NAME: &str = "node_name";
    /// Address of a server.
    pub const ADDRESS: &str = "address";
    /// Name of the blob in `snapshots`.
    pub const SNAPSHOT: &str = "snapshot";
    /// Name of the snapshot that was taken before a restore.
    pub const SAFETY_SNAPSHOT: &str = "safety_snapshot";
    /// Id of the run that is under way and waits for it.
    pub const BESIDE_RUN: &str = "beside_run";
    /// Whether a snapshot is restored without a trial.
    pub const WITHOUT_TRIAL: &str = "without_trial";
    /// Why a snapshot was restored without a trial, in one sentence.
    pub const UNTRIED: &str = "untried";
    /// Container and name of a blob.
    pub const BLOB: &str = "blob";
    /// Raft index of a snapshot.
    pub const RAFT_INDEX: &str = "raft_index";
    /// Size of a snapshot, or of a support bundle, in bytes.
    pub const SIZE_BYTES: &str = "size_bytes";
    /// SHA-256 of a snapshot, lower-case hex.
    pub const SHA256: &str = "sha256";
    /// The Consul that is gone back to.
    pub const CONSUL_VERSION: &str = "consul_version";
    /// When a certificate ends, or a snapshot is to go, RFC 3339.
    pub const EXPIRES_AT: &str = "expires_at";
}

impl RequestAction {
    /// What it is, for people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Leave => "leave the cluster",
            Self::Snapshot => "take a snapshot",
            Self::RenewCertificate => "renew the certificate",
            Self::TransferLeadership => "hand over the leadership",
            Self::TakeBackUpgrade => "take the upgrade back",
            Self::SupportBundle => "collect a support bundle",
            Self::Restore => "restore a snapshot",
            Self::TakeLeadership => "take the leadership",
            Self::RemoveServer => "take a server of before out of the cluster",
            Self::Unknown => "do something that this version does not know",
        }
    }
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestResult {
    /// Of the request.
    pub id: String,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// Why it was not done, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it brought, by [`argument`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Value>,
    /// RFC 3339, the server's clock.
    pub ended_at: String,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestOutcome {
    /// Done.
    Done,
    /// Tried, and not done.
    Failed,
    /// Not tried: it was found too late, or is not understood.
    Refused,
    /// Something that a newer version knows.
    #[serde(other)]
    Unknown,
}

/// Id of the request to leave of the server that this scale set runs. A set that is made anew has another `unique_id`,
/// so an old request never speaks to a new server, and a resumed run repeats the same request.
pub fn leave_request_id(node_name: &str, unique_id: &str) -> String {
    deterministic_guid(&["leave", node_name, unique_id])
}
