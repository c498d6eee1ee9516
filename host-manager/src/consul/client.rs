//! Consul's HTTP API over TLS, checked against the cluster's own CA only.
//!
//! The token goes into a header and nowhere else; error texts are scrubbed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use reqwest::{Body, Certificate, Client, Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::consul::types::{
    AgentSelf, AutopilotConfiguration, AutopilotHealth, Member, RaftConfiguration, SessionCreated,
};
use crate::secrets::{Secret, scrub};
use hcs_planner::dataplane::port;

const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Raft, both gossip pools and the drain of running calls: eleven seconds on 1.8.7.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(30);
/// Collectors wait for ten seconds.
const METRICS_TIMEOUT: Duration = Duration::from_secs(4);
/// An answer from the server's own memory.
const STALE_TIMEOUT: Duration = Duration::from_secs(2);
/// Consul makes all of a snapshot before the first byte of it comes; a large state takes its time.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_mins(10);
/// Between two parts of a snapshot.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// A snapshot of any size, to its end.
const TRANSFER_MAX: Duration = Duration::from_hours(6);

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ConsulError {
    /// The CA cannot be used.
    #[error("no TLS client can be made from the cluster's CA")]
    Client(#[source] reqwest::Error),
    /// No answer.
    #[error("Consul at {address} did not answer {method} {path}")]
    Unreachable {
        /// Server.
        address: IpAddr,
        /// HTTP method.
        method: Method,
        /// Path below `/v1/`.
        path: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It began to answer, and does not go on.
    #[error("Consul at {address} does not go on with its answer to {method} {path}")]
    Silent {
        /// Server.
        address: IpAddr,
        /// HTTP method.
        method: Method,
        /// Path below `/v1/`.
        path: &'static str,
    },
    /// A refusal.
    #[error("Consul at {address} answered {status} to {method} {path}: {message}")]
    Refused {
        /// Server.
        address: IpAddr,
        /// HTTP status.
        status: u16,
        /// HTTP method.
        method: Method,
        /// Path below `/v1/`.
        path: String,
        /// Consul's words, without ids.
        message: String,
    },
}

impl ConsulError {
    /// HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Client(_) | Self::Unreachable { .. } | Self::Silent { .. } => None,
        }
    }

    /// Whether the refused object does not exist. Absent ACL objects answer 404, or 403 with these words: tokens in every
    /// version, policies and roles up to 1.14. The same words tell of an own token that nobody knows.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Refused { status: 404, .. } => true,
            Self::Refused { status: 403, message, .. } => message.contains("ACL not found"),
            _ => false,
        }
    }

    /// Whether the server is not in the catalog, where sessions hang: Consul's own words, 1.8 to 1.23.
    pub fn is_of_an_unregistered_server(&self) -> bool {
        matches!(self, Self::Refused { status: 500, message, .. } if message.contains("Missing node registration"))
    }
}

/// Calls one server as one token.
#[derive(Clone, Debug)]
pub struct ConsulClient {
    http: Client,
    address: IpAddr,
    base: String,
    token: Secret,
    /// Used for `agent/` calls: the agent knows it without asking the leader.
    local_token: Option<Secret>,
}

/// The name that servers prove by their certificates.
fn server_name(datacenter: &str) -> String {
    format!("server.{datacenter}.consul")
}

impl ConsulClient {
    /// A client for the server at `address`. While the CA changes, `ca_pem` holds the old and the
    /// new one.
    pub fn new(
        address: IpAddr,
        datacenter: &str,
        ca_pem: &str,
        token: Secret,
    ) -> Result<Self, ConsulError> {
        let ca = Certificate::from_pem_bundle(ca_pem.as_bytes()).map_err(ConsulError::Client)?;
        let name = server_name(datacenter);
        let http = builder(&name, address, &ca).build().map_err(ConsulError::Client)?;
        let base = format!("https://{name}:{}/v1/", port::HTTPS);
        Ok(Self { http, address, base, token, local_token: None })
    }

    /// A client for a server of this machine that listens on a socket in the file system, and asks nobody for a token.
    pub fn at_socket(socket: &Path) -> Result<Self, ConsulError> {
        let http = Client::builder().unix_socket(socket).no_proxy().timeout(CALL_TIMEOUT).build();
        let http = http.map_err(ConsulError::Client)?;
        let (address, base) = (Ipv4Addr::LOCALHOST.into(), "http://localhost/v1/".to_owned());
        Ok(Self { http, address, base, token: Secret::new(""), local_token: None })
    }

    /// The same server as another token.
    #[must_use]
    pub fn with_token(&self, token: Secret) -> Self {
        Self { token, ..self.clone() }
    }

