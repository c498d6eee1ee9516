//! Long-running operations: `Azure-AsyncOperation` before `Location` before `provisioningState`.
//!
//! URLs are used verbatim. Unknown words are "still running", never success; a deadline ends the wait.

use std::time::Duration;

use hcs_planner::arm::{ArmId, Kind};
use serde_json::{Value, json};

use super::Arm;
use crate::cloud::{ArmRequest, ArmResponse, Method, Target, TransportError};
use crate::error::{ArmError, Awaited, EngineError, retry_after};

/// azurerm gives scale sets and storage accounts an hour; nothing of ours takes longer.
pub(super) const OPERATION_MINUTES_MAX: u64 = 60;
/// A status URL may answer 404 at first (go-azure-sdk treats it so); after this many the object itself is asked.
const POLL_NOT_FOUND_MAX: u32 = 5;

/// How a provisioning word reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Succeeded,
    Failed,
    Running,
}

fn word(text: &str) -> Word {
    match text.to_lowercase().as_str() {
        "succeeded" => Word::Succeeded,
        "failed" | "canceled" | "cancelled" => Word::Failed,
        _ => Word::Running,
    }
}

fn provisioning_word(body: &Value) -> Word {
    let state = body.pointer("/properties/provisioningState").and_then(Value::as_str);
    state.map_or(Word::Succeeded, word)
}

/// Whether a write to the object is under way.
pub(super) fn is_running(body: &Value) -> bool {
    provisioning_word(body) == Word::Running
}

/// Where an operation is asked about.
enum Handle {
    Status(String),
    Location(String),
    Object,
}

impl Arm {
    pub(super) async fn follow_put(
        &self,
        response: ArmResponse,
        id: &ArmId,
        kind: Kind,
    ) -> Result<Value, EngineError> {
        let handle = handle(&response);
        if matches!(handle, Handle::Object)
            && response.body.is_object()
            && provisioning_word(&response.body) == Word::Succeeded
        {
            return Ok(response.body);
        }
        self.poll(Method::Put, id, kind, handle, &response).await?;
        self.final_body(id, kind, unique(&response.body)).await
    }

    pub(super) async fn follow_delete(
        &self,
        response: ArmResponse,
        id: &ArmId,
        kind: Kind,
    ) -> Result<(), EngineError> {
        if response.status == 202 || matches!(handle(&response), Handle::Status(_)) {
            let handle = handle(&response);
            self.poll(Method::Delete, id, kind, handle, &response).await?;
        }
        Ok(())
    }

    pub(super) async fn follow_post(
        &self,
        response: ArmResponse,
        id: &ArmId,
        kind: Kind,
    ) -> Result<(), EngineError> {
        let handle = handle(&response);
        if response.status == 202 || !matches!(handle, Handle::Object) {
            self.poll(Method::Post, id, kind, handle, &response).await?;
        }
        Ok(())
    }

    /// Waits for a write that somebody began, until the object is provisioned; returns its body.
    pub async fn await_provisioned(&self, id: &ArmId, kind: Kind) -> Result<Value, EngineError> {
        let none = ArmResponse::default();
        self.poll(Method::Put, id, kind, Handle::Object, &none).await?;
        self.final_body(id, kind, None).await
    }

    /// Reads the object that an operation has made. ARM's replicas may need a moment to see it, and to forget the one
    /// that had its name before: `made` is what the answer to the write called it.
    async fn final_body(
        &self,
        id: &ArmId,
        kind: Kind,
        made: Option<&str>,
    ) -> Result<Value, EngineError> {
        let mut is_another = false;
        for attempt in 1..=8 {
            let body = self.get(id, kind).await?;
            is_another = body.is_some();
            if let Some(body) = body.filter(|body| made.is_none() || unique(body) == made) {
                return Ok(body);
            }
            self.sleep(super::backoff(attempt)).await?;
        }
        // Somebody deleted what was made and made another one.
        if is_another {
            return Err(EngineError::Changed { id: id.to_string() });
        }
        let (method, id) = (Method::Put, id.as_str());
        let response = ArmResponse {
            status: 404,
            body: json!({ "error": {
                "code": "GoneAfterCreate",
                "message": "Azure reported success, but the object cannot be read",
            } }),
            ..ArmResponse::default()
        };
        Err(ArmError::from_response(method, id, &response).into())
    }

