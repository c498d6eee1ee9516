//! Data source `hcs_agent_helm_config`: values for consul-k8s whose servers are a cluster of ours.
//!
//! Source: the values reference of the Helm chart hashicorp/consul, `externalServers` and `global`.

use hcs_planner::dataplane::port;
use hcs_planner::helm_values::helm_values;
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
                 the token from `<cluster name>-bootstrap-token` (key `token`), which are yours to make: \
                 `kubernetes_secret` of the ephemeral `hcs_cluster_root_token` is a manifest of the second. Needs \
                 Consul 1.14 or newer.",
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
        let spec = match client.cluster_of(&client.arm(&ctx.cancel), &config).await {
            Ok((_, spec, _)) => spec,
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
        let values = helm_values(&spec, state.get("kubernetes_endpoint").as_str());
        state.set("config", values);
        DataResponse::new(state)
    }
}
