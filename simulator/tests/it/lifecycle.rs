//! How objects come, change and go: answers, headers, operations, defaults, pages.

use hcs_simulator::{Event, Method, Request, Settings};
use serde_json::{Value, json};

use crate::support::*;

#[test]
fn a_network_put_is_201_then_200_and_is_followed_by_its_operation() {
    let mut sim = Sim::with_group();
    let created = sim.put(VNET, NETWORK, &vnet("10.1.0.0/16", &[("s", "10.1.1.0/24")]));
    assert_eq!(created.status, 201);
    assert_eq!(created.body["properties"]["provisioningState"], "Updating");
    assert_eq!(created.header("azure-asyncnotification"), Some("Enabled"));
    assert_eq!(created.header("retry-after"), Some("1"));
    let url = created.header("azure-asyncoperation").unwrap().to_owned();
    assert!(url.len() > 4096, "Azure's signed URLs are long: {}", url.len());
    let shown = sim.get(VNET, NETWORK);
    assert_eq!(shown.status, 200, "visible at once");
    assert_eq!(shown.body["properties"]["provisioningState"], "Updating");
    assert_eq!(sim.follow(&url).body, json!({"status": "InProgress"}));
    sim.settle();
    assert_eq!(sim.follow(&url).body, json!({"status": "Succeeded"}));
    let done = sim.get(VNET, NETWORK);
    assert_eq!(done.body["properties"]["provisioningState"], "Succeeded");
    assert_ne!(done.body["etag"], shown.body["etag"]);
    assert_eq!(done.header("etag"), done.body["etag"].as_str());
    let again = sim.put(VNET, NETWORK, &vnet("10.1.0.0/16", &[("s", "10.1.1.0/24")]));
    assert_eq!(again.status, 200);
}

/// As the azurerm provider sends it.
#[test]
fn an_empty_condition_counts_as_absent() {
    let mut sim = Sim::with_group();
    sim.make(VNET, NETWORK, &vnet("10.1.0.0/16", &[]));
    let url = format!("{}?api-version={NETWORK}", sim.id(VNET));
    let principal = sim.world.settings().caller_object_id.clone();
    let now_ms = sim.now_ms;
    for name in ["If-Match", "If-None-Match"] {
        let body = vnet("10.1.0.0/16", &[]);
        let request = Request::new(Method::Put, &url, &principal).with_body(body);
        let answer = sim.world.handle(&request.with_header(name, ""), now_ms);
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        sim.settle();
    }
    let delete = Request::new(Method::Delete, &url, &principal).with_header("If-Match", "");
    let now_ms = sim.now_ms;
    assert_eq!(sim.world.handle(&delete, now_ms).status, 202);
}

#[test]
fn an_operation_url_that_was_rebuilt_finds_nothing() {
    let mut sim = Sim::with_group();
    let created = sim.put(VNET, NETWORK, &vnet("10.1.0.0/16", &[]));
    let url = created.header("azure-asyncoperation").unwrap();
    let rebuilt = url.split("&t=").next().unwrap().to_owned();
    assert_eq!(sim.follow(&rebuilt).status, 404);
}

#[test]
fn a_storage_account_is_202_without_body_and_404_until_it_is_there() {
    let mut sim = Sim::with_group();
    let accepted = sim.put(ACCOUNT, STORAGE, &account());
    assert_eq!((accepted.status, &accepted.body), (202, &Value::Null));
    let url = accepted.header("location").unwrap().to_owned();
    assert!(accepted.header("azure-asyncoperation").is_none());
    assert_eq!(sim.get(ACCOUNT, STORAGE).error_code(), Some("ResourceNotFound"));
    assert_eq!(sim.follow(&url).status, 202);
    let busy = sim.put(ACCOUNT, STORAGE, &account());
    assert_eq!(busy.error_code(), Some("StorageAccountOperationInProgress"));
    sim.settle();
    let done = sim.follow(&url);
    assert_eq!((done.status, &done.body["name"]), (200, &json!("acct1")));
    assert_eq!(sim.put(ACCOUNT, STORAGE, &account()).status, 200);
    assert_eq!(sim.delete(ACCOUNT, STORAGE).status, 200);
    assert_eq!(sim.delete(ACCOUNT, STORAGE).status, 204);
    sim.wait(0);
    assert_eq!(sim.events, [Event::AccountDeleted { account: "acct1".to_owned() }]);
}

