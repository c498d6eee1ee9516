//! Asks the servers of a cluster for other versions of secrets without a plan: as a changed trigger of the declaration does,
//! and nothing else of the cluster is touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use hcs_planner::dataplane::{ClusterDocument, blob, container};
use hcs_planner::names::Names;
use hcs_planner::plan::{Secret, SecretKind};
use hcs_planner::rotation::{Rotated, SecretVersion, declared};
use hcs_planner::spec::ClusterSpec;

use crate::arm::Arm;
use crate::blob::{BlobError, BlobStore, WriteCondition};
use crate::document;
use crate::entropy;
use crate::error::EngineError;
use crate::secrets::Mint;
use crate::stored_run::{NoRun, StoredRun, needed};

/// Why nothing is rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// There is no cluster, or somebody works on it.
    #[error(transparent)]
    Run(#[from] NoRun),
    /// A newer version wrote the document.
    #[error("config/cluster.json needs form {0}, which this version does not understand")]
    Newer(u32),
    /// The account.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<BlobError> for RotateError {
    fn from(error: BlobError) -> Self {
        Self::Engine(error.into())
    }
}

/// Makes another version of each secret and names it in the cluster's document, under the lease of a run. Returns the
/// versions. Cut off anywhere, it has asked for all or for nothing; a version that nobody names opens nothing.
pub async fn rotate(
    arm: &Arm,
    store: Arc<dyn BlobStore>,
    secrets: &[Rotated],
    holder: &str,
) -> Result<BTreeMap<Rotated, SecretVersion>, RotateError> {
    let run = StoredRun::open(arm, &store, holder).await?;
    run.end(ask(arm, &store, &run.spec, secrets)).await
}

async fn ask(
    arm: &Arm,
    store: &Arc<dyn BlobStore>,
    spec: &ClusterSpec,
    secrets: &[Rotated],
) -> Result<BTreeMap<Rotated, SecretVersion>, RotateError> {
    let (mut document, etag): (ClusterDocument, _) = needed(store.as_ref(), blob::CLUSTER).await?;
    if !document.form.is_understood() {
        return Err(RotateError::Newer(document.form.needs_format));
    }
    let names = Names::new(spec);
    let mut wanted = BTreeMap::new();
    for secret in secrets {
        wanted.insert(*secret, entropy::uuid(arm.entropy.as_ref())?);
    }
    let before = document.rotations.iter();
    let triggers =
        before.filter_map(|(word, rotation)| Some((Rotated::of(word)?, rotation.trigger.clone()?)));
    let triggers = triggers.collect();
    let id = names.cluster_id.as_str();
    document.rotations = declared(Some(&document.rotations), &triggers, &wanted, id);
    let mut versions = BTreeMap::new();
    for secret in secrets {
        let rotation = document.rotations.get(secret.as_str());
        let version = rotation.map(|rotation| rotation.version.clone()).unwrap_or_default();
        let slots = document.slots.iter().chain(&document.others).copied();
        for kind in SecretKind::of_rotation(*secret, slots) {
            let mint = Mint {
                store: Arc::clone(store),
                spec,
                names: &names,
                now_unix_ms: arm.clock.now_unix_ms(),
                entropy: arm.entropy.as_ref(),
            };
            mint.mint(&Secret { kind, version: version.clone() }).await?;
        }
        versions.insert(*secret, version);
    }
    let bytes = document::bytes(blob::CLUSTER, &document)?;
    let condition = WriteCondition::Matches(etag);
    store.put(container::CONFIG, blob::CLUSTER, bytes, condition).await?;
    Ok(versions)
}
