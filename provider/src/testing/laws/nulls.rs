//! Null elements: in lists they are refused at their path while validating, in maps they take a key away.

use tfplugin::schema::{Attribute, Block, Kind, Type};
use tfplugin::{Context, Provider as _, Resource, Value};

use super::inputs::REGION;
use super::unknown::network;
use crate::provider::HcsProvider;
use crate::testing::core::{Done, Instance, Options, apply, whole};
use crate::testing::{Azure, GROUP, demo, group_id};

/// Lists and maps that a configuration can set: the path to each, and whether it is a list.
fn collections(block: &Block, path: &[String]) -> Vec<(Vec<String>, bool)> {
    let named = |name: &String| path.iter().cloned().chain([name.clone()]).collect::<Vec<_>>();
    let settable = block.attributes.iter().filter(|one| one.required || one.optional);
    let own = settable.filter_map(|one: &Attribute| match &one.kind {
        Kind::Plain(Type::List(_) | Type::Set(_)) => Some((named(&one.name), true)),
        Kind::Plain(Type::Map(_)) => Some((named(&one.name), false)),
        _ => None,
    });
    let nested =
        block.blocks.iter().flat_map(|inner| collections(&inner.block, &named(&inner.name)));
    own.chain(nested).collect()
}

fn at(path: &[String], value: Value) -> Value {
    path.iter().rev().fold(value, |inner, name| Value::object([(name.clone(), inner)]))
}

#[tokio::test(start_paused = true)]
async fn null_elements_are_refused_in_every_list_and_mean_nothing_in_every_map() {
    let azure = Azure::new().await;
    let provider = azure.provider(Value::Null, None);
    let served = HcsProvider;
    let resources: Vec<std::sync::Arc<dyn Resource>> =
        vec![provider.cluster(), provider.policy(), provider.snapshot(), provider.restore()];
    let mut lists = 0;
    let mut maps = Vec::new();
    for resource in &resources {
        for (path, is_list) in collections(&resource.schema().block, &[]) {
            if !is_list {
                maps.push((resource.type_name(), path));
                continue;
            }
            lists += 1;
            let config = whole(resource.as_ref(), &at(&path, Value::list([Value::Null])));
            let found = resource.validate(&Context::new(), &config).await;
            let wanted = format!("{}[0]", path.join("."));
            let told =
                found.iter().find(|one| one.is_error() && one.summary.contains("Null element"));
            let place = told.and_then(|one| one.path.as_ref()).map(ToString::to_string);
            assert_eq!(place, Some(wanted), "{}: {found:?}", resource.type_name());
        }
    }
    for (path, is_list) in collections(&served.schema().block, &[]) {
        if !is_list {
            maps.push(("provider", path));
            continue;
        }
        lists += 1;
        let config = at(&path, Value::list([Value::Null]));
        let found = served.validate(&Context::new(), &config).await;
        let wanted = path.join(".");
        let is_told = |one: &tfplugin::Diagnostic| {
            let place = one.path.as_ref().map(ToString::to_string).unwrap_or_default();
            one.is_error() && one.summary.contains("Null element") && place.starts_with(&wanted)
        };
        assert!(found.iter().any(is_told), "{wanted}: {found:?}");
    }
    assert_eq!(lists, 8, "every list of a resource and of the provider");
    let known: Vec<String> =
        maps.iter().map(|(of, path)| format!("{of} {}", path.join("."))).collect();
    assert_eq!(
        known,
        [
            "hcs_cluster tags",
            "hcs_cluster zone_subnet_ids",
            "hcs_snapshot_restore triggers",
            "provider default_tags.tags"
        ],
        "a map that is not tried"
    );

    // The maps of a cluster with a null element, from create to an empty plan.
    network(&azure, GROUP, "own", "10.9.0.0/24").await;
    let subnet = |name: &str| {
        let network = group_id(GROUP).resource("Microsoft.Network/virtualNetworks", "own");
        Value::from(network.child("subnets", name).to_string())
    };
    let subnets = Value::map([("1", subnet("zone-1")), ("2", Value::Null)]);
    let tags = |value: Value| Value::map([("owner", value), ("team", Value::from("blue"))]);
    let provider = azure.provider(tags(Value::Null), None);
    let config = demo([
        ("server_count", Value::from(1)),
        ("tags", tags(Value::Null)),
        ("subnet_id", subnet("servers")),
        ("zone_subnet_ids", subnets.clone()),
        ("location", REGION.into()),
    ]);
    let mut instance = Instance::default();
    let resource = provider.cluster();
    apply(&resource, &mut instance, Some(&config), Options::default()).await.unwrap();
    let state = instance.current.clone().unwrap().state;
    assert_eq!(state.get("tags"), &tags(Value::Null), "the state keeps what was written");
    assert_eq!(state.get("zone_subnet_ids"), &subnets);
    assert_eq!(state.get("tags_all"), &Value::map([("team", Value::from("blue"))]));
    let again = apply(&resource, &mut instance, Some(&config), Options::default()).await;
    assert_eq!(again, Ok(Done::default()), "the plan stays empty");
    let body = azure.object(&Azure::cluster_id()).unwrap();
    assert_eq!(body["tags"]["owner"], serde_json::Value::Null, "nothing of it in Azure");
    assert_eq!(body["tags"]["team"], "blue");
}
