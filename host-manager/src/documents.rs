//! Reads the cluster's documents and secrets from blobs and checks them before use.
//!
//! Writes nothing but the one token that servers make themselves, and no error repeats what a blob holds.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hcs_engine::blob::{BlobError, BlobStore, BlobStores, BlockStore, WriteCondition};
use hcs_engine::versions;
use hcs_planner::adoption::Adoption;
use hcs_planner::dataplane::{ClusterDocument, ServerStatus, blob, container};
use hcs_planner::requests::Request;
use hcs_planner::restore::Restore;
use hcs_planner::rotation::{Rotated, RotationsDocument, SecretVersion, Turn, turn};
use hcs_planner::snapshots::policy::{PolicyReport, SnapshotPolicyDocument};
use hcs_planner::upgrade::Upgrade;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::formation::FORMED_MARKER;
use crate::secrets::Secret;

/// The two views of the storage account that a server has, and its way into others.
#[derive(Clone)]
pub struct Stores {
    /// As the identity that all servers share.
    pub shared: Arc<dyn BlockStore>,
    /// As the identity of this server's slot.
    pub own: Arc<dyn BlobStore>,
    /// Accounts of somebody, as the identity that all servers share.
    pub elsewhere: Arc<dyn BlobStores>,
    /// Blob endpoint of the cluster's own account: how those of others have to read.
    pub blob_endpoint: String,
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
    /// The key in use: 32 bytes, base64.
    pub gossip_key: Secret,
    /// Secret id of the management token in use; never kept in a file on a disk, so a start without the storage account has
    /// none.
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

    /// `config/adoption.json`, while the cluster takes over from servers of before.
    pub async fn adoption(&self) -> Result<Option<Adoption>, DocumentError> {
        json(&*self.shared, container::CONFIG, blob::ADOPTION).await
    }

    /// What the servers have decided about rotations, and the etag to write it again. Not asked for where nothing was ever
    /// rotated: the container, or the right to read it, may be as new as this host manager.
    pub async fn decisions(
        &self,
        cluster: &ClusterDocument,
    ) -> Result<(RotationsDocument, Option<String>), DocumentError> {
        if cluster.rotations.values().all(|rotation| rotation.version.is_first()) {
            return Ok((RotationsDocument::default(), None));
        }
        let (decisions, etag) = self.decision(blob::ROTATIONS).await?;
        Ok((decisions.unwrap_or_default(), etag))
    }

    /// Writes what the servers have decided, unless another one has since.
    pub async fn decide(
        &self,
        decisions: &RotationsDocument,
        etag: Option<String>,
    ) -> Result<String, BlobError> {
        self.put_decision(blob::ROTATIONS, decisions, etag).await
    }

    /// The last way from one Consul to another, and the etag to write it again. A note that cannot be read is an error: what
    /// runs follows from it.
    pub async fn upgrade(&self) -> Result<(Option<Upgrade>, Option<String>), DocumentError> {
        self.decision(blob::UPGRADE).await
    }

    /// The last restore, and the etag to write it again.
    pub async fn restore(&self) -> Result<(Option<Restore>, Option<String>), DocumentError> {
        self.decision(blob::RESTORE).await
    }

    /// Notes it, unless another server has noted something since.
    pub async fn note_restore(
        &self,
        restore: &Restore,
        etag: Option<String>,
    ) -> Result<String, BlobError> {
        self.put_decision(blob::RESTORE, restore, etag).await
    }

    /// Notes it, unless another server has noted something since.
    pub async fn note_upgrade(
        &self,
        upgrade: &Upgrade,
        etag: Option<String>,
    ) -> Result<String, BlobError> {
        self.put_decision(blob::UPGRADE, upgrade, etag).await
    }

    /// How a policy goes, and the etag to write it again. What was noted of another one of its name is forgotten.
    pub async fn policy_report(
        &self,
        policy: &SnapshotPolicyDocument,
    ) -> Result<(PolicyReport, Option<String>), DocumentError> {
        let (noted, etag) = self.decision(&blob::policy_report(&policy.name)).await?;
        Ok((PolicyReport::of(policy, noted), etag))
    }

    /// Notes it, unless another server has noted something since.
    pub async fn note_policy_report(
        &self,
        policy: &str,
        report: &PolicyReport,
        etag: Option<String>,
    ) -> Result<String, BlobError> {
        self.put_decision(&blob::policy_report(policy), report, etag).await
    }

    /// What the servers wrote last under this name, and its etag.
    async fn decision<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<(Option<T>, Option<String>), DocumentError> {
        match self.shared.get(container::DECISIONS, name).await {
            Ok(None) | Err(BlobError::NoContainer { .. }) => Ok((None, None)),
            Ok(Some(content)) => match serde_json::from_slice(&content.bytes) {
                Ok(read) => Ok((Some(read), Some(content.etag))),
                Err(source) => Err(DocumentError::Malformed {
                    container: container::DECISIONS.to_owned(),
                    name: name.to_owned(),
                    source,
                }),
            },
            Err(source) => Err(unread(container::DECISIONS, name, source)),
        }
    }

