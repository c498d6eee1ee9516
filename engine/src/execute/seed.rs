//! Gives a cluster that is about to be made the secrets of the servers that it takes over from.

use hcs_planner::adoption::Adoption;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::plan::{Secret, SecretKind};
use zeroize::Zeroizing;

use super::Run;
use crate::blob::{BlobError, WriteCondition};
use crate::document;
use crate::error::EngineError;
use crate::secrets::Mint;

/// What servers of before have, and the cluster's own need to be let in by them.
pub struct Seeds {
    /// The gossip key in use: base64, as Consul has it.
    pub gossip_key: Zeroizing<String>,
    /// The authority that signed their certificates, PEM.
    pub authority_pem: String,
    /// Its private key, PEM.
    pub authority_key_pem: Zeroizing<String>,
}

impl Run<'_> {
    /// Writes the note, then each secret once, then in the note that all are there. Returns the management token that the
    /// cluster's servers will use: Consul has to be told of it. Again, after any end, it does the same.
    pub(crate) async fn seed(
        &self,
        seeds: &Seeds,
        adoption: &Adoption,
    ) -> Result<Zeroizing<String>, EngineError> {
        self.note(&Adoption { is_prepared: false, ..adoption.clone() }).await?;
        let shared = container::SECRETS_SHARED;
        self.once(shared, blob::GOSSIP_KEY, &seeds.gossip_key).await?;
        self.once(shared, blob::CA_KEY, &seeds.authority_key_pem).await?;
        self.once(container::CERTIFICATES, blob::CA_CERTIFICATE, &seeds.authority_pem).await?;
        let mint = Mint {
            store: self.store()?,
            spec: self.spec,
            names: &self.names,
            now_unix_ms: self.arm.clock.now_unix_ms(),
            entropy: self.arm.entropy.as_ref(),
        };
        mint.mint(&Secret::first(SecretKind::ManagementToken)).await?;
        let token = self.store()?.get(shared, blob::MANAGEMENT_TOKEN).await?;
        let token = token.map(|content| String::from_utf8_lossy(&content.bytes).into_owned());
        Ok(Zeroizing::new(token.unwrap_or_default()))
    }

    /// Servers may be made from now on.
    pub(crate) async fn note(&self, adoption: &Adoption) -> Result<(), EngineError> {
        let bytes = document::bytes(blob::ADOPTION, adoption)?;
        let store = self.store()?;
        store.put(container::CONFIG, blob::ADOPTION, bytes, WriteCondition::Always).await?;
        Ok(())
    }

    /// Writes where nothing is. Something else that is there was given before: no server may have one of each.
    async fn once(&self, container: &str, name: &str, text: &str) -> Result<(), EngineError> {
        let (store, bytes) = (self.store()?, text.trim_end().to_owned() + "\n");
        match store.put(container, name, bytes.clone().into(), WriteCondition::Absent).await {
            Ok(_) => Ok(()),
            Err(BlobError::ConditionFailed { .. }) => match store.get(container, name).await? {
                Some(content) if content.bytes == bytes.as_bytes() => Ok(()),
                _ => Err(EngineError::BadDocument {
                    container: container.to_owned(),
                    name: name.to_owned(),
                    what: "what is adopted",
                    reason: "another one is there, of an adoption that was prepared with other files, or of a cluster of \
                             its own"
                        .into(),
                }),
            },
            Err(error) => Err(error.into()),
        }
    }
}
