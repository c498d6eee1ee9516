//! Zones, sizes, quotas, throttling, injected faults, and what a client asks before it writes.

use hcs_simulator::{Method, Settings};
use serde_json::{Value, json};

use crate::support::*;

fn in_zone(subnet: &str, location: &str, zone: &str) -> Value {
    let mut body = scale_set(subnet, &[], "");
    body["zones"] = json!([zone]);
    body["location"] = json!(location);
    body
}

#[test]
fn zones_are_the_locations_and_withheld_ones_are_refused() {
    let mut sim = Sim::with_group();
    let subnet = sim.network();
    let bad = sim.put(SET, COMPUTE, &in_zone(&subnet, "westeurope", "4"));
    assert_eq!(bad.error_code(), Some("AvailabilityZoneNotSupported"));
    let none = sim.put(SET, COMPUTE, &in_zone(&subnet, "westus", "1"));
    assert_eq!(none.error_code(), Some("AvailabilityZoneNotSupported"));
    let held = sim.put(SET, COMPUTE, &in_zone(&subnet, "germanywestcentral", "3"));
    assert_eq!((held.status, held.error_code()), (409, Some("SkuNotAvailable")));
    sim.make(SET, COMPUTE, &in_zone(&subnet, "westeurope", "3"));
    let moved = sim.put(SET, COMPUTE, &in_zone(&subnet, "westeurope", "1"));
    assert_eq!(moved.error_code(), Some("PropertyChangeNotAllowed"));
}

#[test]
fn the_size_list_says_what_a_put_would_say() {
    let mut sim = Sim::new();
    let list = |sim: &mut Sim, location: &str| -> Vec<Value> {
        let mut rows = Vec::new();
        let mut url = format!(
            "{}/providers/Microsoft.Compute/skus?api-version=2021-07-01&$filter=location eq '{location}'",
            sim.subscription()
        );
        loop {
            let page = sim.follow(&url);
            rows.extend(page.body["value"].as_array().unwrap().clone());
            match page.body["nextLink"].as_str() {
                Some(next) => url = next.to_owned(),
                None => return rows,
            }
        }
    };
    let find =
        |rows: &[Value]| rows.iter().find(|r| r["name"] == "Standard_D2s_v5").cloned().unwrap();
    for (location, zones) in
        [("westeurope", 3), ("northeurope", 3), ("eastus", 3), ("eastus2euap", 4), ("westus", 0)]
    {
        let row = find(&list(&mut sim, location));
        assert_eq!(row["locationInfo"][0]["zones"].as_array().unwrap().len(), zones, "{location}");
        assert_eq!(row["restrictions"], json!([]));
    }
    let held = find(&list(&mut sim, "germanywestcentral"));
    assert_eq!(held["restrictions"][0]["type"], "Zone");
    assert_eq!(held["restrictions"][0]["restrictionInfo"]["zones"], json!(["3"]));
    let gone = find(&list(&mut sim, "francecentral"));
    assert_eq!(gone["restrictions"][0]["reasonCode"], "NotAvailableForSubscription");
}

#[test]
fn cores_are_counted_and_limited() {
    let mut sim = Sim::with(Settings { cores_limit: 5, ..Settings::default() });
    sim.make("", GROUPS, &json!({"location": "westeurope"}));
    let subnet = sim.network();
    let mut body = scale_set(&subnet, &[], "");
    body["sku"]["capacity"] = json!(3);
    let refused = sim.put(SET, COMPUTE, &body);
    assert_eq!((refused.status, refused.error_code()), (409, Some("OperationNotAllowed")));
    assert!(
        refused
            .body
            .to_string()
            .contains("Current Limit: 5, Current Usage: 0, Additional Required: 6")
    );
    body["sku"]["capacity"] = json!(2);
    sim.make(SET, COMPUTE, &body);
    let usages = format!(
        "{}/providers/Microsoft.Compute/locations/westeurope/usages?api-version={COMPUTE}",
        sim.subscription()
    );
    let rows = sim.follow(&usages).body["value"].clone();
    let used = |name: &str| {
        let row = rows.as_array().unwrap().iter().find(|r| r["name"]["value"] == name);
        row.unwrap()["currentValue"].clone()
    };
    assert_eq!((used("cores"), used("standardDSv5Family")), (json!(4), json!(4)));
    assert_eq!(sim.put(SET, COMPUTE, &body).status, 200, "a set does not count against itself");
}

