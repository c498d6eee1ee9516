//! Why a step failed, whether to try again, and whose fault it is.

use std::time::Duration;

use hcs_planner::observed::Unseen;
use hcs_planner::reference::Unresolved;
use serde_json::Value;

use crate::blob::BlobError;
use crate::cloud::{ArmResponse, Method, TransportError};
use crate::snapshot::bring::BringError;

/// Whether and how to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Trying again changes nothing.
    Never,
    /// Nothing happened; try again after a back-off.
    Backoff,
    /// ARM named the time.
    After(Duration),
    /// The outcome is unknown: read back first.
    AfterRead,
}

/// Whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Configuration, rights, quota.
    User,
    /// Azure or the way to it.
    Cloud,
    /// Ours.
    Bug,
}

/// ARM refused a request or failed an operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {id}: {code}: {message} (HTTP {status}, correlation id {correlation_id})", method.as_str())]
pub struct ArmError {
    /// What was asked.
    pub method: Method,
    /// Of what.
    pub id: String,
    /// HTTP status; 200 for an operation that was accepted and failed later.
    pub status: u16,
    /// ARM's code, details' codes after a slash.
    pub code: String,
    /// ARM's words.
    pub message: String,
    /// `Retry-After`, if it came.
    pub retry_after: Option<Duration>,
    /// For Microsoft's support.
    pub correlation_id: String,
}

/// Codes that mean "not now": another write runs, or a dependency is not done.
const BUSY: [&str; 10] = [
    "ContainerBeingDeleted",
    "AnotherOperationInProgress",
    "RetryableError",
    "RetryableErrorDueToAnotherOperation",
    "ReferencedResourceNotProvisioned",
    "StorageAccountOperationInProgress",
    "OperationPreempted",
    "CanceledAndSupersededDueToAnotherOperation",
    "ResourceGroupBeingDeleted",
    "Conflict",
];

/// Those of [`BUSY`] that say that an operation on the object itself runs.
const IN_PROGRESS: [&str; 3] = [
    "AnotherOperationInProgress",
    "RetryableErrorDueToAnotherOperation",
    "StorageAccountOperationInProgress",
];

/// Codes that mean "no room": the size is withheld from a zone, or the zone is full (Microsoft's pages on allocation).
const CAPACITY: [&str; 5] = [
    "SkuNotAvailable",
    "AllocationFailed",
    "ZonalAllocationFailed",
    "OverconstrainedAllocationRequest",
    "OverconstrainedZonalAllocationRequest",
];

impl ArmError {
    /// Reads an error answer, however deep its code is.
    pub fn from_response(method: Method, id: &str, response: &ArmResponse) -> Self {
        let error = response.body.get("error").unwrap_or(&response.body);
        Self::from_error(method, id, response, error)
    }

