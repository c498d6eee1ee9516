//! The last restore of a snapshot, as the servers note it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `decisions/restore.json`: whoever leads writes it, and whoever leads next goes on from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// Id of the request.
    pub id: String,
    /// Name of the blob in `snapshots` that is restored.
    pub snapshot: String,
    /// What was there before: the name of a blob in `snapshots`, too.
    pub safety_snapshot: String,
    /// Raft index of the state in the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raft_index: Option<u64>,
    /// Why it was not tried before, in one sentence; none where a throw-away server has restored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untried: Option<String>,
    /// How far it is.
    pub phase: RestorePhase,
    /// RFC 3339: when this phase began.
    pub since: String,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// How far a [`Restore`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestorePhase {
    /// What was there is saved, [`MARKER`] lies in it, and Consul may have been given the snapshot.
    Begun,
    /// Consul has it.
    Done,
    /// Something that a newer version knows.
    #[serde(other)]
    Unknown,
}

/// The key that a restore takes away: as long as it holds the restore's id, nothing was restored.
pub const MARKER: &str = "hcs/restore";
