//! Which version of each secret a cluster uses, as its document and its servers say.

use hcs_planner::dataplane::{ClusterDocument, blob, container};
use hcs_planner::rotation::{Rotated, Rotations, RotationsDocument, Turn, turn};

use crate::blob::{BlobError, BlobStore};

/// Versions of a cluster's secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    rotations: Rotations,
    decisions: RotationsDocument,
}

impl Versions {
    /// Of the cluster with this document. What the servers say is read only where something was ever rotated. A document of
    /// servers that cannot be read leaves what was in use before.
    pub async fn of(
        store: &dyn BlobStore,
        document: Option<&ClusterDocument>,
    ) -> Result<Self, BlobError> {
        let rotations = document.map(|document| document.rotations.clone()).unwrap_or_default();
        if rotations.values().all(|rotation| rotation.version.is_first()) {
            return Ok(Self { rotations, decisions: RotationsDocument::default() });
        }
        let read = match store.get(container::DECISIONS, blob::ROTATIONS).await {
            Err(BlobError::NoContainer { .. }) => None,
            read => read?,
        };
        let decisions = read.and_then(|content| serde_json::from_slice(&content.bytes).ok());
        Ok(Self { rotations, decisions: decisions.unwrap_or_default() })
    }

    /// The same, for whoever has not read the cluster's document.
    pub async fn read(store: &dyn BlobStore) -> Result<Self, BlobError> {
        let content = store.get(container::CONFIG, blob::CLUSTER).await?;
        let document = content.and_then(|content| serde_json::from_slice(&content.bytes).ok());
        Self::of(store, document.as_ref()).await
    }

    /// Where a secret stands.
    pub fn turn(&self, what: Rotated) -> Turn<'_> {
        turn(&self.rotations, &self.decisions, what)
    }

    /// Secrets that were ever rotated.
    pub fn rotated(&self) -> impl Iterator<Item = (Rotated, Turn<'_>)> {
        let all = Rotated::ALL.into_iter().map(|what| (what, self.turn(what)));
        all.filter(|(_, turn)| turn.phase.is_some())
    }

    /// The certificates that a client has to trust, see [`authorities`].
    pub async fn authorities(&self, store: &dyn BlobStore) -> Result<Option<String>, BlobError> {
        authorities(store, &self.turn(Rotated::CertificateAuthority)).await
    }
}

/// The certificates to trust while the CA stands so, PEM; the first one signs. `None` where one is missing.
pub async fn authorities(
    store: &dyn BlobStore,
    turn: &Turn<'_>,
) -> Result<Option<String>, BlobError> {
    let mut all = String::new();
    for version in turn.known() {
        let name = version.blob(blob::CA_CERTIFICATE);
        let Some(content) = store.get(container::CERTIFICATES, &name).await? else {
            return Ok(None);
        };
        let Ok(pem) = std::str::from_utf8(&content.bytes) else { return Ok(None) };
        all.push_str(pem);
        if !all.ends_with('\n') {
            all.push('\n');
        }
    }
    Ok(Some(all))
}
