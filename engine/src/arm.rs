//! ARM above the port: retry by class, paging, writes that are followed to their end.

mod lists;
mod operation;
mod read;
mod retry;

use std::sync::Arc;
use std::time::Duration;

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::INCARNATION_TAG;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::cloud::{ArmRequest, ArmResponse, Cloud, Method, PrincipalType, Target, TransportError};
use crate::entropy::{Entropy, SystemEntropy};
use crate::error::{ArmError, EngineError, Retry};
use crate::lease::Fence;

pub use lists::Reader;
use retry::Tries;
pub(crate) use retry::backoff;
pub use retry::{Gate, SharedGate};

/// Attempts of one request before its last error stands.
const ATTEMPTS_MAX: u32 = 8;
/// How long ARM's own replicas may disagree: a parent that was just made may read 404 (azurerm#18268).
const REPLICATION_SECONDS_MAX: u64 = 120;
/// How long a fresh principal or a removed lock may stay unseen; Microsoft's troubleshooting pages say up to ten minutes.
const PROPAGATION_SECONDS_MAX: u64 = 600;

/// ARM as the steps use it.
#[derive(Clone)]
pub struct Arm {
    pub(crate) cloud: Arc<dyn Cloud>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cancel: CancellationToken,
    pub(crate) entropy: Arc<dyn Entropy>,
    gate: SharedGate,
    fence: Option<Arc<dyn Fence>>,
    seed: u64,
}

impl Arm {
    /// Over a cloud and a clock; `cancel` stops waiting, never a request that is on its way.
    pub fn new(cloud: Arc<dyn Cloud>, clock: Arc<dyn Clock>, cancel: CancellationToken) -> Self {
        let seed = clock.now_unix_ms();
        let entropy = Arc::new(SystemEntropy);
        Self { cloud, clock, cancel, entropy, gate: SharedGate::default(), fence: None, seed }
    }

    /// The same, with what other runs of this process have learned of the endpoint.
    #[must_use]
    pub fn sharing(self, gate: &SharedGate) -> Self {
        Self { gate: Arc::clone(gate), ..self }
    }

