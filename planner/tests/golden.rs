//! Scenarios as text: spec and observed world -> plan. `UPDATE_EXPECT=1 cargo test -p hcs-planner` writes them anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use expect_test::{Expect, expect_file};
use hcs_planner::names::Names;
use hcs_planner::observed::Observed;
use hcs_planner::plan::{Plan, plan, plan_destroy, present_servers, verdict};
use hcs_planner::render;
use hcs_planner::spec::{ClusterSpec, LockLevel};
use serde_json::json;
use support::{after, finished, peer, spec};

macro_rules! golden {
    ($name:literal) => {
        expect_file![concat!("golden/", $name, ".txt")]
    };
}

fn check(spec: &ClusterSpec, world: &Observed, expect: &expect_test::ExpectFile) {
    expect.assert_eq(&shown(spec, world, &plan(spec, world).unwrap()));
}

fn shown(spec: &ClusterSpec, world: &Observed, plan: &Plan) -> String {
    let present = present_servers(&Names::new(spec), world);
    render::text(spec, plan, &verdict(plan, &present, &spec.zones))
}

#[test]
fn three_servers_on_three_zones_from_nothing() {
    check(&spec(3, 3), &Observed::default(), &golden!("create-3-on-3-zones"));
}

#[test]
fn one_server_is_warned_about() {
    check(&spec(1, 3), &Observed::default(), &golden!("create-1-on-3-zones"));
}

#[test]
fn two_zones_are_warned_about() {
    check(&spec(3, 2), &finished(&spec(3, 2)), &golden!("nothing-to-do-on-2-zones"));
}

#[test]
fn a_region_without_zones() {
    check(&spec(3, 0), &finished(&spec(3, 0)), &golden!("nothing-to-do-without-zones"));
}

#[test]
fn three_become_five() {
    check(&spec(5, 3), &finished(&spec(3, 3)), &golden!("scale-3-to-5"));
}

#[test]
fn five_become_three() {
    check(&spec(3, 3), &finished(&spec(5, 3)), &golden!("scale-5-to-3"));
}

#[test]
fn five_become_three_without_a_lock() {
    let (mut before, mut now) = (spec(5, 3), spec(3, 3));
    before.lock = LockLevel::None;
    now.lock = LockLevel::None;
    check(&now, &finished(&before), &golden!("scale-5-to-3-without-lock"));
}

#[test]
fn a_tag_changes_everywhere_and_an_old_one_goes() {
    let (mut before, mut now) = (spec(1, 3), spec(1, 3));
    before.tags = [("team".to_owned(), "a".to_owned()), ("old".to_owned(), "1".to_owned())].into();
    now.tags = [("team".to_owned(), "b".to_owned())].into();
    check(&now, &finished(&before), &golden!("tags"));
}

#[test]
fn a_peer_comes_and_goes() {
    let mut with = spec(1, 3);
    with.peer_vnet_ids = vec![peer("hub")];
    check(&with, &finished(&spec(1, 3)), &golden!("peer-added"));
    check(&spec(1, 3), &finished(&with), &golden!("peer-removed"));
}

#[test]
fn the_lock_is_given_up() {
    let mut now = spec(1, 3);
    now.lock = LockLevel::None;
    check(&now, &finished(&spec(1, 3)), &golden!("lock-none"));
}

#[test]
fn a_create_that_was_cut_off_after_the_account() {
    let spec = spec(3, 3);
    let whole = plan(&spec, &Observed::default()).unwrap();
    let world = after(&spec, &Observed::default(), &whole, 40);
    check(&spec, &world, &golden!("resume-after-40-steps"));
}

#[test]
fn a_write_of_an_earlier_run_is_still_under_way() {
    let spec = spec(3, 3);
    let mut world = finished(&spec);
    world.ready = None;
    let names = Names::new(&spec);
    let body = world.objects.get_mut(&names.scale_set(1).key()).unwrap();
    body["properties"]["provisioningState"] = json!("Creating");
    check(&spec, &world, &golden!("await-a-running-write"));
}

#[test]
fn a_failed_scale_set_is_written_again() {
    let spec = spec(3, 3);
    let mut world = finished(&spec);
    let names = Names::new(&spec);
    let body = world.objects.get_mut(&names.scale_set(1).key()).unwrap();
    body["properties"]["provisioningState"] = json!("Failed");
    check(&spec, &world, &golden!("repair-a-failed-scale-set"));
}

#[test]
fn a_server_that_somebody_deleted_comes_back() {
    let spec = spec(3, 3);
    let mut world = finished(&spec);
    world.objects.remove(&Names::new(&spec).scale_set(2).key());
    check(&spec, &world, &golden!("deleted-scale-set"));
}

#[test]
fn a_deleted_lock_is_drift() {
    let spec = spec(3, 3);
    let mut world = finished(&spec);
    world.objects.remove(&Names::new(&spec).lock().key());
    check(&spec, &world, &golden!("deleted-lock"));
}

#[test]
fn a_changed_network_rule_is_put_back() {
    let spec = spec(3, 3);
    let mut world = finished(&spec);
    let body = world.objects.get_mut(&Names::new(&spec).security_group().key()).unwrap();
    body["properties"]["securityRules"][0]["properties"]["access"] = json!("Deny");
    check(&spec, &world, &golden!("changed-network-rule"));
}

#[test]
fn destroy_takes_the_lock_the_far_peering_and_the_group() {
    let mut spec = spec(3, 3);
    spec.peer_vnet_ids = vec![peer("hub")];
    let world = finished(&spec);
    let text = shown(&spec, &world, &plan_destroy(&spec, &world).unwrap());
    golden!("destroy").assert_eq(&text);
}

#[test]
fn refusals_name_the_object() {
    let spec = spec(3, 3);
    let mut world = finished(&spec);
    let names = Names::new(&spec);
    let foreign = names.cluster_id.resource("Microsoft.Compute/disks", "somebodys-disk");
    world.insert(json!({ "id": foreign }));
    refusal(
        plan_destroy(&spec, &world).unwrap_err(),
        &expect_test::expect![[
            "the managed resource group holds objects that hcs did not make: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-mrg-demo/providers/Microsoft.Compute/disks/somebodys-disk; move or delete them first"
        ]],
    );
    let body = world.objects.get_mut(&names.cluster_id.key()).unwrap();
    body["tags"]["hcs-cluster"] = json!("other");
    let mut lost = finished(&spec);
    lost.objects.retain(|key, _| !key.contains("/storageaccounts/"));
    refusal(
        plan(&spec, &lost).unwrap_err(),
        &expect_test::expect![
            "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-mrg-demo/providers/Microsoft.Storage/storageAccounts/hcs2d2da5ebaae9 is gone while servers still run, and with it the cluster's keys; recover it (Azure keeps a deleted storage account or container for some days), or take a snapshot with consul and make the cluster anew"
        ],
    );
    refusal(
        plan(&spec, &world).unwrap_err(),
        &expect_test::expect![[
            "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-mrg-demo exists already and does not belong to this cluster (its tag hcs-cluster is \"other\"); move or delete it, or give the cluster another name"
        ]],
    );
}

fn refusal(error: impl std::fmt::Display, expect: &Expect) {
    expect.assert_eq(&error.to_string());
}
