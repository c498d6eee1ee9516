//! Counts the calls of a run and ends it at one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use hcs_engine::blob::{BlobContent, BlobEntry, BlobError, BlobStore, BlobStores, WriteCondition};
use hcs_engine::cloud::{ArmRequest, ArmResponse, Cloud, TransportError};
use hcs_simulator::SimCloud;
use tokio::sync::Notify;

/// Where a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kill {
    /// The call, from 0.
    pub(crate) at: usize,
    /// On which side of it.
    pub(crate) position: Position,
}

/// Side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// Nothing was sent.
    Before,
    /// It was carried out, and nobody learned of it.
    After,
}

/// What all calls of all runs share.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    /// Calls so far.
    pub(crate) calls: AtomicUsize,
    /// Requests to ARM so far that read, and that write.
    pub(crate) reads: AtomicUsize,
    pub(crate) writes: AtomicUsize,
    /// Writes and deletes of blobs so far.
    pub(crate) blob_writes: AtomicUsize,
    /// Containers that were read or listed.
    pub(crate) containers: std::sync::Mutex<std::collections::BTreeSet<String>>,
    /// Tells the run's owner to drop it.
    pub(crate) killed: Notify,
    /// Whether conditions of writes are ignored: a planted bug.
    pub(crate) ignore_conditions: AtomicBool,
}

/// The world, until the kill.
#[derive(Clone)]
pub(crate) struct Interrupted {
    pub(crate) cloud: SimCloud,
    pub(crate) switch: Arc<Switch>,
    /// Absolute number of the call at which the run ends, and the side.
    pub(crate) kill: Option<Kill>,
}

impl Interrupted {
    /// Passes one call through, or never comes back.
    async fn call<T>(&self, work: impl Future<Output = T>) -> T {
        let number = self.switch.calls.fetch_add(1, Ordering::Relaxed);
        let side = self.kill.filter(|kill| kill.at == number).map(|kill| kill.position);
        if side == Some(Position::Before) {
            self.die().await;
        }
        let result = work.await;
        if side == Some(Position::After) {
            self.die().await;
        }
        result
    }

    async fn die(&self) {
        self.switch.killed.notify_one();
        std::future::pending::<()>().await;
    }
}

#[async_trait]
impl Cloud for Interrupted {
    async fn send(&self, request: &ArmRequest) -> Result<ArmResponse, TransportError> {
        let counter =
            if request.method.is_read() { &self.switch.reads } else { &self.switch.writes };
        counter.fetch_add(1, Ordering::Relaxed);
        self.call(self.cloud.send(request)).await
    }

    async fn caller_object_id(&self) -> Result<String, TransportError> {
        self.cloud.caller_object_id().await
    }
}

impl BlobStores for Interrupted {
    fn open(&self, blob_endpoint: &str) -> Result<Arc<dyn BlobStore>, BlobError> {
        let store = self.cloud.open(blob_endpoint)?;
        Ok(Arc::new(InterruptedStore { store, run: self.clone() }))
    }
}

struct InterruptedStore {
    store: Arc<dyn BlobStore>,
    run: Interrupted,
}

impl InterruptedStore {
    fn note(&self, container: &str) {
        if let Ok(mut containers) = self.run.switch.containers.lock() {
            containers.insert(container.to_owned());
        }
    }
}

#[async_trait]
impl BlobStore for InterruptedStore {
    async fn get(&self, container: &str, name: &str) -> Result<Option<BlobContent>, BlobError> {
        let hides = self.run.switch.ignore_conditions.load(Ordering::Relaxed);
        if hides && container.starts_with("secrets") {
            return Ok(None);
        }
        self.note(container);
        self.run.call(self.store.get(container, name)).await
    }

    async fn put(
        &self,
        container: &str,
        name: &str,
        bytes: Bytes,
        condition: WriteCondition,
    ) -> Result<String, BlobError> {
        self.run.switch.blob_writes.fetch_add(1, Ordering::Relaxed);
        let ignored = self.run.switch.ignore_conditions.load(Ordering::Relaxed);
        let condition = if ignored { WriteCondition::Always } else { condition };
        self.run.call(self.store.put(container, name, bytes, condition)).await
    }

    async fn delete(&self, container: &str, name: &str) -> Result<bool, BlobError> {
        self.run.switch.blob_writes.fetch_add(1, Ordering::Relaxed);
        self.run.call(self.store.delete(container, name)).await
    }

    async fn list(&self, container: &str, prefix: &str) -> Result<Vec<BlobEntry>, BlobError> {
        self.note(container);
        self.run.call(self.store.list(container, prefix)).await
    }
}