    /// The same, drawing from another source of randomness.
    #[must_use]
    pub fn drawing_from(self, entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, ..self }
    }

    /// The same; every write asks `fence` first.
    #[must_use]
    pub fn fenced(&self, fence: Arc<dyn Fence>) -> Self {
        Self { fence: Some(fence), ..self.clone() }
    }

    /// Writes an object and follows it to its end; returns its final body.
    ///
    /// Azure changes no role assignment: one of the same id that an earlier cluster left goes and is made again.
    pub async fn put(&self, id: &ArmId, kind: Kind, body: Value) -> Result<Value, EngineError> {
        match self.put_where(id, kind, body.clone(), None).await {
            Err(EngineError::Arm(error))
                if kind == Kind::RoleAssignment && error.is("RoleAssignmentUpdateNotPermitted") =>
            {
                self.delete(id, kind, false).await?;
                self.put_where(id, kind, body, None).await
            }
            result => result,
        }
    }

    /// The same, where the object still has this etag; [`EngineError::Changed`] where it does not.
    pub async fn put_where(
        &self,
        id: &ArmId,
        kind: Kind,
        body: Value,
        etag: Option<&str>,
    ) -> Result<Value, EngineError> {
        self.put_if(id, kind, body, etag.map(|etag| ("If-Match", etag))).await
    }

    /// The same, where nothing is there yet; [`EngineError::Changed`] where something is.
    pub async fn put_new(&self, id: &ArmId, kind: Kind, body: Value) -> Result<Value, EngineError> {
        self.put_if(id, kind, body, Some(("If-None-Match", "*"))).await
    }

    async fn put_if(
        &self,
        id: &ArmId,
        kind: Kind,
        body: Value,
        condition: Option<(&str, &str)>,
    ) -> Result<Value, EngineError> {
        // A peering that is written takes over the addresses that the other network has by now.
        let more = if kind == Kind::Peering { "&syncRemoteAddressSpace=true" } else { "" };
        let path = format!("{id}?api-version={}{more}", kind.api_version());
        let mut request = ArmRequest::new(Method::Put, Target::Path(path));
        request.body = Some(body);
        if let Some((name, value)) = condition {
            request.headers.push((name.to_owned(), value.to_owned()));
        }
        match self.persist(id, kind, || self.put_once(&request, id, kind), write_bound).await {
            Err(EngineError::Arm(error)) if condition.is_some() && error.status == 412 => {
                Err(EngineError::Changed { id: id.as_str().to_owned() })
            }
            result => result,
        }
    }

    async fn put_once(
        &self,
        request: &ArmRequest,
        id: &ArmId,
        kind: Kind,
    ) -> Result<Value, Failed> {
        match self.send_write(request, id).await? {
            Sent::Answered(response) => Ok(self.follow_put(response, id, kind).await?),
            Sent::Unknown(error) => Ok(self.read_back(id, kind, error).await?),
        }
    }

    /// Sends a write once. A refusal is an error; no clear answer is none.
    async fn send_write(&self, request: &ArmRequest, id: &ArmId) -> Result<Sent, Failed> {
        let of =
            |response: &ArmResponse| ArmError::from_response(request.method, id.as_str(), response);
        match self.send_once(request, id.as_str()).await {
            Ok(response) if is_unknown_outcome(&response) => Ok(Sent::Unknown(of(&response))),
            Ok(response) if is_success(&response) => Ok(Sent::Answered(response)),
            Ok(response) => Err(Failed::Ended(of(&response).into())),
            Err(EngineError::Transport(error @ TransportError::OutcomeUnknown { .. })) => {
                Ok(Sent::Unknown(unknown_outcome(request.method, id, &error)))
            }
            Err(EngineError::Transport(error @ TransportError::NotSent { .. })) => {
                Err(Failed::Unsent(error))
            }
            Err(error) => Err(Failed::Ended(error)),
        }
    }

    /// The write may or may not have happened: what is there decides. Writing the same body again is safe, as ids are
    /// ours, but a write that runs must not be disturbed.
    async fn read_back(
        &self,
        id: &ArmId,
        kind: Kind,
        error: ArmError,
    ) -> Result<Value, EngineError> {
        tracing::warn!(%id, "no clear answer to a write; reading back");
        match self.get(id, kind).await? {
            Some(body) if operation::is_running(&body) => self.await_provisioned(id, kind).await,
            _ => Err(error.into()),
        }
    }

    /// Asks an object to do something (`POST {id}/{action}`) and follows it to its end. Repeating it must be harmless.
    pub async fn post(
        &self,
        id: &ArmId,
        kind: Kind,
        action: &str,
        body: Value,
    ) -> Result<(), EngineError> {
        let path = format!("{id}/{action}?api-version={}", kind.api_version());
        let mut request = ArmRequest::new(Method::Post, Target::Path(path));
        request.body = Some(body);
        self.persist(id, kind, || self.post_once(&request, id, kind), write_bound).await
    }

    async fn post_once(&self, request: &ArmRequest, id: &ArmId, kind: Kind) -> Result<(), Failed> {
        match self.send_write(request, id).await? {
            Sent::Answered(response) => Ok(self.follow_post(response, id, kind).await?),
            Sent::Unknown(error) => Err(Failed::Ended(error.into())),
        }
    }

    /// Deletes an object and follows it until it is gone. Absent is done.
    ///
    /// `lock_removed`: this run removed a lock, whose shadow ARM may still see for a while.
    pub async fn delete(
        &self,
        id: &ArmId,
        kind: Kind,
        lock_removed: bool,
    ) -> Result<(), EngineError> {
        let request = delete_request(id, kind);
        let once = || self.delete_once(&request, id, kind);
        self.delete_by(id, kind, lock_removed, once).await
    }

    async fn delete_by<F>(
        &self,
        id: &ArmId,
        kind: Kind,
        lock_removed: bool,
        once: impl Fn() -> F,
    ) -> Result<(), EngineError>
    where
        F: Future<Output = Result<(), Failed>>,
    {
        let bound = |error: &ArmError| match error.status {
            404 => Some(REPLICATION_SECONDS_MAX),
            _ if lock_removed && error.is("ScopeLocked") => Some(PROPAGATION_SECONDS_MAX),
            _ => write_bound(error),
        };
        self.persist(id, kind, once, bound).await
    }

    /// Deletes a managed group and all in it, and never another one that has taken its place: what carries another
    /// incarnation than `incarnation_id` is looked at as gone, also when a lost answer makes it try again.
    pub async fn delete_group(
        &self,
        id: &ArmId,
        incarnation_id: Option<&str>,
        lock_removed: bool,
    ) -> Result<(), EngineError> {
        let kind = Kind::ResourceGroup;
        let request = &delete_request(id, kind);
        let once = || async move {
            match self.get_group(id).await? {
                Some(group) if incarnation(&group) == incarnation_id => {
                    self.delete_once(request, id, kind).await
                }
                _ => Ok(()),
            }
        };
        self.delete_by(id, kind, lock_removed, once).await
    }

    async fn delete_once(
        &self,
        request: &ArmRequest,
        id: &ArmId,
        kind: Kind,
    ) -> Result<(), Failed> {
        match self.send_write(request, id).await {
            Ok(Sent::Answered(response)) => Ok(self.follow_delete(response, id, kind).await?),
            Ok(Sent::Unknown(error)) => Err(Failed::Ended(error.into())),
            // That there is nothing to delete is one word; another question must agree.
            Err(Failed::Ended(EngineError::Arm(error)))
                if error.status == 404 && self.get(id, kind).await?.is_none() =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Tries until it succeeds, or is refused for a reason that does not pass within its bound of seconds. Only what
    /// never left is simply sent again; what failed after it was accepted is looked at first.
    async fn persist<T, F>(
        &self,
        id: &ArmId,
        kind: Kind,
        once: impl Fn() -> F,
        bound_seconds: impl Fn(&ArmError) -> Option<u64>,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let mut tries = Tries::new();
        loop {
            let error = match once().await {
                Ok(done) => return Ok(done),
                Err(Failed::Ended(EngineError::Arm(error))) => error,
                Err(Failed::Ended(error)) => return Err(error),
                Err(Failed::Unsent(error)) => {
                    if tries.again_unsent(self, id.as_str()).await? {
                        continue;
                    }
                    return Err(error.into());
                }
            };
            if !tries.again(self, &error, bound_seconds(&error)).await? {
                return Err(error.into());
            }
            let was_accepted = error.status < 300 || error.retry() == Retry::AfterRead;
            if was_accepted
                && self.get(id, kind).await?.is_some_and(|body| operation::is_running(&body))
                && let Err(EngineError::Stopped) = self.await_provisioned(id, kind).await
            {
                // How it ended is told by the next try; after a stop there is none.
                return Err(EngineError::Stopped);
            }
        }
    }

    /// One request, after the gate and, for a write, the fence. Any status is an `Ok`.
    async fn send_once(&self, request: &ArmRequest, id: &str) -> Result<ArmResponse, EngineError> {
        self.pass_gate(request.method, id).await?;
        if !request.method.is_read() {
            self.pass_fence().await?;
            // Others may have been told to wait while this one stood at the fence.
            while self.is_held_back(request.method) {
                self.pass_gate(request.method, id).await?;
                self.pass_fence().await?;
            }
        }
        let method = request.method.as_str();
        let span = tracing::info_span!(
            "arm",
            method,
            id,
            status = tracing::field::Empty,
            correlation_id = tracing::field::Empty
        );
        let response = self.cloud.send(request).instrument(span.clone()).await?;
        span.record("status", response.status);
        if let Some(correlation_id) = response.header("x-ms-correlation-request-id") {
            span.record("correlation_id", correlation_id);
        }
        self.gate.note_answer();
        if response.status == 429 {
            let error = ArmError::from_response(request.method, id, &response);
            let wait = error.retry_after.unwrap_or_else(|| backoff(1));
            self.gate.hold_back(request.method, self.clock.monotonic_ms(), wait);
        }
        Ok(response)
    }

    async fn pass_fence(&self) -> Result<(), EngineError> {
        // After a stop nothing new begins.
        if self.cancel.is_cancelled() {
            return Err(EngineError::Stopped);
        }
        if let Some(fence) = &self.fence {
            self.cloud.authorize().await?;
            fence.check().await?;
        }
        Ok(())
    }

    /// Reads until an answer that is neither "later" nor "cannot be reached"; non-2xx is an error.
    pub(crate) async fn send(
        &self,
        request: &ArmRequest,
        id: &str,
    ) -> Result<ArmResponse, EngineError> {
        let (mut attempt, mut unsent) = (0, Tries::new());
        loop {
            attempt += 1;
            let backoff = match self.send_once(request, id).await {
                Ok(response) if is_success(&response) => return Ok(response),
                Ok(response) => {
                    let error = ArmError::from_response(request.method, id, &response);
                    let wait = match error.retry() {
                        Retry::After(wait) => wait,
                        Retry::Backoff | Retry::AfterRead => backoff(attempt),
                        Retry::Never => return Err(error.into()),
                    };
                    if attempt >= ATTEMPTS_MAX {
                        return Err(error.into());
                    }
                    wait
                }
                Err(EngineError::Transport(error @ TransportError::NotSent { .. })) => {
                    if unsent.again_unsent(self, id).await? {
                        tracing::debug!(error = %crate::error::chain(&error), "not sent, trying again");
                        attempt -= 1;
                        continue;
                    }
                    return Err(error.into());
                }
                Err(EngineError::Transport(error @ TransportError::OutcomeUnknown { .. }))
                    if attempt < ATTEMPTS_MAX =>
                {
                    tracing::debug!(error = %crate::error::chain(&error), "no answer, trying again");
                    backoff(attempt)
                }
                Err(error) => return Err(error),
            };
            self.sleep(self.jittered(backoff, id, attempt)).await?;
        }
    }

    /// Sleeps, or ends with [`EngineError::Stopped`] when the run is stopped.
    pub(crate) async fn sleep(&self, duration: Duration) -> Result<(), EngineError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(EngineError::Stopped),
            () = self.clock.sleep(duration) => Ok(()),
        }
    }

    /// What the caller is, if its token tells.
    pub async fn caller_type(&self) -> Result<Option<PrincipalType>, EngineError> {
        Ok(self.cloud.caller_type().await?)
    }

    /// Object id of the caller.
    pub async fn caller_object_id(&self) -> Result<String, EngineError> {
        Ok(self.cloud.caller_object_id().await?)
    }
}

