//! Answers that take the place of Azure's, and Azure's with something changed.

use std::hash::Hash as _;

use hcs_engine::cloud::{ArmRequest, ArmResponse, Method, Target, TransportError};
use serde_json::{Value, json};

use super::{Answered, CallFault, Calls, Sort, UNSEEN_READS, no_answer, not_sent};

/// What a wait that was told in seconds is.
const TOLD_SECONDS: u64 = 7;
/// A host that is not Azure's.
const FOREIGN: &str = "https://attacker.example";

/// An error answer.
pub(super) fn error(status: u16, code: &str) -> ArmResponse {
    let body = json!({ "error": { "code": code, "message": "Injected fault." } });
    let correlation = ("x-ms-correlation-request-id".to_owned(), "injected".to_owned());
    ArmResponse { status, headers: [correlation].into(), body }
}

pub(super) fn not_found() -> ArmResponse {
    error(404, "ResourceNotFound")
}

fn with(mut response: ArmResponse, name: &str, value: impl Into<String>) -> ArmResponse {
    response.headers.insert(name.to_owned(), value.into());
    response
}

impl Calls {
    /// The answer of a call that never gets to Azure.
    pub(super) fn instead(
        &self,
        fault: CallFault,
        is_write: bool,
    ) -> Option<Result<ArmResponse, TransportError>> {
        let throttled = || error(429, "TooManyRequests");
        Some(match fault {
            CallFault::Unsent | CallFault::Offline => Err(not_sent(self.endpoint())),
            CallFault::LostRequest => Err(no_answer(self.endpoint())),
            CallFault::NoToken => Err(TransportError::Credential { tried: "injected".to_owned() }),
            CallFault::Malformed => Err(TransportError::Malformed {
                host: self.endpoint(),
                reason: "injected: <html>".to_owned(),
            }),
            CallFault::TokenExpired => Ok(error(401, "ExpiredAuthenticationToken")),
            CallFault::ErrorIn200 => {
                Ok(ArmResponse { status: 200, ..error(500, "InternalServerError") })
            }
            CallFault::Throttled => {
                self.tell(is_write, TOLD_SECONDS);
                Ok(with(throttled(), "retry-after", TOLD_SECONDS.to_string()))
            }
            CallFault::ThrottledBare => Ok(throttled()),
            CallFault::ThrottledDate => {
                self.tell(is_write, TOLD_SECONDS);
                let now_ms = self.clock.true_unix_ms();
                let date = |ms| crate::world::fault::http_date(ms);
                let told = with(throttled(), "retry-after", date(now_ms + TOLD_SECONDS * 1000));
                Ok(with(told, "date", date(now_ms)))
            }
            CallFault::ThrottledNonsense => Ok(with(throttled(), "retry-after", "-7 soon")),
            CallFault::ThrottledHour => {
                // Others are held back for two minutes at most by what one was told.
                self.tell(is_write, 120);
                Ok(with(throttled(), "retry-after", "3600"))
            }
            CallFault::NotReady => Ok(error(429, "RetryableError")),
            CallFault::Unavailable => Ok(error(503, "ServiceUnavailable")),
            CallFault::TimedOut => Ok(error(408, "RequestTimeout")),
            CallFault::ServerError => Ok(error(500, "InternalServerError")),
            CallFault::BadGateway => Ok(error(502, "BadGateway")),
            CallFault::GatewayTimeout => Ok(error(504, "GatewayTimeout")),
            CallFault::Forbidden => Ok(error(403, "AuthorizationFailed")),
            CallFault::Policy => Ok(error(403, "RequestDisallowedByPolicy")),
            CallFault::Busy => Ok(error(409, "AnotherOperationInProgress")),
            CallFault::NotFound => Ok(not_found()),
            CallFault::PollNotFound => Ok(error(404, "OperationNotFound")),
            _ => return None,
        })
    }

    fn tell(&self, is_write: bool, seconds: u64) {
        let until_ms = self.clock.true_unix_ms() + seconds * 1000;
        let mut state = self.script.lock();
        let told = &mut state.told_until_ms[usize::from(is_write)];
        *told = (*told).max(until_ms);
    }

