//! Consul of before, asked through its API with the variables that its own command line reads.
//!
//! Source of the names: `consul` itself (`CONSUL_HTTP_ADDR`, `CONSUL_HTTP_TOKEN`, ...). Nothing here tells a token or a key.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use hcs_engine::error::chain;
use hcs_planner::adoption::{BeforeServer, ConsulBefore};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// Of Consul's own policy that allows everything; the same in every cluster.
const MANAGEMENT_POLICY: &str = "00000000-0000-0000-0000-000000000001";
const HTTPS_PORT: u16 = 8501;
/// A server answers within seconds.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// The way to Consul.
pub(super) struct Consul {
    client: reqwest::Client,
    url: String,
    token: Zeroizing<String>,
}

/// What Consul says, and the one secret of it that is needed.
pub(super) struct Asked {
    pub(super) facts: ConsulBefore,
    /// The gossip key, where there is one.
    pub(super) gossip_key: Option<Zeroizing<String>>,
}

impl Consul {
    /// By the environment; only `authority_pem` is believed.
    pub(super) fn from_env(authority_pem: &[u8]) -> Result<Self, String> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let token = match (variable("CONSUL_HTTP_TOKEN"), variable("CONSUL_HTTP_TOKEN_FILE")) {
            (Some(token), _) => Zeroizing::new(token),
            (None, Some(path)) => {
                Zeroizing::new(std::fs::read_to_string(&path).map_err(|error| {
                    format!("CONSUL_HTTP_TOKEN_FILE {path} cannot be read: {error}")
                })?)
            }
            (None, None) => Zeroizing::default(),
        };
        let address = variable("CONSUL_HTTP_ADDR").ok_or_else(|| {
            "CONSUL_HTTP_ADDR is not set: name a server of before, https://<address>:8501, as for `consul` itself".to_owned()
        })?;
        let (host, port) = host_of(&address)?;
        let roots = reqwest::Certificate::from_pem_bundle(authority_pem)
            .map_err(|error| format!("--ca-file cannot be read: {}", chain(&error)))?;
        let mut builder = reqwest::Client::builder()
            .tls_certs_only(roots)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_MAX);
        let mut name = host.clone();
        if let Some(server_name) = variable("CONSUL_TLS_SERVER_NAME") {
            let ip: IpAddr = host.trim_matches(['[', ']']).parse().map_err(|_| {
                format!("with CONSUL_TLS_SERVER_NAME, CONSUL_HTTP_ADDR has to name an address, and {host:?} is none")
            })?;
            builder = builder.resolve(&server_name, SocketAddr::new(ip, port));
            name = server_name;
        }
        if let (Some(certificate), Some(key)) =
            (variable("CONSUL_CLIENT_CERT"), variable("CONSUL_CLIENT_KEY"))
        {
            let read = |path: &str| {
                std::fs::read(Path::new(path))
                    .map_err(|error| format!("{path} cannot be read: {error}"))
            };
            let mut pem = Zeroizing::new(read(&certificate)?);
            pem.extend_from_slice(&read(&key)?);
            let identity = reqwest::Identity::from_pem(&pem);
            // The cause could show a part of the key.
            let identity = identity.map_err(|_| {
                "CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY are no certificate with its key"
                    .to_owned()
            })?;
            builder = builder.identity(identity);
        }
        let client = builder.build().map_err(|error| chain(&error))?;
        Ok(Self { client, url: format!("https://{name}:{port}/v1"), token })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), String> {
        let mut request = self.client.request(method, format!("{}/{path}", self.url));
        if !token.is_empty() {
            request = request.header("X-Consul-Token", token.trim());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let told = |error: reqwest::Error| {
            format!(
                "Consul at {} does not answer to {path}: {}",
                self.url,
                chain(&error.without_url())
            )
        };
        let answer = request.send().await.map_err(told)?;
        let status = answer.status();
        let text = answer.text().await.map_err(told)?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        match self.send(Method::GET, path, &self.token, None).await? {
            // Autopilot says so that not all is well.
            (status, body) if status.is_success() || status == StatusCode::TOO_MANY_REQUESTS => {
                Ok(body)
            }
            (status, body) => {
                let said = body.as_str().unwrap_or_default().trim().to_owned();
                Err(format!("Consul answers to {path} with {status}: {said}"))
            }
        }
    }

    /// All that is judged.
    pub(super) async fn ask(&self) -> Result<Asked, String> {
        let own = self.get("agent/self").await?;
        let raft = self.get("operator/raft/configuration").await?;
        let health = self.get("operator/autopilot/health").await?;
        let datacenters = self.get("catalog/datacenters").await?;
        let text = |pointer: &str| {
            own.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let has_acls = own.pointer("/DebugConfig/ACLsEnabled") == Some(&json!(true));
        let is_management = has_acls && self.is_management(&self.token).await;
        let is_gossip_encrypted = text("/Stats/serf_lan/encrypted") == "true";
        let keys = if is_gossip_encrypted { self.gossip_keys().await? } else { Vec::new() };
        // Until 1.11 at the top level, then in stanzas.
        let first = |pointers: [&str; 2]| pointers.iter().find_map(|pointer| own.pointer(pointer));
        let default_policy = first([
            "/DebugConfig/ACLResolverSettings/ACLDefaultPolicy",
            "/DebugConfig/ACLDefaultPolicy",
        ]);
        let verifies_outgoing =
            first(["/DebugConfig/TLS/InternalRPC/VerifyOutgoing", "/DebugConfig/VerifyOutgoing"]);
        let facts = ConsulBefore {
            datacenter: text("/Config/Datacenter"),
            primary_datacenter: text("/DebugConfig/PrimaryDatacenter"),
            datacenters: strings(&datacenters),
            domain: text("/DebugConfig/DNSDomain").trim_end_matches('.').to_owned(),
            version: text("/Config/Version"),
            has_acls,
            default_policy: default_policy.and_then(Value::as_str).unwrap_or_default().to_owned(),
            verifies_outgoing: verifies_outgoing == Some(&json!(true)),
            is_gossip_encrypted,
            gossip_keys: keys.len(),
            is_management,
            is_healthy: health["Healthy"] == true,
            servers: servers(&raft, &health)?,
        };
        Ok(Asked { facts, gossip_key: keys.into_iter().next() })
    }

    async fn is_management(&self, token: &str) -> bool {
        let found = self.send(Method::GET, "acl/token/self", token, None).await;
        found.is_ok_and(|(status, found)| {
            let mut policies = found["Policies"].as_array().into_iter().flatten();
            status.is_success() && policies.any(|policy| policy["ID"] == MANAGEMENT_POLICY)
        })
    }

    /// Keys of the gossip of this datacenter.
    async fn gossip_keys(&self) -> Result<Vec<Zeroizing<String>>, String> {
        let rings = self.get("operator/keyring").await?;
        let lan = rings.as_array().into_iter().flatten().find(|ring| ring["WAN"] == false);
        let keys = lan.and_then(|ring| ring["Keys"].as_object()).into_iter().flatten();
        Ok(keys.map(|(key, _)| Zeroizing::new(key.clone())).collect())
    }

    /// A token that may do everything has this secret, in the end. Again, it does nothing.
    pub(super) async fn make_management_token(&self, secret: &str) -> Result<(), String> {
        if self.is_management(secret).await {
            return Ok(());
        }
        let body = json!({
            "SecretID": secret.trim(),
            "Description": "Management token of hcs; made for an adoption",
            "Policies": [{ "ID": MANAGEMENT_POLICY }],
        });
        match self.send(Method::PUT, "acl/token", &self.token, Some(&body)).await? {
            (status, _) if status.is_success() => Ok(()),
            // What Consul says to it may repeat what it was sent.
            (status, _) => {
                Err(format!("Consul makes no management token for the cluster: {status}"))
            }
        }
    }
}

fn strings(list: &Value) -> Vec<String> {
    let words = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    words.map(str::to_owned).collect()
}

/// Raft's servers with what Autopilot says of them.
fn servers(raft: &Value, health: &Value) -> Result<Vec<BeforeServer>, String> {
    let rows = raft["Servers"].as_array().cloned().unwrap_or_default();
    let of = |id: &Value| {
        health["Servers"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|server| server["ID"] == *id)
            .cloned()
    };
    let server = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let address: SocketAddr = text("Address")
            .parse()
            .map_err(|_| format!("Raft has a server at {:?}", text("Address")))?;
        let health = of(&row["ID"]).unwrap_or_default();
        Ok(BeforeServer {
            node_name: text("Node"),
            address: address.ip(),
            version: health["Version"].as_str().unwrap_or_default().to_owned(),
            is_voter: row["Voter"] == true,
            is_leader: row["Leader"] == true,
            is_healthy: health["Healthy"] == true,
        })
    };
    rows.iter().map(server).collect()
}