    /// Writes over what has this etag, or where nothing was.
    async fn put_decision<T: Serialize>(
        &self,
        name: &str,
        decision: &T,
        etag: Option<String>,
    ) -> Result<String, BlobError> {
        let condition = etag.map_or(WriteCondition::Absent, WriteCondition::Matches);
        let text = serde_json::to_vec_pretty(decision).unwrap_or_default();
        self.shared.put(container::DECISIONS, name, text.into(), condition).await
    }

    /// Everything secret that this server may read, in the versions in use.
    pub async fn secrets(
        &self,
        slot: u32,
        cluster: &ClusterDocument,
        decisions: &RotationsDocument,
    ) -> Result<ServerSecrets, DocumentError> {
        let own = container::secrets(slot);
        let turn = |what| turn(&cluster.rotations, decisions, what);
        let (agent, gossip) = (turn(Rotated::AgentTokens), turn(Rotated::GossipKey));
        let management = turn(Rotated::ManagementToken);
        let authority = turn(Rotated::CertificateAuthority);
        let (ca_pem, agent_token, gossip_key, management_token) = tokio::try_join!(
            self.authorities(&authority),
            self.agent_token(&own, &agent),
            self.gossip_key(&gossip),
            self.management_token(management.in_use),
        )?;
        Ok(ServerSecrets {
            ca_pem,
            agent_token,
            gossip_key,
            management_token: Some(management_token),
        })
    }

    /// The certificates to trust; the first one signs.
    async fn authorities(&self, turn: &Turn<'_>) -> Result<String, DocumentError> {
        let (container, name) = (container::CERTIFICATES, blob::CA_CERTIFICATE);
        let read = versions::authorities(&*self.shared, turn).await;
        let read = read.map_err(|source| unread(container, name, source))?;
        read.ok_or_else(|| DocumentError::Missing {
            container: container.to_owned(),
            name: name.to_owned(),
        })
    }

    /// This server's own: the newest at once, for it replaces the one before by itself.
    async fn agent_token(&self, own: &str, turn: &Turn<'_>) -> Result<Secret, DocumentError> {
        let name = turn.target.blob(blob::AGENT_TOKEN);
        uuid_text(&text(&*self.own, own, &name).await?, own, &name)
    }

    /// The key that starts a gossip pool's keyring on this server: one that somebody rotated by hand counts before ours.
    async fn gossip_key(&self, turn: &Turn<'_>) -> Result<Secret, DocumentError> {
        match self.adopted_gossip_key().await? {
            Some(adopted) => Ok(adopted),
            None => self.gossip_key_of(turn.in_use).await,
        }
    }

    /// A version of the gossip key.
    pub async fn gossip_key_of(&self, version: &SecretVersion) -> Result<Secret, DocumentError> {
        let name = version.blob(blob::GOSSIP_KEY);
        gossip_text(&text(&*self.shared, container::SECRETS_SHARED, &name).await?)
    }

    /// The key that somebody rotated to by hand, as the leading server saw it.
    pub async fn adopted_gossip_key(&self) -> Result<Option<Secret>, DocumentError> {
        let (container, name) = (container::SECRETS_CLIENT, blob::ADOPTED_GOSSIP_KEY);
        if bytes(&*self.shared, container, name).await?.is_none() {
            return Ok(None);
        }
        gossip_text(&text(&*self.shared, container, name).await?).map(Some)
    }

    /// Notes the key that somebody rotated to by hand, or that it is one of ours again.
    pub async fn adopt_gossip_key(&self, key: Option<&Secret>) -> Result<(), BlobError> {
        let (container, name) = (container::SECRETS_CLIENT, blob::ADOPTED_GOSSIP_KEY);
        match key {
            None => self.shared.delete(container, name).await.map(drop),
            Some(key) => {
                let text = key.expose().to_owned();
                let put = self.shared.put(container, name, text.into(), WriteCondition::Always);
                put.await.map(drop)
            }
        }
    }

    /// A version of the management token.
    pub async fn management_token(&self, version: &SecretVersion) -> Result<Secret, DocumentError> {
        let (shared, name) = (container::SECRETS_SHARED, version.blob(blob::MANAGEMENT_TOKEN));
        uuid_text(&text(&*self.shared, shared, &name).await?, shared, &name)
    }

    /// The key with which the CA signs: read when something is to be signed, and kept nowhere.
    pub async fn authority_key(&self, version: &SecretVersion) -> Result<Secret, DocumentError> {
        text(&*self.shared, container::SECRETS_SHARED, &version.blob(blob::CA_KEY)).await
    }