fn delete_request(id: &ArmId, kind: Kind) -> ArmRequest {
    let path = format!("{id}?api-version={}", kind.api_version());
    ArmRequest::new(Method::Delete, Target::Path(path))
}

/// The incarnation that a managed group carries.
pub(crate) fn incarnation(group: &Value) -> Option<&str> {
    group.pointer(&format!("/tags/{INCARNATION_TAG}")).and_then(Value::as_str)
}

/// Whether the answer says that all is well. Some services answer 200 with an error in the body; an operation's status
/// has one beside its word, which is read where operations are.
fn is_success(response: &ArmResponse) -> bool {
    let is_error = response.body.get("error").is_some_and(|error| error.get("code").is_some())
        && response.body.get("status").is_none();
    (200..300).contains(&response.status) && !is_error
}

/// What came back of a write.
enum Sent {
    /// It was accepted.
    Answered(ArmResponse),
    /// It may have been.
    Unknown(ArmError),
}

/// Why one try of a write came to nothing.
enum Failed {
    /// It never left.
    Unsent(TransportError),
    /// It was refused, or failed after it was accepted.
    Ended(EngineError),
}

impl From<EngineError> for Failed {
    fn from(error: EngineError) -> Self {
        Self::Ended(error)
    }
}

fn unknown_outcome(method: Method, id: &ArmId, error: &TransportError) -> ArmError {
    ArmError {
        method,
        id: id.as_str().to_owned(),
        status: 504,
        code: "OutcomeUnknown".into(),
        message: crate::error::chain(error),
        retry_after: None,
        correlation_id: "none".into(),
    }
}

/// How long a refused write may be tried again, by its reason; `None` leaves it to the number of attempts.
fn write_bound(error: &ArmError) -> Option<u64> {
    let parent_missing =
        ["ResourceGroupNotFound", "ParentResourceNotFound", "ResourceNotFound", "NotFound"];
    if error.status == 404 && parent_missing.iter().any(|code| error.is(code)) {
        return Some(REPLICATION_SECONDS_MAX);
    }
    // A role on a key that the same run gave counts within minutes, too.
    if error.is("PrincipalNotFound") || error.is("KeyVaultAuthenticationFailure") {
        return Some(PROPAGATION_SECONDS_MAX);
    }
    // Another write of the same object, perhaps an earlier one of ours, is waited for like any operation.
    if error.is_in_progress() {
        return Some(operation::OPERATION_MINUTES_MAX * 60);
    }
    (error.retry() != Retry::Never).then_some(PROPAGATION_SECONDS_MAX)
}

fn is_unknown_outcome(response: &ArmResponse) -> bool {
    matches!(response.status, 408 | 500 | 502 | 504)
}