/// Host and port of `CONSUL_HTTP_ADDR`. Without TLS nobody can tell who answers.
fn host_of(address: &str) -> Result<(String, u16), String> {
    let rest = match address.split_once("://") {
        Some(("https", rest)) => rest,
        Some((scheme, _)) => {
            return Err(format!(
                "CONSUL_HTTP_ADDR is {scheme}://...; over https:// alone it can be told that the authority has signed for the servers"
            ));
        }
        None => address,
    };
    // With a scheme that has no port of its own: 443 would be left out.
    let url = url::Url::parse(&format!("consul://{rest}"))
        .map_err(|error| format!("CONSUL_HTTP_ADDR is no address: {error}"))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    Ok((host, url.port().unwrap_or(HTTPS_PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_with_tls_alone() {
        assert_eq!(host_of("https://10.0.0.4:8501"), Ok(("10.0.0.4".into(), 8501)));
        assert_eq!(host_of("consul.example"), Ok(("consul.example".into(), 8501)));
        assert_eq!(host_of("https://consul.example:443"), Ok(("consul.example".into(), 443)));
        assert!(host_of("http://10.0.0.4:8500").unwrap_err().contains("https://"));
    }

    #[test]
    fn a_server_that_autopilot_does_not_know_is_not_well() {
        let raft = json!({ "Servers": [
            { "ID": "a", "Node": "old0", "Address": "10.0.0.4:8300", "Voter": true, "Leader": true },
            { "ID": "b", "Node": "old1", "Address": "10.0.0.5:8300", "Voter": true, "Leader": false },
        ] });
        let health = json!({ "Servers": [{ "ID": "a", "Version": "1.21.5", "Healthy": true }] });
        let found = servers(&raft, &health).unwrap();
        assert!(found[0].is_healthy && found[0].is_leader && found[0].version == "1.21.5");
        assert!(!found[1].is_healthy && found[1].version.is_empty());
        assert!(servers(&json!({ "Servers": [{ "Address": "x" }] }), &health).is_err());
    }
}
