//! The engine's ports over a world, for tests in virtual time and without sockets.
//!
//! [`SimClock`] reads tokio's clock: under a paused runtime every sleep ends at once and in order.
//! Blobs are kept in memory, under the same role assignments as the emulator's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hcs_engine::blob::{BlobContent, BlobEntry, BlobError, BlobStore, BlobStores, WriteCondition};
use hcs_engine::clock::Clock;
use hcs_engine::cloud::{ArmRequest, ArmResponse, Cloud, Method, Target, TransportError};

use crate::world::World;
use crate::world::events::Event;
use crate::world::http;
use crate::world::operations::rfc3339;
use crate::world::settings::Settings;

/// Virtual time that starts at a given moment and passes with tokio's clock.
#[derive(Clone, Copy, Debug)]
pub struct SimClock {
    epoch_ms: u64,
    started: tokio::time::Instant,
}

impl SimClock {
    /// A clock that shows `epoch_ms` now.
    pub fn starting_at(epoch_ms: u64) -> Self {
        Self { epoch_ms, started: tokio::time::Instant::now() }
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now_unix_ms(&self) -> u64 {
        let passed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.epoch_ms.saturating_add(passed)
    }

    fn monotonic_ms(&self) -> u64 {
        self.now_unix_ms().saturating_sub(self.epoch_ms)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[derive(Clone, Debug)]
struct Blob {
    bytes: Bytes,
    etag: String,
    written_ms: u64,
}

struct Inner {
    world: World,
    events: Vec<Event>,
    /// By account, container and name.
    blobs: BTreeMap<(String, String, String), Blob>,
    writes: u64,
}

/// A world as the engine sees it: Resource Manager and blobs, as one caller.
#[derive(Clone)]
pub struct SimCloud {
    inner: Arc<Mutex<Inner>>,
    clock: SimClock,
    principal: String,
}

impl SimCloud {
    /// A new world, seen by the owner of its subscription.
    pub fn new(settings: Settings, clock: SimClock) -> Self {
        let principal = settings.caller_object_id.clone();
        let world = World::new(settings, clock.now_unix_ms());
        Self::over(world, clock, &principal)
    }

    /// An existing world, seen by one of its principals.
    pub fn over(world: World, clock: SimClock, principal: &str) -> Self {
        let inner = Inner { world, events: Vec::new(), blobs: BTreeMap::new(), writes: 0 };
        let principal = principal.to_owned();
        Self { inner: Arc::new(Mutex::new(inner)), clock, principal }
    }

    /// The same world, seen by another principal.
    #[must_use]
    pub fn seen_by(&self, principal: &str) -> Self {
        Self { principal: principal.to_owned(), ..self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = self.clock.now_unix_ms();
        for event in inner.world.advance(now_ms) {
            match &event {
                Event::AccountDeleted { account } => {
                    inner.blobs.retain(|(own, ..), _| own != account);
                }
                Event::ContainerDeleted { account, container } => {
                    inner.blobs.retain(|(a, c, _), _| (a, c) != (account, container));
                }
                Event::VmStarted { .. } | Event::VmStopped { .. } => {}
            }
            inner.events.push(event);
        }
        inner
    }

    /// Looks at the world or changes it, at the present time.
    pub fn with_world<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        work(&mut self.lock().world)
    }

    /// What happened since the last call: machines that started or stopped.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.lock().events)
    }

    /// All blobs of an account by `container/name`, without a check of rights.
    pub fn blobs(&self, account: &str) -> BTreeMap<String, Bytes> {
        let inner = self.lock();
        let own = inner.blobs.iter().filter(|((owner, ..), _)| owner == account);
        own.map(|((_, container, name), blob)| (format!("{container}/{name}"), blob.bytes.clone()))
            .collect()
    }

    /// Whether a blob is there, without a check of rights.
    pub fn has_blob(&self, account: &str, container: &str, name: &str) -> bool {
        let key = (account.to_owned(), container.to_owned(), name.to_owned());
        self.lock().blobs.contains_key(&key)
    }

    /// Removes a blob as somebody else would, without a check of rights.
    pub fn remove_blob(&self, account: &str, container: &str, name: &str) {
        let key = (account.to_owned(), container.to_owned(), name.to_owned());
        self.lock().blobs.remove(&key);
    }

    /// Writes a blob as a program on a machine would, without a check of its rights.
    pub fn plant_blob(&self, account: &str, container: &str, name: &str, bytes: Bytes) {
        let mut inner = self.lock();
        write(&mut inner, self.clock.now_unix_ms(), account, container, name, bytes);
    }
}

fn write(
    inner: &mut Inner,
    now_ms: u64,
    account: &str,
    container: &str,
    name: &str,
    bytes: Bytes,
) -> String {
    inner.writes += 1;
    let etag = format!("\"0x8D{:013X}\"", inner.writes);
    let blob = Blob { bytes, etag: etag.clone(), written_ms: now_ms };
    inner.blobs.insert((account.to_owned(), container.to_owned(), name.to_owned()), blob);
    etag
}

fn method(method: Method) -> http::Method {
    match method {
        Method::Get => http::Method::Get,
        Method::Put => http::Method::Put,
        Method::Patch => http::Method::Patch,
        Method::Post => http::Method::Post,
        Method::Delete => http::Method::Delete,
        Method::Head => http::Method::Head,
    }
}

#[async_trait]
impl Cloud for SimCloud {
    async fn send(&self, request: &ArmRequest) -> Result<ArmResponse, TransportError> {
        // A request is a point where tasks may take turns, as on a network.
        tokio::task::yield_now().await;
        let mut inner = self.lock();
        let endpoint = inner.world.settings().endpoint.clone();
        let target = match &request.target {
            Target::Path(path) => path.as_str(),
            Target::Url(url) if url.starts_with(&endpoint) => url.as_str(),
            Target::Url(url) => {
                let host = url.split('/').nth(2).unwrap_or_default().to_owned();
                return Err(TransportError::ForeignHost { host });
            }
        };
        let mut sent = http::Request::new(method(request.method), target, &self.principal)
            .with_body(request.body.clone().unwrap_or_default());
        for (name, value) in &request.headers {
            sent = sent.with_header(name, value);
        }
        let response = inner.world.handle(&sent, self.clock.now_unix_ms());
        if response.dropped && response.status == 0 {
            return Err(TransportError::NotSent {
                host: endpoint,
                source: "injected: the connection was refused".into(),
            });
        }
        if response.dropped {
            return Err(TransportError::OutcomeUnknown {
                host: endpoint,
                source: "injected: the answer was lost".into(),
            });
        }
        Ok(ArmResponse { status: response.status, headers: response.headers, body: response.body })
    }

    async fn caller_object_id(&self) -> Result<String, TransportError> {
        Ok(self.principal.clone())
    }
}

impl BlobStores for SimCloud {
    fn open(&self, blob_endpoint: &str) -> Result<Arc<dyn BlobStore>, BlobError> {
        let account = blob_endpoint.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        Ok(Arc::new(SimBlobs { cloud: self.clone(), account: account.to_owned() }))
    }
}

/// One account's blobs, as one caller.
struct SimBlobs {
    cloud: SimCloud,
    account: String,
}

impl SimBlobs {
    /// The world, when the caller may do this to blobs of an existing container.
    fn allowed(
        &self,
        container: &str,
        what: &str,
        verb: http::Method,
    ) -> Result<MutexGuard<'_, Inner>, BlobError> {
        let mut inner = self.cloud.lock();
        if let Some((status, ..)) = inner.world.data_fault(verb) {
            return Err(BlobError::Unavailable {
                account: self.account.clone(),
                source: format!("injected: status {status}").into(),
            });
        }
        if !inner.world.account_serves(&self.account) {
            return Err(BlobError::Unavailable {
                account: self.account.clone(),
                source: "the account does not exist".into(),
            });
        }
        if !inner.world.allows_blob(&self.cloud.principal, &self.account, container, what) {
            return Err(BlobError::Denied {
                account: self.account.clone(),
                container: container.to_owned(),
                code: "AuthorizationPermissionMismatch".to_owned(),
            });
        }
        if !inner.world.container_exists(&self.account, container) {
            return Err(BlobError::NoContainer {
                account: self.account.clone(),
                container: container.to_owned(),
            });
        }
        Ok(inner)
    }

    fn key(&self, container: &str, name: &str) -> (String, String, String) {
        (self.account.clone(), container.to_owned(), name.to_owned())
    }
}

#[async_trait]
impl BlobStore for SimBlobs {
    async fn get(&self, container: &str, name: &str) -> Result<Option<BlobContent>, BlobError> {
        tokio::task::yield_now().await;
        let inner = self.allowed(container, "read", http::Method::Get)?;
        let now_ms = self.cloud.clock.now_unix_ms();
        Ok(inner.blobs.get(&self.key(container, name)).map(|blob| BlobContent {
            bytes: blob.bytes.clone(),
            etag: blob.etag.clone(),
            age: Some(Duration::from_millis(now_ms.saturating_sub(blob.written_ms))),
        }))
    }

