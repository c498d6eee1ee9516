//! Azure Resource Manager over an SDK pipeline: one request, one response, no retry of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use azure_core::http::headers::{ACCEPT, CONTENT_TYPE, HeaderName, USER_AGENT};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{AsyncRawResponse, Context, Pipeline, PipelineStreamOptions, Request};
use hcs_engine::cloud::{
    ArmRequest, ArmResponse, Cloud, Method, PrincipalType, Target, TransportError,
};
use serde_json::{Value, json};
use url::Url;

use crate::bearer::BearerPolicy;
use crate::credential::ChainError;
use crate::environment::Environment;
use crate::http::{BodyError, HttpClient, host_of, parse_json, read_capped, without_bom};
use crate::tenants::Tenants;
use crate::token::{Claims, TokenCache};
use crate::transport::{NoAnswer, chain};

/// No answer of ARM that we read is nearly as large.
const BODY_LIMIT_BYTES: usize = 32 * 1024 * 1024;
/// How much of a foreign text goes into an error.
const FOREIGN_TEXT_CHARS: usize = 1000;
/// Code given to answers that are not JSON.
pub const NON_JSON_CODE: &str = "NonJson";

const CORRELATION_HEADER: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");

/// One id for everything that this process asks for, so that Azure's activity log can be searched.
pub fn correlation_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| uuid::Uuid::new_v4().to_string())
}

/// Azure Resource Manager of one cloud, as one principal sees it.
#[derive(Debug)]
pub struct ArmCloud {
    pipeline: Pipeline,
    endpoint: Url,
    tokens: Arc<TokenCache>,
    tenants: Arc<Tenants>,
    scope: String,
}

impl ArmCloud {
    /// Opens nothing yet; the first request does.
    pub(crate) fn new(
        environment: &Environment,
        tokens: Arc<TokenCache>,
        tenants: Arc<Tenants>,
        http: &HttpClient,
    ) -> Self {
        let endpoint = environment.resource_manager.clone();
        let scope = environment.arm_scope();
        let bearer = BearerPolicy::new(Arc::clone(&tenants), scope.clone(), &endpoint);
        let per_try: Vec<Arc<dyn Policy>> = vec![Arc::new(IdentifyPolicy), Arc::new(bearer)];
        let pipeline = Pipeline::new(
            option_env!("CARGO_PKG_NAME"),
            option_env!("CARGO_PKG_VERSION"),
            http.single_try_options(),
            Vec::new(),
            per_try,
            None,
        );
        Self { pipeline, endpoint, tokens, tenants, scope }
    }

    /// Host (and port) of the ARM endpoint.
    pub fn host(&self) -> String {
        host_of(&self.endpoint)
    }

    /// What the access token says about its holder.
    pub async fn caller(&self) -> Result<Claims, TransportError> {
        let token = self.tokens.token(&self.scope).await;
        let token = token.map_err(|error| self.transport_error(&error))?;
        Ok(Claims::of(token.token.secret()))
    }

    fn url(&self, target: &Target) -> Result<Url, TransportError> {
        let unsendable = |reason: String| {
            TransportError::from(NoAnswer::Unsendable { host: self.host(), reason })
        };
        match target {
            Target::Path(path) => {
                if !path.starts_with('/') || path.starts_with("//") || has_dot_segment(path) {
                    return Err(unsendable(format!("{path:?} is no path below the endpoint")));
                }
                let base = self.endpoint.as_str().trim_end_matches('/');
                let url = Url::parse(&format!("{base}{path}"))
                    .map_err(|e| unsendable(format!("{path:?} is no path: {e}")))?;
                self.trusted(url)
            }
            Target::Url(text) => {
                let url = Url::parse(text)
                    .map_err(|e| unsendable(format!("the URL that ARM handed out is none: {e}")))?;
                self.trusted(url)
            }
        }
    }

    fn trusted(&self, url: Url) -> Result<Url, TransportError> {
        let clean = url.username().is_empty() && url.password().is_none();
        if clean && url.scheme() == "https" && url.origin() == self.endpoint.origin() {
            return Ok(url);
        }
        Err(TransportError::ForeignHost { host: host_of(&url) })
    }

    fn transport_error(&self, error: &azure_core::Error) -> TransportError {
        let causes = chain(error);
        if let Some(tried) = causes.iter().find_map(|e| e.downcast_ref::<ChainError>()) {
            return TransportError::Credential { tried: tried.to_string() };
        }
        if matches!(error.kind(), azure_core::error::ErrorKind::Credential) {
            return TransportError::Credential { tried: error.to_string() };
        }
        NoAnswer::of(error, &self.host()).into()
    }

    async fn answer(&self, response: AsyncRawResponse) -> Result<ArmResponse, TransportError> {
        let (status, headers, body) = response.deconstruct();
        let status = u16::from(status);
        let host = self.host();
        let bytes = match read_capped(body, BODY_LIMIT_BYTES).await {
            Ok(bytes) => bytes,
            Err(BodyError::TooLarge { limit_bytes }) => {
                let reason = format!("it is larger than {limit_bytes} bytes");
                return Err(TransportError::Malformed { host, reason });
            }
            Err(BodyError::Broken(error)) => return Err(self.transport_error(&error)),
        };
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_str().to_lowercase(), value.as_str().to_owned()))
            .filter(|(name, _)| name != "set-cookie")
            .collect::<BTreeMap<_, _>>();
        let body = body_value(status, &bytes)
            .map_err(|reason| TransportError::Malformed { host, reason })?;
        Ok(ArmResponse { status, headers, body })
    }
}