    pub(super) fn note_refusal(&self, answer: &Result<ArmResponse, TransportError>) {
        let mut state = self.script.lock();
        match answer {
            Ok(response) => (response.status, &response.body).hash(&mut state.trace),
            Err(error) => error.to_string().hash(&mut state.trace),
        }
    }

    /// Azure's answer, with what the fault changes of it.
    pub(super) fn changed(
        &self,
        number: usize,
        fault: Option<CallFault>,
        request: &ArmRequest,
        path: &str,
        mut response: ArmResponse,
        body_hash: u64,
    ) -> ArmResponse {
        let mut state = self.script.lock();
        let url = match &request.target {
            Target::Url(url) => url.clone(),
            Target::Path(_) => String::new(),
        };
        let is_get = request.method == Method::Get;
        let is_seen = is_get && response.status == 200;
        let had_other_answer = is_seen && state.note_answer(path, body_hash);
        let earlier = if is_seen && state.may_be_stale() {
            state.bodies.insert(path.to_owned(), response.body.clone())
        } else {
            None
        };
        if let Some(call) = state.calls.get_mut(number) {
            let rows = response.body.get("value").and_then(Value::as_array).map_or(0, Vec::len);
            let polled = ["azure-asyncoperation", "location"];
            call.answered = Answered {
                status: response.status,
                accepted: call.sort == Sort::Write
                    && polled.iter().any(|name| response.header(name).is_some()),
                created: request.method == Method::Put && matches!(response.status, 201 | 202),
                had_other_answer: had_other_answer && call.sort != Sort::Poll,
                rows,
            };
        }
        match fault {
            Some(CallFault::StaleRead) => {
                if let Some(earlier) = earlier {
                    response.body = earlier;
                }
            }
            Some(CallFault::NotYetThere) => {
                state.unseen.insert(path.to_owned(), UNSEEN_READS);
            }
            Some(CallFault::EmptyList) => response.body = json!({ "value": [] }),
            Some(CallFault::PartialList) => {
                if let Some(rows) = response.body.get_mut("value").and_then(Value::as_array_mut) {
                    let half = rows.len() / 2;
                    rows.truncate(half);
                }
            }
            // A list that is a bare array has no pages.
            Some(CallFault::ListCircle | CallFault::ListForeign) if response.body.is_array() => {}
            Some(CallFault::ListCircle) => {
                let own = if url.is_empty() {
                    match &request.target {
                        Target::Path(path) | Target::Url(path) => {
                            drop(state);
                            let own = format!("{}{path}", self.endpoint());
                            state = self.script.lock();
                            own
                        }
                    }
                } else {
                    url.clone()
                };
                response.body["nextLink"] = json!(own);
            }
            Some(CallFault::ListForeign) => {
                response.body["nextLink"] = json!(format!("{FOREIGN}{path}?page=2"));
            }
            Some(CallFault::PollForeign) => {
                for name in ["azure-asyncoperation", "location"] {
                    if let Some(url) = response.headers.get_mut(name) {
                        *url = format!("{FOREIGN}/operations/1");
                    }
                }
            }
            Some(end @ (CallFault::Cancels | CallFault::Preempted)) => {
                for name in ["azure-asyncoperation", "location"] {
                    if let Some(url) = response.headers.get(name) {
                        state.polls.insert(url.clone(), end);
                    }
                }
            }
            Some(end @ (CallFault::PollDead | CallFault::PollRefused)) => {
                state.polls.insert(url.clone(), end);
            }
            Some(CallFault::UnknownWord) if response.body.get("status").is_some() => {
                response.body["status"] = json!("Resolving");
            }
            _ => {}
        }
        match state.polls.get(&url) {
            Some(CallFault::PollDead) => error(404, "OperationNotFound"),
            Some(CallFault::PollRefused) => error(405, "HttpMethodNotSupported"),
            Some(end) => {
                let failed = response.body.get("error").is_some();
                if failed && response.body.get("status").is_some() {
                    response.body["status"] = json!("Cancelled");
                }
                if failed && *end == CallFault::Preempted {
                    response.body["error"]["code"] = json!("OperationPreempted");
                }
                response
            }
            None => response,
        }
    }
}
