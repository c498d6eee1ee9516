//! What azurerm and `az` ask beside the objects themselves: tags as an object, the other services of an account,
//! diagnostic settings; and which tags Azure takes.

use hcs_simulator::Method;
use serde_json::{Value, json};

use crate::support::*;

const RESOURCES: &str = "2024-07-01";

#[test]
fn tags_are_an_object_of_their_own_on_every_object() {
    let mut sim = Sim::with_group();
    let mut network = vnet("10.1.0.0/16", &[("s", "10.1.1.0/24")]);
    network["tags"] = json!({"team": "a", "stage": "test"});
    sim.make(VNET, NETWORK, &network);
    let tags = format!("{VNET}/providers/Microsoft.Resources/tags/default");
    let shown = |answer: Value| answer["properties"]["tags"].clone();
    assert_eq!(shown(sim.get(&tags, RESOURCES).body), json!({"team": "a", "stage": "test"}));
    let patch = |sim: &mut Sim, operation: &str, tags_sent: Value| {
        let path = format!("{}?api-version={RESOURCES}", sim.id(&tags));
        let body = json!({"operation": operation, "properties": {"tags": tags_sent}});
        sim.send(Method::Patch, &path, body)
    };
    let merged = patch(&mut sim, "Merge", json!({"TEAM": "b", "cost": "7"}));
    assert_eq!(shown(merged.body), json!({"TEAM": "b", "stage": "test", "cost": "7"}));
    let fewer = patch(&mut sim, "Delete", json!({"cost": "7", "stage": "other"}));
    assert_eq!(shown(fewer.body), json!({"TEAM": "b", "stage": "test"}));
    assert_eq!(sim.get(VNET, NETWORK).body["tags"], json!({"TEAM": "b", "stage": "test"}));
    let replaced = patch(&mut sim, "Replace", json!({"only": "one"}));
    assert_eq!(shown(replaced.body), json!({"only": "one"}));
    assert_eq!(patch(&mut sim, "Twist", json!({})).status, 400);
    let group = sim.get("Microsoft.Resources/tags/default", RESOURCES);
    assert_eq!(group.status, 200, "{:?}", group.body);
    let absent =
        "Microsoft.Network/virtualNetworks/none/providers/Microsoft.Resources/tags/default";
    assert_eq!(sim.get(absent, RESOURCES).error_code(), Some("ResourceNotFound"));
}

#[test]
fn an_account_has_all_its_services_and_an_object_has_no_diagnostic_settings() {
    let mut sim = Sim::with_group();
    let none = format!("{ACCOUNT}/fileServices/default");
    assert_eq!(sim.get(&none, STORAGE).status, 404, "no account, no service");
    sim.make(ACCOUNT, STORAGE, &account());
    for service in ["fileServices", "queueServices", "tableServices"] {
        let id = format!("{ACCOUNT}/{service}/default");
        let found = sim.get(&id, STORAGE);
        assert_eq!((found.status, &found.body["name"]), (200, &json!("default")), "{service}");
        let cors = json!({"properties": {"cors": {"corsRules": [{"allowedOrigins": ["*"]}]}}});
        let written = sim.make(&id, STORAGE, &cors);
        assert_eq!(written["properties"]["cors"], cors["properties"]["cors"]);
    }
    let settings = format!("{ACCOUNT}/providers/Microsoft.Insights/diagnosticSettings");
    assert_eq!(sim.get(&settings, "2021-05-01-preview").body, json!({"value": []}));
}

#[test]
fn tags_that_azure_refuses_are_refused_by_type() {
    let mut sim = Sim::with_group();
    let zone = "Microsoft.Network/privateDnsZones/c.internal";
    let many: Value =
        (0..16).map(|n| (format!("t{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into();
    let mut put = |id: &str, version: &str, mut body: Value, tags: Value| {
        body["tags"] = tags;
        let answer = sim.put(id, version, &body);
        answer.error_code().map(str::to_owned)
    };
    let net = || vnet("10.1.0.0/16", &[("s", "10.1.1.0/24")]);
    for (tags, code) in [
        (json!({"a/b": "x"}), Some("InvalidTagNameCharacters")),
        (json!({"Microsoft-x": "x"}), Some("InvalidTagNamePrefix")),
        (json!({"a": "1", "A": "2"}), Some("TagNameNotUnique")),
        (json!({"a": "ü".repeat(257)}), Some("InvalidTagValueLength")),
        (json!({"ü".repeat(513): "x"}), Some("InvalidTagNameLength")),
        (json!({"a b": "ü".repeat(256)}), None),
    ] {
        assert_eq!(put(VNET, NETWORK, net(), tags).as_deref(), code);
    }
    let place = || json!({"location": "global"});
    assert_eq!(put(zone, DNS, place(), many).as_deref(), Some("TooManyTags"));
    assert_eq!(put(zone, DNS, place(), json!({"a b": "x"})).as_deref(), Some("InvalidTagName"));
    assert_eq!(put(zone, DNS, place(), json!({"1a": "x"})).as_deref(), Some("InvalidTagName"));
    let long = json!({"a".repeat(129): "x"});
    assert_eq!(put(ACCOUNT, STORAGE, account(), long).as_deref(), Some("InvalidTagNameLength"));
}
