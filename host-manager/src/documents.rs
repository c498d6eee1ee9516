//! Reads the cluster's documents and secrets from blobs and checks them before use.
//!
//! Writes nothing but the one token that servers make themselves, and no error repeats what a blob holds.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hcs_engine::blob::{BlobError, BlobStore, WriteCondition};
use hcs_planner::dataplane::{
    ClusterDocument, Request, ServerStatus, SnapshotPolicyDocument, blob, container,
};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::formation::FORMED_MARKER;
use crate::secrets::Secret;

/// The two views of the storage account that a server has.
#[derive(Clone)]
pub struct Stores {
    /// As the identity that all servers share.
    pub shared: Arc<dyn BlobStore>,
    /// As the identity of this server's slot.
    pub own: Arc<dyn BlobStore>,
}

/// Why a document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The service refused or did not answer.
    #[error("cannot read {container}/{name}")]
    Blob {
        /// Container.
        container: String,
        /// Blob or prefix.
        name: String,
        /// Why.
        #[source]
        source: Box<BlobError>,
    },
    /// The provider has not written it yet.
    #[error("{container}/{name} does not exist yet")]
    Missing {
        /// Container.
        container: String,
        /// Blob.
        name: String,
    },
    /// Not the shape that this version understands.
    #[error("{container}/{name} is not understood by this version of the host manager")]
    Malformed {
        /// Container.
        container: String,
        /// Blob.
        name: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A newer version wrote it, and only a newer one may act on it.
    #[error(
        "{container}/{name} needs form {needs}, and this host manager knows {}",
        hcs_planner::dataplane::FORMAT
    )]
    Newer {
        /// Container.
        container: String,
        /// Blob.
        name: String,
        /// The form.
        needs: u32,
    },
    /// A secret or certificate of a wrong form. Says what was expected, never what was found.
    #[error("{container}/{name} must be {expected}")]
    Invalid {
        /// Container.
        container: String,
        /// Blob.
        name: String,
        /// The form.
        expected: &'static str,
    },
}

/// What one server needs beside the cluster document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSecrets {
    /// Certificate of the cluster's CA, PEM; public.
    pub ca_pem: String,
    /// Secret id of the agent token.
    pub agent_token: Secret,
    /// 32 bytes, base64.
    pub gossip_key: Secret,
    /// Secret id of the management token; never kept in a file on a disk, so a start without the storage account has none.
    pub management_token: Option<Secret>,
}

impl ServerSecrets {
    /// The token with the most rights that is at hand.
    pub fn strongest_token(&self) -> Secret {
        self.management_token.as_ref().unwrap_or(&self.agent_token).clone()
    }

    /// A token that only this server's own agent knows, for calls that must work without a leader.
    /// It follows from the agent token by a one-way function, so that it needs no store.
    pub fn local_token(&self) -> Secret {
        let mut digest = Sha256::new();
        digest.update(b"hcs local agent token\0");
        digest.update(self.agent_token.expose().as_bytes());
        let hash: [u8; 32] = digest.finalize().into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        Secret::new(uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string())
    }
}

impl Stores {
    /// `config/cluster.json`.
    pub async fn cluster(&self) -> Result<ClusterDocument, DocumentError> {
        required_json(&*self.shared, container::CONFIG, blob::CLUSTER).await
    }

    /// Everything secret that this server may read.
    pub async fn secrets(&self, slot: u32) -> Result<ServerSecrets, DocumentError> {
        let own = container::secrets(slot);
        let (shared, certificates) = (container::SECRETS_SHARED, container::CERTIFICATES);
        let (ca_pem, agent_token, gossip_key, management_token) = tokio::try_join!(
            text(&*self.shared, certificates, blob::CA_CERTIFICATE),
            text(&*self.own, &own, blob::AGENT_TOKEN),
            text(&*self.shared, shared, blob::GOSSIP_KEY),
            text(&*self.shared, shared, blob::MANAGEMENT_TOKEN),
        )?;
        Ok(ServerSecrets {
            ca_pem: ca_pem.expose().to_owned(),
            agent_token: uuid_text(&agent_token, &own, blob::AGENT_TOKEN)?,
            gossip_key: gossip_text(&gossip_key)?,
            management_token: Some(uuid_text(&management_token, shared, blob::MANAGEMENT_TOKEN)?),
        })
    }

