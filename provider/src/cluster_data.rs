//! Data source `hcs_cluster`: a cluster that exists, by id or by name and group.

use hcs_planner::arm::ArmId;
use hcs_planner::names::default_managed_group;
use tfplugin::typed::Model as _;
use tfplugin::{
    Attribute, Context, DataResponse, DataSource, Diagnostic, Diagnostics, Schema, Value,
    async_trait,
};

use crate::client::Client;
use crate::cluster::{self, Cluster, ClusterResource};

/// Attributes by which the cluster is found; all others are computed.
const KEYS: [&str; 4] = [
    Cluster::ID,
    Cluster::NAME,
    Cluster::RESOURCE_GROUP_NAME,
    Cluster::MANAGED_RESOURCE_GROUP_NAME,
];

/// The data source.
pub(crate) struct ClusterDataSource;

#[async_trait]
impl DataSource for ClusterDataSource {
    fn type_name(&self) -> &'static str {
        cluster::TYPE_NAME
    }

    /// The resource's attributes, all of them to be read; so a data source never lacks what a resource has.
    fn schema(&self) -> Schema {
        use tfplugin::Resource as _;
        let resource = ClusterResource.schema();
        let attributes = resource.block.attributes.into_iter().map(|attribute| {
            let is_key = KEYS.contains(&attribute.name.as_str());
            read_only(attribute, is_key)
        });
        Schema::new(0).describe("A cluster that exists.").attributes(attributes)
    }

    async fn validate(&self, _: &Context, config: &Value) -> Diagnostics {
        let missing = |name: &str| config.get(name).is_null();
        if missing(Cluster::ID) && (missing(Cluster::NAME) || missing(Cluster::RESOURCE_GROUP_NAME))
        {
            let detail = "Give id, or name and resource_group_name.";
            return Diagnostic::error("Which cluster?", detail).at(Cluster::ID).into();
        }
        Diagnostics::none()
    }

    async fn read(&self, ctx: &Context, config: Value) -> DataResponse {
        let client = match ctx.data::<Client>() {
            Ok(client) => client,
            Err(found) => return DataResponse::failed(found),
        };
        let cluster_id = match config.get(Cluster::ID).as_str() {
            Some(id) => ArmId::new(id),
            None => {
                let text = |name: &str| config.get(name).as_str().unwrap_or_default();
                let default =
                    default_managed_group(text(Cluster::RESOURCE_GROUP_NAME), text(Cluster::NAME));
                let managed = config.get(Cluster::MANAGED_RESOURCE_GROUP_NAME).as_str();
                ArmId::resource_group(client.subscription_id(), managed.unwrap_or(&default))
            }
        };
        let arm = client.arm(&ctx.cancel);
        let (spec, observed) = match client.stored_spec(&arm, &cluster_id).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                let detail = format!("There is no cluster {cluster_id}.");
                let diagnostic = Diagnostic::error("Cluster does not exist", detail);
                return DataResponse::failed(diagnostic.at(Cluster::ID));
            }
            Err(found) => return DataResponse::failed(found),
        };
        let region = client.region(&arm, &spec.location).await.ok().and_then(Result::ok);
        let ca = cluster::ca_certificate(&client, &spec, &observed).await;
        let mut state = Cluster::of_spec(&spec, &client.tagging.defaults).into_value();
        let computed = cluster::computed(&spec, &observed, region.as_deref(), ca.as_deref());
        for (name, value) in computed.into_iter().chain([cluster::incarnation(&spec, &observed)]) {
            state.set(name, value);
        }
        for key in KEYS {
            if !config.get(key).is_null() {
                state.set(key, config.get(key).clone());
            }
        }
        DataResponse { diagnostics: cluster::unseen(&spec, &observed), ..DataResponse::new(state) }
    }
}

fn read_only(attribute: Attribute, is_key: bool) -> Attribute {
    let mut attribute = attribute;
    attribute.required = false;
    attribute.optional = is_key;
    attribute.computed = true;
    if let tfplugin::schema::Kind::Nested(_, attributes) = &mut attribute.kind {
        let inner = std::mem::take(attributes);
        *attributes = inner.into_iter().map(|inner| read_only(inner, false)).collect();
    }
    attribute
}