    async fn poll(
        &self,
        method: Method,
        id: &ArmId,
        kind: Kind,
        mut handle: Handle,
        first: &ArmResponse,
    ) -> Result<(), EngineError> {
        let started_ms = self.clock.monotonic_ms();
        let deadline = Duration::from_secs(OPERATION_MINUTES_MAX * 60);
        let mut polls = 0;
        let mut wait = retry_after(first).unwrap_or_else(|| self.cloud.default_poll_interval());
        let mut not_found = 0;
        let mut last = "accepted".to_owned();
        loop {
            polls += 1;
            let waited =
                Duration::from_millis(self.clock.monotonic_ms().saturating_sub(started_ms));
            // The last look comes after the deadline, however long the machine slept before it.
            let is_over = waited > deadline;
            if !is_over {
                self.sleep(self.jittered(wait, id.as_str(), polls)).await?;
            }
            let target = match &handle {
                Handle::Status(url) | Handle::Location(url) => Target::Url(url.clone()),
                Handle::Object => Target::Path(format!("{id}?api-version={}", kind.api_version())),
            };
            let request = ArmRequest::new(Method::Get, target);
            let response = match self.send(&request, id.as_str()).await {
                Ok(response) => response,
                Err(EngineError::Arm(error)) if error.status == 404 => {
                    not_found += 1;
                    match (method, &handle) {
                        (Method::Delete, Handle::Object) => return Ok(()),
                        (_, Handle::Object) if not_found > POLL_NOT_FOUND_MAX => {
                            return Err(error.into());
                        }
                        (_, Handle::Object) => {}
                        // A status that nobody knows any more says nothing of the object itself.
                        (Method::Delete, _) => {
                            handle = Handle::Object;
                            not_found = 0;
                        }
                        _ if not_found > POLL_NOT_FOUND_MAX || is_over => {
                            handle = Handle::Object;
                            not_found = 0;
                        }
                        _ => {}
                    }
                    if is_over && not_found > 0 {
                        return Err(overdue(id, waited, last));
                    }
                    continue;
                }
                // The object itself tells as well where the status cannot be read (405) or must not be (foreign host).
                Err(EngineError::Arm(error)) if error.status == 405 => {
                    handle = Handle::Object;
                    continue;
                }
                Err(EngineError::Transport(TransportError::ForeignHost { host })) => {
                    tracing::warn!(%host, %id, "status URL is not ARM's; asking the object instead");
                    handle = Handle::Object;
                    continue;
                }
                Err(error) => return Err(error),
            };
            wait = retry_after(&response).unwrap_or_else(|| self.cloud.default_poll_interval());
            match state(method, &handle, &response) {
                Word::Succeeded => return Ok(()),
                Word::Failed => return Err(failure(method, id, &response).into()),
                Word::Running => last = describe(&response),
            }
            if is_over {
                return Err(overdue(id, waited, last));
            }
        }
    }
}

fn overdue(id: &ArmId, waited: Duration, last: String) -> EngineError {
    EngineError::TimedOut {
        what: id.as_str().to_owned(),
        awaited: Awaited::Operation,
        waited,
        last,
    }
}

/// What tells a scale set from another one that has its name later.
fn unique(body: &Value) -> Option<&str> {
    body.pointer("/properties/uniqueId").and_then(Value::as_str)
}

fn handle(response: &ArmResponse) -> Handle {
    if let Some(url) = response.header("azure-asyncoperation").filter(|url| !url.is_empty()) {
        return Handle::Status(url.to_owned());
    }
    match response.header("location").filter(|url| !url.is_empty()) {
        Some(url) if response.status == 202 => Handle::Location(url.to_owned()),
        _ => Handle::Object,
    }
}

fn state(method: Method, handle: &Handle, response: &ArmResponse) -> Word {
    match handle {
        Handle::Status(_) => {
            let status = response.body.get("status").and_then(Value::as_str);
            // A status without the word is done only when there is nothing left to read.
            status
                .map_or(if response.status == 204 { Word::Succeeded } else { Word::Running }, word)
        }
        Handle::Location(_) if response.status == 202 => Word::Running,
        Handle::Location(_) => match response.body.get("error") {
            Some(error) if !error.is_null() => Word::Failed,
            _ => Word::Succeeded,
        },
        // An object that is being deleted can still be read: gone is the only success.
        Handle::Object if method == Method::Delete => Word::Running,
        Handle::Object => provisioning_word(&response.body),
    }
}

fn failure(method: Method, id: &ArmId, response: &ArmResponse) -> ArmError {
    let error = response.body.get("error").filter(|error| error.is_object());
    let fallback = json!({
        "code": "OperationFailed",
        "message": format!("the operation ended as {}", describe(response)),
    });
    ArmError::from_error(method, id.as_str(), response, error.unwrap_or(&fallback))
}

fn describe(response: &ArmResponse) -> String {
    ["/status", "/properties/provisioningState"]
        .iter()
        .find_map(|pointer| response.body.pointer(pointer).and_then(Value::as_str))
        .map_or_else(|| format!("HTTP {}", response.status), str::to_owned)
}
