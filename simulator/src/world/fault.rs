//! Fault injection: what goes wrong, for which request, how often.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::World;
use super::errors::{ArmError, with_retry_after};
use super::http::{Method, Response};
use super::operations::Action;

/// Help text on the grammar.
pub const GRAMMAR: &str = "\
FAULT SPECIFICATIONS, each WHAT:METHOD:TYPE:COUNT[:SKIP] or WHAT:TYPE:COUNT[:SKIP]
  METHOD is GET, PUT, PATCH, POST, DELETE, HEAD or *; TYPE is the last word of an ARM type
  (virtualNetworks, resourceGroups, operations for polls, blobs for the data plane) or *.
  The first SKIP matching requests pass, then COUNT are hit.
  429:PUT:virtualNetworks:2        too many requests, with Retry-After
  429-bare:GET:*:1                 the same without Retry-After
  429-date:GET:*:1                 the same with Retry-After as HTTP date
  404:GET:resourceGroups:2         not yet replicated: reads of an existing object say 404
  403|408|409|500|502|503|504:GET:*:1  this status, the request has no effect
  policy:PUT:virtualMachineScaleSets:1  an Azure Policy forbids it
  200-error:GET:*:1                status 200 with an error in the body, the request has no effect
  empty-list:GET:virtualMachineScaleSets:1  a list of the type names nothing
  unsent:*:*:1                     the connection is refused
  500-after:PUT:natGateways:1      the request takes effect, the answer is 500
  drop-before:PUT:*:1              the connection breaks before any effect
  drop-after:PUT:*:1               the request takes effect, then the connection breaks
  failed-lro:virtualMachineScaleSets:1    the accepted operation ends as Failed
  failed-delete:virtualNetworks:1         the accepted deletion ends as Failed
  capacity:virtualMachineScaleSets:1      it fails with ZonalAllocationFailed
  hardware:virtualMachineScaleSets:1      a running machine is refused another size
  stuck-lro:natGateways:1                 it never ends
  slow-lro:natGateways:1                  it takes 75 minutes";

/// One injected fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    what: String,
    method: Option<Method>,
    rtype: String,
    count: u32,
    skip: u32,
}

/// A fault specification that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("fault `{spec}` is not understood: {reason}")]
pub struct FaultError {
    spec: String,
    reason: &'static str,
}

const BY_TYPE: &[&str] =
    &["failed-lro", "failed-delete", "capacity", "hardware", "stuck-lro", "slow-lro"];
const BY_REQUEST: &[&str] = &[
    "429",
    "429-bare",
    "429-date",
    "403",
    "404",
    "408",
    "409",
    "500",
    "502",
    "503",
    "504",
    "500-after",
    "200-error",
    "empty-list",
    "policy",
    "unsent",
    "drop-before",
    "drop-after",
];

impl std::str::FromStr for Fault {
    type Err = FaultError;

    fn from_str(spec: &str) -> Result<Self, FaultError> {
        let refuse = |reason| FaultError { spec: spec.to_owned(), reason };
        let mut words = spec.split(':');
        let what = words.next().unwrap_or_default().to_owned();
        let by_type = BY_TYPE.contains(&what.as_str());
        if !by_type && !BY_REQUEST.contains(&what.as_str()) {
            return Err(refuse("the first word names no fault"));
        }
        let method = match (by_type, words.next()) {
            (true, Some(rtype)) => {
                words = spec[what.len() + 1..].split(':');
                let _ = rtype;
                None
            }
            (false, Some("*")) => None,
            (false, Some(word)) => {
                Some(Method::parse(word).ok_or_else(|| refuse("the method is unknown"))?)
            }
            (_, None) => return Err(refuse("words are missing")),
        };
        let rtype = words.next().ok_or_else(|| refuse("the type is missing"))?.to_owned();
        let mut number = |default: u32| match words.next() {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| refuse("a count is no number")),
        };
        Ok(Self { what, method, rtype, count: number(1)?, skip: number(0)? })
    }
}

impl Fault {
    fn hits(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if self.count == 0 {
            return false;
        }
        self.count -= 1;
        true
    }
}

/// What an injected fault does to the request at hand.
pub(crate) enum Injected {
    /// Answer this, do nothing.
    Instead(Response),
    /// Do it, then answer this.
    After(Response),
}