#[test]
fn a_delete_is_202_and_204_when_nothing_is_there() {
    let mut sim = Sim::with_group();
    sim.network();
    let accepted = sim.delete(VNET, NETWORK);
    assert_eq!(accepted.status, 202);
    let result = accepted.header("location").unwrap().to_owned();
    assert_eq!(sim.get(VNET, NETWORK).body["properties"]["provisioningState"], "Deleting");
    assert_eq!(sim.follow(&result).status, 202);
    sim.settle();
    assert_eq!(sim.follow(&result).status, 204);
    assert_eq!(sim.get(VNET, NETWORK).status, 404);
    assert_eq!(sim.delete(VNET, NETWORK).status, 204);
    let other = format!("{}/resourceGroups/none", sim.subscription());
    assert_eq!(sim.delete(&other, GROUPS).error_code(), Some("ResourceGroupNotFound"));
}

#[test]
fn a_group_takes_everything_along_machines_first() {
    let mut sim = Sim::with_group();
    let subnet = sim.network();
    sim.make(SET, COMPUTE, &scale_set(&subnet, &[], ""));
    sim.make(ACCOUNT, STORAGE, &account());
    sim.events.clear();
    let accepted = sim.delete("", GROUPS);
    assert_eq!(accepted.status, 202);
    assert_eq!(accepted.header("retry-after"), Some("15"));
    let url = accepted.header("location").unwrap().to_owned();
    assert!(url.contains("/operationresults/"));
    let refused = sim.put(VNET, NETWORK, &vnet("10.1.0.0/16", &[]));
    assert_eq!((refused.status, refused.error_code()), (409, Some("ResourceGroupBeingDeleted")));
    let half = sim.world.next_change_ms().unwrap();
    sim.wait(half - sim.now_ms);
    assert!(matches!(sim.events.as_slice(), [Event::VmStopped { gone: true, .. }]));
    assert_eq!(sim.follow(&url).status, 202);
    sim.settle();
    assert_eq!(sim.follow(&url).status, 200);
    assert_eq!(sim.get("", GROUPS).error_code(), Some("ResourceGroupNotFound"));
    assert_eq!(
        sim.send(Method::Head, &format!("{}?api-version={GROUPS}", sim.id("")), Value::Null).status,
        404
    );
    assert_eq!(sim.world.objects().len(), 1, "only the caller's own role is left");
}

#[test]
fn a_group_that_outsiders_need_is_rolled_back() {
    let mut sim = Sim::with_group();
    let subnet = sim.network();
    let other = format!("{}/resourceGroups/other", sim.subscription());
    sim.make(&other, GROUPS, &json!({"location": "westeurope"}));
    let set = format!("{other}/providers/{SET}");
    sim.make(&set, COMPUTE, &scale_set(&subnet, &[], ""));
    let url = sim.delete("", GROUPS).header("location").unwrap().to_owned();
    sim.settle();
    let outcome = sim.follow(&url);
    assert_eq!(outcome.error_code(), Some("ResourceGroupDeletionBlocked"));
    assert_eq!(sim.get("", GROUPS).body["properties"]["provisioningState"], "Succeeded");
    assert_eq!(sim.get(VNET, NETWORK).status, 200);
}

#[test]
fn requests_that_arm_refuses_at_its_gate() {
    let mut sim = Sim::with_group();
    let none = sim.send(Method::Get, &sim.id(VNET), Value::Null);
    assert_eq!(none.error_code(), Some("MissingApiVersionParameter"));
    assert_eq!(none.header("x-ms-failure-cause"), Some("gateway"));
    for (id, version, status, code) in [
        (VNET, "1900-01-01", 404, "InvalidResourceType"),
        ("", "1900-01-01", 400, "InvalidApiVersionParameter"),
        ("Microsoft.Network/unicorns/u", NETWORK, 404, "InvalidResourceType"),
        ("Microsoft.Unicorns/u/u", NETWORK, 404, "InvalidResourceNamespace"),
        (VNET, NETWORK, 404, "ResourceNotFound"),
        (
            "/subscriptions/99999999-0000-4000-8000-000000000000/resourceGroups/g",
            GROUPS,
            404,
            "SubscriptionNotFound",
        ),
    ] {
        let answer = sim.get(id, version);
        assert_eq!((answer.status, answer.error_code()), (status, Some(code)), "{id} {version}");
    }
    let put = sim.put(VNET, "1900-01-01", &vnet("10.0.0.0/16", &[]));
    assert_eq!((put.status, put.error_code()), (400, Some("NoRegisteredProviderFound")));
    let elsewhere = format!("{}/resourceGroups/none/providers/{VNET}", sim.subscription());
    let put = sim.put(&elsewhere, NETWORK, &vnet("10.0.0.0/16", &[]));
    assert_eq!(put.error_code(), Some("ResourceGroupNotFound"));
    let orphan = sim.put(SUBNET, NETWORK, &json!({"properties": {"addressPrefix": "10.1.1.0/24"}}));
    assert_eq!((orphan.status, orphan.error_code()), (404, Some("ParentResourceNotFound")));
    let text = sim.put(VNET, NETWORK, &json!("text"));
    assert_eq!(text.error_code(), Some("InvalidRequestContent"));
}

