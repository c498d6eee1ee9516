//! Data source `hcs_agent_helm_config`: values for consul-k8s whose servers are a cluster of ours.
//!
//! Source: the values reference of the Helm chart hashicorp/consul, `externalServers` and `global`.

use hcs_planner::dataplane::port;
use hcs_planner::helm_values::helm_values;
use tfplugin::{Attr, Context, Diagnostic, Diagnostics, Model, TypedDataSource, async_trait};

use crate::client::Client;

/// Values for the Helm chart hashicorp/consul, which joins a Kubernetes cluster to servers outside of it. No secret is in
/// it: the chart reads the CA from the secret `consul-ca-cert` (key `tls.crt`) and the token from `<cluster
/// name>-bootstrap-token` (key `token`), which are yours to make: `kubernetes_secret` of the ephemeral
/// `hcs_cluster_root_token` is a manifest of the second. Needs Consul 1.14 or newer.
#[derive(Model)]
pub(crate) struct HelmConfig {
    /// `hcs_cluster.id`.
    #[tf(required)]
    cluster_id: Attr<String>,
    /// Address of the Kubernetes API that the servers reach, for logins of its workloads; default: as the chart finds it.
    kubernetes_endpoint: Attr<String>,
    /// The values, YAML.
    #[tf(computed)]
    config: Attr<String>,
}

/// The data source.
pub(crate) struct HelmConfigDataSource;

#[async_trait]
impl TypedDataSource for HelmConfigDataSource {
    type Model = HelmConfig;

    fn type_name(&self) -> &'static str {
        "hcs_agent_helm_config"
    }

    async fn read(&self, ctx: &Context, mut helm: HelmConfig) -> Result<HelmConfig, Diagnostics> {
        let (client, at) = (ctx.data::<Client>()?, HelmConfig::CLUSTER_ID);
        let cluster_id = helm.cluster_id.require(at)?;
        let (_, spec, _) = client.cluster_of(&client.arm(&ctx.cancel), at, cluster_id).await?;
        if !port::has_grpc_tls(&spec.consul_version) {
            let detail = format!(
                "The cluster runs Consul {}, which serves no gRPC with TLS: the chart of today cannot connect to it. \
                 Upgrade the cluster to 1.14 or newer.",
                spec.consul_version
            );
            return Err(Diagnostic::error("Consul is too old for consul-k8s", detail)
                .at(at)
                .into());
        }
        let endpoint = helm.kubernetes_endpoint.known().map(String::as_str);
        helm.config = helm_values(&spec, endpoint).into();
        Ok(helm)
    }
}
