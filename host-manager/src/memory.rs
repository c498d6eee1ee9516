//! What the host manager must not forget when it or the VM restarts.

use std::net::IpAddr;

use hcs_planner::requests::RequestResult;
use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};
use crate::formation::Formation;
use crate::paths::Paths;

/// The durable memory, one small file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// How this server came, or comes, into the cluster.
    pub formation: Option<Formation>,
    /// Whether this server has once been in the Raft configuration.
    #[serde(default)]
    pub member: bool,
    /// SHA-256 of program, unit and configuration that the running Consul was started with.
    #[serde(default)]
    pub started_with: Option<String>,
    /// The address for which the running Consul was configured.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// The request to leave that is being carried out or was.
    #[serde(default)]
    pub leave: Option<Leave>,
    /// Requests to leave that are done.
    #[serde(default)]
    pub done_requests: Vec<String>,
    /// What came of other requests, the latest last.
    #[serde(default)]
    pub results: Vec<RequestResult>,
    /// The newest Consul with which this server has ever led.
    #[serde(default)]
    pub led_with: Option<semver::Version>,
}

/// How far a request to leave has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leave {
    /// The request.
    pub request_id: String,
    /// The server is out and Consul is stopped.
    pub finished: bool,
}

impl Memory {
    /// Whether this server must never run Consul again.
    pub fn has_left(&self) -> bool {
        self.leave.as_ref().is_some_and(|leave| leave.finished)
    }

    /// Reads the memory; a new server has none.
    pub fn load(paths: &Paths) -> Result<Self, MemoryError> {
        let path = paths.state_dir().join("memory.json");
        match files::read(&path)? {
            None => Ok(Self::default()),
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|source| {
                MemoryError::Malformed { path: path.display().to_string(), source }
            }),
        }
    }

    /// Writes the memory, durably.
    pub fn save(&self, paths: &Paths) -> Result<(), MemoryError> {
        let path = paths.state_dir().join("memory.json");
        let bytes = serde_json::to_vec_pretty(self).map_err(|source| MemoryError::Malformed {
            path: path.display().to_string(),
            source,
        })?;
        files::make_dir(&paths.state_dir(), 0o700)?;
        Ok(files::write(&path, &bytes, files::SECRET_MODE)?)
    }
}

/// Why the memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// File trouble.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not JSON of this version. Guessing could found a second cluster, so nothing is guessed.
    #[error("{path} cannot be understood")]
    Malformed {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}
