//! Data source `hcs_clusters`: the clusters of a subscription.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use hcs_planner::spec::ClusterSpec;
use tfplugin::{Attr, Context, Diagnostic, Diagnostics, Model, TypedDataSource, async_trait};

use crate::client::Client;
use crate::listing::{self, Filter, FoundGroup};

/// So many clusters are asked at once.
const AT_ONCE: usize = 8;

/// The clusters of the provider's subscription that the caller may see, in the order of their ids.
#[derive(Model)]
pub(crate) struct Subscription {
    /// Only clusters of this name.
    name: Attr<String>,
    /// Only clusters in this region.
    location: Attr<String>,
    /// Only clusters whose managed group has all of these tags.
    tags: Attr<BTreeMap<String, String>>,
    /// What was found.
    #[tf(computed)]
    clusters: Attr<Vec<FoundCluster>>,
}

/// A cluster in short; `hcs_cluster` tells the rest.
#[derive(Model)]
#[tf(computed)]
pub(crate) struct FoundCluster {
    /// ARM id of its managed resource group.
    id: Attr<String>,
    /// Its name; this and what follows up to `consul_version` is null where the caller may not read the cluster's
    /// storage account.
    name: Attr<String>,
    /// The group in which it was declared.
    resource_group_name: Attr<String>,
    /// How many servers it is declared with.
    server_count: Attr<u32>,
    /// The version of Consul it is declared with.
    consul_version: Attr<String>,
    /// The group that holds its objects.
    managed_resource_group_name: Attr<String>,
    /// Its region.
    location: Attr<String>,
    /// Tags of its managed group, without those of hcs.
    tags: Attr<BTreeMap<String, String>>,
}

impl FoundCluster {
    fn new(group: FoundGroup, spec: Option<&ClusterSpec>) -> Self {
        Self {
            name: spec.map(|spec| spec.name.clone()).into(),
            resource_group_name: spec.map(|spec| spec.resource_group_name.clone()).into(),
            server_count: spec.map(|spec| spec.server_count).into(),
            consul_version: spec.map(|spec| spec.consul_version.to_string()).into(),
            managed_resource_group_name: group.id.name().into(),
            id: group.id.to_string().into(),
            location: group.location.into(),
            tags: group.tags.into(),
        }
    }
}

/// The data source.
pub(crate) struct ClustersDataSource;

#[async_trait]
impl TypedDataSource for ClustersDataSource {
    type Model = Subscription;

    fn type_name(&self) -> &'static str {
        "hcs_clusters"
    }

    async fn read(&self, ctx: &Context, config: Subscription) -> Result<Subscription, Diagnostics> {
        let client = ctx.data::<Client>()?;
        let arm = client.arm(&ctx.cancel);
        let filter = Filter::new(&config.location, &config.tags);
        let groups = listing::groups(&client, &arm, &filter).await?;
        let declared = stream::iter(groups).map(|group| async {
            let spec = client.declaration(&arm, &group.id).await;
            (group, spec)
        });
        let declared: Vec<_> = declared.buffered(AT_ONCE).collect().await;
        let wanted = config.name.known();
        let mut clusters = Vec::new();
        for (group, declaration) in declared {
            match declaration {
                Ok(Some(spec)) if wanted.is_none_or(|name| *name == spec.name) => {
                    clusters.push(FoundCluster::new(group, Some(&spec)));
                }
                // Another name, or a create that has not come so far: it is no cluster yet.
                Ok(_) => {}
                Err(found) => {
                    ctx.warn(unread(&group, wanted, &found));
                    if wanted.is_none() {
                        clusters.push(FoundCluster::new(group, None));
                    }
                }
            }
        }
        Ok(Subscription { clusters: clusters.into(), ..config })
    }
}

/// A cluster that is there, but does not tell what it is.
fn unread(group: &FoundGroup, wanted: Option<&String>, found: &Diagnostic) -> Diagnostic {
    let so = match wanted {
        Some(name) => format!("Whether it is {name:?} is not known, so it is left out."),
        None => "Its name, servers and version are null.".to_owned(),
    };
    Diagnostic::warning(
        format!("Cluster {} does not tell what it is", group.id),
        format!("{so} {}: {}", found.summary, found.detail),
    )
}