    /// Calls the agent's own API by a token that works without a leader.
    #[must_use]
    pub fn with_local_token(self, token: Secret) -> Self {
        Self { local_token: Some(token), ..self }
    }

    /// Address of the server.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// `ip:port` of the leader, if there is one.
    pub async fn leader(&self) -> Result<Option<String>, ConsulError> {
        let leader: String = self.get("status/leader").await?;
        Ok(Some(leader).filter(|leader| !leader.is_empty()))
    }

    /// Whether a leader is elected and has taken up its office: it is called leader before, and a restore at that moment
    /// ends what it waits for and is answered with "leadership has not been established" (Consul's `leaderLoop`).
    pub async fn is_led(&self) -> bool {
        let found = self.get::<serde_json::Value>("kv/hcs/is-led?consistent").await;
        found.map_or_else(|error| error.status() == Some(404), |_| true)
    }

    /// Version of the running agent.
    pub async fn version(&self) -> Result<String, ConsulError> {
        let found: AgentSelf = self.get("agent/self").await?;
        Ok(found.config.version)
    }

    /// Gossip members.
    pub async fn members(&self) -> Result<Vec<Member>, ConsulError> {
        self.get("agent/members").await
    }

    /// Makes the agent join another server.
    pub async fn join(&self, peer: IpAddr) -> Result<(), ConsulError> {
        self.put(&format!("agent/join/{peer}")).await
    }

    /// Makes the agent leave Raft and gossip and stop.
    pub async fn leave(&self) -> Result<(), ConsulError> {
        self.call(Method::PUT, "agent/leave", None::<&()>, LEAVE_TIMEOUT).await.map(drop)
    }

    /// Makes the agent read reloadable configuration and certificates again.
    pub async fn reload(&self) -> Result<(), ConsulError> {
        self.put("agent/reload").await
    }

    /// Raft's configuration; `stale` answers from this server without a leader.
    pub async fn raft_configuration(&self, stale: bool) -> Result<RaftConfiguration, ConsulError> {
        let path = "operator/raft/configuration";
        if !stale {
            return self.get(path).await;
        }
        // Before the first leader the token cannot be resolved, and Consul would wait for one.
        let path = format!("{path}?stale");
        let bytes = self.call(Method::GET, &path, None::<&()>, STALE_TIMEOUT).await?;
        self.parse(Method::GET, &path, &bytes)
    }

    /// Asks the leader to hand over. `false` where the version has no such call.
    pub async fn transfer_leadership(&self) -> Result<bool, ConsulError> {
        self.transfer("operator/raft/transfer-leader").await
    }

    /// Asks the leader, whoever that is, to hand over to the server with this id. `false` where the version has no such call.
    pub async fn transfer_leadership_to(&self, raft_id: &str) -> Result<bool, ConsulError> {
        self.transfer(&format!("operator/raft/transfer-leader?id={raft_id}")).await
    }

