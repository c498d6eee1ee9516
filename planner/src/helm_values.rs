//! Values for the Helm chart hashicorp/consul whose servers are a cluster of ours.
//!
//! Source: the chart's reference of values, `externalServers` and `global`.

use std::fmt::Write as _;

use crate::dataplane::port;
use crate::names::Names;
use crate::spec::ClusterSpec;

/// The Kubernetes secret that holds the cluster's token under the key `token`.
pub fn token_secret_name(spec: &ClusterSpec) -> String {
    format!("{}-bootstrap-token", spec.name)
}

/// The chart's values, YAML, without a secret. Texts are written as JSON has them, which YAML reads as such.
pub fn helm_values(spec: &ClusterSpec, kubernetes_endpoint: Option<&str>) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let (host, datacenter) = (Names::new(spec).join_name(), &spec.consul_datacenter);
    let mut yaml = format!(
        "global:
  enabled: false
  name: consul
  datacenter: {datacenter}
  acls:
    manageSystemACLs: true
    bootstrapToken:
      secretName: {token_secret}
      secretKey: token
  tls:
    enabled: true
    caCert:
      secretName: consul-ca-cert
      secretKey: tls.crt
externalServers:
  enabled: true
  hosts: [{host}]
  httpsPort: {https}
  grpcPort: {grpc}
  tlsServerName: {server_name}
  useSystemRoots: false
",
        datacenter = text(datacenter),
        token_secret = text(&token_secret_name(spec)),
        host = text(&host),
        https = port::HTTPS,
        grpc = port::GRPC_TLS,
        server_name = text(&format!("server.{datacenter}.consul")),
    );
    if let Some(endpoint) = kubernetes_endpoint {
        let _ = writeln!(yaml, "  k8sAuthMethodHost: {}", text(endpoint));
    }
    yaml.push_str("server:\n  enabled: false\nconnectInject:\n  enabled: true\n");
    yaml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_is_told_name_ports_server_name_and_secret() {
        let spec =
            ClusterSpec::new("00000000-0000-0000-0000-000000000001", "demo", "rg", "westeurope");
        let yaml = helm_values(&spec, Some("https://aks.example:443"));
        for line in [
            "  hosts: [\"consul.demo.hcs.internal\"]",
            "  httpsPort: 8501",
            "  grpcPort: 8503",
            "  tlsServerName: \"server.demo.consul\"",
            "  k8sAuthMethodHost: \"https://aks.example:443\"",
            "  enabled: false",
            "      secretName: \"demo-bootstrap-token\"",
        ] {
            assert!(yaml.lines().any(|own| own == line), "{line} in\n{yaml}");
        }
        assert!(!helm_values(&spec, None).contains("k8sAuthMethodHost"));
    }
}
