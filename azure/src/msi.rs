//! The managed identity of the machine we run on. Must never be asked through a proxy.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use azure_core::Error;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::time::OffsetDateTime;
use serde_json::Value;
use url::{Host, Url};

use crate::http::{BodyError, host_of, parse_json, read_capped};
use crate::secret::{Redactor, Secret};
use crate::transport::NoAnswer;

/// Where Azure's instance metadata service answers on every VM.
pub const DEFAULT_ENDPOINT: &str = "http://169.254.169.254";

const TOKEN_PATH: &str = "/metadata/identity/oauth2/token";
const API_VERSION: &str = "2018-02-01";
/// Of App Service, Functions and Container Apps (Microsoft's page "How to use managed identities for App Service").
const APP_SERVICE_API_VERSION: &str = "2019-08-01";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const BODY_LIMIT_BYTES: usize = 1024 * 1024;
/// Waits between the tries; their number bounds the tries.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(600),
    Duration::from_millis(1800),
    Duration::from_millis(5400),
];

/// The metadata service's address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Not an HTTP(S) URL.
    #[error("the managed identity endpoint {0:?} is no http or https address")]
    NotHttp(String),
    /// Plain HTTP to a host that may be far away: a token would cross the network unprotected.
    #[error("the managed identity endpoint {0:?} is neither https nor on this machine or link")]
    NotLocal(String),
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// Which of the machine's identities is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The only one, or the system-assigned one.
    Default,
    /// A user-assigned one by its ARM id.
    ArmId(String),
    /// A user-assigned one by its client id.
    ClientId(String),
}

/// Gives tokens of a managed identity. Keeps none: put a [`crate::TokenCache`] before it.
pub struct ManagedIdentity {
    endpoint: Url,
    identity: Identity,
    /// What App Service wants to see of its own; absent: the metadata service of a VM.
    app_service_header: Option<Secret>,
    client: reqwest::Client,
    pauses: Vec<Duration>,
}

impl fmt::Debug for ManagedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedIdentity")
            .field("endpoint", &self.endpoint.as_str())
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl ManagedIdentity {
    /// The identity with this ARM id, or the machine's only one.
    ///
    /// `endpoint` is the base of the metadata service ([`DEFAULT_ENDPOINT`]) or a whole token URL.
    pub fn new(endpoint: &str, identity_arm_id: Option<String>) -> Result<Self, EndpointError> {
        let identity = identity_arm_id.map_or(Identity::Default, Identity::ArmId);
        Self::with_identity(endpoint, identity)
    }

    /// Like [`Self::new`], with the identity named in any way.
    pub fn with_identity(endpoint: &str, identity: Identity) -> Result<Self, EndpointError> {
        let mut url = Url::parse(endpoint.trim())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
            .ok_or_else(|| EndpointError::NotHttp(endpoint.to_owned()))?;
        if url.scheme() == "http" && !is_local(url.host().as_ref()) {
            return Err(EndpointError::NotLocal(endpoint.to_owned()));
        }
        if url.path() == "/" {
            url.set_path(TOKEN_PATH);
        }
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(EndpointError::Client)?;
        let pauses = PAUSES.to_vec();
        Ok(Self { endpoint: url, identity, app_service_header: None, client, pauses })
    }

    /// Speaks as App Service wants it, with the header's value that it gave to its own (`IDENTITY_HEADER`).
    #[must_use]
    pub fn in_app_service(self, header: Secret) -> Self {
        Self { app_service_header: Some(header), ..self }
    }

    /// Tries once only: for finding out whether there is a metadata service at all.
    #[must_use]
    pub fn without_retries(mut self) -> Self {
        self.pauses.clear();
        self
    }

    fn url(&self, scope: &str) -> Url {
        let mut url = self.endpoint.clone();
        let mut query = url.query_pairs_mut();
        let (version, by_arm_id) = match self.app_service_header {
            Some(_) => (APP_SERVICE_API_VERSION, "mi_res_id"),
            None => (API_VERSION, "msi_res_id"),
        };
        query.append_pair("api-version", version).append_pair("resource", &resource(scope));
        match &self.identity {
            Identity::Default => {}
            Identity::ArmId(id) => {
                query.append_pair(by_arm_id, id);
            }
            Identity::ClientId(id) => {
                query.append_pair("client_id", id);
            }
        }
        drop(query);
        url
    }

    async fn ask(&self, url: &Url) -> Result<AccessToken, Refusal> {
        let host = host_of(url);
        let no_answer = |error: reqwest::Error| Refusal {
            text: NoAnswer::of(&error, &host).to_string(),
            again: !error.is_connect(),
        };
        let request = self.client.get(url.clone());
        let request = match &self.app_service_header {
            Some(header) => request.header("X-IDENTITY-HEADER", header.expose()),
            None => request.header("Metadata", "true"),
        };
        let response = request.send().await.map_err(&no_answer)?;
        let status = response.status().as_u16();
        let body = match read_capped(response.bytes_stream(), BODY_LIMIT_BYTES).await {
            Ok(body) => body,
            Err(BodyError::Broken(error)) => return Err(no_answer(error)),
            Err(error @ BodyError::TooLarge { .. }) => {
                return Err(Refusal { text: error.to_string(), again: false });
            }
        };
        let json = parse_json(&body).unwrap_or(Value::Null);
        if status == 200 {
            return token(&json).ok_or_else(|| Refusal {
                text: format!("{host} answered without a token"),
                again: false,
            });
        }
        let again = matches!(status, 404 | 410 | 429 | 500..=599);
        let code = json.get("error").and_then(Value::as_str).unwrap_or_default();
        let why = json.get("error_description").and_then(Value::as_str).unwrap_or_default();
        let text = Redactor::default().clean(&format!("{status} {code} {why}"));
        Err(Refusal { text, again })
    }
}