    /// Reads the `error` of an operation's status.
    pub fn from_error(method: Method, id: &str, response: &ArmResponse, error: &Value) -> Self {
        let text = |value: &Value, key: &str| {
            value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let mut code = text(error, "code");
        let mut message = text(error, "message");
        let details = error.get("details").and_then(Value::as_array);
        for detail in details.into_iter().flatten() {
            let (inner, words) = (text(detail, "code"), text(detail, "message"));
            if !inner.is_empty() && inner != code {
                code = format!("{code}/{inner}");
            }
            if !words.is_empty() && words != message {
                message = format!("{message} {words}");
            }
        }
        if code.is_empty() {
            code = format!("HTTP{}", response.status);
        }
        let correlation = ["x-ms-correlation-request-id", "x-ms-request-id"];
        let correlation_id =
            correlation.iter().find_map(|name| response.header(name)).unwrap_or("none").to_owned();
        Self {
            method,
            id: id.to_owned(),
            status: response.status,
            code,
            message,
            retry_after: retry_after(response),
            correlation_id,
        }
    }

    /// Whether one of the codes is `code`.
    pub fn is(&self, code: &str) -> bool {
        self.code.split('/').any(|own| own.eq_ignore_ascii_case(code))
    }

    /// Whether an operation on the object runs that somebody began, perhaps an earlier run of ours.
    pub fn is_in_progress(&self) -> bool {
        IN_PROGRESS.iter().any(|code| self.is(code))
    }

    /// Whether Azure has no room for a machine there now: another place may do.
    pub fn is_capacity(&self) -> bool {
        CAPACITY.iter().any(|code| self.is(code))
    }

    /// Whether a machine must be off to get what it is to be: the hardware on which it runs does not offer it. A quota
    /// comes under the same code.
    pub fn needs_other_hardware(&self) -> bool {
        let words = self.message.to_lowercase();
        let is_quota = words.contains("quota") || words.contains("exceeding approved");
        let is_full = self.is_capacity() && !self.is("SkuNotAvailable");
        is_full || (self.is("OperationNotAllowed") && !is_quota)
    }

    /// Whether and how to try again.
    pub fn retry(&self) -> Retry {
        let wait = self.retry_after.map_or(Retry::Backoff, Retry::After);
        if BUSY.iter().any(|code| self.is(code)) {
            return wait;
        }
        match self.status {
            429 | 503 => wait,
            408 | 424 | 500 | 502 | 504 => Retry::AfterRead,
            _ => Retry::Never,
        }
    }

    /// Whose it is.
    pub fn fault(&self) -> Fault {
        match self.status {
            400..=499 if self.retry() == Retry::Never => Fault::User,
            _ => Fault::Cloud,
        }
    }
}

/// `Retry-After` as seconds or HTTP date; at most one hour. Nonsense is none, and so is no time at all: who asks again at
/// once is refused again at once.
pub fn retry_after(response: &ArmResponse) -> Option<Duration> {
    const MAX_SECONDS: i64 = 3600;
    // Some services are more exact than whole seconds (azure_core reads the same headers).
    let exact = ["retry-after-ms", "x-ms-retry-after-ms"];
    let exact = exact.iter().find_map(|name| response.header(name)?.trim().parse::<u64>().ok());
    if let Some(milliseconds) = exact.filter(|milliseconds| *milliseconds > 0) {
        return Some(Duration::from_millis(milliseconds).min(Duration::from_hours(1)));
    }
    let text = response.header("retry-after")?.trim();
    let seconds = match text.parse::<i64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let then = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            let now = response
                .header("date")
                .and_then(|date| jiff::fmt::rfc2822::parse(date).ok())
                .map(|date| date.timestamp())?;
            then.as_second() - now.as_second()
        }
    };
    let seconds = u64::try_from(seconds.min(MAX_SECONDS)).ok().filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds))
}

/// What a wait waits for: the advice differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Servers, by what they report.
    Servers,
    /// An operation of Azure's Resource Manager.
    Operation,
    /// The right to write blobs, or the way to them.
    BlobAccess,
    /// That somebody tells the name of a private endpoint.
    PrivateName,
}

