//! Goldens of both families, and one assertion per hardening requirement.

use super::*;
use expect_test::{ExpectFile, expect_file};

fn render(version: &str, expect: Option<u32>) -> String {
    server_json(&ServerConfig {
        version: &Version::parse(version).unwrap(),
        datacenter: "dc1",
        node_name: "demo-server-0",
        data_dir: Path::new("/opt/consul/data"),
        tls_dir: Path::new("/run/hcs/tls"),
        address: "10.0.0.4".parse().unwrap(),
        bootstrap_expect: expect,
    })
    .unwrap()
}

fn secrets(version: &str) -> Zeroizing<String> {
    let family = Family::of(&Version::parse(version).unwrap()).unwrap();
    secrets_json(
        family,
        ConfigSecrets {
            gossip_key: &Secret::new("GOSSIP"),
            management_token: &Secret::new("MANAGEMENT"),
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
