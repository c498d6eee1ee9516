//! The cluster's blobs as a run writes them: never without the lease, and patient where a right or a name that is new
//! has not spread yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::ACCESS_MINUTES_MAX;
use crate::arm::{Arm, backoff};
use crate::blob::{BlobContent, BlobEntry, BlobError, BlobStore, BlockStore, WriteCondition};
use crate::lease::{Fence, Lease};

/// A right that worked a moment ago may be denied by a replica that has not heard of it.
const FLICKER_SECONDS_MAX: u64 = 120;

/// The storage service may be out of order for so long before a step fails.
const AWAY_SECONDS_MAX: u64 = 180;

/// A try of a small write ends sooner than a lease that was trusted when it began can be another run's: what is trusted is
/// at most 15 seconds old, and who is silent for 30 is dead.
const WRITE_TRY_MAX: Duration = Duration::from_secs(10);
/// Documents, requests and secrets are far smaller, programs far larger.
const SMALL_BYTES_MAX: usize = 1024 * 1024;

/// Until when a denial may be one that passes.
#[derive(Clone)]
pub(crate) struct Patience {
    until_ms: Arc<AtomicU64>,
}

impl Patience {
    /// For a run that begins now.
    pub(super) fn new(arm: &Arm) -> Self {
        let until_ms = arm.clock.monotonic_ms() + FLICKER_SECONDS_MAX * 1000;
        Self { until_ms: Arc::new(AtomicU64::new(until_ms)) }
    }

    /// A right was given just now.
    pub(crate) fn note_grant(&self, arm: &Arm) {
        let until_ms = arm.clock.monotonic_ms() + ACCESS_MINUTES_MAX * 60_000;
        self.until_ms.store(until_ms, Ordering::Relaxed);
    }

    /// The store, under this patience and the lease.
    pub(super) fn over(
        &self,
        arm: &Arm,
        store: Arc<dyn BlockStore>,
        lease: Option<&Arc<Lease>>,
    ) -> Arc<dyn BlockStore> {
        let (arm, lease) = (arm.clone(), lease.cloned());
        Arc::new(RunStore { arm, store, lease, patience: self.clone() })
    }
}

struct RunStore {
    arm: Arm,
    store: Arc<dyn BlockStore>,
    lease: Option<Arc<Lease>>,
    patience: Patience,
}

impl RunStore {
    async fn patiently<T, F>(&self, writes: bool, once: impl Fn() -> F) -> Result<T, BlobError>
    where
        F: Future<Output = Result<T, BlobError>>,
    {
        let (mut attempt, started_ms) = (0, self.arm.clock.monotonic_ms());
        loop {
            attempt += 1;
            if let (Some(lease), true) = (&self.lease, writes) {
                lease.check().await.map_err(|error| BlobError::Fenced(Box::new(error)))?;
            }
            let error = match once().await {
                Err(error @ (BlobError::Denied { .. } | BlobError::Unavailable { .. })) => error,
                result => return result,
            };
            // A service may be out of order at any time; a right only flickers when it is new.
            let until_ms = match error {
                BlobError::Unavailable { .. } => started_ms + AWAY_SECONDS_MAX * 1000,
                _ => self.patience.until_ms.load(Ordering::Relaxed),
            };
            if self.arm.clock.monotonic_ms() >= until_ms {
                return Err(error);
            }
            tracing::debug!(error = %crate::error::chain(&error), "not yet, trying again");
            let wait = self.arm.jittered(backoff(attempt), "blob", attempt);
            self.arm.sleep(wait).await.map_err(|error| BlobError::Fenced(Box::new(error)))?;
        }
    }
}

impl RunStore {
    /// One try, ended before the lease that it began under can have gone to another run: the store's own tries would go on
    /// without asking. Large blobs are programs under the name of their content, the same whoever writes them.
    async fn soon<T>(
        &self,
        once: impl Future<Output = Result<T, BlobError>>,
    ) -> Result<T, BlobError> {
        tokio::select! {
            biased;
            result = once => result,
            () = self.arm.clock.sleep(WRITE_TRY_MAX) => Err(BlobError::Unavailable {
                account: "the cluster's storage".into(),
                source: "a write had no answer in ten seconds".into(),
            }),
        }
    }
}

#[async_trait]
impl BlobStore for RunStore {
    async fn get(&self, container: &str, name: &str) -> Result<Option<BlobContent>, BlobError> {
        self.patiently(false, || self.store.get(container, name)).await
    }

    async fn put(
        &self,
        container: &str,
        name: &str,
        bytes: Bytes,
        condition: WriteCondition,
    ) -> Result<String, BlobError> {
        let is_small = bytes.len() <= SMALL_BYTES_MAX;
        let once = || async {
            let put = self.store.put(container, name, bytes.clone(), condition.clone());
            if is_small { self.soon(put).await } else { put.await }
        };
        self.patiently(true, once).await
    }

    async fn delete(&self, container: &str, name: &str) -> Result<bool, BlobError> {
        self.patiently(true, || self.soon(self.store.delete(container, name))).await
    }

    async fn set_metadata(
        &self,
        container: &str,
        name: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), BlobError> {
        let once = || self.soon(self.store.set_metadata(container, name, metadata));
        self.patiently(true, once).await
    }

    async fn list(&self, container: &str, prefix: &str) -> Result<Vec<BlobEntry>, BlobError> {
        self.patiently(false, || self.store.list(container, prefix)).await
    }
}

#[async_trait]
impl BlockStore for RunStore {
    async fn stage(
        &self,
        container: &str,
        name: &str,
        block_id: &str,
        bytes: Bytes,
    ) -> Result<(), BlobError> {
        // Nobody sees a part before the commit, so a slow line may take its time.
        let once = || self.store.stage(container, name, block_id, bytes.clone());
        self.patiently(true, once).await
    }

    async fn commit(
        &self,
        container: &str,
        name: &str,
        block_ids: &[String],
        metadata: &BTreeMap<String, String>,
        condition: WriteCondition,
    ) -> Result<String, BlobError> {
        let once = || {
            let condition = condition.clone();
            self.soon(self.store.commit(container, name, block_ids, metadata, condition))
        };
        self.patiently(true, once).await
    }

    async fn read_part(
        &self,
        container: &str,
        name: &str,
        offset: u64,
        bytes_max: usize,
        etag: Option<&str>,
    ) -> Result<Option<BlobContent>, BlobError> {
        let once = || self.store.read_part(container, name, offset, bytes_max, etag);
        self.patiently(false, once).await
    }
}