#[test]
fn a_subnet_holds_what_azure_leaves_of_it() {
    let mut sim = Sim::with_group();
    sim.make(VNET, NETWORK, &vnet("10.1.0.0/24", &[("s", "10.1.0.0/29")]));
    let subnet = sim.id(SUBNET);
    let mut body = scale_set(&subnet, &[], "");
    body["sku"]["capacity"] = json!(4);
    let refused = sim.put(SET, COMPUTE, &body);
    assert_eq!(refused.error_code(), Some("SubnetIsFull"), "8 addresses, Azure keeps 5");
    body["sku"]["capacity"] = json!(3);
    sim.make(SET, COMPUTE, &body);
}

#[test]
fn an_empty_bucket_answers_429_and_fills_again() {
    let mut sim = Sim::with(Settings { reads: (3.0, 1.0), ..Settings::default() });
    let target = format!("{}?api-version=2022-12-01", sim.subscription());
    for _ in 0..3 {
        assert_eq!(sim.follow(&target).status, 200);
    }
    let refused = sim.follow(&target);
    assert_eq!(refused.error_code(), Some("SubscriptionRequestsThrottled"));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    sim.wait(wait * 1000);
    assert_eq!(sim.follow(&target).status, 200);
}

#[test]
fn faults_strike_as_often_as_they_were_ordered() {
    let mut sim = Sim::with_group();
    for spec in ["429:PUT:virtualNetworks:2", "drop-after:PUT:virtualNetworks:1:2", "500:GET:*:1"] {
        sim.world.inject(spec.parse().unwrap());
    }
    let body = vnet("10.1.0.0/16", &[]);
    for _ in 0..2 {
        let refused = sim.put(VNET, NETWORK, &body);
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("2")));
    }
    assert!(sim.put(VNET, NETWORK, &body).dropped);
    assert_eq!(sim.get(VNET, NETWORK).status, 500);
    assert_eq!(sim.get(VNET, NETWORK).status, 200, "the dropped request took effect");
    for bad in ["", "meteor:PUT:*:1", "429:FROB:*:1", "429:PUT", "429:PUT:*:x"] {
        assert!(bad.parse::<hcs_simulator::Fault>().is_err(), "{bad}");
    }
}

#[test]
fn an_operation_that_fails_leaves_a_failed_object_which_a_put_mends() {
    let mut sim = Sim::with_group();
    let subnet = sim.network();
    sim.world.inject("capacity:virtualMachineScaleSets:1".parse().unwrap());
    let accepted = sim.put(SET, COMPUTE, &scale_set(&subnet, &[], ""));
    let url = accepted.header("azure-asyncoperation").unwrap().to_owned();
    sim.settle();
    let outcome = sim.follow(&url);
    assert_eq!((outcome.status, &outcome.body["status"]), (200, &json!("Failed")));
    assert_eq!(outcome.body["error"]["code"], "ZonalAllocationFailed");
    assert_eq!(sim.get(SET, COMPUTE).body["properties"]["provisioningState"], "Failed");
    assert_eq!(sim.events, [], "no machine came up");
    assert_eq!(sim.put(SET, COMPUTE, &scale_set(&subnet, &[], "")).status, 200);
    sim.settle();
    assert_eq!(sim.get(SET, COMPUTE).body["properties"]["provisioningState"], "Succeeded");
    assert_eq!(sim.events.len(), 1);
}