    /// The key with which the CA signs: read when something is to be signed, and kept nowhere.
    pub async fn authority_key(&self) -> Result<Secret, DocumentError> {
        text(&*self.shared, container::SECRETS_SHARED, blob::CA_KEY).await
    }

    /// The token of client agents; the first server that asks makes it up.
    pub async fn client_token(&self) -> Result<Secret, DocumentError> {
        let (container, name) = (container::SECRETS_CLIENT, blob::CLIENT_TOKEN);
        for _ in 0..2 {
            if bytes(&*self.shared, container, name).await?.is_some() {
                let found = text(&*self.shared, container, name).await?;
                return uuid_text(&found, container, name);
            }
            let made = Uuid::new_v4().to_string();
            let put = self.shared.put(container, name, made.into(), WriteCondition::Absent).await;
            match put {
                // Whoever was faster has made the one that counts.
                Ok(_) | Err(BlobError::ConditionFailed { .. }) => {}
                Err(source) => {
                    return Err(DocumentError::Blob {
                        container: container.to_owned(),
                        name: name.to_owned(),
                        source: Box::new(source),
                    });
                }
            }
        }
        Err(DocumentError::Missing { container: container.to_owned(), name: name.to_owned() })
    }

    /// What the server of a slot last said; `None` when it has said nothing yet.
    pub async fn status(&self, slot: u32) -> Result<Option<ServerStatus>, DocumentError> {
        json(&*self.shared, &container::status(slot), blob::STATUS).await
    }

    /// Whether the server of a slot has once been in a formed cluster.
    pub async fn formed(&self, slot: u32) -> Result<bool, DocumentError> {
        let container = container::status(slot);
        Ok(bytes(&*self.shared, &container, FORMED_MARKER).await?.is_some())
    }

    /// The request to leave, if there is one.
    pub async fn leave_request(&self, slot: u32) -> Result<Option<Request>, DocumentError> {
        json(&*self.shared, container::REQUESTS, &blob::leave_request(slot)).await
    }

    /// All snapshot policies, by name. One that cannot be read does not hide the others.
    pub async fn snapshot_policies(
        &self,
    ) -> Result<Vec<Result<SnapshotPolicyDocument, DocumentError>>, DocumentError> {
        let listed = self.shared.list(container::CONFIG, blob::SNAPSHOT_POLICIES).await;
        let entries = listed.map_err(|source| DocumentError::Blob {
            container: container::CONFIG.to_owned(),
            name: blob::SNAPSHOT_POLICIES.to_owned(),
            source: Box::new(source),
        })?;
        let mut policies = Vec::new();
        for entry in &entries {
            match json(&*self.shared, container::CONFIG, &entry.name).await {
                // Deleted between the listing and the read.
                Ok(None) => {}
                Ok(Some(policy)) => policies.push(check_policy(policy, &entry.name)),
                Err(error) => policies.push(Err(error)),
            }
        }
        Ok(policies)
    }
}

/// A policy's name becomes a blob prefix and a KV path, so it must be the blob's own plain name.
fn check_policy(
    policy: SnapshotPolicyDocument,
    blob_name: &str,
) -> Result<SnapshotPolicyDocument, DocumentError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    let fits = blob::snapshot_policy(&policy.name) == blob_name
        && !policy.name.is_empty()
        && policy.name.chars().all(plain);
    if !policy.form.is_understood() {
        return Err(DocumentError::Newer {
            container: container::CONFIG.to_owned(),
            name: blob_name.to_owned(),
            needs: policy.form.needs_format,
        });
    }
    let expected = if !fits {
        "named as the policy inside (letters, digits, '-', '_', '.')"
    } else if policy.interval_seconds == 0 {
        "a policy with an interval above 0"
    } else {
        return Ok(policy);
    };
    Err(DocumentError::Invalid {
        container: container::CONFIG.to_owned(),
        name: blob_name.to_owned(),
        expected,
    })
}

