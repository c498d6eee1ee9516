//! Federated tokens: where they are found. They are read anew for every exchange, for they are
//! short-lived and replaced by others.

use std::fmt;
use std::path::PathBuf;

use azure_core::Error;
use azure_core::error::ErrorKind;
use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use url::Url;

use super::plan::read_line;
use crate::http::{HttpClient, host_of, parse_json, read_capped};
use crate::secret::Secret;
use crate::transport::NoAnswer;

/// What Entra expects a federated token to be made for.
const AUDIENCE: &str = "api://AzureADTokenExchange";
const BODY_LIMIT_BYTES: usize = 1024 * 1024;

fn failure(text: impl Into<String>) -> Error {
    Error::with_message(ErrorKind::Credential, text.into())
}

/// A token given in the settings.
#[derive(Debug)]
pub(super) struct AssertionText(pub(super) Secret);

#[async_trait::async_trait]
impl ClientAssertion for AssertionText {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.expose().trim().to_owned())
    }
}

/// A token in a file that somebody keeps fresh.
#[derive(Debug)]
pub(super) struct AssertionFile(pub(super) PathBuf);

#[async_trait::async_trait]
impl ClientAssertion for AssertionFile {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        read_line(&self.0).map_err(failure)
    }
}

/// A token from the URL that a pipeline runner names.
pub(super) struct AssertionUrl {
    url: Url,
    bearer: Secret,
    http: HttpClient,
}

impl fmt::Debug for AssertionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssertionUrl").field("host", &host_of(&self.url)).finish_non_exhaustive()
    }
}

impl AssertionUrl {
    pub(super) fn new(url: &str, bearer: Secret, http: HttpClient) -> Result<Self, String> {
        let mut url = Url::parse(url)
            .ok()
            .filter(|url| url.scheme() == "https")
            .ok_or("oidc_request_url is no https URL")?;
        url.query_pairs_mut().append_pair("audience", AUDIENCE);
        Ok(Self { url, bearer, http })
    }
}

#[async_trait::async_trait]
impl ClientAssertion for AssertionUrl {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let host = host_of(&self.url);
        let response = self
            .http
            .raw()
            .get(self.url.clone())
            .bearer_auth(self.bearer.expose())
            .send()
            .await
            .map_err(|error| failure(NoAnswer::of(&error, &host).to_string()))?;
        let status = response.status();
        if !status.is_success() {
            return Err(failure(format!("{host} answered {status}")));
        }
        let body = read_capped(response.bytes_stream(), BODY_LIMIT_BYTES)
            .await
            .map_err(|error| failure(format!("{host}: {error}")))?;
        let json = parse_json(&body).unwrap_or_default();
        let token = json.get("value").and_then(|value| value.as_str());
        token.map(str::to_owned).ok_or_else(|| failure(format!("{host} answered without a token")))
    }
}