    /// A version of the token of client agents; the first server that asks makes it up.
    pub async fn client_token(&self, version: &SecretVersion) -> Result<Secret, DocumentError> {
        let (container, name) = (container::SECRETS_CLIENT, &version.blob(blob::CLIENT_TOKEN));
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

    /// The same, with the time since, by the account's clock.
    pub async fn status_and_age(
        &self,
        slot: u32,
    ) -> Result<Option<(ServerStatus, Option<Duration>)>, DocumentError> {
        let (container, name) = (container::status(slot), blob::STATUS);
        let read = self.shared.get(&container, name).await;
        let read = read.map_err(|source| unread(&container, name, source))?;
        let Some(found) = read else { return Ok(None) };
        let status = serde_json::from_slice(&found.bytes).map_err(|source| {
            DocumentError::Malformed { container, name: name.to_owned(), source }
        })?;
        Ok(Some((status, found.age)))
    }

    /// When the storage account answered just now, by its own clock; none where it does not say, or this server has not
    /// published anything yet.
    pub async fn served_unix_s(&self, slot: u32) -> Result<Option<i64>, BlobError> {
        let found = self.own.get(&container::status(slot), blob::STATUS).await?;
        Ok(found.and_then(|found| found.served_unix_s))
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

    /// What the server of this slot, or whichever leads, is asked to do.
    pub async fn request(&self, slot: Option<u32>) -> Result<Option<Request>, DocumentError> {
        json(&*self.shared, container::REQUESTS, &blob::request(slot)).await
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
                Ok(Some(policy)) => {
                    policies.push(check_policy(policy, &entry.name, &self.blob_endpoint));
                }
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
    own_endpoint: &str,
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
    let is_somewhere = policy.place.as_ref().is_none_or(|place| {
        place.is_of_its_account(own_endpoint) && !place.folder.trim_matches('/').is_empty()
    });
    let expected = if !fits {
        "named as the policy inside (letters, digits, '-', '_', '.')"
    } else if !is_somewhere {
        "a policy whose container is named by its id, with its account's own blob endpoint and a folder in it"
    } else if policy.schedule(1.0).is_err() {
        "a policy with an interval above 0, or a cron pattern and its time zone"
    } else {
        return Ok(policy);
    };
    Err(DocumentError::Invalid {
        container: container::CONFIG.to_owned(),
        name: blob_name.to_owned(),
        expected,
    })
}

fn unread(container: &str, name: &str, source: BlobError) -> DocumentError {
    let (container, name) = (container.to_owned(), name.to_owned());
    DocumentError::Blob { container, name, source: Box::new(source) }
}

async fn bytes(
    store: &dyn BlobStore,
    container: &str,
    name: &str,
) -> Result<Option<bytes::Bytes>, DocumentError> {
    let read = store.get(container, name).await;
    let read = read.map_err(|source| unread(container, name, source))?;
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
    use hcs_planner::snapshots::place::PolicyPlace;

    #[test]
    fn a_short_gossip_key_is_refused_without_showing_it() {
        let error = gossip_text(&Secret::new("c2hvcnQ=")).unwrap_err();
        assert_eq!(error.to_string(), "secrets-shared/gossip-key must be 32 bytes in base64");
        assert!(gossip_text(&Secret::new(STANDARD.encode([7; 32]) + "\n")).is_ok());
    }

    #[test]
    fn a_policy_must_carry_the_name_of_its_blob() {
        let policy = |name: &str, seconds| SnapshotPolicyDocument {
            interval_seconds: Some(seconds),
            ..SnapshotPolicyDocument::named(name)
        };
        let own = "https://hcs0a1b.blob.core.windows.net/";
        let check = |policy, name: &str| check_policy(policy, name, own);
        for (endpoint, is_good) in
            [("https://backups.blob.core.windows.net/", true), ("https://evil.example/", false)]
        {
            let place = PolicyPlace {
                container_id: "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/backups/blobServices/default/containers/consul".to_owned(),
                blob_endpoint: endpoint.to_owned(),
                folder: "demo-0a1b2c3d".to_owned(),
                since: String::new(),
            };
            let there = SnapshotPolicyDocument { place: Some(place), ..policy("hourly", 60) };
            let checked = check(there, "snapshot-policies/hourly.json");
            assert_eq!(checked.is_ok(), is_good, "no token goes to {endpoint}");
        }
        assert!(check(policy("hourly", 60), "snapshot-policies/hourly.json").is_ok());
        assert!(check(policy("hourly", 0), "snapshot-policies/hourly.json").is_err());
        assert!(check(policy("other", 60), "snapshot-policies/hourly.json").is_err());
        assert!(check(policy("a/../b", 60), "snapshot-policies/a/../b.json").is_err());
    }
}
