//! Data source `hcs_agent_helm_config`: values for consul-k8s whose servers are a cluster of ours.
//!
//! Source: the values reference of the Helm chart hashicorp/consul, `externalServers` and `global`.

use std::fmt::Write as _;

use hcs_planner::arm::ArmId;
use hcs_planner::dataplane::port;
use hcs_planner::names::Names;
use hcs_planner::spec::ClusterSpec;
use tfplugin::{
    Attribute, Context, DataResponse, DataSource, Diagnostic, Diagnostics, Schema, Value,
    async_trait,
};

use crate::client::SharedClient;

/// The data source.
pub(crate) struct HelmConfigDataSource {
    client: SharedClient,
}

impl HelmConfigDataSource {
    pub(crate) fn new(client: SharedClient) -> Self {
        Self { client }
    }
}

#[async_trait]
impl DataSource for HelmConfigDataSource {
    fn type_name(&self) -> &'static str {
        "hcs_agent_helm_config"
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .describe(
                "Values for the Helm chart hashicorp/consul, which joins a Kubernetes cluster to servers outside of \
                 it. No secret is in it: the chart reads the CA from the secret `consul-ca-cert` (key `tls.crt`) and \
                 the token from `consul-bootstrap-token` (key `token`), which are yours to make. Needs Consul 1.14 or \
                 newer.",
            )
            .attributes([
                Attribute::string("cluster_id").required().describe("`hcs_cluster.id`."),
                Attribute::string("kubernetes_endpoint").optional().describe(
                    "Address of the Kubernetes API that the servers reach, for logins of its workloads; default: as \
                     the chart finds it.",
                ),
                Attribute::string("config").computed().describe("The values, YAML."),
            ])
    }

    async fn validate(&self, _: &Context, _: &Value) -> Diagnostics {
        Diagnostics::none()
    }

    async fn read(&self, ctx: &Context, config: Value) -> DataResponse {
        let client = match self.client.configured() {
            Ok(client) => client,
            Err(found) => return DataResponse::failed(found),
        };
        let cluster_id = ArmId::new(config.get("cluster_id").as_str().unwrap_or_default());
        let arm = client.arm(&ctx.cancel);
        let spec = match client.stored_spec(&arm, &cluster_id).await {
            Ok(Some((spec, _))) => spec,
            Ok(None) => {
                let detail = format!("There is no cluster {cluster_id}.");
                let diagnostic = Diagnostic::error("Cluster does not exist", detail);
                return DataResponse::failed(diagnostic.at("cluster_id"));
            }
            Err(found) => return DataResponse::failed(found),
        };
        if !port::has_grpc_tls(&spec.consul_version) {
            let detail = format!(
                "The cluster runs Consul {}, which serves no gRPC with TLS: the chart of today cannot connect to it. \
                 Upgrade the cluster to 1.14 or newer.",
                spec.consul_version
            );
            let diagnostic = Diagnostic::error("Consul is too old for consul-k8s", detail);
            return DataResponse::failed(diagnostic.at("cluster_id"));
        }
        let mut state = config;
        let values = values(&spec, state.get("kubernetes_endpoint").as_str());
        state.set("config", values);
        DataResponse::new(state)
    }
}

/// The chart's values. Texts are written as JSON has them, which YAML reads as such.
fn values(spec: &ClusterSpec, kubernetes_endpoint: Option<&str>) -> String {
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
      secretName: consul-bootstrap-token
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
    fn the_chart_is_told_name_ports_and_server_name() {
        let spec = crate::cluster::a_spec();
        let yaml = values(&spec, Some("https://aks.example:443"));
        for line in [
            "  hosts: [\"consul.demo.hcs.internal\"]",
            "  httpsPort: 8501",
            "  grpcPort: 8503",
            "  tlsServerName: \"server.demo.consul\"",
            "  k8sAuthMethodHost: \"https://aks.example:443\"",
            "  enabled: false",
        ] {
            assert!(yaml.lines().any(|own| own == line), "{line} in\n{yaml}");
        }
        assert!(!values(&spec, None).contains("k8sAuthMethodHost"));
    }
}