#[async_trait]
impl Cloud for ArmCloud {
    async fn send(&self, request: &ArmRequest) -> Result<ArmResponse, TransportError> {
        let mut http = Request::new(self.url(&request.target)?, method(request.method));
        http.insert_header(ACCEPT, "application/json");
        if let Some(body) = &request.body {
            http.insert_header(CONTENT_TYPE, "application/json");
            http.set_body(body.to_string());
        }
        for (name, value) in &request.headers {
            http.insert_header(name.to_lowercase(), value.clone());
        }
        let options = PipelineStreamOptions { skip_checks: true, ..Default::default() };
        match self.pipeline.stream(&Context::new(), &mut http, Some(options)).await {
            Ok(response) => self.answer(response).await,
            Err(error) => Err(self.transport_error(&error)),
        }
    }

    async fn authorize(&self) -> Result<(), TransportError> {
        // All that a request may take along, so that no sign-in stands between the fence and a write.
        for tenant in self.tenants.auxiliary() {
            if let Err(error) = tenant.tokens.token(&self.scope).await {
                tracing::debug!(%error, tenant = ?tenant.id, "no auxiliary token");
            }
        }
        self.caller().await.map(|_| ())
    }

    async fn caller_type(&self) -> Result<Option<PrincipalType>, TransportError> {
        Ok(self.caller().await?.principal_type)
    }

    async fn caller_object_id(&self) -> Result<String, TransportError> {
        self.caller().await?.object_id.ok_or_else(|| TransportError::Credential {
            tried: "the access token names no object id (claim oid)".to_owned(),
        })
    }
}

/// Names us and our run; after the SDK's own policy, so that ours holds.
#[derive(Debug)]
struct IdentifyPolicy;

#[async_trait]
impl Policy for IdentifyPolicy {
    async fn send(
        &self,
        ctx: &Context,
        request: &mut Request,
        next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        request.insert_header(USER_AGENT, concat!("hcs/", env!("CARGO_PKG_VERSION")));
        request.insert_header(CORRELATION_HEADER, correlation_id());
        match next.split_first() {
            Some((policy, rest)) => policy.send(ctx, request, rest).await,
            None => Err(azure_core::Error::with_message(
                azure_core::error::ErrorKind::Other,
                "the pipeline has no transport",
            )),
        }
    }
}

fn method(method: Method) -> azure_core::http::Method {
    match method {
        Method::Get => azure_core::http::Method::Get,
        Method::Put => azure_core::http::Method::Put,
        Method::Patch => azure_core::http::Method::Patch,
        Method::Post => azure_core::http::Method::Post,
        Method::Delete => azure_core::http::Method::Delete,
        Method::Head => azure_core::http::Method::Head,
    }
}

/// A path with `..` would silently name another object.
fn has_dot_segment(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default().to_lowercase();
    path.split(['/', '\\']).any(|s| matches!(s.replace("%2e", ".").as_str(), "." | ".."))
}

/// The body as JSON; a refusal in another form keeps its text, a success in another form is none.
fn body_value(status: u16, bytes: &[u8]) -> Result<Value, String> {
    if without_bom(bytes).iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    match parse_json(bytes) {
        Ok(value) => Ok(value),
        Err(error) if (200..300).contains(&status) => Err(format!("its body is no JSON: {error}")),
        Err(_) => {
            let text: String = String::from_utf8_lossy(without_bom(bytes))
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .take(FOREIGN_TEXT_CHARS)
                .collect();
            Ok(json!({ "error": { "code": NON_JSON_CODE, "message": text } }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_tolerantly_and_successes_strictly() {
        let table: [(u16, &[u8], Result<Value, ()>); 7] = [
            (200, b"", Ok(Value::Null)),
            (202, b"\xef\xbb\xbf \r\n", Ok(Value::Null)),
            (200, b"\xef\xbb\xbf{\"a\":1}", Ok(json!({"a": 1}))),
            (200, b"<html>", Err(())),
            (200, b"{\"a\":", Err(())),
            (
                503,
                b"<b>busy</b>",
                Ok(json!({"error": {"code": "NonJson", "message": "<b>busy</b>"}})),
            ),
            (404, b"{\"error\":null}", Ok(json!({"error": null}))),
        ];
        for (status, body, wanted) in table {
            assert_eq!(body_value(status, body).map_err(drop), wanted, "{status} {body:?}");
        }
    }

    #[test]
    fn dot_segments_are_seen_in_any_spelling() {
        for path in ["/a/../b", "/a/%2e%2E/b", "/a/.", "/a/.%2e", "/a/..?x", "/a\\..\\b"] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in ["/a/b..c", "/a/...", "/a?x=/../", "/subscriptions/1/resourceGroups/a.b"] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }

    #[test]
    fn the_correlation_id_stays_for_the_process() {
        assert_eq!(correlation_id(), correlation_id());
        assert_eq!(correlation_id().len(), 36);
    }
}
