//! Puts access tokens on requests to one trusted origin, and on no other.

use std::sync::Arc;

use azure_core::Error;
use azure_core::credentials::AccessToken;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{AUTHORIZATION, HeaderName, WWW_AUTHENTICATE};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request, StatusCode};
use url::{Origin, Url};

use crate::tenants::Tenants;

const AUXILIARY: HeaderName = HeaderName::from_static("x-ms-authorization-auxiliary");

/// A per-try policy. After a 401 it repeats the request once, with a fresh token, or with one of the tenant that the
/// challenge names: a refused token means that the service has carried out nothing.
#[derive(Debug)]
pub(crate) struct BearerPolicy {
    tenants: Arc<Tenants>,
    scope: String,
    trusted: Origin,
}

impl BearerPolicy {
    /// Trusts the origin of `endpoint`.
    pub(crate) fn new(tenants: Arc<Tenants>, scope: String, endpoint: &Url) -> Self {
        Self { tenants, scope, trusted: endpoint.origin() }
    }

    /// Authorizes a request: the token of its tenant, and those of the others beside it.
    async fn authorize(&self, request: &mut Request) -> azure_core::Result<AccessToken> {
        let (own, others) = self.tenants.of(request.url());
        let token = own.tokens.token(&self.scope).await?;
        request.insert_header(AUTHORIZATION, format!("Bearer {}", token.token.secret()));
        let mut beside = Vec::new();
        for tenant in others {
            // What concerns this tenant alone goes on without the others.
            match tenant.tokens.token(&self.scope).await {
                Ok(token) => beside.push(format!("Bearer {}", token.token.secret())),
                Err(error) => tracing::warn!(%error, tenant = ?tenant.id, "no auxiliary token"),
            }
        }
        if !beside.is_empty() {
            request.insert_header(AUXILIARY, beside.join(", "));
        }
        Ok(token)
    }

    fn is_trusted(&self, url: &Url) -> bool {
        url.scheme() == "https" && url.origin() == self.trusted
    }
}

#[async_trait::async_trait]
impl Policy for BearerPolicy {
    async fn send(
        &self,
        ctx: &Context,
        request: &mut Request,
        next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        if !self.is_trusted(request.url()) {
            let host = crate::http::host_of(request.url());
            let text = format!("no token is sent to {host}");
            return Err(Error::with_message(ErrorKind::Other, text));
        }
        let (Some(policy), rest) = (next.first(), next.get(1..).unwrap_or_default()) else {
            return Err(Error::with_message(ErrorKind::Other, "the pipeline has no transport"));
        };
        let token = self.authorize(request).await?;
        let response = policy.send(ctx, request, rest).await?;
        if response.status() != StatusCode::Unauthorized {
            return Ok(response);
        }
        let challenge = response.headers().get_optional_str(&WWW_AUTHENTICATE).unwrap_or_default();
        if !self.tenants.learn(request.url(), challenge) {
            let (own, _) = self.tenants.of(request.url());
            own.tokens.invalidate(&self.scope, &token);
            if own.tokens.token(&self.scope).await?.token == token.token {
                return Ok(response);
            }
        }
        request.body_mut().reset().await?;
        self.authorize(request).await?;
        policy.send(ctx, request, rest).await
    }
}
