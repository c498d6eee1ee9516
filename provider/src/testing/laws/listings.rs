//! What is listed is what is there: no more, no less, and a cluster of a list is the one of an import.

use std::collections::BTreeMap;

use hcs_planner::arm::{ArmId, Kind};
use hcs_simulator::CallFault;
use serde_json::json;
use tfplugin::{Context, Found, ListItem, ListRequest, Value, list};

use super::reads::{READER, assign, principal};
use crate::cluster_list::ClusterList;
use crate::testing::core::{Instance, Options, apply, import, plan, whole};
use crate::testing::{Azure, Kill, Provider, demo, group_id};

fn config() -> Value {
    demo([
        ("location", "westeurope".into()),
        ("server_count", Value::from(1)),
        ("tags", Value::map([("team", Value::from("a"))])),
    ])
}

async fn made() -> Azure {
    let azure = Azure::new().await;
    let provider = azure.provider(Value::Null, None);
    let mut instance = Instance::default();
    let options = Options::default();
    apply(&provider.cluster(), &mut instance, Some(&config()), options).await.unwrap();
    azure
}

/// Names of the clusters that the data source gives, null where there is none, and how many warnings.
async fn names(provider: &Provider, filter: &[(&str, Value)]) -> (Vec<Value>, usize) {
    let ctx = Context::new();
    let read = provider.clusters_data().read(&ctx, self::filter(filter)).await;
    assert!(!read.diagnostics.has_errors(), "{:?}", read.diagnostics);
    let clusters = read.state.get("clusters").as_list().unwrap().to_vec();
    let names = clusters.iter().map(|cluster| cluster.get("name").clone());
    (names.collect(), ctx.take_messages().iter().count())
}

/// A configuration of the data source.
fn filter(set: &[(&str, Value)]) -> Value {
    let nulls = ["name", "location", "tags", "clusters"].map(|name| (name, Value::Null));
    let set = set.iter().map(|(name, value)| (*name, value.clone()));
    Value::object(nulls.into_iter().chain(set).collect::<BTreeMap<&str, Value>>())
}

async fn listed(provider: &Provider, include_resource: bool) -> Vec<ListItem> {
    let (found, mut items) = Found::channel(None);
    let config = Value::object([("location", Value::Null), ("tags", Value::Null)]);
    let request = ListRequest::new(config, include_resource);
    let ctx = provider.context();
    let clusters = list(ClusterList);
    let (told, items) = tokio::join!(clusters.list(&ctx, request, found), async {
        let mut all = Vec::new();
        while let Some(item) = items.recv().await {
            all.push(item);
        }
        all
    });
    assert!(!told.has_errors(), "{told:?}");
    items
}

#[tokio::test(start_paused = true)]
async fn a_filter_finds_the_cluster_in_any_spelling_and_nothing_else() {
    let azure = made().await;
    // Somebody copied the tags of the cluster's group onto another one.
    let tags = azure.object(&Azure::cluster_id()).unwrap()["tags"].clone();
    azure
        .put(&group_id("copy"), "2024-07-01", json!({ "location": "westeurope", "tags": tags }))
        .await;
    let provider = azure.provider(Value::Null, None);
    let tag = |value: &str| Value::map([("Team", Value::from(value))]);
    for (filter, found) in [
        (vec![], true),
        (vec![("name", "demo".into())], true),
        (vec![("name", "other".into())], false),
        (vec![("location", "West Europe".into()), ("tags", tag("a"))], true),
        (vec![("location", "northeurope".into())], false),
        (vec![("tags", tag("b"))], false),
    ] {
        let expected = if found { vec![Value::from("demo")] } else { vec![] };
        assert_eq!(names(&provider, &filter).await, (expected, 0), "{filter:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listed_cluster_is_the_one_of_an_import_and_its_configuration_plans_empty() {
    let azure = made().await;
    let provider = azure.provider(Value::Null, None);
    let resource = provider.cluster();
    let id = Azure::cluster_id();
    let short = listed(&provider, false).await;
    assert_eq!(short.len(), 1);
    assert_eq!(short[0].display_name, "demo (westeurope)");
    assert_eq!(short[0].state.get("id").as_str(), Some(id.as_str()));

    let whole_item = listed(&provider, true).await.remove(0);
    let state = whole(resource.as_ref(), &whole_item.state);
    let imported = import(&resource, id.as_str()).await.unwrap().current.unwrap().state;
    assert_eq!(state, whole(resource.as_ref(), &imported));
    let generated = resource.generate_config(&Context::new(), state.clone()).await;
    let planned = plan(&resource, &state, &[], &generated).await.unwrap().planned;
    assert_eq!(whole(resource.as_ref(), &planned), state);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_may_not_be_read_is_named_by_its_group_with_a_warning() {
    let azure = made().await;
    let who = principal(&azure, "auditor").await;
    let nobody = azure.provider_of(&azure.cloud.seen_by(&who), Value::Null, None);
    let refused = nobody.clusters_data().read(&Context::new(), filter(&[])).await.diagnostics;
    let told = refused.iter().next().unwrap();
    assert!(told.is_error() && told.detail.contains("Reader there"), "{told:?}");

    let subscription =
        ArmId::new(Azure::cluster_id().as_str().split("/resourceGroups").next().unwrap());
    assign(&azure, &who, READER, &subscription).await;
    let auditor = azure.provider_of(&azure.cloud.seen_by(&who), Value::Null, None);
    assert_eq!(names(&auditor, &[]).await, (vec![Value::Null], 1));
    assert_eq!(names(&auditor, &[("name", "demo".into())]).await, (vec![], 1));
    for include_resource in [false, true] {
        let items = listed(&auditor, include_resource).await;
        assert_eq!(items.len(), 1);
        assert_eq!(items[0].display_name, "rg-mrg-demo");
        assert!(!items[0].diagnostics.has_errors() && items[0].diagnostics.iter().count() == 1);
    }
}

/// Whatever call a create is killed at: what is listed has an account of its own, and a listing writes nothing.
#[tokio::test(start_paused = true)]
async fn an_unfinished_create_is_listed_once_it_has_storage_and_never_written_to() {
    let (mut hidden, mut shown) = (0, 0);
    for call in (0..60).step_by(3) {
        let azure = Azure::new().await;
        let killed =
            azure.provider(Value::Null, Some(Kill { at: call, fault: CallFault::KillBefore }));
        let mut instance = Instance::default();
        let (resource, config, options) = (killed.cluster(), config(), Options::default());
        tokio::select! {
            biased;
            _ = apply(&resource, &mut instance, Some(&config), options) => {}
            () = killed.death() => {}
        }
        let provider = azure.provider(Value::Null, None);
        let (found, warnings) = names(&provider, &[]).await;
        let listed = listed(&provider, false).await.len();
        // While the caller has no role on the blobs yet, the cluster does not tell its name.
        let nameless = found.iter().filter(|name| name.is_null()).count();
        assert_eq!((found.len(), warnings), (listed, nameless), "killed at call {call}");
        assert_eq!((provider.writes(), provider.blob_writes()), (0, 0));
        let account = Azure::cluster_id()
            .resource(Kind::StorageAccount.resource_type(), &account_name(&Azure::cluster_id()));
        assert!(found.is_empty() || azure.object(&account).is_some());
        if found.is_empty() { hidden += 1 } else { shown += 1 }
    }
    assert!(hidden > 0 && shown > 0, "{hidden} hidden, {shown} shown");
}

fn account_name(id: &ArmId) -> String {
    hcs_planner::names::storage_account_name(id)
}