    async fn transfer(&self, path: &str) -> Result<bool, ConsulError> {
        match self.call(Method::POST, path, None::<&()>, CALL_TIMEOUT).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.status(), Some(404 | 405)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Autopilot's view; an unhealthy cluster answers 429 with the same body.
    pub async fn autopilot_health(&self) -> Result<AutopilotHealth, ConsulError> {
        self.get("operator/autopilot/health").await
    }

    /// Autopilot's configuration.
    pub async fn autopilot_configuration(&self) -> Result<AutopilotConfiguration, ConsulError> {
        self.get("operator/autopilot/configuration").await
    }

    /// Writes Autopilot's configuration unless someone else did since it was read.
    pub async fn set_autopilot_configuration(
        &self,
        wanted: &AutopilotConfiguration,
    ) -> Result<bool, ConsulError> {
        let path = format!("operator/autopilot/configuration?cas={}", wanted.modify_index);
        self.put_json(&path, wanted).await
    }

    /// A session with a TTL and nothing else to lose it by: a restart of the agent keeps it.
    pub async fn create_session(&self, name: &str, ttl_s: u32) -> Result<String, ConsulError> {
        let body = json!({
            "Name": name,
            "TTL": format!("{ttl_s}s"),
            "LockDelay": "0s",
            "Behavior": "delete",
            "NodeChecks": [],
        });
        let created: SessionCreated = self.put_json("session/create", &body).await?;
        Ok(created.id)
    }

    /// Keeps a session alive.
    pub async fn renew_session(&self, id: &str) -> Result<(), ConsulError> {
        self.put(&format!("session/renew/{id}")).await
    }

    /// Ends a session and with it its locks.
    pub async fn destroy_session(&self, id: &str) -> Result<(), ConsulError> {
        self.put(&format!("session/destroy/{id}")).await
    }

    /// Takes a lock; `false` when another session holds it.
    pub async fn acquire(&self, key: &str, session: &str, by: &str) -> Result<bool, ConsulError> {
        self.put_json(&format!("kv/{key}?acquire={session}"), &json!({ "holder": by })).await
    }

    /// A snapshot of the whole state, as it comes. A failure in the middle is text at its end, or an end that is too early:
    /// whoever reads it verifies it.
    pub async fn snapshot(
        &self,
    ) -> Result<impl Stream<Item = Result<Bytes, ConsulError>> + Send + Unpin + use<>, ConsulError>
    {
        let (method, path, address) = (Method::GET, "snapshot", self.address);
        let request = self.request(&self.token, method.clone(), path, TRANSFER_MAX);
        let silent = move || ConsulError::Silent { address, method: Method::GET, path };
        let response = tokio::time::timeout(SNAPSHOT_TIMEOUT, request.send()).await;
        let response = response.map_err(|_| silent())?;
        let response = response.map_err(|source| self.unreachable(method.clone(), path, source))?;
        let status = response.status();
        if !status.is_success() {
            let text = response.bytes().await.unwrap_or_default();
            return Err(self.refused(method, path, status, &String::from_utf8_lossy(&text)));
        }
        let chunks = futures::stream::try_unfold(response, move |mut response| async move {
            let chunk = tokio::time::timeout(SILENCE_MAX, response.chunk()).await;
            let chunk = chunk.map_err(|_| silent())?.map_err(|source| {
                let (method, path) = (Method::GET, path.to_owned());
                ConsulError::Unreachable { address, method, path, source: source.without_url() }
            })?;
            Ok(chunk.map(|chunk| (chunk, response)))
        });
        Ok(Box::pin(chunks))
    }

    /// Puts the whole state back, as it comes. Consul may answer with an error though it has done it.
    pub async fn restore<E>(
        &self,
        archive: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Result<(), ConsulError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let (method, path) = (Method::PUT, "snapshot");
        let request = self.request(&self.token, method.clone(), path, TRANSFER_MAX);
        self.answer(request.body(Body::wrap_stream(archive)), method, path).await.map(drop)
    }

    /// Metrics in Prometheus' text, as whoever holds this token sees them: no token of ours opens them for somebody else.
    pub async fn metrics_as(&self, token: &Secret) -> Result<String, ConsulError> {
        let path = "agent/metrics?format=prometheus";
        let bytes = self.call_as(token, Method::GET, path, None::<&()>, METRICS_TIMEOUT).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// GET with a JSON answer.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ConsulError> {
        let bytes = self.call(Method::GET, path, None::<&()>, CALL_TIMEOUT).await?;
        self.parse(Method::GET, path, &bytes)
    }

    /// PUT with a JSON body and a JSON answer.
    pub async fn put_json<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ConsulError> {
        let bytes = self.call(Method::PUT, path, Some(body), CALL_TIMEOUT).await?;
        self.parse(Method::PUT, path, &bytes)
    }

    /// PUT whose answer does not matter.
    pub async fn put_only<B: Serialize + Sync>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<(), ConsulError> {
        self.call(Method::PUT, path, Some(body), CALL_TIMEOUT).await.map(drop)
    }

    /// POST whose answer does not matter.
    pub async fn post_only<B: Serialize + Sync>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<(), ConsulError> {
        self.call(Method::POST, path, Some(body), CALL_TIMEOUT).await.map(drop)
    }

    /// DELETE of what a body names.
    pub async fn delete_with<B: Serialize + Sync>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<(), ConsulError> {
        self.call(Method::DELETE, path, Some(body), CALL_TIMEOUT).await.map(drop)
    }

    /// DELETE; what is not there is done.
    pub async fn delete(&self, path: &str) -> Result<(), ConsulError> {
        match self.call(Method::DELETE, path, None::<&()>, CALL_TIMEOUT).await {
            Ok(_) => Ok(()),
            Err(error) if error.status() == Some(404) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn put(&self, path: &str) -> Result<(), ConsulError> {
        self.call(Method::PUT, path, None::<&()>, CALL_TIMEOUT).await.map(drop)
    }

    async fn call<B: Serialize + Sync>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
        timeout: Duration,
    ) -> Result<Bytes, ConsulError> {
        let local = self.local_token.as_ref().filter(|_| path.starts_with("agent/"));
        let Some(local) = local else {
            return self.call_as(&self.token, method, path, body, timeout).await;
        };
        match self.call_as(local, method.clone(), path, body, timeout).await {
            // It follows from the agent token: a Consul that has not read a new one yet knows another.
            Err(error) if error.status() == Some(403) => {
                self.call_as(&self.token, method, path, body, timeout).await
            }
            result => result,
        }
    }

    async fn call_as<B: Serialize + Sync>(
        &self,
        token: &Secret,
        method: Method,
        path: &str,
        body: Option<&B>,
        timeout: Duration,
    ) -> Result<Bytes, ConsulError> {
        let mut request = self.request(token, method.clone(), path, timeout);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.answer(request, method, path).await
    }

    fn request(
        &self,
        token: &Secret,
        method: Method,
        path: &str,
        timeout: Duration,
    ) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        let request = self.http.request(method, url).timeout(timeout);
        match reqwest::header::HeaderValue::from_str(token.expose()) {
            Ok(mut token) => {
                token.set_sensitive(true);
                request.header("X-Consul-Token", token)
            }
            Err(_) => request,
        }
    }

    async fn answer(
        &self,
        request: RequestBuilder,
        method: Method,
        path: &str,
    ) -> Result<Bytes, ConsulError> {
        let unreachable = |source| self.unreachable(method.clone(), path, source);
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(unreachable)?;
        if status.is_success() || is_health_report(status, path, &bytes) {
            return Ok(bytes);
        }
        Err(self.refused(method, path, status, &String::from_utf8_lossy(&bytes)))
    }

    fn parse<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        bytes: &[u8],
    ) -> Result<T, ConsulError> {
        serde_json::from_slice(bytes).map_err(|error| {
            // Line and column only: the text around them may hold a token.
            let place = format!("an answer that is not understood (column {})", error.column());
            self.refused(method, path, StatusCode::OK, &place)
        })
    }

