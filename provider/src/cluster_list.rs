//! List resource `hcs_cluster`: clusters of a subscription, for `terraform query`.

use tfplugin::{
    Attr, Context, Diagnostic, Diagnostics, Finds, Listed, Model, TypedList, async_trait,
    typed::Model as _,
};

use std::collections::BTreeMap;

use crate::client::Client;
use crate::cluster::{self, Cluster};
use crate::listing::{self, Filter, FoundGroup};

/// Clusters of the provider's subscription that the caller may see.
#[derive(Model)]
pub(crate) struct Query {
    /// Only clusters in this region.
    location: Attr<String>,
    /// Only clusters whose managed group has all of these tags.
    tags: Attr<BTreeMap<String, String>>,
}

/// The list resource.
pub(crate) struct ClusterList;

#[async_trait]
impl TypedList for ClusterList {
    type Query = Query;
    type Model = Cluster;

    fn type_name(&self) -> &'static str {
        cluster::TYPE_NAME
    }

    async fn list(
        &self,
        ctx: &Context,
        query: Query,
        mut finds: Finds<Cluster>,
    ) -> Result<(), Diagnostics> {
        let client = ctx.data::<Client>()?;
        let arm = client.arm(&ctx.cancel);
        let filter = Filter::new(&query.location, &query.tags);
        for group in listing::groups(&client, &arm, &filter).await? {
            let listed = if finds.whole {
                Box::pin(whole(ctx, &group)).await
            } else {
                match client.declaration(&arm, &group.id).await {
                    Ok(declared) => declared.map(|spec| named(&group, &spec.name)),
                    Err(unread) => Some(unnamed(&group, unread)),
                }
            };
            if let Some(listed) = listed
                && finds.send(listed).await.is_break()
            {
                break;
            }
        }
        Ok(())
    }
}

/// What the identity of a cluster needs.
fn identified(group: &FoundGroup) -> Cluster {
    Cluster { id: Attr::Known(group.id.to_string()), ..Cluster::default() }
}

fn named(group: &FoundGroup, name: &str) -> Listed<Cluster> {
    Listed::new(format!("{name} ({})", group.location), identified(group))
}

/// A cluster that is there, but does not tell its name.
fn unnamed(group: &FoundGroup, unread: Diagnostic) -> Listed<Cluster> {
    let warning = Diagnostic::warning(unread.summary, unread.detail);
    Listed::new(group.id.name(), identified(group)).telling(warning)
}

/// A cluster with everything that an import and a read after it would give; `None` where it is not finished.
async fn whole(ctx: &Context, group: &FoundGroup) -> Option<Listed<Cluster>> {
    let restored = Box::pin(cluster::restored(ctx, &group.id)).await.transpose()?;
    let read = restored.and_then(|state| {
        Cluster::from_value(&state)
            .map_err(|misfit| Diagnostic::error("The cluster cannot be shown", misfit.to_string()))
    });
    Some(match read {
        Ok(cluster) => {
            let name = cluster.name.known().cloned().unwrap_or_default();
            Listed { object: cluster, ..named(group, &name) }
        }
        Err(unread) => unnamed(group, unread),
    })
}
