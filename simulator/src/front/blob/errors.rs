//! Errors of the blob service: a code, a sentence, XML.

use crate::front::wire::{self, Reply};

/// A refusal of the blob service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlobError {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) text: &'static str,
}

pub(crate) const fn error(status: u16, code: &'static str, text: &'static str) -> BlobError {
    BlobError { status, code, text }
}

pub(crate) const NO_CONTAINER: BlobError =
    error(404, "ContainerNotFound", "The specified container does not exist.");
pub(crate) const NO_BLOB: BlobError =
    error(404, "BlobNotFound", "The specified blob does not exist.");
pub(crate) const BLOB_EXISTS: BlobError =
    error(409, "BlobAlreadyExists", "The specified blob already exists.");
pub(crate) const CONDITION: BlobError = error(
    412,
    "ConditionNotMet",
    "The condition specified using HTTP conditional header(s) is not met.",
);
pub(crate) const DENIED: BlobError = error(
    403,
    "AuthorizationPermissionMismatch",
    "This request is not authorized to perform this operation using this permission.",
);
pub(crate) const IMMUTABLE: BlobError = error(
    409,
    "BlobImmutableDueToPolicy",
    "This operation is not permitted as the blob is immutable due to a policy.",
);
pub(crate) const FIREWALL: BlobError =
    error(403, "AuthorizationFailure", "This request is not authorized to perform this operation.");
pub(crate) const BAD_HEADER: BlobError = error(
    400,
    "InvalidHeaderValue",
    "The value for one of the HTTP headers is not in the correct format.",
);
pub(crate) const WRONG_TYPE: BlobError =
    error(409, "InvalidBlobType", "The blob type is invalid for this operation.");
pub(crate) const INTERNAL: BlobError =
    error(500, "InternalError", "The server encountered an internal error.");

impl From<std::io::Error> for BlobError {
    fn from(source: std::io::Error) -> Self {
        tracing::warn!(error = %source, "blob storage failed");
        INTERNAL
    }
}

impl BlobError {
    /// The answer; HEAD carries the code in a header only.
    pub(crate) fn reply(&self, head: bool) -> Reply {
        let body = if head || self.status == 304 {
            String::new()
        } else {
            format!(
                "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{}</Code>\
                 <Message>{}\nTime:{}</Message></Error>",
                self.code,
                self.text,
                crate::world::operations::rfc3339(crate::front::now_ms())
            )
        };
        let kind = if body.is_empty() { "" } else { "application/xml" };
        let mut reply = wire::reply(self.status, kind, body);
        wire::set(&mut reply, "x-ms-error-code", self.code);
        reply
    }
}

/// Escapes text for XML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
