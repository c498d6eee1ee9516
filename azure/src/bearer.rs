//! Puts the access token on requests to one trusted origin, and on no other.

use std::sync::Arc;

use azure_core::Error;
use azure_core::error::ErrorKind;
use azure_core::http::headers::AUTHORIZATION;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request, StatusCode};
use url::{Origin, Url};

use crate::token::TokenCache;

/// A per-try policy. After a 401 it asks for a fresh token once and repeats the request:
/// a refused token means that the service has carried out nothing.
#[derive(Debug)]
pub(crate) struct BearerPolicy {
    tokens: Arc<TokenCache>,
    scope: String,
    trusted: Origin,
}

impl BearerPolicy {
    /// Trusts the origin of `endpoint`.
    pub(crate) fn new(tokens: Arc<TokenCache>, scope: String, endpoint: &Url) -> Self {
        Self { tokens, scope, trusted: endpoint.origin() }
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
        let token = self.tokens.token(&self.scope).await?;
        request.insert_header(AUTHORIZATION, format!("Bearer {}", token.token.secret()));
        let response = policy.send(ctx, request, rest).await?;
        if response.status() != StatusCode::Unauthorized {
            return Ok(response);
        }
        self.tokens.invalidate(&self.scope, &token);
        let fresh = self.tokens.token(&self.scope).await?;
        if fresh.token == token.token {
            return Ok(response);
        }
        request.body_mut().reset().await?;
        request.insert_header(AUTHORIZATION, format!("Bearer {}", fresh.token.secret()));
        policy.send(ctx, request, rest).await
    }
}
