//! Asks the servers of a cluster for other versions of secrets without a plan: as a changed trigger of the declaration does,
//! and nothing else of the cluster is touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use hcs_planner::dataplane::{ClusterDocument, blob, container};
use hcs_planner::names::Names;
use hcs_planner::ownership::{Claim, FixedInputs, RunOutcome, RunRecord};
use hcs_planner::plan::{Secret, SecretKind};
use hcs_planner::rotation::{Rotated, SecretVersion, declared};
use hcs_planner::spec::ClusterSpec;
use serde::de::DeserializeOwned;

use crate::arm::Arm;
use crate::blob::{BlobError, BlobStore, WriteCondition};
use crate::document;
use crate::entropy;
use crate::error::EngineError;
use crate::lease::{ClaimError, GroupSays, Lease};
use crate::secrets::Mint;

/// Why nothing is rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// There is no cluster that a state holds.
    #[error("there is no finished cluster here: config/{0} is missing")]
    NoCluster(&'static str),
    /// A newer version wrote the document.
    #[error("config/cluster.json needs form {0}, which this version does not understand")]
    Newer(u32),
    /// Somebody works on it.
    #[error(transparent)]
    Claim(#[from] ClaimError),
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
    let (spec, _): (ClusterSpec, _) = read(store.as_ref(), blob::SPEC).await?;
    let (record, _): (RunRecord, _) = read(store.as_ref(), blob::RUN).await?;
    let incarnation = Some(record.incarnation_id.as_str());
    let claim = Claim::Update(incarnation.map(str::to_owned));
    let group = GroupSays { incarnation_id: incarnation, is_given: record.group_given };
    let fixed = FixedInputs::of(&spec);
    let (lease, _) = Lease::open(arm, Arc::clone(&store), &claim, &fixed, group, holder).await?;
    let work = ask(arm, &store, &spec, secrets);
    let asked = tokio::select! {
        biased;
        asked = work => asked,
        never = lease.beat() => match never {},
    };
    let outcome = if asked.is_ok() { RunOutcome::Done } else { RunOutcome::Failed };
    lease.close(outcome).await?;
    asked
}

async fn ask(
    arm: &Arm,
    store: &Arc<dyn BlobStore>,
    spec: &ClusterSpec,
    secrets: &[Rotated],
) -> Result<BTreeMap<Rotated, SecretVersion>, RotateError> {
    let (mut document, etag): (ClusterDocument, _) = read(store.as_ref(), blob::CLUSTER).await?;
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

async fn read<T: DeserializeOwned>(
    store: &dyn BlobStore,
    name: &'static str,
) -> Result<(T, String), RotateError> {
    let content = match store.get(container::CONFIG, name).await {
        Err(BlobError::NoContainer { .. }) => None,
        content => content?,
    };
    let content = content.ok_or(RotateError::NoCluster(name))?;
    let read = serde_json::from_slice(&content.bytes);
    let read = read.map_err(|error| EngineError::BadDocument {
        container: container::CONFIG.to_owned(),
        name: name.to_owned(),
        what: "a document of a cluster",
        reason: error.to_string(),
    })?;
    Ok((read, content.etag))
}