#[test]
fn a_newer_write_preempts_the_older_one_of_a_scale_set() {
    let mut sim = Sim::with_group();
    let subnet = sim.network();
    let first = sim.put(SET, COMPUTE, &scale_set(&subnet, &[], ""));
    let url = first.header("azure-asyncoperation").unwrap().to_owned();
    sim.wait(1000);
    assert_eq!(sim.put(SET, COMPUTE, &scale_set(&subnet, &[], "")).status, 200);
    let outcome = sim.follow(&url);
    assert_eq!(outcome.body["status"], "Canceled");
    assert_eq!(outcome.body["error"]["code"], "OperationPreempted");
    sim.settle();
    assert_eq!(sim.get(SET, COMPUTE).body["properties"]["provisioningState"], "Succeeded");
}

#[test]
fn providers_must_be_registered_and_that_takes_time() {
    let mut settings = Settings::default();
    settings.registered.retain(|n| n != "Microsoft.Network");
    let mut sim = Sim::with(settings);
    sim.make("", GROUPS, &json!({"location": "westeurope"}));
    let refused = sim.put(VNET, NETWORK, &vnet("10.1.0.0/16", &[]));
    assert_eq!(
        (refused.status, refused.error_code()),
        (409, Some("MissingSubscriptionRegistration"))
    );
    let provider = format!("{}/providers/Microsoft.Network", sim.subscription());
    let register = format!("{provider}/register?api-version={GROUPS}");
    assert_eq!(
        sim.send(Method::Post, &register, Value::Null).body["registrationState"],
        "Registering"
    );
    sim.wait(61_000);
    assert_eq!(sim.get(&provider, GROUPS).body["registrationState"], "Registered");
    sim.make(VNET, NETWORK, &vnet("10.1.0.0/16", &[]));
    let all = sim.get(&format!("{}/providers", sim.subscription()), GROUPS);
    assert_eq!(all.status, 200, "{}", all.body);
    assert!(all.body["value"].as_array().unwrap().len() >= 6);
}

#[test]
fn account_names_are_global_and_can_be_asked_about() {
    let mut sim = Sim::with_group();
    sim.make(ACCOUNT, STORAGE, &account());
    let url = format!(
        "{}/providers/Microsoft.Storage/checkNameAvailability?api-version={STORAGE}",
        sim.subscription()
    );
    for (name, available, reason) in [
        ("acct1", false, "AlreadyExists"),
        ("free1", true, ""),
        ("Bad-1", false, "AccountNameInvalid"),
    ] {
        let body = json!({"name": name, "type": "Microsoft.Storage/storageAccounts"});
        let answer = sim.send(Method::Post, &url, body).body;
        assert_eq!(answer["nameAvailable"], available, "{name}");
        assert_eq!(answer["reason"].as_str().unwrap_or_default(), reason);
    }
    let other = format!("{}/resourceGroups/other", sim.subscription());
    sim.make(&other, GROUPS, &json!({"location": "westeurope"}));
    let twin = sim.put(&format!("{other}/providers/{ACCOUNT}"), STORAGE, &account());
    assert_eq!(twin.error_code(), Some("StorageAccountInAnotherResourceGroup"));
}

#[test]
fn subscription_locations_and_images_can_be_read() {
    let mut sim = Sim::new();
    let subscription = sim.subscription();
    assert_eq!(sim.get(&subscription, "2022-12-01").body["state"], "Enabled");
    let locations = sim.get(&format!("{subscription}/locations"), "2022-12-01").body;
    let west = locations["value"].as_array().unwrap().iter().find(|l| l["name"] == "westeurope");
    assert_eq!(west.unwrap()["availabilityZoneMappings"].as_array().unwrap().len(), 3);
    let versions = format!(
        "{subscription}/providers/Microsoft.Compute/locations/westeurope/publishers/Canonical/\
         artifacttypes/vmimage/offers/ubuntu-24_04-lts/skus/server/versions"
    );
    let rows = sim.get(&versions, COMPUTE).body;
    assert!(rows.as_array().unwrap().len() >= 2, "{rows}");
    let subscriptions = sim.get("/subscriptions", "2022-12-01");
    assert_eq!(
        subscriptions.body["value"][0]["subscriptionId"].as_str(),
        subscription.strip_prefix("/subscriptions/")
    );
}
