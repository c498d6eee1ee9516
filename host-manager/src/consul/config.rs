//! Renders Consul's configuration. Pure: same input, same bytes.
//!
//! Secrets live in a file of their own; addresses to join in another one, because they may change
//! without a restart.

use std::net::IpAddr;
use std::path::Path;

use semver::Version;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use hcs_planner::dataplane::port;
use hcs_planner::server_config;

use super::store::{LogStore, core};
use crate::paths::tls_file;
use crate::secrets::Secret;

/// Which keys a version reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Below 1.12: TLS keys at the top level.
    Flat,
    /// 1.12 to 2.x: the `tls` stanza.
    Stanza,
}

/// A version that this server cannot be configured for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nobody has checked its keys.
    #[error("Consul {0} is not supported; this host manager knows 1.8 to 2.x")]
    UnknownFamily(Version),
    /// It would begin an empty store and lose the vote of this server.
    #[error(
        "Consul {0} cannot read what lies in raft/wal: only 1.15.0 and newer can; go back to a newer version"
    )]
    UnreadableStore(Version),
}

impl Family {
    /// The family of a version.
    pub fn of(version: &Version) -> Result<Self, ConfigError> {
        match (version.major, version.minor) {
            (1, 8..=11) => Ok(Self::Flat),
            (1, 12..) | (2, _) => Ok(Self::Stanza),
            _ => Err(ConfigError::UnknownFamily(version.clone())),
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
    /// The store that lies on the disk; none before the first start.
    pub log_store: Option<LogStore>,
    /// What the user adds.
    pub added: &'a Map<String, Value>,
}

/// The main configuration, without secrets.
pub fn server_json(config: &ServerConfig<'_>) -> Result<String, ConfigError> {
    let family = Family::of(config.version)?;
    let mut root = json!({
        "server": true,
        "datacenter": config.datacenter,
        "node_name": config.node_name,
        "data_dir": config.data_dir,
        "bind_addr": config.address,
        "advertise_addr": config.address,
        "client_addr": config.address,
        // DNS is the clients' own agents' business: to a caller without a token a server answers with nothing.
        "ports": {
            "server": port::RPC,
            "serf_lan": port::GOSSIP,
            "serf_wan": port::GOSSIP_WAN,
            "https": port::HTTPS,
            "http": -1,
            "grpc": -1,
            "dns": -1,
        },
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
        // Without it, host names are part of every gauge's name from 1.18 on.
        "telemetry": { "disable_hostname": true, "prometheus_retention_time": "1h" },
    });
    add_newer_keys(&mut root, config)?;
    let file = |name: &str| json!(config.tls_dir.join(name));
    match family {
        Family::Flat => {
            root["ca_file"] = file(tls_file::AUTHORITIES);
            root["cert_file"] = file(tls_file::CERTIFICATE);
            root["key_file"] = file(tls_file::KEY);
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
                    "ca_file": file(tls_file::AUTHORITIES),
                    "cert_file": file(tls_file::CERTIFICATE),
                    "key_file": file(tls_file::KEY),
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
    server_config::merge(&mut root, config.added);
    Ok(pretty(&root))
}

/// What not every version knows: an unknown key keeps Consul from starting.
fn add_newer_keys(root: &mut Value, config: &ServerConfig<'_>) -> Result<(), ConfigError> {
    let version = core(config.version);
    let is_from = |major, minor, patch| version >= Version::new(major, minor, patch);
    // 1.14 split gRPC: the plain port stays off, the TLS port serves data planes.
    if port::has_grpc_tls(&version) {
        root["ports"]["grpc_tls"] = json!(port::GRPC_TLS);
    }
    let store = config.log_store.unwrap_or_else(|| LogStore::of_birth(&version));
    if is_from(1, 15, 0) {
        root["raft_logstore"] = json!({ "backend": store.as_str() });
        if store == LogStore::Wal {
            root["raft_logstore"]["verification"] = json!({ "enabled": true, "interval": "60s" });
        }
    } else if store == LogStore::Wal {
        return Err(ConfigError::UnreadableStore(config.version.clone()));
    }
    // A cluster that was switched off for longer than Consul's seven days starts again.
    if is_from(1, 15, 3) {
        root["server_rejoin_age_max"] = json!("87600h");
    }
    // 1.22.4 gives a whole exchange 30 s, later ones 15 min: too little for the snapshot of a large state. A build that
    // calls itself 1.23.0 does not know the keys.
    if (version.major, version.minor) == (1, 22) && version.patch >= 4 || version.major >= 2 {
        root["http_config"] = json!({ "read_timeout": "1h", "write_timeout": "1h" });
    }
    Ok(())
}

/// What the secret part holds.
#[derive(Clone, Copy, Debug)]
pub struct ConfigSecrets<'a> {
    /// 32 bytes, base64.
    pub gossip_key: &'a Secret,
    /// Becomes the management token when the cluster is founded; a member can start without it.
    pub management_token: Option<&'a Secret>,
    /// Opens this agent's own calls while no leader can resolve a token.
    pub local_token: &'a Secret,
}

/// The secret part of the configuration.
pub fn secrets_json(family: Family, secrets: ConfigSecrets<'_>) -> Zeroizing<String> {
    let (management, local) = match family {
        Family::Flat => ("master", "agent_master"),
        Family::Stanza => ("initial_management", "agent_recovery"),
    };
    let management = secrets.management_token.map_or_else(Zeroizing::default, |token| {
        Zeroizing::new(format!(",\n      \"{management}\": \"{}\"", token.expose()))
    });
    // By hand, so that no second copy of the secrets is left in a JSON tree. All are base64 or a
    // UUID (checked when they were read), so nothing needs an escape.
    Zeroizing::new(format!(
        "{{
  \"acl\": {{
    \"tokens\": {{
      \"{local}\": \"{}\"{}
    }}
  }},
  \"encrypt\": \"{}\"
}}
",
        secrets.local_token.expose(),
        *management,
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
