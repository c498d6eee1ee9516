//! Reads the blob service's refusals.

use azure_core::error::ErrorKind;
use azure_core::http::headers::HeaderName;
use hcs_engine::blob::BlobError;

use crate::credential::ChainError;
use crate::transport::{NoAnswer, chain};

/// What was asked, and of whom.
pub(super) struct Place {
    pub(super) operation: &'static str,
    pub(super) account: String,
    pub(super) container: String,
    pub(super) name: String,
}

/// What came back instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    BlobMissing,
    ContainerMissing,
    Denied { code: String },
    Refused { status: u16, code: String },
    Overloaded { status: u16, code: String },
    NoAnswer,
}

impl Failure {
    pub(super) fn of(error: &azure_core::Error) -> Self {
        let ErrorKind::HttpResponse { status, error_code, raw_response } = error.kind() else {
            return Self::NoAnswer;
        };
        let status = u16::from(*status);
        // The header is the service's word; the SDK's field falls back to the status line.
        let header = raw_response.as_ref().and_then(|response| {
            let name = HeaderName::from_static("x-ms-error-code");
            response.headers().get_optional_string(&name)
        });
        let code = header.or_else(|| error_code.clone()).unwrap_or_default();
        match (status, code.as_str()) {
            (404, "ContainerNotFound") => Self::ContainerMissing,
            // An answer without code (HEAD, proxies) still says that the blob is not there.
            (404, "BlobNotFound" | "" | "404") => Self::BlobMissing,
            (401 | 403, _) => Self::Denied { code },
            (408 | 429 | 500..=599, _) => Self::Overloaded { status, code },
            _ => Self::Refused { status, code },
        }
    }

    /// Whether a conditional write failed by its condition, and not by a lease or a policy.
    pub(super) fn is_condition(&self) -> bool {
        match self {
            // `If-Match` on a blob that is gone.
            Self::BlobMissing => true,
            Self::Refused { status: 412, code } => !code.starts_with("Lease"),
            Self::Refused { status: 409, code } => {
                matches!(code.as_str(), "BlobAlreadyExists" | "UnauthorizedBlobOverwrite" | "")
            }
            _ => false,
        }
    }
}

/// The service answered, but not with what was asked for, until the tries ran out.
#[derive(Debug, thiserror::Error)]
#[error("{status} {code}")]
struct OverloadedAnswer {
    status: u16,
    code: String,
}

impl Place {
    pub(super) fn refused(&self, status: u16, code: &str) -> BlobError {
        BlobError::Refused {
            operation: self.operation,
            container: self.container.clone(),
            name: self.name.clone(),
            status,
            code: code.to_owned(),
        }
    }

    pub(super) fn condition_failed(&self) -> BlobError {
        BlobError::ConditionFailed { container: self.container.clone(), name: self.name.clone() }
    }

    /// No answer: says whether credential, trust or network is the cause.
    pub(super) fn unavailable(&self, error: &azure_core::Error) -> BlobError {
        let causes = chain(error);
        let source: Box<dyn std::error::Error + Send + Sync> =
            if let Some(tried) = causes.iter().find_map(|e| e.downcast_ref::<ChainError>()) {
                Box::new(tried.clone())
            } else if causes.iter().any(|e| e.is::<reqwest::Error>()) {
                let host = self.account.split('/').next().unwrap_or_default();
                Box::new(NoAnswer::of(error, host))
            } else {
                error.to_string().into()
            };
        BlobError::Unavailable { account: self.account.clone(), source }
    }

    pub(super) fn error(&self, failure: &Failure, error: &azure_core::Error) -> BlobError {
        let (account, container) = (self.account.clone(), self.container.clone());
        match failure {
            Failure::BlobMissing => self.refused(404, "BlobNotFound"),
            Failure::ContainerMissing => BlobError::NoContainer { account, container },
            Failure::Denied { code } => {
                BlobError::Denied { account, container, code: code.clone() }
            }
            Failure::Refused { status, code } => self.refused(*status, code),
            Failure::Overloaded { status, code } => {
                let source = OverloadedAnswer { status: *status, code: code.clone() };
                BlobError::Unavailable { account, source: Box::new(source) }
            }
            Failure::NoAnswer => self.unavailable(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::headers::Headers;
    use azure_core::http::{RawResponse, StatusCode};

    use super::*;

    fn failure(status: u16, code: &'static str) -> Failure {
        let mut headers = Headers::new();
        if !code.is_empty() {
            headers.insert("x-ms-error-code", code);
        }
        let status = StatusCode::from(status);
        let response = RawResponse::from_bytes(status, headers, "");
        let raw_response = Some(Box::new(response));
        let kind = ErrorKind::HttpResponse { status, error_code: None, raw_response };
        Failure::of(&azure_core::Error::with_message(kind, "x"))
    }

    #[test]
    fn refusals_are_told_apart_by_status_and_code() {
        assert_eq!(failure(404, "BlobNotFound"), Failure::BlobMissing);
        assert_eq!(failure(404, ""), Failure::BlobMissing);
        assert_eq!(failure(404, "ContainerNotFound"), Failure::ContainerMissing);
        assert!(matches!(failure(404, "ResourceNotFound"), Failure::Refused { .. }));
        assert!(matches!(failure(403, "AuthorizationPermissionMismatch"), Failure::Denied { .. }));
        assert!(matches!(failure(503, "ServerBusy"), Failure::Overloaded { .. }));
        assert!(matches!(failure(429, ""), Failure::Overloaded { .. }));
    }

    #[test]
    fn only_condition_codes_count_as_a_failed_condition() {
        for (status, code, wanted) in [
            (409, "BlobAlreadyExists", true),
            (412, "ConditionNotMet", true),
            (412, "TargetConditionNotMet", true),
            (404, "BlobNotFound", true),
            (412, "LeaseIdMissing", false),
            (409, "BlobImmutableDueToPolicy", false),
            (409, "ContainerBeingDeleted", false),
            (404, "ContainerNotFound", false),
            (403, "", false),
        ] {
            assert_eq!(failure(status, code).is_condition(), wanted, "{status} {code}");
        }
    }
}
