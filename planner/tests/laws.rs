//! Laws that hold for every plan. `PROPTEST_CASES` sets how many worlds are tried.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::Names;
use hcs_planner::observed::Observed;
use hcs_planner::plan::{Action, Plan, plan, plan_destroy, present_servers, verdict};
use hcs_planner::render;
use hcs_planner::spec::{ClusterSpec, LockLevel};
use proptest::prelude::*;
use serde_json::json;
use support::{after, finished, peer, spec};

fn specs() -> impl Strategy<Value = ClusterSpec> {
    let servers = prop_oneof![Just(1_u32), Just(3), Just(5), Just(7)];
    let tags = prop::collection::btree_map("[a-c]", "[x-z]", 0..3);
    (servers, 0_u32..=4, tags, any::<bool>(), 0_usize..=2).prop_map(
        |(servers, zones, tags, locked, peers)| {
            let mut spec = spec(servers, zones);
            spec.tags = tags;
            spec.lock = if locked { LockLevel::CanNotDelete } else { LockLevel::None };
            spec.peer_vnet_ids = (0..peers).map(|n| peer(&format!("hub-{n}"))).collect();
            spec
        },
    )
}

/// A cluster that was declared one way and is now declared another; zones never change.
fn changes() -> impl Strategy<Value = (ClusterSpec, ClusterSpec)> {
    (specs(), specs()).prop_map(|(before, mut now)| {
        now.zones.clone_from(&before.zones);
        (before, now)
    })
}

