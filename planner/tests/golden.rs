//! Scenarios as text: spec and observed world -> plan. `UPDATE_EXPECT=1 cargo test -p hcs-planner` writes them anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::support::scenarios::{self, Scenario};
use crate::support::world::World;
use crate::support::{peer, spec, with};
use expect_test::{Expect, expect_file};
use hcs_planner::assumed::assumed;
use hcs_planner::desired::Desired;
use hcs_planner::names::Names;
use hcs_planner::observed::Observed;
use hcs_planner::plan::{Action, plan, plan_destroy};
use hcs_planner::render;
use hcs_planner::spec::ClusterSpec;
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The spec's properties that differ from those of a plain cluster, in one line.
fn told(spec: &ClusterSpec) -> String {
    let plain = json!(crate::support::spec(spec.server_count, 3));
    let own = json!(spec);
    let mut text = format!("server_count {}", spec.server_count);
    for (key, value) in own.as_object().unwrap() {
        if plain.get(key) != Some(value) {
            let _ = write!(text, ", {key} {value}");
        }
    }
    text
}

fn heading(scenario: &Scenario) -> String {
    let mut text = format!("# {}\n#\n", scenario.title);
    let before = scenario.before.as_ref().map_or_else(|| "nothing".to_owned(), told);
    let _ = writeln!(text, "# before:   {before}");
    for (words, _) in &scenario.events {
        let _ = writeln!(text, "# then:     {words}");
    }
    let _ = writeln!(text, "# declared: {}\n", told(&scenario.now));
    text
}

#[test]
fn every_scenario_plans_as_its_golden_says() {
    let mut names = BTreeSet::new();
    for scenario in scenarios::all() {
        assert!(names.insert(scenario.name), "{} is there twice", scenario.name);
        let plan = scenario.plan().unwrap_or_else(|error| panic!("{}: {error}", scenario.name));
        let text = heading(&scenario) + &render::text(&scenario.now, &plan);
        expect_file![folder().join(format!("{}.txt", scenario.name))].assert_eq(&text);
    }
    for scenario in scenarios::refused() {
        assert!(names.insert(scenario.name), "{} is there twice", scenario.name);
        let error = scenario.plan().map(|plan| plan.len()).unwrap_err();
        let text = format!("{}error: {error}\n", heading(&scenario));
        expect_file![folder().join(format!("{}.txt", scenario.name))].assert_eq(&text);
    }
    names.insert("destroy");
    let files = std::fs::read_dir(folder()).unwrap();
    for file in files {
        let name = file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(names.contains(name.as_str()), "golden {name} belongs to no scenario");
    }
    assert!(names.len() >= 60, "{} scenarios", names.len());
}

#[test]
fn destroy_takes_the_lock_the_far_peering_and_the_group() {
    let spec = with(spec(3, 3), |s| s.peer_vnet_ids = vec![peer("hub")]);
    let world = World::finished(&spec).observe(&spec);
    let plan = plan_destroy(&spec, &world).unwrap();
    expect_file![folder().join("destroy.txt")].assert_eq(&render::text(&spec, &plan));
}

/// Whatever was declared, with however many peers, can be destroyed.
#[test]
fn every_cluster_can_be_destroyed() {
    let network = |n: u32| {
        let group = format!("/subscriptions/s/resourceGroups/rg-{n}/providers");
        hcs_planner::arm::ArmId::new(format!("{group}/Microsoft.Network/virtualNetworks/hub"))
    };
    let mut specs: Vec<_> = scenarios::all().into_iter().map(|scenario| scenario.now).collect();
    for peers in 0..4 {
        let mut spec = spec(3, 3);
        spec.peer_vnet_ids = (0..peers).map(network).collect();
        specs.push(spec);
    }
    for spec in specs {
        let world = World::finished(&spec).observe(&spec);
        let plan = plan_destroy(&spec, &world).unwrap();
        let far = plan.steps().iter().filter(|(_, step)| step.id.contains("peering_in")).count();
        assert_eq!(far, spec.peer_vnet_ids.len());
        // Nothing of the cluster's is left, wherever it lies.
        let deleted: Vec<_> = plan
            .steps()
            .iter()
            .filter_map(|(_, step)| match &step.action {
                Action::Delete { id, .. } => Some(id.clone()),
                _ => None,
            })
            .collect();
        for object in Desired::new(&spec).objects.values() {
            let goes = deleted.iter().any(|id| object.id.is_within(id));
            assert!(goes, "{} stays", object.id);
        }
    }
}

#[test]
fn a_group_that_holds_others_objects_is_not_destroyed() {
    let spec = spec(3, 3);
    let mut world = World::finished(&spec).observe(&spec);
    let foreign =
        Names::new(&spec).cluster_id.resource("Microsoft.Compute/disks", "somebodys-disk");
    world.insert(json!({ "id": foreign }));
    refusal(
        plan_destroy(&spec, &world).unwrap_err(),
        &expect_test::expect![
            "the managed resource group holds objects that hcs did not make: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-mrg-demo/providers/Microsoft.Compute/disks/somebodys-disk; move or delete them first (what a policy, backup or Defender made comes back until that is told to stop), or set force_destroy = true, apply that alone, and destroy again: then they go with the group"
        ],
    );
}

fn refusal(error: impl std::fmt::Display, expect: &Expect) {
    expect.assert_eq(&error.to_string());
}

/// Where only the last declaration is known, plans come out as in the world that was seen.
#[test]
fn a_plan_from_the_assumed_world_has_the_steps_of_the_real_one() {
    for scenario in scenarios::all().iter().filter(|scenario| scenario.events.is_empty()) {
        let Some(before) = &scenario.before else { continue };
        let ids = |observed: &Observed| {
            let plan = plan(&scenario.now, observed).unwrap();
            plan.steps().iter().map(|(_, step)| step.id.clone()).collect::<Vec<_>>()
        };
        // Nobody is known to lead, so who goes last may differ; what is done may not.
        let sorted = |mut ids: Vec<String>| {
            ids.sort();
            ids
        };
        let (seen, assumed) = (ids(&scenario.observed()), ids(&assumed(before)));
        assert_eq!(sorted(seen), sorted(assumed), "{}", scenario.name);
    }
}

#[test]
fn the_table_of_changes_names_goldens_that_exist() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/changes.md");
    let text = std::fs::read_to_string(guide).unwrap();
    let named: Vec<&str> = text.split('`').filter(|word| word.ends_with(".txt")).collect();
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        assert!(folder().join(name).is_file(), "{name}");
    }
}

/// The shape that programs read.
#[test]
fn the_json_of_a_plan_has_its_documented_shape() {
    let spec = spec(1, 3);
    let plan = plan(&spec, &Observed::default()).unwrap();
    let value: Value = serde_json::from_str(&render::json(&spec, &plan)).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        keys(&value),
        ["cluster", "critical_path", "estimated_seconds", "format", "steps", "verdict"]
    );
    assert_eq!(value["format"], 2);
    assert_eq!(
        keys(&value["steps"][0]),
        ["estimated_seconds", "id", "needs", "slot", "step", "subject", "verb"]
    );
    assert_eq!(keys(&value["verdict"]), ["after", "before", "during", "states", "violations"]);
}
