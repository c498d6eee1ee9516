//! Tags that a spec no longer has.

use std::collections::BTreeMap;

use crate::support::world::World;
use crate::support::{spec, with};
use hcs_planner::arm::Kind;
use hcs_planner::names::Names;
use hcs_planner::plan::{Action, plan};
use hcs_planner::spec::ClusterSpec;
use hcs_planner::tags::IgnoredTags;
use serde_json::json;

fn tagged(names: &[&str]) -> ClusterSpec {
    let tags: BTreeMap<String, String> =
        names.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect();
    with(spec(1, 3), |spec| spec.tags = tags)
}

/// Names of tags that a plan takes away, by the kind of object.
fn taken_away(world: &World, wanted: &ClusterSpec) -> BTreeMap<Kind, Vec<String>> {
    let plan = plan(wanted, &world.observe(wanted)).unwrap();
    let mut found: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
    for (_, step) in plan.steps() {
        let Action::Put { kind, differences, body, .. } = &step.action else { continue };
        for one in differences {
            let Some(name) = one.path.strip_prefix("tags.") else { continue };
            assert!(one.desired.is_null(), "{one:?}");
            assert!(body["tags"].get(name).is_none(), "{body}");
            found.entry(*kind).or_default().push(name.to_owned());
        }
    }
    found
}

#[test]
fn a_tag_that_became_ignored_stays_and_any_other_goes() {
    let world = World::finished(&tagged(&["old", "Policy", "hidden-cost"]));
    let ignored = IgnoredTags { keys: vec!["policy".into()], key_prefixes: vec!["hidden-".into()] };
    let wanted = with(tagged(&[]), |spec| spec.ignored_tags = ignored);
    let found = taken_away(&world, &wanted);
    assert!(found.len() >= 5, "{found:?}");
    assert!(found.values().flatten().all(|name| name == "old"), "{found:?}");
}

#[test]
fn a_zone_loses_a_tag_that_its_type_no_longer_takes() {
    let before = tagged(&["Cost Center", "team"]);
    let mut world = World::finished(&before);
    // An earlier version wrote it.
    let zone = Names::new(&before).dns_zone().key();
    world.objects.get_mut(&zone).unwrap()["tags"]["Cost Center"] = json!("1");
    let found = taken_away(&world, &before);
    assert_eq!(found, BTreeMap::from([(Kind::PrivateDnsZone, vec!["Cost Center".to_owned()])]));
}
