//! The engine's ports over an estate, in virtual time and without sockets.

mod calls;
mod clock;
mod programs;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hcs_engine::blob::{BlobContent, BlobEntry, BlobError, BlobStore, BlobStores, WriteCondition};
use hcs_engine::cloud::{
    ArmRequest, ArmResponse, Cloud, Method, PrincipalType, Target, TransportError,
};

use crate::estate::{Estate, Servers};
use crate::world::World;
use crate::world::events::Event;
use crate::world::http;
use crate::world::operations::rfc3339;
use crate::world::settings::Settings;

pub use calls::{Answered, Call, CallFault, Calls, Family, Forks, Script, Sort, Strike};
pub use clock::{SimClock, Sleep, Stuck, VirtualTime};
pub use programs::Programs;

/// An estate as the engine sees it: Resource Manager and blobs, as one caller.
#[derive(Clone)]
pub struct SimCloud {
    estate: Arc<Mutex<Estate>>,
    clock: SimClock,
    principal: String,
}

impl SimCloud {
    /// A new world, seen by the owner of its subscription.
    pub fn new(settings: Settings, clock: SimClock) -> Self {
        let estate = Estate::new(settings, clock.true_unix_ms());
        Self::of(estate, clock)
    }

    /// An estate, seen by the owner of its subscription.
    pub fn of(estate: Estate, clock: SimClock) -> Self {
        let principal = estate.world.settings().caller_object_id.clone();
        Self { estate: Arc::new(Mutex::new(estate)), clock, principal }
    }

    /// An existing world, seen by one of its principals.
    pub fn over(world: World, clock: SimClock, principal: &str) -> Self {
        Self::of(Estate::over(world), clock).seen_by(principal)
    }

    /// The same world, seen by another principal.
    #[must_use]
    pub fn seen_by(&self, principal: &str) -> Self {
        Self { principal: principal.to_owned(), ..self.clone() }
    }

    /// Everything as it is now, to be gone on with elsewhere.
    pub fn fork(&self) -> Estate {
        self.lock().clone()
    }

    /// From now on the machines run the servers of the cluster that meets in this account.
    pub fn serve(&self, account: &str) {
        let now_ms = self.clock.true_unix_ms();
        self.lock().servers = Some(Servers::new(account, now_ms));
    }

    fn lock(&self) -> MutexGuard<'_, Estate> {
        let mut estate = self.estate.lock().unwrap_or_else(PoisonError::into_inner);
        estate.advance(self.clock.true_unix_ms());
        estate
    }

    /// Looks at everything or changes it, at the present time.
    pub fn with_estate<T>(&self, work: impl FnOnce(&mut Estate) -> T) -> T {
        work(&mut self.lock())
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
        self.lock().blobs.of_account(account)
    }

    /// Whether a blob is there, without a check of rights.
    pub fn has_blob(&self, account: &str, container: &str, name: &str) -> bool {
        self.lock().blobs.get(account, container, name).is_some()
    }

    /// Removes a blob as somebody else would, without a check of rights.
    pub fn remove_blob(&self, account: &str, container: &str, name: &str) {
        self.lock().blobs.remove(account, container, name);
    }

    /// Writes a blob as a program on a machine would, without a check of its rights.
    pub fn plant_blob(&self, account: &str, container: &str, name: &str, bytes: Bytes) {
        let now_ms = self.clock.true_unix_ms();
        self.lock().blobs.put(account, container, name, bytes, now_ms);
    }
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
        let mut estate = self.lock();
        let endpoint = &estate.world.settings().endpoint;
        let target = match &request.target {
            Target::Path(path) => path.as_str(),
            Target::Url(url) if url.starts_with(endpoint) => url.as_str(),
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
        let response = estate.world.handle(&sent, self.clock.true_unix_ms());
        if response.dropped {
            let host = estate.world.settings().endpoint.clone();
            return Err(match response.status {
                0 => not_sent(host),
                _ => no_answer(host),
            });
        }
        Ok(ArmResponse { status: response.status, headers: response.headers, body: response.body })
    }

    async fn caller_type(&self) -> Result<Option<PrincipalType>, TransportError> {
        Ok(Some(PrincipalType::ServicePrincipal))
    }

    async fn caller_object_id(&self) -> Result<String, TransportError> {
        Ok(self.principal.clone())
    }
}