#[test]
fn locations_are_needed_known_and_immutable() {
    let mut sim = Sim::with_group();
    let mut body = vnet("10.1.0.0/16", &[]);
    body["location"] = json!("atlantis");
    let refused = sim.put(VNET, NETWORK, &body);
    assert_eq!(refused.error_code(), Some("LocationNotAvailableForResourceType"));
    body.as_object_mut().unwrap().remove("location");
    assert_eq!(sim.put(VNET, NETWORK, &body).error_code(), Some("LocationRequired"));
    body["location"] = json!("West Europe");
    assert_eq!(sim.make(VNET, NETWORK, &body)["location"], "westeurope");
    body["location"] = json!("northeurope");
    let moved = sim.put(VNET, NETWORK, &body);
    assert_eq!((moved.status, moved.error_code()), (409, Some("InvalidResourceLocation")));
    let group = sim.put("", GROUPS, &json!({"location": "atlantis"}));
    assert_eq!(group.error_code(), Some("InvalidResourceLocation"));
}

#[test]
fn names_follow_their_rules() {
    let mut sim = Sim::with_group();
    for (id, version, body, code) in [
        (
            "Microsoft.Network/virtualNetworks/x",
            NETWORK,
            vnet("10.0.0.0/16", &[]),
            "InvalidResourceName",
        ),
        (
            "Microsoft.Network/virtualNetworks/-bad",
            NETWORK,
            vnet("10.0.0.0/16", &[]),
            "InvalidResourceName",
        ),
        ("Microsoft.Storage/storageAccounts/Bad-Name", STORAGE, account(), "AccountNameInvalid"),
        (
            "Microsoft.ManagedIdentity/userAssignedIdentities/ab",
            IDENTITY,
            json!({"location": "westeurope"}),
            "BadRequest",
        ),
        (
            "Microsoft.Network/privateDnsZones/single",
            DNS,
            json!({"location": "global"}),
            "BadRequest",
        ),
    ] {
        assert_eq!(sim.put(id, version, &body).error_code(), Some(code), "{id}");
    }
    let group = format!("{}/resourceGroups/ends.", sim.subscription());
    let refused = sim.put(&group, GROUPS, &json!({"location": "westeurope"}));
    assert_eq!(refused.error_code(), Some("InvalidResourceGroupName"));
}

#[test]
fn ids_compare_without_case_and_keep_their_first_spelling() {
    let mut sim = Sim::with_group();
    sim.network();
    let shouted = sim.id(VNET).to_uppercase();
    let shown = sim.get(&shouted, NETWORK);
    assert_eq!(shown.body["id"], json!(sim.id(VNET)));
    let again = sim.put(&shouted, NETWORK, &vnet("10.1.0.0/16", &[("s", "10.1.1.0/24")]));
    assert_eq!((again.status, &again.body["id"]), (200, &json!(sim.id(VNET))));
}

#[test]
fn etags_guard_writes_to_network_objects() {
    let mut sim = Sim::with_group();
    sim.network();
    let target = format!("{}?api-version={NETWORK}", sim.id(VNET));
    let body = vnet("10.1.0.0/16", &[("s", "10.1.1.0/24")]);
    for (header, value) in [("if-match", "\"stale\""), ("if-none-match", "*")] {
        let request = Request::new(Method::Put, &target, &sim.caller)
            .with_body(body.clone())
            .with_header(header, value);
        assert_eq!(sim.world.handle(&request, sim.now_ms).status, 412, "{header}");
    }
    let etag = sim.get(VNET, NETWORK).header("etag").unwrap().to_owned();
    let request = Request::new(Method::Put, &target, &sim.caller)
        .with_body(body)
        .with_header("if-match", &etag);
    assert_eq!(sim.world.handle(&request, sim.now_ms).status, 200);
}

