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

/// A token from the URL that a pipeline runner names: GitHub's is read, Azure DevOps' makes one for a service connection.
/// Sources: GitHub's page on `OpenID` Connect in cloud providers; Microsoft's page on the REST call "Oidctoken - Create".
pub(super) struct AssertionUrl {
    url: Url,
    bearer: Secret,
    is_made: bool,
    http: HttpClient,
}

/// Version of Azure DevOps' REST interface.
const AZURE_DEVOPS_API_VERSION: &str = "7.1";

impl fmt::Debug for AssertionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssertionUrl").field("host", &host_of(&self.url)).finish_non_exhaustive()
    }
}

impl AssertionUrl {
    /// `service_connection_id`: of an Azure DevOps pipeline.
    pub(super) fn new(
        url: &str,
        bearer: Secret,
        service_connection_id: Option<&str>,
        http: HttpClient,
    ) -> Result<Self, String> {
        let mut url = Url::parse(url)
            .ok()
            .filter(|url| url.scheme() == "https")
            .ok_or("oidc_request_url is no https URL")?;
        match service_connection_id {
            Some(id) => url
                .query_pairs_mut()
                .append_pair("api-version", AZURE_DEVOPS_API_VERSION)
                .append_pair("serviceConnectionId", id),
            None => url.query_pairs_mut().append_pair("audience", AUDIENCE),
        };
        Ok(Self { url, bearer, is_made: service_connection_id.is_some(), http })
    }
}

#[async_trait::async_trait]
impl ClientAssertion for AssertionUrl {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let host = host_of(&self.url);
        let raw = self.http.raw();
        let request = if self.is_made {
            // Without it, who is not signed in is sent to a page for people.
            let suppress = ("X-TFS-FedAuthRedirect", "Suppress");
            raw.post(self.url.clone()).header(suppress.0, suppress.1).header("content-length", "0")
        } else {
            raw.get(self.url.clone())
        };
        let response = request
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
        let name = if self.is_made { "oidcToken" } else { "value" };
        let token = json.get(name).and_then(|value| value.as_str());
        token.map(str::to_owned).ok_or_else(|| failure(format!("{host} answered without a token")))
    }
}
