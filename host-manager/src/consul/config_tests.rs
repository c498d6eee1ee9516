//! Goldens of both families, and one assertion per hardening requirement.

use super::*;
use expect_test::{ExpectFile, expect_file};
use hcs_planner::arm::Kind;
use hcs_planner::spec::ClusterSpec;

fn render(version: &str, expect: Option<u32>) -> String {
    with_store(version, expect, None).unwrap()
}

fn with_store(
    version: &str,
    expect: Option<u32>,
    log_store: Option<LogStore>,
) -> Result<String, ConfigError> {
    server_json(&ServerConfig {
        version: &Version::parse(version).unwrap(),
        datacenter: "dc1",
        node_name: "demo-server-0",
        data_dir: Path::new("/opt/consul/data"),
        tls_dir: Path::new("/run/hcs/tls"),
        address: "10.0.0.4".parse().unwrap(),
        bootstrap_expect: expect,
        log_store,
        added: &Map::new(),
    })
}

fn secrets(version: &str) -> Zeroizing<String> {
    let family = Family::of(&Version::parse(version).unwrap()).unwrap();
    secrets_json(
        family,
        ConfigSecrets {
            gossip_key: &Secret::new("GOSSIP"),
            management_token: Some(&Secret::new("MANAGEMENT")),
            local_token: &Secret::new("LOCAL"),
        },
    )
}

#[test]
fn each_family_renders_as_its_golden() {
    let cases: [(&str, ExpectFile); 4] = [
        ("1.8.7", expect_file!["golden/server-1.8.7.json"]),
        ("1.12.0", expect_file!["golden/server-1.12.0.json"]),
        ("1.22.2", expect_file!["golden/server-1.22.2.json"]),
        ("2.0.2", expect_file!["golden/server-2.0.2.json"]),
    ];
    for (version, golden) in cases {
        golden.assert_eq(&render(version, Some(3)));
    }
}

#[test]
fn unknown_versions_are_refused_rather_than_guessed() {
    for version in ["0.9.0", "1.7.14", "3.0.0"] {
        assert!(Family::of(&Version::parse(version).unwrap()).is_err(), "{version}");
    }
}

/// Every release that is known, a build of the main branch, and what may come.
fn all_versions() -> Vec<Version> {
    let more =
        ["1.8.0", "1.11.11", "1.15.0", "1.15.1", "1.15.2", "1.15.3", "1.22.3", "1.22.4", "1.22.5"];
    let late = ["1.23.0-dev", "1.23.0", "2.0.3", "2.1.0"];
    let mut versions = hcs_planner::releases::versions();
    versions.extend(more.iter().chain(&late).map(|text| Version::parse(text).unwrap()));
    versions.retain(|version| Family::of(version).is_ok());
    versions
}

/// An unknown key keeps Consul from starting. By Consul's change log and source, who reads what: the release lines that
/// know a key, each from a patch on.
#[test]
fn each_version_gets_the_keys_that_it_knows_and_no_other() {
    type Knows = fn(u64, u64, u64) -> bool;
    let keys: [(&str, Knows); 8] = [
        ("/ca_file", |major, minor, _| (major, minor) < (1, 12)),
        ("/ui", |major, minor, _| (major, minor) < (1, 12)),
        ("/tls", |major, minor, _| (major, minor) >= (1, 12)),
        ("/ui_config", |major, minor, _| (major, minor) >= (1, 12)),
        ("/ports/grpc_tls", |major, minor, _| (major, minor) >= (1, 14)),
        ("/raft_logstore", |major, minor, _| (major, minor) >= (1, 15)),
        ("/server_rejoin_age_max", |major, minor, patch| match (major, minor) {
            (1, ..15) => false,
            (1, 15) => patch >= 3,
            _ => true,
        }),
        // Not the builds of the main branch of November 2025, which call themselves 1.23.0.
        ("/http_config", |major, minor, patch| match (major, minor) {
            (1, 22) => patch >= 4,
            (1, _) => false,
            _ => true,
        }),
    ];
    let everywhere =
        ["server", "datacenter", "acl", "connect", "auto_encrypt", "ports", "telemetry"];
    for version in all_versions() {
        let config: Value = serde_json::from_str(&render(&version.to_string(), None)).unwrap();
        for (pointer, knows) in keys {
            let wanted = knows(version.major, version.minor, version.patch);
            assert_eq!(config.pointer(pointer).is_some(), wanted, "{version}: {pointer}");
        }
        assert!(everywhere.iter().all(|key| config.get(key).is_some()), "{version}");
        assert_eq!(config["telemetry"]["disable_hostname"], true, "{version}");
    }
}