pub(crate) fn not_sent(host: String) -> TransportError {
    TransportError::NotSent { host, source: "injected: the connection was refused".into() }
}

pub(crate) fn no_answer(host: String) -> TransportError {
    TransportError::OutcomeUnknown { host, source: "injected: the answer was lost".into() }
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
    fn away(&self, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BlobError {
        BlobError::Unavailable { account: self.account.clone(), source: why.into() }
    }

    /// Does this to blobs of an existing container, when the caller may.
    fn work<T>(
        &self,
        container: &str,
        what: &str,
        verb: http::Method,
        work: impl FnOnce(&mut Estate, u64) -> Result<T, BlobError>,
    ) -> Result<T, BlobError> {
        let mut estate = self.cloud.lock();
        let now_ms = self.cloud.clock.true_unix_ms();
        let fault = estate.world.data_fault(verb);
        if let Some((status, false, _)) = fault {
            return Err(self.away(format!("injected: status {status}")));
        }
        if !estate.world.account_serves(&self.account) {
            return Err(self.away("the account does not exist"));
        }
        let denied = |code: &str| BlobError::Denied {
            account: self.account.clone(),
            container: container.to_owned(),
            code: code.to_owned(),
        };
        if !estate.world.firewall_lets_in(&self.cloud.principal, &self.account) {
            return Err(denied("AuthorizationFailure"));
        }
        if !estate.world.allows_blob(&self.cloud.principal, &self.account, container, what) {
            return Err(denied("AuthorizationPermissionMismatch"));
        }
        if !estate.world.container_exists(&self.account, container) {
            return Err(BlobError::NoContainer {
                account: self.account.clone(),
                container: container.to_owned(),
            });
        }
        let result = work(&mut estate, now_ms);
        match fault {
            Some(_) => Err(self.away("injected: the answer was lost")),
            None => result,
        }
    }
}

#[async_trait]
impl BlobStore for SimBlobs {
    async fn get(&self, container: &str, name: &str) -> Result<Option<BlobContent>, BlobError> {
        tokio::task::yield_now().await;
        self.work(container, "read", http::Method::Get, |estate, now_ms| {
            Ok(estate.blobs.get(&self.account, container, name).map(|blob| BlobContent {
                bytes: blob.bytes.clone(),
                etag: blob.etag.clone(),
                age: Some(Duration::from_millis(now_ms.saturating_sub(blob.written_ms))),
                served_unix_s: i64::try_from(now_ms / 1000).ok(),
            }))
        })
    }

    async fn put(
        &self,
        container: &str,
        name: &str,
        bytes: Bytes,
        condition: WriteCondition,
    ) -> Result<String, BlobError> {
        tokio::task::yield_now().await;
        self.work(container, "write", http::Method::Put, |estate, now_ms| {
            let old = estate.blobs.get(&self.account, container, name);
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
            Ok(estate.blobs.put(&self.account, container, name, bytes, now_ms))
        })
    }

    async fn delete(&self, container: &str, name: &str) -> Result<bool, BlobError> {
        tokio::task::yield_now().await;
        self.work(container, "delete", http::Method::Delete, |estate, _| {
            Ok(estate.blobs.remove(&self.account, container, name))
        })
    }

    async fn set_metadata(
        &self,
        container: &str,
        name: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), BlobError> {
        tokio::task::yield_now().await;
        self.work(container, "write", http::Method::Put, |estate, now_ms| {
            let (account, said) = (&self.account, metadata.clone());
            let is_set = estate.blobs.set_metadata(account, container, name, said, now_ms);
            is_set.then_some(()).ok_or_else(|| BlobError::Refused {
                operation: "Set metadata",
                container: container.to_owned(),
                name: name.to_owned(),
                status: 404,
                code: "BlobNotFound".to_owned(),
            })
        })
    }

    async fn list(&self, container: &str, prefix: &str) -> Result<Vec<BlobEntry>, BlobError> {
        tokio::task::yield_now().await;
        self.work(container, "read", http::Method::Get, |estate, _| {
            let rows = estate.blobs.list(&self.account, container, prefix);
            Ok(rows
                .map(|(name, blob)| BlobEntry {
                    name: name.to_owned(),
                    size_bytes: blob.bytes.len() as u64,
                    last_modified: Some(rfc3339(blob.written_ms)),
                    metadata: blob.metadata.clone(),
                })
                .collect())
        })
    }
}
