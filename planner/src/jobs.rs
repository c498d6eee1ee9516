//! What host managers do to a cluster by themselves and an apply must not meet: one job at a time, and none beside an
//! apply.
//!
//! Each side writes that it works before it looks whether the other does: of two that begin at once, at least one sees the
//! other. A host manager that sees an apply gives its job back; an apply that sees a job waits for its end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `decisions/job.json`: the last job of the cluster's servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Of this job alone.
    pub id: String,
    /// What is done.
    pub kind: JobKind,
    /// The server that does it.
    pub slot: u32,
    /// What for, in words.
    pub reason: String,
    /// RFC 3339, the server's clock.
    pub started_at: String,
    /// Grows with each sign of life.
    #[serde(default)]
    pub beats: u64,
    /// RFC 3339; none while it goes on.
    #[serde(default)]
    pub ended_at: Option<String>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Restarts the server's Consul.
    Restart,
    /// Puts the cluster's state back to a snapshot.
    Restore,
    /// Something that a newer version knows.
    #[serde(other)]
    Unknown,
}

impl Job {
    /// Whether its server has not said that it ended.
    pub fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }

    /// Who does what, what for, since when.
    pub fn told(&self) -> String {
        let does = match self.kind {
            JobKind::Restart => "restarts its Consul",
            JobKind::Restore => "restores a snapshot",
            JobKind::Unknown => "works on the cluster",
        };
        format!("server {} {does} ({}) since {}", self.slot, self.reason, self.started_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_version_writes_stays_and_is_told() {
        let text = r#"{"id":"1","kind":"drill","slot":2,"reason":"every week","started_at":"2026-11-28T10:00:00Z","depth":3}"#;
        let job: Job = serde_json::from_str(text).unwrap();
        assert_eq!(
            job.told(),
            "server 2 works on the cluster (every week) since 2026-11-28T10:00:00Z"
        );
        assert!(job.is_open());
        assert_eq!(serde_json::to_value(&job).unwrap()["depth"], 3);
    }
}