#[test]
fn a_server_stays_with_the_store_that_lies_there() {
    let backend = |version: &str, store| {
        let config: Value =
            serde_json::from_str(&with_store(version, None, store).unwrap()).unwrap();
        config["raft_logstore"]["backend"].as_str().map(str::to_owned)
    };
    let (bolt, wal) = (Some(LogStore::BoltDb), Some(LogStore::Wal));
    let rows = [
        ("1.14.11", None, None),
        ("1.14.11", bolt, None),
        ("1.15.0", None, Some("boltdb")),
        ("1.19.2", None, Some("boltdb")),
        ("1.19.2", wal, Some("wal")),
        ("1.20.0", None, Some("wal")),
        ("1.20.0", bolt, Some("boltdb")),
        ("1.23.0-dev", None, Some("wal")),
        ("2.0.2", bolt, Some("boltdb")),
    ];
    for (version, store, wanted) in rows {
        assert_eq!(backend(version, store).as_deref(), wanted, "{version} over {store:?}");
    }
    let refused = with_store("1.14.11", None, wal).unwrap_err();
    assert_eq!(refused, ConfigError::UnreadableStore(Version::new(1, 14, 11)));
}

#[test]
fn a_joining_server_has_no_bootstrap_expect() {
    for version in ["1.8.7", "1.22.2"] {
        let config: Value = serde_json::from_str(&render(version, None)).unwrap();
        assert!(config.get("bootstrap_expect").is_none(), "{version}");
    }
}

#[test]
fn the_secret_part_is_json_under_the_right_key() {
    let cases =
        [("1.8.7", "master", "agent_master"), ("1.22.2", "initial_management", "agent_recovery")];
    for (version, management, local) in cases {
        let parsed: Value = serde_json::from_str(&secrets(version)).unwrap();
        assert_eq!(parsed["encrypt"], "GOSSIP");
        assert_eq!(parsed["acl"]["tokens"][management], "MANAGEMENT", "{version}");
        assert_eq!(parsed["acl"]["tokens"][local], "LOCAL", "{version}");
    }
}

#[test]
fn peers_to_join_are_plain_addresses() {
    let parsed: Value = serde_json::from_str(&join_json(&["10.0.0.5".parse().unwrap()])).unwrap();
    assert_eq!(parsed["retry_join"], json!(["10.0.0.5"]));
}

/// Consul is not secure by default; its security model names what must be on. One line each.
#[test]
fn hardening() {
    type Requirement = (&'static str, &'static str, Value);
    let common: Vec<Requirement> = vec![
        ("ACLs are on", "/acl/enabled", json!(true)),
        ("nothing is allowed by default", "/acl/default_policy", json!("deny")),
        ("known tokens outlive the leader", "/acl/down_policy", json!("extend-cache")),
        ("agent tokens survive restarts", "/acl/enable_token_persistence", json!(true)),
        ("no plain HTTP", "/ports/http", json!(-1)),
        ("HTTPS only", "/ports/https", json!(8501)),
        ("no plain gRPC", "/ports/grpc", json!(-1)),
        ("gossip must be encrypted when it comes in", "/encrypt_verify_incoming", json!(true)),
        ("gossip must be encrypted when it goes out", "/encrypt_verify_outgoing", json!(true)),
        ("no script checks", "/enable_script_checks", json!(false)),
        ("no local script checks", "/enable_local_script_checks", json!(false)),
        ("no remote exec", "/disable_remote_exec", json!(true)),
        ("no calls home", "/disable_update_check", json!(true)),
        ("listens on the subnet address only", "/bind_addr", json!("10.0.0.4")),
        ("serves on the subnet address only", "/client_addr", json!("10.0.0.4")),
        ("a stop is no leave", "/leave_on_terminate", json!(false)),
    ];
    let flat: Vec<Requirement> = vec![
        ("RPC peers prove themselves", "/verify_incoming_rpc", json!(true)),
        ("we check whom we call", "/verify_outgoing", json!(true)),
        ("a client cannot pose as a server", "/verify_server_hostname", json!(true)),
        ("TLS 1.2 at least", "/tls_min_version", json!("tls12")),
    ];
    let stanza: Vec<Requirement> = vec![
        ("RPC peers prove themselves", "/tls/internal_rpc/verify_incoming", json!(true)),
        ("we check whom we call", "/tls/defaults/verify_outgoing", json!(true)),
        (
            "a client cannot pose as a server",
            "/tls/internal_rpc/verify_server_hostname",
            json!(true),
        ),
        ("TLS 1.2 at least", "/tls/defaults/tls_min_version", json!("TLSv1_2")),
    ];
    for (version, own) in [("1.8.7", &flat), ("1.22.2", &stanza), ("2.0.2", &stanza)] {
        let config: Value = serde_json::from_str(&render(version, Some(3))).unwrap();
        for (claim, pointer, wanted) in common.iter().chain(own) {
            assert_eq!(config.pointer(pointer), Some(wanted), "{version}: {claim}");
        }
        let secret: Value = serde_json::from_str(&secrets(version)).unwrap();
        assert!(secret["encrypt"].is_string(), "{version}: gossip is encrypted");
        assert!(config.get("encrypt").is_none(), "{version}: the public file holds no secret");
        assert!(config["acl"].get("tokens").is_none(), "{version}: nor a token");
    }
}

