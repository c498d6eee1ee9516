//! Renders Consul's configuration. Pure: same input, same bytes.
//!
//! Secrets live in a file of their own; addresses to join in another one, because they may change
//! without a restart.

use std::net::IpAddr;
use std::path::Path;

use semver::Version;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use hcs_planner::dataplane::blob;

use crate::secrets::Secret;

/// HTTPS API and UI.
pub const HTTPS_PORT: u16 = 8501;
/// Raft and server RPC.
pub const RPC_PORT: u16 = 8300;

/// Which keys a version reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Below 1.12: TLS keys at the top level.
    Flat,
    /// 1.12 to 2.x: the `tls` stanza.
    Stanza,
}

/// A version whose configuration nobody has checked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Consul {0} is not supported; this host manager knows 1.8 to 2.x")]
pub struct UnknownFamily(pub Version);

impl Family {
    /// The family of a version.
    pub fn of(version: &Version) -> Result<Self, UnknownFamily> {
        match (version.major, version.minor) {
            (1, 8..=11) => Ok(Self::Flat),
            (1, 12..) | (2, _) => Ok(Self::Stanza),
            _ => Err(UnknownFamily(version.clone())),
        }
    }
}

/// Everything that the main configuration depends on.
#[derive(Clone, Debug)]
pub struct ServerConfig<'a> {
    /// Which Consul reads it.
    pub version: &'a Version,
    /// Datacenter.
    pub datacenter: &'a str,
    /// Node name.
    pub node_name: &'a str,
    /// Data folder.
    pub data_dir: &'a Path,
    /// Folder with CA, certificate and key.
    pub tls_dir: &'a Path,
    /// Where Consul listens and what it tells others.
    pub address: IpAddr,
    /// Only for the first formation.
    pub bootstrap_expect: Option<u32>,
}

/// The main configuration, without secrets.
pub fn server_json(config: &ServerConfig<'_>) -> Result<String, UnknownFamily> {
    let family = Family::of(config.version)?;
    let mut ports = json!({ "http": -1, "https": HTTPS_PORT, "grpc": -1 });
    // 1.14 split gRPC: the plain port stays off, the TLS port serves data planes.
    if (config.version.major, config.version.minor) >= (1, 14) {
        ports["grpc_tls"] = json!(8503);
    }
    let mut root = json!({
        "server": true,
        "datacenter": config.datacenter,
        "node_name": config.node_name,
        "data_dir": config.data_dir,
        "bind_addr": config.address,
        "advertise_addr": config.address,
        "client_addr": config.address,
        "ports": ports,
        "encrypt_verify_incoming": true,
        "encrypt_verify_outgoing": true,
        "auto_encrypt": { "allow_tls": true },
        "connect": { "enabled": true },
        "acl": {
            "enabled": true,
            "default_policy": "deny",
            "down_policy": "extend-cache",
            "enable_token_persistence": true,
        },
        "performance": { "raft_multiplier": 1 },
        "leave_on_terminate": false,
        "skip_leave_on_interrupt": true,
        "rejoin_after_leave": false,
        "enable_script_checks": false,
        "enable_local_script_checks": false,
        "disable_remote_exec": true,
        "disable_update_check": true,
        "log_level": "INFO",
    });
    let file = |name: &str| json!(config.tls_dir.join(name));
    match family {
        Family::Flat => {
            root["ca_file"] = file(blob::CA_CERTIFICATE);
            root["cert_file"] = file(blob::SERVER_CERTIFICATE);
            root["key_file"] = file(blob::SERVER_KEY);
            root["verify_incoming"] = json!(false);
            root["verify_incoming_rpc"] = json!(true);
            root["verify_incoming_https"] = json!(false);
            root["verify_outgoing"] = json!(true);
            root["verify_server_hostname"] = json!(true);
            root["tls_min_version"] = json!("tls12");
            root["ui"] = json!(true);
        }
        Family::Stanza => {
            root["tls"] = json!({
                "defaults": {
                    "ca_file": file(blob::CA_CERTIFICATE),
                    "cert_file": file(blob::SERVER_CERTIFICATE),
                    "key_file": file(blob::SERVER_KEY),
                    "tls_min_version": "TLSv1_2",
                    "verify_incoming": false,
                    "verify_outgoing": true,
                },
                "internal_rpc": { "verify_incoming": true, "verify_server_hostname": true },
                "https": { "verify_incoming": false },
                "grpc": { "verify_incoming": false },
            });
            root["ui_config"] = json!({ "enabled": true });
        }
    }
    if let Some(expect) = config.bootstrap_expect {
        root["bootstrap_expect"] = json!(expect);
    }
    Ok(pretty(&root))
}

/// What the secret part holds.
#[derive(Clone, Copy, Debug)]
pub struct ConfigSecrets<'a> {
    /// 32 bytes, base64.
    pub gossip_key: &'a Secret,
    /// Becomes the management token when the cluster is founded.
    pub management_token: &'a Secret,
    /// Opens this agent's own calls while no leader can resolve a token.
    pub local_token: &'a Secret,
}

/// The secret part of the configuration.
pub fn secrets_json(family: Family, secrets: ConfigSecrets<'_>) -> Zeroizing<String> {
    let (management, local) = match family {
        Family::Flat => ("master", "agent_master"),
        Family::Stanza => ("initial_management", "agent_recovery"),
    };
    // By hand, so that no second copy of the secrets is left in a JSON tree. All are base64 or a
    // UUID (checked when they were read), so nothing needs an escape.
    Zeroizing::new(format!(
        "{{
  \"acl\": {{
    \"tokens\": {{
      \"{local}\": \"{}\",
      \"{management}\": \"{}\"
    }}
  }},
  \"encrypt\": \"{}\"
}}
",
        secrets.local_token.expose(),
        secrets.management_token.expose(),
        secrets.gossip_key.expose(),
    ))
}

/// The addresses that a starting Consul joins.
pub fn join_json(peers: &[IpAddr]) -> String {
    pretty(&json!({ "retry_join": peers, "retry_interval": "5s" }))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
