//! The engine's ports over an estate, in virtual time and without sockets.

mod blobs;
mod calls;
mod clock;
mod programs;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use hcs_engine::cloud::{
    ArmRequest, ArmResponse, Cloud, Method, PrincipalType, Target, TransportError,
};

use crate::estate::{Estate, Servers};
use crate::world::World;
use crate::world::events::Event;
use crate::world::http;
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