/// Consul's own ports where nothing is written, by its documentation; a negative one is closed.
fn served_ports(config: &Value, version: &Version) -> std::collections::BTreeSet<i64> {
    let grpc_tls = if (version.major, version.minor) >= (1, 14) { 8503 } else { -1 };
    let defaults = [
        ("dns", 8600),
        ("http", 8500),
        ("https", -1),
        ("grpc", -1),
        ("grpc_tls", grpc_tls),
        ("serf_lan", 8301),
        ("serf_wan", 8302),
        ("server", 8300),
    ];
    let port = |(name, default)| config["ports"][name].as_i64().unwrap_or(default);
    defaults.into_iter().map(port).filter(|port| *port > 0).collect()
}

fn spec(consul_version: Version) -> ClusterSpec {
    ClusterSpec {
        consul_datacenter: "dc1".into(),
        consul_version,
        ..ClusterSpec::new("00000000-0000-0000-0000-000000000001", "demo", "rg", "westeurope")
    }
}

#[test]
fn the_network_lets_in_what_consul_serves_and_nothing_else() {
    for version in all_versions() {
        let config: Value = serde_json::from_str(&render(&version.to_string(), None)).unwrap();
        let desired = hcs_planner::desired::Desired::new(&spec(version.clone()));
        let group =
            desired.objects.values().find(|o| o.kind == Kind::NetworkSecurityGroup).unwrap();
        let rules = group.body["properties"]["securityRules"].as_array().unwrap();
        let open = |from: &[&str]| -> std::collections::BTreeSet<i64> {
            let is_from = |rule: &&Value| {
                let properties = &rule["properties"];
                properties["access"] == "Allow"
                    && from.iter().any(|source| properties["sourceAddressPrefix"] == *source)
            };
            let port = |rule: &Value| {
                rule["properties"]["destinationPortRange"].as_str().unwrap().parse().unwrap()
            };
            rules.iter().filter(is_from).map(port).collect()
        };
        let mut served = served_ports(&config, &version);
        served.insert(i64::from(port::METRICS));
        assert_eq!(open(&["VirtualNetwork", "172.25.16.0/24"]), served, "{version}");
        // The pool of several datacenters is for servers, and these are in the cluster's own network.
        let to_clients: std::collections::BTreeSet<i64> =
            served.into_iter().filter(|p| *p != 8302).collect();
        assert_eq!(open(&["VirtualNetwork"]), to_clients, "{version}");
    }
}

/// By hand: what of our configuration a user may set otherwise. All else is refused where they declare it.
#[test]
fn every_key_of_ours_is_refused_to_users_or_free_on_purpose() {
    const FREE: [&str; 5] = [
        "log_level",
        "performance.raft_multiplier",
        "telemetry.prometheus_retention_time",
        "http_config.read_timeout",
        "http_config.write_timeout",
    ];
    fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
        match value.as_object() {
            None => found.push(at.to_owned()),
            Some(inner) => inner.iter().for_each(|(key, value)| {
                let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                paths(value, &path, found);
            }),
        }
    }
    for version in ["1.8.7", "1.12.0", "1.15.3", "1.20.0", "1.22.7", "2.0.3"] {
        let text = render(version, Some(3));
        let mut all = Vec::new();
        paths(&serde_json::from_str(&text).unwrap(), "", &mut all);
        for path in all.iter().filter(|path| !FREE.contains(&path.as_str())) {
            let config = path.rsplit('.').fold(json!(1), |inner, key| json!({ key: inner }));
            let told = server_config::parse(&config.to_string());
            assert!(told.is_err(), "{version}: users could set {path}");
        }
    }
}
