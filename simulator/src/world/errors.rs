//! ARM's error bodies and codes, one constructor per refusal.

use serde_json::{Value, json};

use super::http::Response;

/// A refusal of ARM or of a resource provider.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{status} {code}: {message}")]
pub struct ArmError {
    /// HTTP status.
    pub status: u16,
    /// Code, what clients decide on.
    pub code: String,
    /// Sentence for people.
    pub message: String,
    /// Inner errors.
    pub details: Vec<Value>,
    /// Milliseconds after which the caller may try again.
    pub retry_after_ms: Option<u64>,
    /// Whether ARM's front end refused, before any resource provider saw the request.
    pub gateway: bool,
}

pub(crate) type Answer<T = Response> = Result<T, ArmError>;

impl ArmError {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            details: Vec::new(),
            retry_after_ms: None,
            gateway: false,
        }
    }

    pub(crate) fn gateway(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { gateway: true, ..Self::new(status, code, message) }
    }

    pub(crate) fn detail(mut self, code: &str, message: impl Into<String>) -> Self {
        let message: String = message.into();
        self.details.push(json!({"code": code, "message": message}));
        self
    }

    pub(crate) fn after_ms(mut self, retry_after_ms: u64) -> Self {
        self.retry_after_ms = Some(retry_after_ms);
        self
    }

    /// The `error` object.
    pub fn body(&self) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if !self.details.is_empty() {
            error["details"] = Value::Array(self.details.clone());
        }
        error
    }

    pub(crate) fn response(&self) -> Response {
        let mut response = Response::json(self.status, json!({"error": self.body()}));
        if self.gateway {
            response = response.with("x-ms-failure-cause", "gateway");
        }
        if let Some(delay_ms) = self.retry_after_ms {
            response = with_retry_after(response, delay_ms);
        }
        response
    }

    pub(crate) fn invalid(code: &str, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    pub(crate) fn missing_property(what: &str) -> Self {
        Self::new(
            400,
            "InvalidParameter",
            format!("Required parameter '{what}' is missing (null)."),
        )
    }

    pub(crate) fn not_found(rtype: &str, name: &str, group: &str) -> Self {
        Self::gateway(
            404,
            "ResourceNotFound",
            format!(
                "The Resource '{rtype}/{name}' under resource group '{group}' was not found. For \
                 more details please go to https://aka.ms/ARMResourceNotFoundFix"
            ),
        )
    }

    pub(crate) fn group_not_found(group: &str) -> Self {
        let text = format!("Resource group '{group}' could not be found.");
        Self::gateway(404, "ResourceGroupNotFound", text)
    }

    pub(crate) fn group_being_deleted(group: &str) -> Self {
        Self::gateway(
            409,
            "ResourceGroupBeingDeleted",
            format!(
                "The resource group '{group}' is in deprovisioning state and cannot perform this \
                 operation."
            ),
        )
    }

    pub(crate) fn parent_not_found(rtype: &str, name: &str) -> Self {
        Self::gateway(
            404,
            "ParentResourceNotFound",
            format!(
                "Failed to perform 'write' on resource(s) of type '{rtype}', because the parent \
                 resource '{name}' could not be found."
            ),
        )
    }

    pub(crate) fn scope_locked(target: &str, verb: &str, locked: &[String]) -> Self {
        Self::gateway(
            409,
            "ScopeLocked",
            format!(
                "The scope '{target}' cannot perform {verb} operation because following scope(s) \
                 are locked: '{}'. Please remove the lock and try again.",
                locked.join(",")
            ),
        )
    }

    pub(crate) fn forbidden(principal: &str, action: &str, scope: &str) -> Self {
        Self::gateway(
            403,
            "AuthorizationFailed",
            format!(
                "The client '{principal}' with object id '{principal}' does not have \
                 authorization to perform action '{action}' over scope '{scope}' or the scope is \
                 invalid. If access was recently granted, please refresh your credentials."
            ),
        )
    }

    pub(crate) fn method_not_allowed(method: &str) -> Self {
        Self::gateway(
            405,
            "HttpMethodNotSupported",
            format!("The HTTP method '{method}' is not supported at this scope."),
        )
    }

    pub(crate) fn not_provisioned(resource: &str, user: &str, state: &str, last: &str) -> Self {
        let text = format!(
            "Cannot proceed with operation because resource {resource} used by resource {user} is \
             not in Succeeded state. Resource is in {state} state and the last operation that \
             updated/is updating the resource is {last}."
        );
        Self::new(429, "RetryableError", "A retryable error occurred.")
            .detail("ReferencedResourceNotProvisioned", text)
            .after_ms(10_000)
    }

    pub(crate) fn reference_not_found(referenced: &str, user: &str) -> Self {
        Self::new(
            400,
            "InvalidResourceReference",
            format!(
                "Resource {referenced} referenced by resource {user} was not found. Please make \
                 sure that the referenced resource exists, and that both resources are in the \
                 same region."
            ),
        )
    }
}

/// Adds `Retry-After` in whole seconds and, as finer clients read it, in milliseconds.
pub(crate) fn with_retry_after(response: Response, delay_ms: u64) -> Response {
    response
        .with("retry-after", delay_ms.div_ceil(1000).max(1).to_string())
        .with("retry-after-ms", delay_ms.to_string())
}