fn ids(plan: &Plan) -> Vec<String> {
    plan.steps().iter().map(|(_, step)| step.id.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_world_gives_the_same_bytes((before, now) in changes()) {
        let world = finished(&before);
        let bytes = || {
            let plan = plan(&now, &world).unwrap();
            let present = present_servers(&Names::new(&now), &world);
            render::json(&now, &plan, &verdict(&plan, &present, &now.zones)).to_string()
        };
        let (first, second) = (bytes(), bytes());
        prop_assert_eq!(first, second);
    }

    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do((before, now) in changes()) {
        let world = finished(&before);
        let change = plan(&now, &world).unwrap();
        let world = after(&now, &world, &change, usize::MAX);
        let again = plan(&now, &world).unwrap();
        prop_assert!(again.is_empty(), "{:?}", ids(&again));
    }

    #[test]
    fn a_plan_that_was_cut_off_is_finished_by_the_next((before, now) in changes(), cut in 0_usize..80) {
        let world = finished(&before);
        let change = plan(&now, &world).unwrap();
        let halfway = after(&now, &world, &change, cut);
        let rest = plan(&now, &halfway).unwrap();
        let world = after(&now, &halfway, &rest, usize::MAX);
        let again = plan(&now, &world).unwrap();
        prop_assert!(again.is_empty(), "{:?}", ids(&again));
    }

    #[test]
    fn a_create_that_was_cut_off_never_writes_an_object_again(spec in specs(), cut in 0_usize..120) {
        let change = plan(&spec, &Observed::default()).unwrap();
        let halfway = after(&spec, &Observed::default(), &change, cut);
        for (_, step) in plan(&spec, &halfway).unwrap().steps() {
            if let Action::Put { id, .. } = &step.action {
                prop_assert!(halfway.object(id).is_none(), "{} exists", id);
            }
            prop_assert!(!matches!(step.action, Action::Delete { .. }), "{}", step.id);
        }
    }

    #[test]
    fn nothing_is_deleted_that_is_not_ours((before, now) in changes()) {
        let mut world = finished(&before);
        let group = ArmId::new(world.objects.values().find_map(|body| {
            body["id"].as_str().filter(|id| id.ends_with("rg-mrg-demo"))
        }).unwrap());
        let foreign = group.resource(Kind::ScaleSet.resource_type(), "somebody-elses");
        world.insert(json!({ "id": foreign, "tags": { "hcs-cluster": "another", "hcs-slot": "0" } }));
        let untagged = group.resource(Kind::Identity.resource_type(), "no-tags");
        world.insert(json!({ "id": untagged }));
        for (_, step) in plan(&now, &world).unwrap().steps() {
            if let Action::Delete { id, .. } = &step.action {
                prop_assert!(*id != foreign && *id != untagged && *id != group, "{}", step.id);
            }
        }
        prop_assert!(plan_destroy(&now, &world).is_err(), "a group that holds others' objects stays");
    }

    #[test]
    fn growing_and_shrinking_back_is_no_change(zones in 0_u32..=4, tags in prop::collection::btree_map("[a-c]", "[x-z]", 0..3)) {
        let (mut small, mut large) = (spec(3, zones), spec(5, zones));
        small.tags.clone_from(&tags);
        large.tags = tags;
        let start = finished(&small);
        let grown = after(&large, &start, &plan(&large, &start).unwrap(), usize::MAX);
        let back = after(&small, &grown, &plan(&small, &grown).unwrap(), usize::MAX);
        let keys = |world: &Observed| world.objects.keys().cloned().collect::<BTreeSet<_>>();
        prop_assert_eq!(keys(&start), keys(&back));
        for slot in 0..3 {
            let touched = |plan: &Plan| ids(plan).iter().any(|id| id.ends_with(&format!(" server_{slot}")));
            prop_assert!(!touched(&plan(&large, &start).unwrap()));
            prop_assert!(!touched(&plan(&small, &grown).unwrap()));
        }
    }

    #[test]
    fn people_and_policies_may_add_tags((before, now) in changes()) {
        let mut world = finished(&before);
        for body in world.objects.values_mut() {
            if let Some(tags) = body.get_mut("tags").and_then(|tags| tags.as_object_mut()) {
                tags.insert("cost-center".into(), json!("42"));
            }
        }
        let change = plan(&now, &world).unwrap();
        let world = after(&now, &world, &change, usize::MAX);
        prop_assert!(plan(&now, &world).unwrap().is_empty());
        let kept = world.objects.values().filter_map(|body| body.get("tags"));
        let created: BTreeSet<_> = ids(&change).into_iter().filter(|id| id.starts_with("create")).collect();
        if created.is_empty() {
            prop_assert!(kept.into_iter().all(|tags| tags["cost-center"] == "42"));
        }
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

#[test]
fn one_server_leaves_at_a_time_and_only_when_the_last_is_gone() {
    let world = finished(&spec(7, 3));
    let now = spec(3, 3);
    let plan = plan(&now, &world).unwrap();
    let leaves: Vec<_> = plan
        .steps()
        .into_iter()
        .filter(|(_, step)| matches!(step.action, Action::Ask { .. }))
        .collect();
    assert_eq!(leaves.len(), 4);
    for pair in leaves.windows(2) {
        let ((earlier, first), (later, second)) = (&pair[0], &pair[1]);
        assert!(first.slot > second.slot, "the highest slot goes first");
        let deleted = format!("delete server_{}", first.slot.unwrap());
        let direct: Vec<_> =
            plan.needs(*later).into_iter().filter_map(|need| plan.step(need)).collect();
        assert!(direct.iter().any(|step| step.id == deleted), "{} waits", second.id);
        assert_ne!(earlier, later);
    }
}

#[test]
fn a_server_is_made_after_all_that_it_reads() {
    let plan = plan(&spec(3, 3), &Observed::default()).unwrap();
    for (index, step) in plan.steps() {
        let Some(slot) = step.id.strip_prefix("create server_") else { continue };
        let mut before = BTreeSet::new();
        let mut open = vec![index];
        while let Some(next) = open.pop() {
            for need in plan.needs(next) {
                if before.insert(plan.step(need).unwrap().id.clone()) {
                    open.push(need);
                }
            }
        }
        let reads = [
            "write cluster document".to_owned(),
            "mint gossip key".to_owned(),
            "mint management token".to_owned(),
            "upload consul".to_owned(),
            "upload host manager".to_owned(),
            format!("mint certificate of server {slot}"),
            format!("mint agent token of server {slot}"),
            "create role_identity_servers_on_config".to_owned(),
            "create role_identity_servers_on_artifacts".to_owned(),
            format!("create role_identity_server_{slot}_on_secrets_{slot}"),
            format!("create role_identity_server_{slot}_on_status_{slot}"),
        ];
        for read in reads {
            assert!(before.contains(&read), "server {slot} may boot before {read}");
        }
    }
}

#[test]
fn the_lock_is_removed_before_the_first_delete_and_put_back_after_the_last() {
    let world = finished(&spec(5, 3));
    let plan = plan(&spec(3, 3), &world).unwrap();
    let order = ids(&plan);
    let at = |id: &str| order.iter().position(|other| other == id).unwrap();
    let deletes = order.iter().filter(|id| id.starts_with("delete ") && *id != "delete lock");
    for delete in deletes {
        assert!(at("delete lock") < at(delete) && at(delete) < at("create lock"), "{delete}");
    }
}

#[test]
fn a_deleted_network_rule_is_put_back_and_somebodys_rule_stays() {
    let spec = spec(3, 3);
    let mut world = finished(&spec);
    let names = Names::new(&spec);
    let body = world.objects.get_mut(&names.security_group().key()).unwrap();
    let rules = body["properties"]["securityRules"].as_array_mut().unwrap();
    rules.retain(|rule| rule["name"] != "consul-rpc");
    rules.push(json!({ "name": "from-policy", "properties": { "priority": 200 } }));
    let change = plan(&spec, &world).unwrap();
    assert_eq!(ids(&change), ["update network_security_group"]);
    let steps = change.steps();
    let Action::Put { body, .. } = &steps[0].1.action else { panic!("a put") };
    let names: BTreeSet<_> = body["properties"]["securityRules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["name"].as_str().unwrap())
        .collect();
    assert!(names.contains("consul-rpc") && names.contains("from-policy"));
}

#[test]
fn a_principal_that_died_gets_its_role_again() {
    let spec = spec(3, 3);
    let mut world = finished(&spec);
    let names = Names::new(&spec);
    world.objects.remove(&names.server_identity(1).key());
    let order = ids(&plan(&spec, &world).unwrap());
    let role = "role_identity_server_1_on_secrets_1";
    assert!(order.contains(&format!("delete stale {role}")), "{order:?}");
    assert!(order.contains(&format!("create {role}")));
}