    fn unreachable(&self, method: Method, path: &str, source: reqwest::Error) -> ConsulError {
        let source = source.without_url();
        ConsulError::Unreachable { address: self.address, method, path: scrub(path), source }
    }

    fn refused(&self, method: Method, path: &str, status: StatusCode, text: &str) -> ConsulError {
        let first = text.lines().next().unwrap_or_default();
        let message = scrub(first).chars().take(200).collect();
        let (address, path) = (self.address, scrub(path));
        ConsulError::Refused { address, status: status.as_u16(), method, path, message }
    }
}

/// Whether a 429 is Autopilot's word on a cluster that is not healthy: the same status in plain text is the limit of
/// connections or of requests.
fn is_health_report(status: StatusCode, path: &str, bytes: &[u8]) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        && path == "operator/autopilot/health"
        && serde_json::from_slice::<AutopilotHealth>(bytes).is_ok()
}

/// TLS 1.2 or newer, our CA only, no proxy, no redirect: the token goes to this server or nowhere.
fn builder(name: &str, address: IpAddr, ca: &[Certificate]) -> reqwest::ClientBuilder {
    Client::builder()
        .tls_backend_rustls()
        .tls_certs_only(ca.iter().cloned())
        .tls_version_min(reqwest::tls::Version::TLS_1_2)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(3))
        .timeout(CALL_TIMEOUT)
        .resolve(name, SocketAddr::new(address, port::HTTPS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, message: &str) -> ConsulError {
        let (address, path) = ("10.0.0.4".parse().unwrap(), "acl/token/x".to_owned());
        ConsulError::Refused { address, status, method: Method::GET, path, message: message.into() }
    }

    #[test]
    fn an_absent_acl_object_is_404_or_403_with_consuls_words() {
        assert!(refused(404, "Requested policy does not exist: ACL not found").is_absent());
        assert!(refused(403, "ACL not found").is_absent(), "policies up to 1.14");
        assert!(refused(403, "token does not exist: ACL not found").is_absent(), "tokens for ever");
        assert!(
            !refused(403, "Permission denied: token with AccessorID '' lacks permission")
                .is_absent()
        );
        assert!(!refused(500, "ACL not found").is_absent());
    }

    #[test]
    fn too_many_requests_in_words_is_no_word_on_health() {
        let (status, path) = (StatusCode::TOO_MANY_REQUESTS, "operator/autopilot/health");
        let report = br#"{"Healthy":false,"FailureTolerance":0,"Servers":null}"#;
        assert!(is_health_report(status, path, report), "right after an election");
        let limit =
            b"Your IP is issuing too many concurrent connections, please rate limit your calls";
        assert!(!is_health_report(status, path, limit));
        assert!(!is_health_report(status, "operator/raft/configuration", report));
    }

    #[test]
    fn no_servers_yet_is_none_and_no_error() {
        let raft: RaftConfiguration =
            serde_json::from_str(r#"{"Servers":null,"Index":0}"#).unwrap();
        assert!(raft.servers.is_empty());
        let health: AutopilotHealth =
            serde_json::from_str(r#"{"Healthy":false,"FailureTolerance":0,"Servers":null}"#)
                .unwrap();
        assert!(health.servers.is_empty());
    }
}
