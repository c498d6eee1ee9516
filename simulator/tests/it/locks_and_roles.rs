//! Locks, and who may do what.

use hcs_simulator::{Method, Request};
use serde_json::json;

use crate::support::*;

const LOCK: &str = "Microsoft.Authorization/locks/hcs";

#[test]
fn a_lock_holds_everything_below_and_is_felt_for_a_while_after_its_removal() {
    let mut sim = Sim::with_group();
    sim.network();
    let lock = json!({"properties": {"level": "CanNotDelete", "notes": "hcs"}});
    assert_eq!(sim.put(LOCK, LOCKS, &lock).status, 201);
    assert_eq!(sim.put(LOCK, LOCKS, &lock).status, 200);
    for (id, version) in [(VNET, NETWORK), (SUBNET, NETWORK), ("", GROUPS)] {
        let refused = sim.delete(id, version);
        assert_eq!((refused.status, refused.error_code()), (409, Some("ScopeLocked")), "{id}");
    }
    assert_eq!(sim.patch("", GROUPS, &json!({"tags": {}})).status, 200, "writes go on");
    assert_eq!(sim.delete(LOCK, LOCKS).status, 200);
    assert_eq!(sim.delete(LOCK, LOCKS).status, 204);
    assert_eq!(sim.delete(VNET, NETWORK).error_code(), Some("ScopeLocked"), "not seen yet");
    sim.wait(5_001);
    assert_eq!(sim.delete(VNET, NETWORK).status, 202);
}

#[test]
fn a_locked_child_holds_its_group_and_read_only_holds_writes() {
    let mut sim = Sim::with_group();
    sim.network();
    let child = format!("{VNET}/providers/Microsoft.Authorization/locks/mine");
    sim.make(&child, LOCKS, &json!({"properties": {"level": "ReadOnly"}}));
    let group = sim.delete("", GROUPS);
    assert_eq!(group.error_code(), Some("ScopeLocked"));
    assert!(group.body.to_string().contains("virtualNetworks/v-net"));
    let write = sim.put(VNET, NETWORK, &vnet("10.1.0.0/16", &[("s", "10.1.1.0/24")]));
    assert_eq!(write.error_code(), Some("ScopeLocked"));
    let listed = sim.get("Microsoft.Authorization/locks", LOCKS);
    assert_eq!(listed.body["value"].as_array().unwrap().len(), 1);
    let bad = sim.put(LOCK, LOCKS, &json!({"properties": {"level": "Forever"}}));
    assert_eq!(bad.error_code(), Some("InvalidParameter"));
}

#[test]
fn a_lock_also_holds_role_assignments() {
    let mut sim = Sim::with_group();
    let caller = sim.caller.clone();
    assert_eq!(sim.assign("", BLOB_READER, &caller, 1).status, 201);
    sim.make(LOCK, LOCKS, &json!({"properties": {"level": "CanNotDelete"}}));
    let id = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-000000000001",
        sim.id("")
    );
    assert_eq!(sim.delete(&id, ROLES).error_code(), Some("ScopeLocked"));
}