    async fn put(
        &self,
        container: &str,
        name: &str,
        bytes: Bytes,
        condition: WriteCondition,
    ) -> Result<String, BlobError> {
        tokio::task::yield_now().await;
        let mut inner = self.allowed(container, "write", http::Method::Put)?;
        let old = inner.blobs.get(&self.key(container, name));
        let holds = match &condition {
            WriteCondition::Always => true,
            WriteCondition::Absent => old.is_none(),
            WriteCondition::Matches(etag) => old.is_some_and(|blob| blob.etag == *etag),
        };
        if !holds {
            return Err(BlobError::ConditionFailed {
                container: container.to_owned(),
                name: name.to_owned(),
            });
        }
        let now_ms = self.cloud.clock.now_unix_ms();
        Ok(write(&mut inner, now_ms, &self.account, container, name, bytes))
    }

    async fn delete(&self, container: &str, name: &str) -> Result<bool, BlobError> {
        tokio::task::yield_now().await;
        let mut inner = self.allowed(container, "delete", http::Method::Delete)?;
        Ok(inner.blobs.remove(&self.key(container, name)).is_some())
    }

    async fn list(&self, container: &str, prefix: &str) -> Result<Vec<BlobEntry>, BlobError> {
        tokio::task::yield_now().await;
        let inner = self.allowed(container, "read", http::Method::Get)?;
        let first = self.key(container, prefix);
        Ok(inner
            .blobs
            .range(first.clone()..)
            .take_while(|((account, own, name), _)| {
                *account == first.0 && *own == first.1 && name.starts_with(prefix)
            })
            .map(|((.., name), blob)| BlobEntry {
                name: name.clone(),
                size_bytes: blob.bytes.len() as u64,
                last_modified: Some(rfc3339(blob.written_ms)),
            })
            .collect())
    }
}
