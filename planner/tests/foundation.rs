//! What may run before a run is recorded.

use crate::support::spec;
use hcs_planner::observed::Observed;
use hcs_planner::plan::{Plan, plan};

fn ids(plan: &Plan) -> Vec<&str> {
    plan.steps().into_iter().map(|(_, step)| step.id.as_str()).collect()
}

#[test]
fn the_foundation_of_a_create_is_what_the_record_needs_and_the_way_out() {
    let plan = plan(&spec(3, 3), &Observed::default()).unwrap().foundation().unwrap();
    let mut found = ids(&plan);
    found.sort_unstable();
    let expected = [
        "create container_config",
        "create nat_gateway",
        "create nat_public_ip",
        "create resource_group",
        "create storage_account",
        "grant caller blob access",
    ];
    assert_eq!(found, expected);
    let at = |id| plan.find(id).unwrap();
    assert!(plan.waits_for(at("grant caller blob access"), at("create container_config")));
    assert!(plan.waits_for(at("create nat_gateway"), at("create resource_group")));
}