#[test]
fn the_server_fills_defaults_and_never_shows_custom_data() {
    let mut sim = Sim::with_group();
    let subnet = sim.network();
    let set = sim.make(SET, COMPUTE, &scale_set(&subnet, &[], "aGVsbG8="));
    assert!(!set.to_string().contains("aGVsbG8="));
    assert!(!set.to_string().contains("customData"));
    let properties = &set["properties"];
    assert_eq!(properties["doNotRunExtensionsOnOverprovisionedVMs"], false);
    assert_eq!(properties["virtualMachineProfile"]["osProfile"]["allowExtensionOperations"], true);
    assert!(properties["uniqueId"].is_string());
    // A later PUT without customData keeps it.
    let mut later = scale_set(&subnet, &[], "");
    later["properties"]["virtualMachineProfile"]["osProfile"]
        .as_object_mut()
        .unwrap()
        .remove("customData");
    later["sku"]["capacity"] = json!(2);
    sim.events.clear();
    sim.make(SET, COMPUTE, &later);
    let Some(Event::VmStarted { machine, fresh: true }) = sim.events.first() else {
        panic!("no machine: {:?}", sim.events);
    };
    assert_eq!(machine.custom_data, "aGVsbG8=");
    let account = sim.make(ACCOUNT, STORAGE, &account());
    assert_eq!(account["properties"]["accessTier"], "Hot");
    assert_eq!(account["sku"]["tier"], "Standard");
}

#[test]
fn tags_are_patched_on_groups_and_networks() {
    let mut sim = Sim::with_group();
    sim.network();
    let tags = json!({"tags": {"hcs-cluster": "u1"}});
    let group = sim.patch("", GROUPS, &tags);
    assert_eq!((group.status, &group.body["tags"]), (200, &tags["tags"]));
    assert_eq!(group.body["location"], "westeurope");
    let network = sim.patch(VNET, NETWORK, &tags);
    assert_eq!(network.status, 200);
    assert_eq!(network.body["properties"]["subnets"].as_array().unwrap().len(), 1);
    let list = format!(
        "{}/resourceGroups?api-version={GROUPS}&$filter=tagName eq 'hcs-cluster' and tagValue eq 'u1'",
        sim.subscription()
    );
    assert_eq!(sim.follow(&list).body["value"].as_array().unwrap().len(), 1);
    let list = list.replace("u1", "u2");
    assert_eq!(sim.follow(&list).body["value"], json!([]));
    let resources = format!(
        "{}/resources?api-version={GROUPS}&$filter=tagName eq 'hcs-cluster' and tagValue eq 'u1'",
        sim.id("")
    );
    let rows = sim.follow(&resources).body["value"].clone();
    assert_eq!(rows[0]["type"], "Microsoft.Network/virtualNetworks");
    assert!(rows[0].get("properties").is_none());
}

#[test]
fn lists_come_in_pages_with_links() {
    let mut sim = Sim::with(Settings { page_size: 2, ..Settings::default() });
    sim.make("", GROUPS, &json!({"location": "westeurope"}));
    for name in ["aaa", "bbb", "ccc", "ddd", "eee"] {
        sim.identity(name);
    }
    let mut url = format!(
        "{}?api-version={IDENTITY}",
        sim.id("Microsoft.ManagedIdentity/userAssignedIdentities")
    );
    let mut names = Vec::new();
    let mut pages = 0;
    loop {
        let page = sim.follow(&url);
        assert_eq!(page.status, 200);
        pages += 1;
        names.extend(page.body["value"].as_array().unwrap().iter().map(|r| r["name"].clone()));
        match page.body["nextLink"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(
        (pages, names),
        (3, vec![json!("aaa"), json!("bbb"), json!("ccc"), json!("ddd"), json!("eee")])
    );
}

#[test]
fn the_same_seed_and_requests_give_the_same_world() {
    let run = || {
        let mut sim = Sim::with_group();
        let subnet = sim.network();
        let identity = sim.identity("srv");
        let id = identity["id"].as_str().unwrap().to_owned();
        sim.make(SET, COMPUTE, &scale_set(&subnet, &[&id], ""));
        serde_json::to_string(&sim.world).unwrap()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_world_survives_being_written_down() {
    let mut sim = Sim::with_group();
    let created = sim.put(VNET, NETWORK, &vnet("10.1.0.0/16", &[]));
    let url = created.header("azure-asyncoperation").unwrap().to_owned();
    let text = serde_json::to_string(&sim.world).unwrap();
    sim.world = serde_json::from_str(&text).unwrap();
    sim.settle();
    assert_eq!(sim.follow(&url).body["status"], "Succeeded");
}
