//! ARM above the port: retry by class, paging, writes that are followed to their end.

mod operation;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hcs_planner::arm::{ArmId, Kind};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::cloud::{ArmRequest, ArmResponse, Cloud, Method, Target, TransportError};
use crate::error::{ArmError, EngineError, Retry};

/// Attempts of one request before its last error stands.
const ATTEMPTS_MAX: u32 = 8;
/// Attempts while the endpoint cannot be reached at all: a typo should not cost minutes.
const UNREACHABLE_ATTEMPTS_MAX: u32 = 3;
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
}

impl Arm {
    /// Over a cloud and a clock; `cancel` stops waiting, never a request that is on its way.
    pub fn new(cloud: Arc<dyn Cloud>, clock: Arc<dyn Clock>, cancel: CancellationToken) -> Self {
        Self { cloud, clock, cancel }
    }

    /// Reads an object; `None` for 404 only.
    pub async fn get(&self, id: &ArmId, kind: Kind) -> Result<Option<Value>, EngineError> {
        self.get_path(&format!("{id}?api-version={}", kind.api_version())).await
    }

    /// Reads a path with its query; `None` for 404 only.
    pub async fn get_path(&self, path: &str) -> Result<Option<Value>, EngineError> {
        let request = ArmRequest::new(Method::Get, Target::Path(path.to_owned()));
        let id = path.split('?').next().unwrap_or(path);
        match self.send(&request, id).await {
            Ok(response) => Ok(Some(response.body)),
            Err(EngineError::Arm(error)) if error.status == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All pages of a list; a 404 on the parent is an empty list.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>, EngineError> {
        let mut items = Vec::new();
        let mut target = Target::Path(path.to_owned());
        let id = path.split('?').next().unwrap_or(path).to_owned();
        loop {
            let request = ArmRequest::new(Method::Get, target);
            let mut body = match self.send(&request, &id).await {
                Ok(response) => response.body,
                Err(EngineError::Arm(error)) if error.status == 404 => return Ok(items),
                Err(error) => return Err(error),
            };
            if let Some(page) = body.get_mut("value").and_then(Value::as_array_mut) {
                items.append(page);
            }
            match body.get("nextLink").and_then(Value::as_str).filter(|link| !link.is_empty()) {
                Some(link) => target = Target::Url(link.to_owned()),
                None => return Ok(items),
            }
        }
    }

    /// Writes an object and follows it to its end; returns its final body.
    pub async fn put(&self, id: &ArmId, kind: Kind, body: Value) -> Result<Value, EngineError> {
        let path = format!("{id}?api-version={}", kind.api_version());
        let mut request = ArmRequest::new(Method::Put, Target::Path(path));
        request.body = Some(body);
        self.persist(|| self.put_once(&request, id, kind), write_bound).await
    }

    async fn put_once(
        &self,
        request: &ArmRequest,
        id: &ArmId,
        kind: Kind,
    ) -> Result<Value, EngineError> {
        let response = match self.cloud.send(request).await {
            Ok(response) if is_unknown_outcome(&response) => {
                let error = ArmError::from_response(Method::Put, id.as_str(), &response);
                return self.read_back(id, kind, EngineError::Arm(error)).await;
            }
            Ok(response) => response,
            Err(error @ TransportError::OutcomeUnknown { .. }) => {
                return self.read_back(id, kind, error.into()).await;
            }
            Err(TransportError::NotSent { .. }) => self.send(request, id.as_str()).await?,
            Err(error) => return Err(error.into()),
        };
        if !(200..300).contains(&response.status) {
            return Err(ArmError::from_response(Method::Put, id.as_str(), &response).into());
        }
        self.follow_put(response, id, kind).await
    }

    /// The write may or may not have happened: what is there decides. Writing the same body again is safe, as ids are
    /// ours, but a write that runs must not be disturbed.
    async fn read_back(
        &self,
        id: &ArmId,
        kind: Kind,
        error: EngineError,
    ) -> Result<Value, EngineError> {
        tracing::warn!(%id, "no clear answer to a write; reading back");
        match self.get(id, kind).await? {
            Some(body) if operation::is_running(&body) => self.await_provisioned(id, kind).await,
            _ => Err(match error {
                EngineError::Arm(error) => EngineError::Arm(error),
                other => EngineError::Arm(ArmError {
                    method: Method::Put,
                    id: id.as_str().to_owned(),
                    status: 504,
                    code: "OutcomeUnknown".into(),
                    message: crate::error::chain(&other),
                    retry_after: None,
                    correlation_id: "none".into(),
                }),
            }),
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
        self.persist(|| self.post_once(&request, id, kind), write_bound).await
    }

    async fn post_once(
        &self,
        request: &ArmRequest,
        id: &ArmId,
        kind: Kind,
    ) -> Result<(), EngineError> {
        let response = self.send(request, id.as_str()).await?;
        self.follow_post(response, id, kind).await
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
        let path = format!("{id}?api-version={}", kind.api_version());
        let request = ArmRequest::new(Method::Delete, Target::Path(path));
        let bound = |error: &ArmError| match error.status {
            404 => None,
            _ if lock_removed && error.is("ScopeLocked") => Some(PROPAGATION_SECONDS_MAX),
            _ => write_bound(error),
        };
        match self.persist(|| self.delete_once(&request, id, kind), bound).await {
            Err(EngineError::Arm(error)) if error.status == 404 => Ok(()),
            result => result,
        }
    }

    async fn delete_once(
        &self,
        request: &ArmRequest,
        id: &ArmId,
        kind: Kind,
    ) -> Result<(), EngineError> {
        let response = self.send(request, id.as_str()).await?;
        self.follow_delete(response, id, kind).await
    }

    /// Tries until it succeeds, or is refused for a reason that does not pass within its bound of seconds.
    async fn persist<T, F>(
        &self,
        once: impl Fn() -> F,
        bound_seconds: impl Fn(&ArmError) -> Option<u64>,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let mut tries = Tries::new(self);
        loop {
            let error = match once().await {
                Err(EngineError::Arm(error)) => error,
                result => return result,
            };
            if !tries.again(self, &error, bound_seconds(&error)).await? {
                return Err(error.into());
            }
        }
    }

    /// Sends until an answer that is neither "later" nor "cannot be reached"; non-2xx is an error.
    pub(crate) async fn send(
        &self,
        request: &ArmRequest,
        id: &str,
    ) -> Result<ArmResponse, EngineError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let backoff = match self.cloud.send(request).await {
                Ok(response) if (200..300).contains(&response.status) => return Ok(response),
                Ok(response) => {
                    let error = ArmError::from_response(request.method, id, &response);
                    // Reads and deletes may be repeated whatever became of them; writes are judged by the caller.
                    let repeatable = request.method.is_read() || request.method == Method::Delete;
                    let wait = match error.retry() {
                        Retry::After(wait) => wait,
                        Retry::Backoff => backoff(attempt),
                        Retry::AfterRead if repeatable => backoff(attempt),
                        Retry::AfterRead | Retry::Never => return Err(error.into()),
                    };
                    if attempt >= ATTEMPTS_MAX {
                        return Err(error.into());
                    }
                    wait
                }
                Err(error @ TransportError::NotSent { .. })
                    if attempt < UNREACHABLE_ATTEMPTS_MAX =>
                {
                    tracing::debug!(error = %crate::error::chain(&error), "not sent, trying again");
                    backoff(attempt)
                }
                Err(error @ TransportError::OutcomeUnknown { .. })
                    if attempt < ATTEMPTS_MAX && request.method != Method::Put =>
                {
                    tracing::debug!(error = %crate::error::chain(&error), "no answer, trying again");
                    backoff(attempt)
                }
                Err(error) => return Err(error.into()),
            };
            self.sleep(backoff).await?;
        }
    }

    /// Sleeps, or ends with [`EngineError::Stopped`] when the run is stopped.
    pub(crate) async fn sleep(&self, duration: Duration) -> Result<(), EngineError> {
        tokio::select! {
            () = self.clock.sleep(duration) => Ok(()),
            () = self.cancel.cancelled() => Err(EngineError::Stopped),
        }
    }

    /// Object id of the caller.
    pub async fn caller_object_id(&self) -> Result<String, EngineError> {
        Ok(self.cloud.caller_object_id().await?)
    }
}

/// How long a refused write may be tried again, by its reason; `None` leaves it to the number of attempts.
fn write_bound(error: &ArmError) -> Option<u64> {
    let parent_missing =
        ["ResourceGroupNotFound", "ParentResourceNotFound", "ResourceNotFound", "NotFound"];
    if error.status == 404 && parent_missing.iter().any(|code| error.is(code)) {
        return Some(REPLICATION_SECONDS_MAX);
    }
    if error.is("PrincipalNotFound") {
        return Some(PROPAGATION_SECONDS_MAX);
    }
    (error.retry() != Retry::Never).then_some(PROPAGATION_SECONDS_MAX)
}

fn is_unknown_outcome(response: &ArmResponse) -> bool {
    matches!(response.status, 408 | 500 | 502 | 504)
}

/// 0.5 s, doubled each time, 20 s at most.
pub(crate) fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(500 * (1 << attempt.min(6))).min(Duration::from_secs(20)) / 2
}

/// Tries of one write, counted by code, so that a long story of different refusals still ends.
struct Tries {
    started_ms: u64,
    by_code: BTreeMap<String, u32>,
}

impl Tries {
    fn new(arm: &Arm) -> Self {
        Self { started_ms: arm.clock.now_unix_ms(), by_code: BTreeMap::new() }
    }

    /// Waits for the next try; `false` when there is none.
    async fn again(
        &mut self,
        arm: &Arm,
        error: &ArmError,
        bound_seconds: Option<u64>,
    ) -> Result<bool, EngineError> {
        const TRIES_PER_CODE_MAX: u32 = 60;
        let Some(bound) = bound_seconds else { return Ok(false) };
        let tries = self.by_code.entry(error.code.clone()).or_default();
        *tries += 1;
        let waited_ms = arm.clock.now_unix_ms().saturating_sub(self.started_ms);
        if waited_ms > bound * 1000 || *tries > TRIES_PER_CODE_MAX {
            return Ok(false);
        }
        let wait = error.retry_after.unwrap_or_else(|| backoff(*tries));
        tracing::debug!(id = %error.id, code = %error.code, ?wait, "refused, trying again");
        arm.sleep(wait).await?;
        Ok(true)
    }
}
