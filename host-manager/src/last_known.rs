//! What this server needs to start Consul again while Entra, the storage account or the way to them is away.
//!
//! It is what Consul was last started with, in one file that only root may read: gossip key and agent token. Its
//! certificate and key lie beside it, see [`crate::leaf`].
//! The management token and the key of the CA are in no file of ours on a disk.

use hcs_planner::dataplane::ClusterDocument;
use hcs_planner::rotation::SecretVersion;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::documents::ServerSecrets;
use crate::files::{self, FileError, SECRET_MODE};
use crate::paths::Paths;
use crate::secrets::Secret;

/// The form of the file.
const FORMAT: u32 = 2;

/// What was known when the storage last answered.
#[derive(Clone, Debug)]
pub struct LastKnown {
    /// What the running Consul was started for.
    pub cluster: ClusterDocument,
    /// Of these, all but the management token are written down.
    pub secrets: ServerSecrets,
    /// Which version of the management token it was started with.
    pub management_version: SecretVersion,
}

/// Why it cannot be kept or used.
#[derive(Debug, thiserror::Error)]
pub enum LastKnownError {
    /// File trouble.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not of this version. The cause is not kept: it could show a part of a secret.
    #[error("what this server knew last cannot be understood; it waits for the storage account")]
    Malformed,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    cluster: ClusterDocument,
    ca_pem: String,
    agent_token: String,
    gossip_key: String,
    #[serde(default, skip_serializing_if = "SecretVersion::is_first")]
    management_version: SecretVersion,
}

impl Drop for Stored {
    fn drop(&mut self) {
        for secret in [&mut self.agent_token, &mut self.gossip_key] {
            secret.zeroize();
        }
    }
}

impl LastKnown {
    /// Reads the file; `None` on a server that has not started Consul yet.
    pub fn load(paths: &Paths) -> Result<Option<Self>, LastKnownError> {
        let Some(bytes) = files::read(&paths.last_known())?.map(Zeroizing::new) else {
            return Ok(None);
        };
        let stored: Stored =
            serde_json::from_slice(&bytes).map_err(|_| LastKnownError::Malformed)?;
        if stored.format != FORMAT {
            return Err(LastKnownError::Malformed);
        }
        Ok(Some(Self {
            cluster: stored.cluster.clone(),
            secrets: ServerSecrets {
                ca_pem: stored.ca_pem.clone(),
                agent_token: Secret::new(stored.agent_token.as_str()),
                gossip_key: Secret::new(stored.gossip_key.as_str()),
                management_token: None,
            },
            management_version: stored.management_version.clone(),
        }))
    }

    /// Puts newer secrets beside the document that is kept: for a Consul that still runs with the older one.
    pub fn keep_secrets(paths: &Paths, secrets: &ServerSecrets) -> Result<(), LastKnownError> {
        match Self::load(paths)? {
            None => Ok(()),
            Some(known) => Self { secrets: secrets.clone(), ..known }.keep(paths),
        }
    }

    /// Writes the file, durably, when it says something else.
    pub fn keep(&self, paths: &Paths) -> Result<(), LastKnownError> {
        let (cluster, secrets) = (&self.cluster, &self.secrets);
        let stored = Stored {
            format: FORMAT,
            cluster: cluster.clone(),
            ca_pem: secrets.ca_pem.clone(),
            agent_token: secrets.agent_token.expose().to_owned(),
            gossip_key: secrets.gossip_key.expose().to_owned(),
            management_version: self.management_version.clone(),
        };
        let text = serde_json::to_vec_pretty(&stored).map_err(|_| LastKnownError::Malformed)?;
        files::make_dir(&paths.state_dir(), 0o700)?;
        files::write_if_changed(&paths.last_known(), &Zeroizing::new(text), SECRET_MODE)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(key: &str) -> ServerSecrets {
        ServerSecrets {
            ca_pem: "ca".into(),
            agent_token: Secret::new("agent"),
            gossip_key: Secret::new(key),
            management_token: Some(Secret::new("all-mighty")),
        }
    }

    #[test]
    fn newer_secrets_stand_beside_the_document_that_consul_runs_with() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path());
        LastKnown::keep_secrets(&paths, &secrets("early")).unwrap();
        assert!(LastKnown::load(&paths).unwrap().is_none(), "nothing was started yet");
        let cluster: ClusterDocument = serde_json::from_str(
            r#"{"generation": 1, "datacenter": "dc1", "server_count": 3, "slots": [0, 1, 2], "others": [],
                "consul": {"version": "1.21.0", "sha256": "", "file_name": "consul"}}"#,
        )
        .unwrap();
        let management_version = SecretVersion::of_rotation("v");
        let known =
            LastKnown { cluster: cluster.clone(), secrets: secrets("old"), management_version };
        known.keep(&paths).unwrap();
        LastKnown::keep_secrets(&paths, &secrets("new")).unwrap();
        let known = LastKnown::load(&paths).unwrap().unwrap();
        assert_eq!(known.cluster, cluster);
        assert_eq!(known.management_version.id(), Some("v"));
        assert_eq!(known.secrets, ServerSecrets { management_token: None, ..secrets("new") });
        let text = std::fs::read_to_string(paths.last_known()).unwrap();
        assert!(!text.contains("all-mighty"), "{text}");
    }
}