#[async_trait::async_trait]
impl TokenCredential for ManagedIdentity {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let &[scope] = scopes else {
            let text = "a managed identity gives tokens for one scope at a time";
            return Err(Error::with_message(ErrorKind::Credential, text));
        };
        let url = self.url(scope);
        let mut pauses = self.pauses.iter();
        loop {
            let refusal = match self.ask(&url).await {
                Ok(token) => return Ok(token),
                Err(refusal) => refusal,
            };
            match pauses.next().filter(|_| refusal.again) {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Err(Error::with_message(ErrorKind::Credential, refusal.text)),
            }
        }
    }
}

struct Refusal {
    text: String,
    again: bool,
}

/// The audience that a v2 scope stands for, in the form that the metadata service documents.
fn resource(scope: &str) -> String {
    let audience = scope.strip_suffix("/.default").unwrap_or(scope);
    match Url::parse(audience) {
        Ok(url) if url.path() == "/" && !audience.ends_with('/') => format!("{audience}/"),
        _ => audience.to_owned(),
    }
}

fn is_local(host: Option<&Host<&str>>) -> bool {
    match host {
        Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_link_local(),
        Some(Host::Ipv6(ip)) => IpAddr::from(*ip).is_loopback() || ip.is_unicast_link_local(),
        Some(Host::Domain(name)) => *name == "localhost",
        None => false,
    }
}

/// Numbers come as strings, and which of the two times is there depends on the service's version.
fn token(json: &Value) -> Option<AccessToken> {
    let number = |name: &str| {
        let value = json.get(name)?;
        value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
    };
    let secret = json.get("access_token")?.as_str().filter(|text| !text.is_empty())?;
    let expires_on = match (number("expires_on"), number("expires_in")) {
        (Some(at), _) => OffsetDateTime::from_unix_timestamp(at).ok()?,
        (None, Some(seconds)) => {
            OffsetDateTime::now_utc() + azure_core::time::Duration::seconds(seconds)
        }
        (None, None) => return None,
    };
    Some(AccessToken::new(secret.to_owned(), expires_on))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STORAGE: &str = "https://storage.azure.com/.default";

    #[test]
    fn the_query_names_resource_and_identity() {
        let id = "/subscriptions/s/resourceGroups/g/providers/x/userAssignedIdentities/i";
        let table = [
            (Identity::Default, ""),
            (Identity::ClientId("c-1".into()), "&client_id=c-1"),
            (
                Identity::ArmId(id.into()),
                "&msi_res_id=%2Fsubscriptions%2Fs%2FresourceGroups%2Fg%2Fproviders%2Fx%2FuserAssignedIdentities%2Fi",
            ),
        ];
        for (identity, tail) in table {
            let msi = ManagedIdentity::with_identity("http://127.0.0.9:81", identity).unwrap();
            let wanted = format!(
                "http://127.0.0.9:81/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fstorage.azure.com%2F{tail}"
            );
            assert_eq!(msi.url(STORAGE).as_str(), wanted);
        }
    }

    #[test]
    fn a_whole_token_url_is_kept() {
        let msi = ManagedIdentity::new("http://169.254.169.254/other/path", None).unwrap();
        assert!(msi.url(STORAGE).as_str().starts_with("http://169.254.169.254/other/path?api"));
    }

    #[test]
    fn plain_http_stays_on_the_machine_or_its_link() {
        for good in
            [DEFAULT_ENDPOINT, "http://127.64.0.1:4000/", "http://[::1]", "https://far.example"]
        {
            assert!(ManagedIdentity::new(good, None).is_ok(), "{good}");
        }
        for far in ["http://10.0.0.4", "http://metadata.example", "http://169.255.0.1"] {
            let error = ManagedIdentity::new(far, None).unwrap_err();
            assert!(matches!(error, EndpointError::NotLocal(_)), "{far}");
        }
        for odd in ["", "169.254.169.254", "ftp://127.0.0.1", "unix:/run/x"] {
            let error = ManagedIdentity::new(odd, None).unwrap_err();
            assert!(matches!(error, EndpointError::NotHttp(_)), "{odd}");
        }
    }

    #[test]
    fn numbers_are_read_as_strings_and_as_numbers() {
        let at = OffsetDateTime::from_unix_timestamp(2_000_000_000).unwrap();
        for json in [
            json!({"access_token": "a", "expires_on": "2000000000", "expires_in": "10"}),
            json!({"access_token": "a", "expires_on": 2_000_000_000}),
        ] {
            assert_eq!(token(&json).unwrap().expires_on, at);
        }
        assert!(token(&json!({"access_token": "a", "expires_in": "3600"})).is_some());
        for odd in [json!({"access_token": "a"}), json!({"expires_on": 1}), json!(null)] {
            assert!(token(&odd).is_none());
        }
    }
}