#[test]
fn a_fresh_identity_needs_its_type_named() {
    let mut sim = Sim::with_group();
    let identity = sim.identity("srv");
    let principal = identity["properties"]["principalId"].as_str().unwrap().to_owned();
    let id = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-000000000009",
        sim.id("")
    );
    let role = format!(
        "{}/providers/Microsoft.Authorization/roleDefinitions/{BLOB_READER}",
        sim.subscription()
    );
    let plain = json!({"properties": {"roleDefinitionId": role, "principalId": principal}});
    let refused = sim.put(&id, ROLES, &plain);
    assert_eq!((refused.status, refused.error_code()), (400, Some("PrincipalNotFound")));
    let mut typed = plain.clone();
    typed["properties"]["principalType"] = json!("User");
    typed["properties"]["principalType"] = json!("ServicePrincipal");
    assert_eq!(sim.put(&id, ROLES, &typed).status, 201);
    assert_eq!(sim.put(&id, ROLES, &typed).status, 200);
    let twin = sim.assign("", BLOB_READER, &principal, 10);
    assert_eq!((twin.status, twin.error_code()), (409, Some("RoleAssignmentExists")));
    let mut other = typed.clone();
    other["properties"]["principalId"] = json!(sim.caller);
    let changed = sim.put(&id, ROLES, &other);
    assert_eq!(changed.error_code(), Some("RoleAssignmentUpdateNotPermitted"));
    sim.wait(20_000);
    let named = sim.put(&id.replace("009", "011"), ROLES, &json!({"properties": {
        "roleDefinitionId": role.replace(BLOB_READER, BLOB_CONTRIBUTOR), "principalId": principal,
    }}));
    assert_eq!(named.status, 201, "by now the directory knows it: {}", named.body);
    let ghost = sim.assign("", BLOB_READER, "12345678-0000-4000-8000-000000000000", 12);
    assert_eq!(ghost.error_code(), Some("PrincipalNotFound"));
}

#[test]
fn blob_rights_come_late_end_at_the_container_and_are_no_owners() {
    let mut sim = Sim::with_group();
    sim.make(ACCOUNT, STORAGE, &account());
    for container in ["config", "secrets-0"] {
        let id = format!("{ACCOUNT}/blobServices/default/containers/{container}");
        assert_eq!(sim.put(&id, STORAGE, &json!({"properties": {}})).status, 201);
    }
    let identity = sim.identity("srv");
    let server = identity["properties"]["principalId"].as_str().unwrap().to_owned();
    let caller = sim.caller.clone();
    let allows = |sim: &Sim, who: &str, container: &str, what: &str| {
        sim.world.allows_blob(who, "acct1", container, what)
    };
    assert!(!allows(&sim, &caller, "config", "write"), "Owner has no data rights");
    let config = format!("{ACCOUNT}/blobServices/default/containers/config");
    assert_eq!(sim.assign(&config, BLOB_READER, &server, 1).status, 201);
    assert_eq!(sim.assign(ACCOUNT, BLOB_CONTRIBUTOR, &caller, 2).status, 201);
    assert!(!allows(&sim, &server, "config", "read"), "not effective yet");
    sim.wait(20_001);
    let table = [
        (&server, "config", "read", true),
        (&server, "config", "write", false),
        (&server, "config", "delete", false),
        (&server, "secrets-0", "read", false),
        (&caller, "config", "write", true),
        (&caller, "secrets-0", "delete", true),
    ];
    for (who, container, what, expected) in table {
        assert_eq!(allows(&sim, who, container, what), expected, "{who} {container} {what}");
    }
}

#[test]
fn who_holds_no_role_is_refused_and_linked_objects_count_too() {
    let mut sim = Sim::with_group();
    let subnet = sim.network();
    let identity = sim.identity("srv");
    let server = identity["properties"]["principalId"].as_str().unwrap().to_owned();
    let target = format!("{}?api-version={NETWORK}", sim.id(VNET));
    let request = Request::new(Method::Get, &target, &server);
    let refused = sim.world.handle(&request, sim.now_ms);
    assert_eq!((refused.status, refused.error_code()), (403, Some("AuthorizationFailed")));
    let other = format!("{}/resourceGroups/other", sim.subscription());
    sim.make(&other, GROUPS, &json!({"location": "westeurope"}));
    assert_eq!(sim.assign(&other, OWNER, &server, 1).status, 201);
    sim.wait(20_001);
    let set = format!("{other}/providers/{SET}?api-version={COMPUTE}");
    let request = Request::new(Method::Put, &set, &server).with_body(scale_set(&subnet, &[], ""));
    let refused = sim.world.handle(&request, sim.now_ms);
    assert_eq!((refused.status, refused.error_code()), (403, Some("LinkedAuthorizationFailed")));
}
