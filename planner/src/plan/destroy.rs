//! The plan that leaves nothing: lock, then what lies outside the managed group, then the group with all in it.

use serde_json::Value;

use super::graph::Draft;
use super::{Action, Plan, PlanError};
use crate::arm::{ArmId, Kind};
use crate::names::{CLUSTER_TAG, Names};
use crate::observed::Observed;
use crate::spec::ClusterSpec;

/// Steps that remove the cluster. Empty when it is gone.
///
/// A group that holds tagged resources of others is refused: deleting a group deletes all in it.
pub fn plan_destroy(spec: &ClusterSpec, observed: &Observed) -> Result<Plan, PlanError> {
    let names = Names::new(spec);
    let mut draft = Draft::default();
    let mut before_group = Vec::new();
    for peer in &spec.peer_vnet_ids {
        let id = names.peering_in(peer);
        if observed.object(&id).is_some() {
            let reason = "the cluster's network goes".to_owned();
            let step = format!("delete peering {}", id.name());
            before_group.push(draft.add(
                step,
                Action::Delete { kind: Kind::Peering, id, reason },
                None,
            ));
        }
    }
    if let Some(group) = observed.object(&names.cluster_id) {
        let tag = group.pointer(&format!("/tags/{CLUSTER_TAG}")).and_then(Value::as_str);
        if tag != Some(names.uid.as_str()) {
            let tag = tag.map_or_else(|| "missing".to_owned(), |tag| format!("{tag:?}"));
            return Err(PlanError::Foreign { id: names.cluster_id, tag });
        }
        let foreign = foreign_objects(&names, observed);
        if !foreign.is_empty() {
            return Err(PlanError::NotOurs { ids: foreign });
        }
        if observed.object(&names.lock()).is_some() {
            let reason = "it is in the way".to_owned();
            let action = Action::Delete { kind: Kind::Lock, id: names.lock(), reason };
            before_group.push(draft.add("delete lock", action, None));
        }
        let reason = "the cluster is destroyed".to_owned();
        let id = names.cluster_id.clone();
        let action = Action::Delete { kind: Kind::ResourceGroup, id, reason };
        let group = draft.add("delete resource_group", action, None);
        for step in before_group {
            draft.edge(step, group);
        }
    }
    draft.finish()
}

/// Top-level resources in the managed group that lack our tag.
fn foreign_objects(names: &Names, observed: &Observed) -> Vec<ArmId> {
    observed
        .objects
        .values()
        .filter_map(|body| {
            let id = ArmId::new(body.get("id")?.as_str()?);
            let own = body.pointer(&format!("/tags/{CLUSTER_TAG}")).and_then(Value::as_str);
            let rest = id.key();
            let rest = rest.strip_prefix(&names.cluster_id.key())?.strip_prefix("/providers/")?;
            let is_top_level = rest.split('/').count() == 3;
            let carries_tags = !rest.starts_with("microsoft.authorization/");
            (is_top_level && carries_tags && own != Some(names.uid.as_str())).then_some(id)
        })
        .collect()
}
