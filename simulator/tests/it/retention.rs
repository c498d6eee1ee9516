//! Who reaches an account's blobs, and what is kept of blobs that somebody overwrites or deletes.

use serde_json::{Value, json};

use crate::emulator::{Emulator, Folder, until};
use crate::support::{
    ACCOUNT, BLOB_CONTRIBUTOR, GROUPS, NETWORK, STORAGE, Sim, VNET, account, scale_set,
};

const CALLER: &str = "44444444-4444-4444-8444-444444444444";
const BLOCK: [(&str, &str); 1] = [("x-ms-blob-type", "BlockBlob")];

/// An emulator with an account, a container `snapshots`, and a caller who may write there.
fn emulator(folder: &Folder, scale: &str) -> Emulator {
    let emulator = Emulator::start(&folder.0, &["--time-scale", scale]);
    emulator.make("", GROUPS, &json!({"location": "westeurope"}));
    let id = emulator.make(ACCOUNT, STORAGE, &account())["id"].as_str().unwrap().to_owned();
    let container = format!("{ACCOUNT}/blobServices/default/containers/snapshots");
    emulator.make(&container, STORAGE, &json!({"properties": {}}));
    emulator.assign(&id, BLOB_CONTRIBUTOR, CALLER, 1);
    until(|| (emulator.blob("PUT", "snapshots/first", &BLOCK, b"1").status == 201).then_some(()));
    emulator
}

fn service(emulator: &Emulator, properties: &Value) {
    let body = json!({"properties": properties});
    emulator.make(&format!("{ACCOUNT}/blobServices/default"), STORAGE, &body);
}

fn list(emulator: &Emulator, include: &str) -> String {
    let target = format!("snapshots?restype=container&comp=list&include={include}");
    emulator.blob("GET", &target, &[], b"").text()
}

#[test]
fn a_firewall_is_told_apart_from_a_missing_role() {
    let folder = Folder::new("firewall");
    let emulator = emulator(&folder, "1000");
    let with = |acls: Value| {
        let mut body = account();
        body["properties"]["networkAcls"] = acls;
        emulator.make(ACCOUNT, STORAGE, &body);
        let answer = emulator.blob("GET", "snapshots/first", &[], b"");
        (answer.status, answer.header("x-ms-error-code").map(str::to_owned))
    };
    let refused = (403, Some("AuthorizationFailure".to_owned()));
    assert_eq!(with(json!({"defaultAction": "Deny"})), refused);
    let rules = json!({"defaultAction": "Deny", "ipRules": [{"value": "203.0.113.0/24"}]});
    assert_eq!(with(rules), (200, None));
    let others = json!({"defaultAction": "Deny", "ipRules": [{"value": "198.51.100.1"}]});
    assert_eq!(with(others), refused);
    let mut closed = account();
    closed["properties"]["publicNetworkAccess"] = json!("Disabled");
    emulator.make(ACCOUNT, STORAGE, &closed);
    assert_eq!(emulator.blob("GET", "snapshots/first", &[], b"").status, 403);
}

#[test]
fn a_machine_is_let_in_by_its_subnet_and_nobody_by_a_private_range() {
    let mut sim = Sim::with_group();
    let network = sim.network();
    let identity = sim.identity("own");
    let principal = identity["properties"]["principalId"].as_str().unwrap().to_owned();
    let set = scale_set(&network, &[identity["id"].as_str().unwrap()], "");
    sim.make("Microsoft.Compute/virtualMachineScaleSets/set", "2024-07-01", &set);
    let with = |sim: &mut Sim, acls: Value| {
        let mut body = account();
        body["properties"]["networkAcls"] = acls;
        sim.put(ACCOUNT, STORAGE, &body)
    };
    let by_subnet = json!({"defaultAction": "Deny", "virtualNetworkRules": [{"id": network}]});
    let refused = with(&mut sim, by_subnet.clone());
    assert_eq!(refused.body["error"]["code"], "NetworkAclsValidationFailure");
    let mut shown = sim.get(VNET, NETWORK).body;
    shown["properties"]["subnets"][0]["properties"]["serviceEndpoints"] =
        json!([{"service": "Microsoft.Storage"}]);
    sim.make(VNET, NETWORK, &shown);
    assert!(with(&mut sim, by_subnet).status < 300);
    sim.settle();
    let caller = sim.caller.clone();
    assert!(sim.world.firewall_lets_in(&principal, "acct1"));
    assert!(!sim.world.firewall_lets_in(&caller, "acct1"));
    for value in ["10.0.0.0/24", "192.168.1.4", "203.0.113.4/32", "nonsense"] {
        let rules = json!({"defaultAction": "Deny", "ipRules": [{"value": value}]});
        let refused = with(&mut sim, rules);
        assert_eq!(refused.body["error"]["code"], "InvalidValuesForRequestParameters", "{value}");
    }
}

