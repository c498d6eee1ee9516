//! List resource `hcs_cluster`: clusters of a subscription, for `terraform query`.

use tfplugin::typed::Model as _;
use tfplugin::{
    Attr, Context, Diagnostic, Diagnostics, Found, ListItem, ListRequest, ListResource, Model,
    Schema, Value, async_trait,
};

use std::collections::BTreeMap;

use crate::client::Client;
use crate::cluster::{self, Cluster};
use crate::listing::{self, Filter, FoundGroup};

/// Clusters of the provider's subscription that the caller may see.
#[derive(Model)]
struct Query {
    /// Only clusters in this region.
    location: Attr<String>,
    /// Only clusters whose managed group has all of these tags.
    tags: Attr<BTreeMap<String, String>>,
}

/// The list resource.
pub(crate) struct ClusterList;

#[async_trait]
impl ListResource for ClusterList {
    fn type_name(&self) -> &'static str {
        cluster::TYPE_NAME
    }

    fn schema(&self) -> Schema {
        Query::schema()
    }

    async fn list(&self, ctx: &Context, request: ListRequest, mut found: Found) -> Diagnostics {
        match list(ctx, request, &mut found).await {
            Ok(()) => Diagnostics::none(),
            Err(failed) => failed,
        }
    }
}

async fn list(ctx: &Context, request: ListRequest, found: &mut Found) -> Result<(), Diagnostics> {
    let client = ctx.data::<Client>()?;
    let arm = client.arm(&ctx.cancel);
    let query = Query::from_value(&request.config).map_err(|error| {
        Diagnostic::error("Bug in the provider: the query cannot be read", error.to_string())
    })?;
    let filter = Filter::new(&query.location, &query.tags);
    let groups = listing::groups(&client, &arm, &filter).await?;
    for group in groups {
        let item = if request.include_resource {
            whole(ctx, &group).await
        } else {
            match client.declaration(&arm, &group.id).await {
                Ok(declared) => declared.map(|spec| named(&group, &spec.name)),
                Err(unread) => Some(unnamed(&group, unread)),
            }
        };
        if let Some(item) = item
            && found.send(item).await.is_break()
        {
            break;
        }
    }
    Ok(())
}

/// What the identity of a cluster needs.
fn identified(group: &FoundGroup) -> Value {
    let attributes = Cluster::schema().block.attributes;
    let nulls = attributes.into_iter().map(|attribute| (attribute.name, Value::Null));
    Value::object(nulls.collect::<Vec<_>>()).with(Cluster::ID, group.id.to_string())
}

fn named(group: &FoundGroup, name: &str) -> ListItem {
    ListItem {
        display_name: format!("{name} ({})", group.location),
        state: identified(group),
        diagnostics: Diagnostics::none(),
    }
}

/// A cluster that is there, but does not tell its name.
fn unnamed(group: &FoundGroup, unread: Diagnostic) -> ListItem {
    let warning = Diagnostic::warning(unread.summary, unread.detail);
    let display_name = group.id.name().to_owned();
    ListItem { display_name, state: identified(group), diagnostics: warning.into() }
}

/// A cluster with everything that an import and a read after it would give; `None` where it is not finished.
async fn whole(ctx: &Context, group: &FoundGroup) -> Option<ListItem> {
    let imported = cluster::restored(ctx, &group.id).await;
    match imported {
        Ok(Some(state)) => {
            let name = state.get(Cluster::NAME).as_str().unwrap_or_default().to_owned();
            Some(ListItem { state, ..named(group, &name) })
        }
        Ok(None) => None,
        Err(unread) => Some(unnamed(group, unread)),
    }
}
