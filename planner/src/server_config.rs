//! What a user may add to the configuration of the servers' Consul, and what is not theirs: what this cluster depends on,
//! what lets somebody in, and secrets, which would lie in state and storage.

use serde_json::{Map, Value};

use crate::spec::ClusterSpec;

/// More is no configuration.
const BYTES_MAX: usize = 64 << 10;

/// Keys, and the paths of keys, that hcs sets or that would undo what it promises.
const OWNED: [&str; 68] = [
    "acl",
    "addresses",
    "advertise_addr",
    "advertise_addr_ipv4",
    "advertise_addr_ipv6",
    "advertise_addr_wan",
    "auto_config",
    "auto_encrypt",
    "auto_reload_config",
    "bind_addr",
    "bootstrap",
    "bootstrap_expect",
    "ca_file",
    "ca_path",
    "cert_file",
    "check_update_interval",
    "client_addr",
    "cloud",
    "connect.ca_config",
    "connect.ca_provider",
    "connect.enabled",
    "data_dir",
    "datacenter",
    "default_query_time",
    "disable_keyring_file",
    "disable_remote_exec",
    "disable_update_check",
    "domain",
    "enable_local_script_checks",
    "enable_script_checks",
    "encrypt",
    "encrypt_verify_incoming",
    "encrypt_verify_outgoing",
    "http_config.allow_write_http_from",
    "http_config.block_endpoints",
    "key_file",
    "leave_on_terminate",
    "license_path",
    "log_file",
    "node_id",
    "node_name",
    "partition",
    "pid_file",
    "ports",
    "primary_datacenter",
    "primary_gateways",
    "raft_logstore",
    "raft_protocol",
    "read_replica",
    "rejoin_after_leave",
    "retry_interval",
    "retry_join",
    "retry_join_wan",
    "serf_lan",
    "serf_wan",
    "server",
    "server_rejoin_age_max",
    "session_ttl_min",
    "skip_leave_on_interrupt",
    "start_join",
    "telemetry.disable_hostname",
    "telemetry.prometheus_retention_time",
    "tls",
    "tls_min_version",
    "ui",
    "ui_config.enabled",
    "unix_sockets",
    "use_streaming_backend",
];
/// Beginnings of keys of the same kind.
const OWNED_BEGINNINGS: [&str; 3] = ["tls_", "verify_", "acl_"];
/// Parts of keys whose values are secrets.
const SECRET: [&str; 5] = ["token", "secret", "password", "private_key", "api_key"];

/// What the text adds, or why it cannot be.
pub fn parse(text: &str) -> Result<Map<String, Value>, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("it has {} bytes; {BYTES_MAX} are the most.", text.len()));
    }
    let value: Value = serde_json::from_str(text)
        .map_err(|error| format!("it is no JSON: {error}. Write it with jsonencode({{ … }})."))?;
    let Value::Object(config) = value else {
        return Err("it is no JSON object. Write it with jsonencode({ … }).".to_owned());
    };
    let mut refused = Vec::new();
    look("", &config, &mut refused);
    match refused.first() {
        None => Ok(config),
        Some(Refused::Owned(path)) => Err(format!(
            "{path} is what hcs sets for the servers; leave it out. What an attribute of hcs_cluster says is set there."
        )),
        Some(Refused::Secret(path)) => Err(format!(
            "{path} would be a secret in the state and in the cluster's storage account; leave it out."
        )),
    }
}

/// What a declaration adds. One that cannot be was refused before.
pub fn added_config(spec: &ClusterSpec) -> Map<String, Value> {
    spec.consul_server_config.as_deref().and_then(|text| parse(text).ok()).unwrap_or_default()
}

enum Refused {
    Owned(String),
    Secret(String),
}

fn look(within: &str, object: &Map<String, Value>, refused: &mut Vec<Refused>) {
    for (key, value) in object {
        let path = if within.is_empty() { key.clone() } else { format!("{within}.{key}") };
        let is_top = within.is_empty();
        // Consul reads its keys so.
        let (key, lower) = (key.to_lowercase(), path.to_lowercase());
        if OWNED.contains(&lower.as_str())
            || is_top && OWNED_BEGINNINGS.iter().any(|beginning| key.starts_with(beginning))
        {
            refused.push(Refused::Owned(path));
        } else if SECRET.iter().any(|word| key.contains(word)) {
            refused.push(Refused::Secret(path));
        } else {
            look_into(&path, value, refused);
        }
    }
}

fn look_into(path: &str, value: &Value, refused: &mut Vec<Refused>) {
    match value {
        Value::Object(inner) => look(path, inner, refused),
        Value::Array(items) => items.iter().for_each(|item| look_into(path, item, refused)),
        _ => {}
    }
}

/// Adds `more` to a configuration: objects are merged, anything else is taken from `more`. Keys that differ in case alone
/// are one to Consul.
pub fn merge(config: &mut Value, more: &Map<String, Value>) {
    let Some(config) = config.as_object_mut() else { return };
    for (key, value) in more {
        let own = config.keys().find(|own| own.eq_ignore_ascii_case(key)).cloned();
        let key = own.unwrap_or_else(|| key.clone());
        match (config.get_mut(&key), value) {
            (Some(own @ Value::Object(_)), Value::Object(inner)) => merge(own, inner),
            _ => drop(config.insert(key, value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(config: &Value) -> String {
        parse(&config.to_string()).err().unwrap_or_default()
    }

    #[test]
    fn what_is_hcs_or_secret_is_refused_wherever_it_stands() {
        for (config, words) in [
            (json!({ "ports": { "http": 8500 } }), "ports is what hcs sets"),
            (
                json!({ "HTTP_Config": { "Block_Endpoints": ["/v1/kv"] } }),
                "Block_Endpoints is what",
            ),
            (
                json!({ "http_config": { "allow_write_http_from": ["127.0.0.1/32"] } }),
                "is what hcs",
            ),
            (json!({ "Ports": { "http": 8500 } }), "Ports is what hcs sets"),
            (json!({ "domain": "example" }), "domain is what hcs sets"),
            (json!({ "acl": { "default_policy": "allow" } }), "acl is what hcs sets"),
            (json!({ "verify_incoming_rpc": false }), "verify_incoming_rpc is what hcs sets"),
            (json!({ "connect": { "enabled": false } }), "connect.enabled is what hcs sets"),
            (json!({ "telemetry": { "circonus_api_token": "x" } }), "circonus_api_token would be"),
            (json!({ "watches": [{ "type": "key", "token": "x" }] }), "watches.token would be"),
            (json!([1]), "no JSON object"),
            (json!("x".repeat(70_000)), "bytes"),
        ] {
            assert!(told(&config).contains(words), "{config}: {}", told(&config));
        }
        assert!(parse("{").unwrap_err().contains("jsonencode"));
    }

    #[test]
    fn the_rest_is_added_and_objects_grow_together() {
        let more = json!({
            "log_level": "DEBUG", "limits": { "http_max_conns_per_client": 400 },
            "Telemetry": { "statsd_address": "10.0.0.9:8125" }
        });
        let mut config = json!({ "log_level": "INFO", "telemetry": { "disable_hostname": true } });
        merge(&mut config, &parse(&more.to_string()).unwrap());
        let merged = json!({
            "log_level": "DEBUG", "limits": { "http_max_conns_per_client": 400 },
            "telemetry": { "disable_hostname": true, "statsd_address": "10.0.0.9:8125" }
        });
        assert_eq!(config, merged);
    }
}