/// Why a step, a read or a whole run failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// ARM said no.
    #[error(transparent)]
    Arm(#[from] ArmError),
    /// No place that the configuration allows has room for a server.
    #[error("no place has room for {server}; tried {}: {last}", tried.join(", "))]
    NoCapacity {
        /// The server.
        server: String,
        /// Where, in this order.
        tried: Vec<String>,
        /// What Azure said of the last one.
        last: Box<ArmError>,
    },
    /// ARM could not be asked.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Blobs said no.
    #[error(transparent)]
    Blob(BlobError),
    /// A snapshot of another account could not be brought.
    #[error(transparent)]
    Snapshot(#[from] Box<BringError>),
    /// The account has a private endpoint alone, and the caller is not where that leads.
    #[error(
        "the storage account {account} answers at its private endpoint{} and nowhere else, and this machine did not come \
         there within {} minutes", address.as_ref().map(|address| format!(" ({address})")).unwrap_or_default(),
        waited.as_secs().div_ceil(60)
    )]
    Closed {
        /// Its name.
        account: String,
        /// Of the endpoint.
        address: Option<String>,
        /// How long it was tried.
        waited: Duration,
    },
    /// It took too long.
    #[error("{what} is not done after {} minutes: {last}", waited.as_secs().div_ceil(60))]
    TimedOut {
        /// What was waited for.
        what: String,
        /// What kind of thing that is.
        awaited: Awaited,
        /// How long.
        waited: Duration,
        /// What was seen last.
        last: String,
    },
    /// A server met an error that no waiting heals.
    #[error("{what} cannot come about: {server} reports: {reason}")]
    Hopeless {
        /// What was waited for.
        what: String,
        /// The server.
        server: String,
        /// What it says.
        reason: String,
    },
    /// The run was asked to stop.
    #[error("stopped on request")]
    Stopped,
    /// Somebody else has taken the cluster over, another run or a job of a server: this run writes nothing more.
    #[error("the cluster was taken over meanwhile: {by}")]
    Fenced {
        /// Who, since when, for what.
        by: String,
    },
    /// Somebody changed an object after it was looked at and before it was written.
    #[error("{id} was changed by somebody else in the meantime")]
    Changed {
        /// The object, or the document.
        id: String,
    },
    /// Two reads of one thing say opposite things.
    #[error("Azure says both that {id} exists and that it does not")]
    Contradiction {
        /// The object.
        id: String,
    },
    /// A value that an earlier step should have given is missing.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// A program that servers need cannot be had.
    #[error("{0}")]
    Artifact(String),
    /// A document holds something else than it should.
    #[error("{container}/{name} is not readable as {what}: {reason}")]
    BadDocument {
        /// Container.
        container: String,
        /// Blob.
        name: String,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The run record is written by a newer version, or broken. It may be a living run's.
    #[error("the run record config/run.json is not readable: {reason}")]
    UnknownRunRecord {
        /// What is wrong.
        reason: String,
    },
    /// Something that a change depends on could not be seen.
    #[error("{}", .0.sentence)]
    Unseen(Unseen),
    /// A server did not do what it was asked for.
    #[error("{node_name} did not {action}: {reason}")]
    NotDone {
        /// Its Consul node name.
        node_name: String,
        /// What it was asked for.
        action: &'static str,
        /// Why not.
        reason: String,
    },
    /// There is no plan for what is there now.
    #[error("{reason}")]
    Unplanned {
        /// Why.
        reason: String,
    },
    /// A document could not be written down.
    #[error("cannot write {what} as JSON: {reason}")]
    Serialise {
        /// Which.
        what: String,
        /// Why.
        reason: String,
    },
    /// A key or certificate could not be made.
    #[error("cannot make {what}: {reason}")]
    Crypto {
        /// What.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

impl From<BringError> for EngineError {
    fn from(error: BringError) -> Self {
        Self::Snapshot(Box::new(error))
    }
}

impl From<BlobError> for EngineError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Fenced(error) => *error,
            other => Self::Blob(other),
        }
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn response(status: u16, body: Value, headers: &[(&str, &str)]) -> ArmResponse {
        let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        ArmResponse { status, headers, body }
    }

    #[test]
    fn codes_of_details_decide_the_retry() {
        let body = json!({ "error": { "code": "RetryableError", "message": "m", "details": [
            { "code": "ReferencedResourceNotProvisioned", "message": "d" } ] } });
        let error = ArmError::from_response(Method::Put, "/x", &response(429, body, &[]));
        assert!(error.is("referencedResourceNotProvisioned"));
        assert_eq!(error.retry(), Retry::Backoff);
        assert_eq!(error.message, "m d");
    }

    #[test]
    fn retry_by_status() {
        let table = [
            (400, Retry::Never),
            (403, Retry::Never),
            (404, Retry::Never),
            (409, Retry::Never),
            (429, Retry::Backoff),
            (500, Retry::AfterRead),
            (503, Retry::Backoff),
            (504, Retry::AfterRead),
        ];
        for (status, retry) in table {
            let error =
                ArmError::from_response(Method::Get, "/x", &response(status, Value::Null, &[]));
            assert_eq!(error.retry(), retry, "{status}");
        }
    }

    #[test]
    fn retry_after_takes_seconds_and_dates_and_no_nonsense() {
        let date = ("date", "Sun, 22 Nov 2026 10:00:00 GMT");
        let table = [
            ("7", Some(7)),
            ("-3", None),
            ("0", None),
            ("", None),
            ("Sun, 22 Nov 2026 09:00:30 GMT", None),
            ("99999999", Some(3600)),
            ("Sun, 22 Nov 2026 10:00:30 GMT", Some(30)),
            ("soon", None),
        ];
        for (text, seconds) in table {
            let response = response(429, Value::Null, &[("retry-after", text), date]);
            assert_eq!(retry_after(&response), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
