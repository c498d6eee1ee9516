//! The configuration of a Consul client agent that joins the cluster, as its version reads it.
//!
//! With `auto_encrypt` a client needs no certificate of its own: its first call asks a server for one, which checks the
//! agent's token. Without a CA it would not start, without a token it would wait for ever.

use serde_json::{Value, json};

use crate::names::Names;
use crate::spec::ClusterSpec;

/// Where a client keeps the cluster's CA certificate.
pub const CLIENT_CA_FILE: &str = "/etc/consul.d/ca.pem";

/// What only a client may know.
#[derive(Clone, Copy)]
pub struct ClientSecrets<'a> {
    /// 32 bytes, base64.
    pub gossip_key: &'a str,
    /// Token with the rights of a client agent.
    pub client_token: &'a str,
}

/// The configuration without any secret.
pub fn client_config(spec: &ClusterSpec) -> Value {
    let version = &spec.consul_version;
    let mut config = json!({
        "server": false,
        "datacenter": spec.consul_datacenter,
        "retry_join": [Names::new(spec).join_name()],
        "auto_encrypt": { "tls": true },
        "acl": {
            "enabled": true,
            "default_policy": "deny",
            "down_policy": "extend-cache",
            "enable_token_persistence": true,
        },
    });
    // 1.12 moved the keys of TLS into a stanza, which is an error before.
    if (version.major, version.minor) >= (1, 12) {
        config["tls"] = json!({
            "defaults": { "ca_file": CLIENT_CA_FILE, "verify_outgoing": true },
            "internal_rpc": { "verify_server_hostname": true },
        });
    } else {
        config["ca_file"] = json!(CLIENT_CA_FILE);
        config["verify_outgoing"] = json!(true);
        config["verify_server_hostname"] = json!(true);
    }
    config
}

/// The whole configuration: it joins as it is, where [`CLIENT_CA_FILE`] holds the CA certificate.
pub fn client_config_with_secrets(spec: &ClusterSpec, secrets: ClientSecrets<'_>) -> Value {
    let version = &spec.consul_version;
    let mut config = client_config(spec);
    config["encrypt"] = json!(secrets.gossip_key);
    config["acl"]["tokens"] = json!({ "agent": secrets.client_token });
    // From 1.17 on DNS has a token of its own; before that only the one of all callers without a token would do.
    if (version.major, version.minor) >= (1, 17) {
        config["acl"]["tokens"]["dns"] = json!(secrets.client_token);
    }
    config
}