impl World {
    /// Adds a fault.
    pub fn inject(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Takes a fault back, if it has not struck.
    pub(crate) fn withdraw(&mut self, fault: &Fault) {
        if let Some(at) = self.faults.iter().rposition(|own| own == fault) {
            self.faults.remove(at);
        }
    }

    /// Drops all faults that have not struck yet.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// The fault for this request, if one is due. `exists`: the named object is there.
    pub(crate) fn take_fault(
        &mut self,
        method: Method,
        rtype: &str,
        exists: bool,
    ) -> Option<Injected> {
        let now_ms = self.now_ms;
        let retry_ms = self.scaled(2_000);
        let mut struck = None;
        for fault in &mut self.faults {
            let fits = BY_REQUEST.contains(&fault.what.as_str())
                && fault.method.is_none_or(|m| m == method)
                && (fault.rtype == "*" || fault.rtype.eq_ignore_ascii_case(rtype))
                && (fault.what != "404" || exists)
                && (fault.what != "empty-list" || !exists);
            // Each fault counts the requests that it lets pass, also those that another one hits.
            if fits && (fault.skip > 0 || struck.is_none()) && fault.hits() {
                struck = Some(fault.what.clone());
            }
        }
        let fault = struck?;
        let error = |status: u16, code: &str| {
            let text = "Injected fault.";
            ArmError::new(status, code, text).response()
        };
        Some(match fault.as_str() {
            "drop-before" => Injected::Instead(Response { dropped: true, ..Response::empty(502) }),
            "drop-after" => Injected::After(Response { dropped: true, ..Response::empty(502) }),
            "500-after" => Injected::After(error(500, "InternalServerError")),
            "429" => Injected::Instead(with_retry_after(error(429, "TooManyRequests"), retry_ms)),
            "429-bare" => Injected::Instead(error(429, "TooManyRequests")),
            "429-date" => {
                let date = http_date(now_ms + retry_ms.max(1000));
                Injected::Instead(error(429, "TooManyRequests").with("retry-after", date))
            }
            "404" => Injected::Instead(error(404, "ResourceNotFound")),
            "403" => Injected::Instead(error(403, "AuthorizationFailed")),
            "policy" => Injected::Instead(error(403, "RequestDisallowedByPolicy")),
            "200-error" => {
                Injected::Instead(Response { status: 200, ..error(500, "InternalServerError") })
            }
            "empty-list" => Injected::Instead(Response::json(200, json!({ "value": [] }))),
            // No status: nothing came back because nothing arrived.
            "unsent" => Injected::Instead(Response { dropped: true, ..Response::empty(0) }),
            "408" => Injected::Instead(error(408, "RequestTimeout")),
            "409" => Injected::Instead(error(409, "Conflict")),
            "502" => Injected::Instead(error(502, "BadGateway")),
            "503" => Injected::Instead(error(503, "ServiceUnavailable")),
            "504" => Injected::Instead(error(504, "GatewayTimeout")),
            _ => Injected::Instead(error(500, "InternalServerError")),
        })
    }

    /// For data planes beside ARM: the answer that replaces theirs, and whether the effect stays.
    pub fn data_fault(&mut self, method: Method) -> Option<(u16, bool, bool)> {
        self.take_fault(method, "blobs", true).map(|fault| match fault {
            Injected::Instead(r) => (r.status, false, r.dropped),
            Injected::After(r) => (r.status, true, r.dropped),
        })
    }

    pub(crate) fn take_named_fault(&mut self, what: &str, rtype: &str) -> bool {
        self.faults.iter_mut().any(|fault| {
            fault.what == what
                && (fault.rtype == "*" || fault.rtype.eq_ignore_ascii_case(rtype))
                && fault.hits()
        })
    }

    /// The error with which an operation that starts now will end, if a fault says so.
    pub(crate) fn planned_failure(&mut self, rtype: &str, action: Action) -> Option<Value> {
        if action != Action::Put {
            return self.take_named_fault("failed-delete", rtype).then(|| {
                json!({"code": "InternalServerError", "message": "Injected failure of a deletion."})
            });
        }
        if self.take_named_fault("capacity", rtype) {
            return Some(json!({
                "code": "ZonalAllocationFailed",
                "message": "Allocation failed. We do not have sufficient capacity for the \
                    requested VM size in this zone. Read more about improving likelihood of \
                    allocation success at https://aka.ms/allocation-guidance",
            }));
        }
        self.take_named_fault("failed-lro", rtype).then(|| {
            json!({
                "code": "InternalExecutionError",
                "message": "An internal execution error occurred. Please retry later.",
                "details": null,
            })
        })
    }
}

/// A time as HTTP headers write it.
pub(crate) fn http_date(unix_ms: u64) -> String {
    i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(String::new, |t| t.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}
