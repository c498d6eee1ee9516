//! What client agents are given: keys that their version knows, and secrets only where they belong.

use crate::support::{spec, with};
use hcs_planner::client_config::{ClientSecrets, client_config, client_config_with_secrets};
use hcs_planner::releases::versions;
use semver::Version;
use serde_json::json;

const SECRETS: ClientSecrets<'_> = ClientSecrets { gossip_key: "GOSSIP", client_token: "CLIENT" };

fn all_versions() -> Vec<Version> {
    let mut all = versions();
    all.extend(["1.8.0", "1.23.0-dev", "2.1.0"].map(|text| text.parse().unwrap()));
    all
}

#[test]
fn a_client_has_all_that_it_needs_to_join_in_words_that_its_version_knows() {
    for version in all_versions() {
        let has_stanza = version >= Version::new(1, 12, 0);
        let config = client_config(&with(spec(3, 3), |spec| spec.consul_version = version.clone()));
        // Without a CA it does not start; without auto_encrypt the servers refuse it for want of a certificate.
        let (ca, hostname) = if has_stanza {
            ("/tls/defaults/ca_file", "/tls/internal_rpc/verify_server_hostname")
        } else {
            ("/ca_file", "/verify_server_hostname")
        };
        assert_eq!(config.pointer(ca), Some(&json!("/etc/consul.d/ca.pem")), "{version}");
        assert_eq!(config.pointer(hostname), Some(&json!(true)), "{version}");
        assert_eq!(config.get("tls").is_some(), has_stanza, "{version}");
        assert_eq!(config["auto_encrypt"]["tls"], true, "{version}");
        assert_eq!(config["retry_join"], json!(["consul.demo.hcs.internal"]), "{version}");
        assert_eq!(config["server"], false, "{version}");
        // An `https` port would need a certificate of its own.
        assert!(config.get("ports").is_none(), "{version}");
    }
}

#[test]
fn the_public_configuration_holds_no_secret_and_the_other_one_nothing_but_secrets_more() {
    for version in all_versions() {
        let spec = with(spec(3, 3), |spec| spec.consul_version = version.clone());
        let public = client_config(&spec);
        assert!(public.get("encrypt").is_none() && public["acl"].get("tokens").is_none());
        let mut whole = client_config_with_secrets(&spec, SECRETS);
        assert_eq!(whole["encrypt"], "GOSSIP", "{version}");
        assert_eq!(whole["acl"]["tokens"]["agent"], "CLIENT", "{version}");
        let has_dns_token = whole["acl"]["tokens"].get("dns").is_some();
        assert_eq!(has_dns_token, version >= Version::new(1, 17, 0), "{version}");
        whole.as_object_mut().unwrap().remove("encrypt");
        whole["acl"].as_object_mut().unwrap().remove("tokens");
        assert_eq!(whole, public, "{version}");
    }
}
