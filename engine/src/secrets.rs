//! Makes a cluster's secrets once. Each is written only where nothing is, and what is there is read back: a run that
//! was killed in between changes nothing for the next one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::names::Names;
use hcs_planner::plan::{Secret, SecretKind};
use hcs_planner::rotation::SecretVersion;
use hcs_planner::spec::ClusterSpec;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::blob::{BlobError, BlobStore, WriteCondition};
use crate::entropy::{self, Entropy};
use crate::error::EngineError;

/// Ten years: a CA change touches every client.
const CA_DAYS: i64 = 3650;
/// Clocks of servers may run behind ours, and those of whoever applies ahead of theirs, by this much.
pub const BACKDATE_MINUTES: u32 = 60;

/// Makes secrets in one account.
pub struct Mint<'a> {
    /// The account.
    pub store: Arc<dyn BlobStore>,
    /// The cluster.
    pub spec: &'a ClusterSpec,
    /// Its names.
    pub names: &'a Names,
    /// Now, milliseconds since the Unix epoch.
    pub now_unix_ms: u64,
    /// What tokens and the gossip key are drawn from.
    pub entropy: &'a dyn Entropy,
}

impl Mint<'_> {
    /// Makes this version of the secret unless it exists.
    pub async fn mint(&self, secret: &Secret) -> Result<(), EngineError> {
        let version = &secret.version;
        match secret.kind {
            SecretKind::GossipKey => {
                let mut key = Zeroizing::new([0_u8; 32]);
                self.entropy.fill(key.as_mut())?;
                let (text, name) = (STANDARD.encode(key.as_ref()), version.blob(blob::GOSSIP_KEY));
                self.once(container::SECRETS_SHARED, &name, text).await?;
            }
            SecretKind::ManagementToken => {
                let token = entropy::uuid(self.entropy)?;
                let name = version.blob(blob::MANAGEMENT_TOKEN);
                self.once(container::SECRETS_SHARED, &name, token).await?;
            }
            SecretKind::AgentToken { slot } => {
                let token = entropy::uuid(self.entropy)?;
                let name = version.blob(blob::AGENT_TOKEN);
                self.once(&container::secrets(slot), &name, token).await?;
            }
            SecretKind::CertificateAuthority => self.authority(version).await?,
        }
        Ok(())
    }

    async fn authority(&self, version: &SecretVersion) -> Result<(), EngineError> {
        let key = self.key(container::SECRETS_SHARED, &version.blob(blob::CA_KEY)).await?;
        let name = version.blob(blob::CA_CERTIFICATE);
        if self.store.get(container::CERTIFICATES, &name).await?.is_some() {
            return Ok(());
        }
        let certificate =
            self.authority_params(version)?.self_signed(&key).map_err(crypto("the CA"))?;
        self.once(container::CERTIFICATES, &name, certificate.pem()).await?;
        Ok(())
    }

    fn authority_params(&self, version: &SecretVersion) -> Result<CertificateParams, EngineError> {
        let mut params = CertificateParams::default();
        // Two authorities of one name would be hard to tell apart for people and for some libraries.
        let which = version.id().and_then(|id| id.get(..8)).map(|id| format!(" {id}"));
        let which = which.unwrap_or_default();
        let name = format!("hcs {} {} CA{which}", self.spec.name, self.names.uid);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let seconds = i64::try_from(self.now_unix_ms / 1000).unwrap_or(i64::MAX);
        let now = OffsetDateTime::from_unix_timestamp(seconds).map_err(crypto("a validity"))?;
        params.not_before = now - Duration::minutes(BACKDATE_MINUTES.into());
        params.not_after = now + Duration::days(CA_DAYS);
        Ok(params)
    }

    /// The private key under this name, made if it is not there.
    async fn key(&self, container: &str, name: &str) -> Result<KeyPair, EngineError> {
        let what = "a private key";
        let pem = match self.store.get(container, name).await? {
            Some(content) => content.bytes,
            None => {
                let pair = KeyPair::generate().map_err(crypto(what))?;
                self.once(container, name, pair.serialize_pem()).await?
            }
        };
        let pem = Zeroizing::new(String::from_utf8_lossy(&pem).into_owned());
        KeyPair::from_pem(&pem).map_err(crypto(what))
    }

    /// Writes `text` where nothing is; returns what is stored in the end.
    async fn once(&self, container: &str, name: &str, text: String) -> Result<Bytes, EngineError> {
        let bytes = Bytes::from(text);
        match self.store.put(container, name, bytes.clone(), WriteCondition::Absent).await {
            Ok(_) => Ok(bytes),
            Err(BlobError::ConditionFailed { .. }) => self.read(container, name).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn read(&self, container: &str, name: &str) -> Result<Bytes, EngineError> {
        let content = self.store.get(container, name).await?;
        content.map(|content| content.bytes).ok_or_else(|| EngineError::BadDocument {
            container: container.to_owned(),
            name: name.to_owned(),
            what: "a secret",
            reason: "it was deleted while the cluster was being made".into(),
        })
    }
}

/// A public SSH key whose private half nobody knows: it is the hash of a name. The same for a cluster each time, since
/// Azure takes no other key for a scale set that exists, and a write that failed is repeated.
pub fn unusable_ssh_public_key(cluster_id: &str) -> String {
    let point = Sha256::digest(format!("hcs: nobody logs in to {}", cluster_id.to_lowercase()));
    let mut blob = Vec::new();
    for field in [b"ssh-ed25519".as_slice(), point.as_slice()] {
        blob.extend(u32::try_from(field.len()).unwrap_or_default().to_be_bytes());
        blob.extend(field);
    }
    format!("ssh-ed25519 {} hcs-nobody", STANDARD.encode(blob))
}

fn crypto<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> EngineError {
    move |error| EngineError::Crypto { what, reason: error.to_string() }
}
