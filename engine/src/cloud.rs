//! The port to Azure Resource Manager: one request, one response. Polling, paging and retry live above it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

/// HTTP methods that ARM knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates or replaces.
    Put,
    /// Changes parts.
    Patch,
    /// Actions.
    Post,
    /// Deletes.
    Delete,
    /// Asks whether something exists.
    Head,
}

impl Method {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
        }
    }

    /// Whether repeating the request can change nothing that the first one did not.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Path and query below the ARM endpoint, e.g. `/subscriptions/...?api-version=2024-01-01`.
    Path(String),
    /// A URL that ARM handed out (operation status, next page): used verbatim, refused off the ARM host.
    Url(String),
}

/// One request to ARM.
#[derive(Clone, Debug)]
pub struct ArmRequest {
    /// HTTP method.
    pub method: Method,
    /// Path or verbatim URL.
    pub target: Target,
    /// JSON body.
    pub body: Option<Value>,
    /// Extra headers, e.g. `If-Match`.
    pub headers: Vec<(String, String)>,
}

impl ArmRequest {
    /// A request without body or extra headers.
    pub fn new(method: Method, target: Target) -> Self {
        Self { method, target, body: None, headers: Vec::new() }
    }
}

/// ARM's answer, whatever its status.
#[derive(Clone, Debug, Default)]
pub struct ArmResponse {
    /// HTTP status.
    pub status: u16,
    /// Header names in lower case.
    pub headers: BTreeMap<String, String>,
    /// JSON body; `Null` when empty.
    pub body: Value,
}

impl ArmResponse {
    /// A header's value; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// No answer came back.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The request never left: it is safe to send it again.
    #[error("cannot reach {host}")]
    NotSent {
        /// Host that was tried.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The connection broke after the request may have been carried out.
    #[error("the connection to {host} broke before an answer came")]
    OutcomeUnknown {
        /// Host that was asked.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No credential worked; `tried` names each one and why it failed, without secrets.
    #[error("no Azure credential worked: {tried}")]
    Credential {
        /// What was tried.
        tried: String,
    },
    /// The answer is no JSON, too large, or otherwise not ARM's.
    #[error("{host} gave an answer that is not Azure Resource Manager's: {reason}")]
    Malformed {
        /// Host that answered.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// ARM named a URL on a host that we do not trust; no token was sent there.
    #[error("refused to follow a URL to {host}, which is not the ARM endpoint")]
    ForeignHost {
        /// The foreign host.
        host: String,
    },
}

/// Kinds of principals, by the words of `principalType` of a role assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrincipalType {
    /// Somebody who signed in.
    User,
    /// An application or a managed identity.
    ServicePrincipal,
}

impl PrincipalType {
    /// Azure's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::ServicePrincipal => "ServicePrincipal",
        }
    }
}

/// Azure Resource Manager.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// Sends one request, authenticated, without retrying it.
    ///
    /// Every HTTP status is an `Ok`. Dropping the future leaves the outcome unknown.
    async fn send(&self, request: &ArmRequest) -> Result<ArmResponse, TransportError>;

    /// Makes sure that a token is at hand, so that [`Cloud::send`] leaves at once: a sign-in may take longer than a run
    /// may trust its lease.
    async fn authorize(&self) -> Result<(), TransportError> {
        Ok(())
    }

    /// Object id of the caller in Entra, from its access token.
    async fn caller_object_id(&self) -> Result<String, TransportError>;

    /// What kind of principal the caller is, as far as its access token tells.
    async fn caller_type(&self) -> Result<Option<PrincipalType>, TransportError> {
        Ok(None)
    }

    /// How long the engine waits between two polls when ARM names no time.
    fn default_poll_interval(&self) -> Duration {
        Duration::from_secs(10)
    }
}