#[test]
fn a_deleted_blob_comes_back_as_long_as_it_is_kept() {
    let folder = Folder::new("soft-delete");
    let emulator = emulator(&folder, "10000");
    service(&emulator, &json!({"deleteRetentionPolicy": {"enabled": true, "days": 1}}));
    let deleted = emulator.blob("DELETE", "snapshots/first", &[], b"");
    assert_eq!(deleted.header("x-ms-delete-type-permanent"), Some("false"));
    assert_eq!(emulator.blob("GET", "snapshots/first", &[], b"").status, 404);
    assert!(!list(&emulator, "metadata").contains("first"));
    assert!(list(&emulator, "deleted").contains("<Deleted>true</Deleted>"));
    assert_eq!(emulator.blob("PUT", "snapshots/first?comp=undelete", &[], b"").status, 200);
    assert_eq!(emulator.blob("GET", "snapshots/first", &[], b"").text(), "1");
    emulator.blob("DELETE", "snapshots/first", &[], b"");
    // A day is 8.64 seconds here.
    until(|| (!list(&emulator, "deleted").contains("first")).then_some(()));
    assert_eq!(emulator.blob("PUT", "snapshots/first?comp=undelete", &[], b"").status, 404);
}

#[test]
fn versions_outlive_overwrite_and_deletion_and_a_restart() {
    let folder = Folder::new("versions");
    let mut emulator = emulator(&folder, "1000");
    service(&emulator, &json!({"isVersioningEnabled": true}));
    let second = emulator.blob("PUT", "snapshots/first", &BLOCK, b"22");
    let version = second.header("x-ms-version-id").unwrap().to_owned();
    emulator.blob("PUT", "snapshots/first", &BLOCK, b"333");
    let own = format!("snapshots/first?versionid={version}");
    assert_eq!(emulator.blob("GET", &own, &[], b"").text(), "22");
    assert_eq!(list(&emulator, "versions").matches("<VersionId>").count(), 3);
    assert_eq!(emulator.blob("DELETE", "snapshots/first", &[], b"").status, 202);
    assert_eq!(emulator.blob("GET", "snapshots/first", &[], b"").status, 404);
    emulator.end("KILL");
    let emulator = Emulator::start(&folder.0, &["--time-scale", "1000"]);
    assert_eq!(emulator.blob("GET", &own, &[], b"").text(), "22");
    assert_eq!(emulator.blob("DELETE", &own, &[], b"").status, 202);
    assert_eq!(emulator.blob("GET", &own, &[], b"").status, 404);
    assert_eq!(list(&emulator, "versions").matches("<VersionId>").count(), 2);
}

#[test]
fn what_a_policy_protects_is_neither_overwritten_nor_deleted_and_a_locked_policy_stays() {
    let folder = Folder::new("immutable");
    let emulator = emulator(&folder, "1000");
    let container = format!("{ACCOUNT}/blobServices/default/containers/snapshots");
    let policy = format!("{container}/immutabilityPolicies/default");
    let body = json!({"properties": {"immutabilityPeriodSinceCreationInDays": 30}});
    emulator.make(&policy, STORAGE, &body);
    for (method, target) in [("DELETE", "snapshots/first"), ("PUT", "snapshots/first")] {
        let refused = emulator.blob(method, target, &BLOCK, b"2");
        let code = refused.header("x-ms-error-code");
        assert_eq!((refused.status, code), (409, Some("BlobImmutableDueToPolicy")), "{method}");
    }
    assert_eq!(emulator.blob("PUT", "snapshots/new", &BLOCK, b"1").status, 201);
    let shown = emulator.arm("GET", &container, STORAGE, &Value::Null).json();
    assert_eq!(shown["properties"]["hasImmutabilityPolicy"], true);
    // An unlocked policy goes.
    assert_eq!(emulator.arm("DELETE", &policy, STORAGE, &Value::Null).status, 200);
    assert_eq!(emulator.blob("DELETE", "snapshots/first", &[], b"").status, 202);
    // A locked one keeps the container, the account and the group.
    emulator.make(&policy, STORAGE, &body);
    let locked = emulator.arm("POST", &format!("{policy}/lock"), STORAGE, &Value::Null);
    assert_eq!(locked.json()["properties"]["state"], "Locked");
    let code = |answer: crate::emulator::Answer| answer.json()["error"]["code"].clone();
    let gone = |id: &str| code(emulator.arm("DELETE", id, STORAGE, &Value::Null));
    assert_eq!(gone(&policy), "ImmutabilityPolicyNotAllowedWithCurrentState");
    assert_eq!(gone(&container), "ContainerProtectedFromDeletion");
    assert_eq!(gone(ACCOUNT), "AccountProtectedFromDeletion");
    let refused = emulator.blob("DELETE", "snapshots?restype=container", &[], b"");
    assert_eq!(refused.header("x-ms-error-code"), Some("ContainerImmutabilityPolicyLocked"));
}