async fn bytes(
    store: &dyn BlobStore,
    container: &str,
    name: &str,
) -> Result<Option<bytes::Bytes>, DocumentError> {
    let read = store.get(container, name).await;
    let read = read.map_err(|source| DocumentError::Blob {
        container: container.to_owned(),
        name: name.to_owned(),
        source: Box::new(source),
    })?;
    Ok(read.map(|content| content.bytes))
}

async fn json<T: DeserializeOwned>(
    store: &dyn BlobStore,
    container: &str,
    name: &str,
) -> Result<Option<T>, DocumentError> {
    let Some(bytes) = bytes(store, container, name).await? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|source| DocumentError::Malformed {
        container: container.to_owned(),
        name: name.to_owned(),
        source,
    })
}

async fn required_json<T: DeserializeOwned>(
    store: &dyn BlobStore,
    container: &str,
    name: &str,
) -> Result<T, DocumentError> {
    json(store, container, name).await?.ok_or_else(|| DocumentError::Missing {
        container: container.to_owned(),
        name: name.to_owned(),
    })
}

async fn text(store: &dyn BlobStore, container: &str, name: &str) -> Result<Secret, DocumentError> {
    let Some(bytes) = bytes(store, container, name).await? else {
        let (container, name) = (container.to_owned(), name.to_owned());
        return Err(DocumentError::Missing { container, name });
    };
    match std::str::from_utf8(&bytes) {
        Ok(text) if !text.trim().is_empty() => Ok(Secret::new(text)),
        _ => Err(DocumentError::Invalid {
            container: container.to_owned(),
            name: name.to_owned(),
            expected: "text",
        }),
    }
}

fn uuid_text(secret: &Secret, container: &str, name: &str) -> Result<Secret, DocumentError> {
    let trimmed = secret.expose().trim();
    if Uuid::try_parse(trimmed).is_ok() {
        return Ok(Secret::new(trimmed));
    }
    Err(DocumentError::Invalid {
        container: container.to_owned(),
        name: name.to_owned(),
        expected: "a UUID",
    })
}

fn gossip_text(secret: &Secret) -> Result<Secret, DocumentError> {
    let trimmed = secret.expose().trim();
    if STANDARD.decode(trimmed).is_ok_and(|key| key.len() == 32) {
        return Ok(Secret::new(trimmed));
    }
    Err(DocumentError::Invalid {
        container: container::SECRETS_SHARED.to_owned(),
        name: blob::GOSSIP_KEY.to_owned(),
        expected: "32 bytes in base64",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_gossip_key_is_refused_without_showing_it() {
        let error = gossip_text(&Secret::new("c2hvcnQ=")).unwrap_err();
        assert_eq!(error.to_string(), "secrets-shared/gossip-key must be 32 bytes in base64");
        assert!(gossip_text(&Secret::new(STANDARD.encode([7; 32]) + "\n")).is_ok());
    }

    #[test]
    fn a_policy_must_carry_the_name_of_its_blob() {
        use hcs_planner::dataplane::{Form, OnDelete};
        let policy = |name: &str, interval_seconds| SnapshotPolicyDocument {
            name: name.to_owned(),
            interval_seconds,
            retain_count: 3,
            enabled: true,
            incarnation_id: None,
            is_held: true,
            on_delete: OnDelete::Keep,
            form: Form::default(),
        };
        assert!(check_policy(policy("hourly", 60), "snapshot-policies/hourly.json").is_ok());
        assert!(check_policy(policy("hourly", 0), "snapshot-policies/hourly.json").is_err());
        assert!(check_policy(policy("other", 60), "snapshot-policies/hourly.json").is_err());
        assert!(check_policy(policy("a/../b", 60), "snapshot-policies/a/../b.json").is_err());
    }
}
