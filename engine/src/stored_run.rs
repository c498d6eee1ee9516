//! A run on a cluster that its own documents describe: for what changes a cluster without a declaration.

use std::sync::Arc;

use hcs_planner::dataplane::{blob, container};
use hcs_planner::ownership::{Claim, FixedInputs, RunOutcome, RunRecord};
use hcs_planner::spec::ClusterSpec;
use serde::de::DeserializeOwned;

use crate::arm::Arm;
use crate::blob::{BlobError, BlobStore};
use crate::error::EngineError;
use crate::lease::{ClaimError, GroupSays, Lease};

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum NoRun {
    /// No cluster was made here, or not to its end.
    #[error("there is no finished cluster here: config/{0} is missing")]
    NoCluster(&'static str),
    /// Somebody works on it.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The account.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// An open run.
pub(crate) struct StoredRun {
    /// What is declared.
    pub(crate) spec: ClusterSpec,
    /// Held until [`Self::end`].
    pub(crate) lease: Arc<Lease>,
    /// Whether some state holds the cluster.
    is_held: bool,
}

impl StoredRun {
    /// Opens one as soon as nobody else works.
    pub(crate) async fn open(
        arm: &Arm,
        store: &Arc<dyn BlobStore>,
        holder: &str,
    ) -> Result<Self, NoRun> {
        let spec: ClusterSpec = needed(store.as_ref(), blob::SPEC).await?.0;
        let record: RunRecord = needed(store.as_ref(), blob::RUN).await?.0;
        let incarnation_id = Some(record.incarnation_id.as_str());
        let claim = Claim::Update(incarnation_id.map(str::to_owned));
        let group = GroupSays { incarnation_id, is_given: record.group_given };
        let fixed = FixedInputs::of(&spec);
        let store = Arc::clone(store);
        let (lease, before) = Lease::open(arm, store, &claim, &fixed, group, holder).await?;
        let is_held = before.is_none_or(|before| before.is_held());
        Ok(Self { spec, lease: Arc::new(lease), is_held })
    }

    /// Works and beats until the end. What no state held before is still the next create's to go on with.
    pub(crate) async fn end<T, E: From<EngineError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let result = tokio::select! {
            biased;
            result = work => result,
            never = self.lease.beat() => match never {},
        };
        let outcome = if result.is_ok() { RunOutcome::Done } else { RunOutcome::Failed };
        if self.is_held {
            self.lease.close(outcome).await?;
        } else {
            self.lease.release(outcome).await?;
        }
        result
    }
}

/// A document of `config` with its etag.
pub(crate) async fn needed<T: DeserializeOwned>(
    store: &dyn BlobStore,
    name: &'static str,
) -> Result<(T, String), NoRun> {
    let content = match store.get(container::CONFIG, name).await {
        Err(BlobError::NoContainer { .. }) => None,
        content => content.map_err(EngineError::from)?,
    };
    let content = content.ok_or(NoRun::NoCluster(name))?;
    let read = serde_json::from_slice(&content.bytes);
    let read = read.map_err(|error| EngineError::BadDocument {
        container: container::CONFIG.to_owned(),
        name: name.to_owned(),
        what: "a document of a cluster",
        reason: error.to_string(),
    })?;
    Ok((read, content.etag))
}
