//! The plan that leaves nothing: lock, then what lies outside the managed group, then the group with all in it. A group
//! that was given is emptied of what is the cluster's, one rank of objects after the other, and stays.

use serde_json::{Value, json};

use super::build::obstacles::forbidden;
use super::graph::{Draft, StepRef};
use super::{Action, Foreign, Plan, PlanError};
use crate::arm::{ArmId, Kind};
use crate::desired::{is_closed, object};
use crate::diff::{self, Difference, merged};
use crate::effect::Effect;
use crate::given_group;
use crate::names::{CLUSTER_TAG, GIVEN_TAG, INCARNATION_TAG, Names};
use crate::observed::Observed;
use crate::shared_zone;
use crate::spec::ClusterSpec;

/// Steps that remove the cluster. Empty when it is gone.
///
/// A group that holds resources of others is refused unless the spec says otherwise: deleting a group deletes all in it. From a given group only
/// what is the cluster's goes.
pub fn plan_destroy(spec: &ClusterSpec, observed: &Observed) -> Result<Plan, PlanError> {
    let names = Names::new(spec);
    let mut draft = Draft::default();
    let mut before_group = Vec::new();
    for (index, peer) in spec.peer_vnet_ids.iter().enumerate() {
        let id = names.peering_in(peer);
        if observed.object(&id).is_some() {
            let reason = "the cluster's network goes".to_owned();
            // Its name is the same in every peer.
            let step = format!("delete peering_in_{index}");
            before_group.push(draft.add(
                step,
                Action::Delete { kind: Kind::Peering, id, reason },
                None,
            ));
        }
    }
    for id in shared_zone::own_records(&names, observed) {
        let label = id.name().split('.').next().unwrap_or_default();
        let step = format!("delete record {label}");
        let reason = "the cluster is destroyed, and its zone is another's".to_owned();
        let action = Action::Delete { kind: Kind::PrivateDnsRecord, id, reason };
        before_group.push(draft.add(step, action, None));
    }
    let group = observed.object(&names.cluster_id);
    if let Some(group) = group.filter(|_| !given_group::is_released(&names, observed)) {
        let tag = group.pointer(&format!("/tags/{CLUSTER_TAG}")).and_then(Value::as_str);
        if tag != Some(names.uid.as_str()) {
            let tag = tag.map_or_else(|| "missing".to_owned(), |tag| format!("{tag:?}"));
            let uid = names.uid.clone();
            return Err(PlanError::Foreign { id: names.cluster_id, tag, uid });
        }
        let users = network_users(&names, observed);
        if !users.is_empty() {
            return Err(PlanError::NetworkInUse { network: names.vnet(), users });
        }
        for lock in observed.own_locks(&names) {
            if observed.object(&lock).is_none() {
                continue;
            }
            let step = if lock == names.lock() {
                "delete lock".to_owned()
            } else {
                format!("delete lock {}", lock.name())
            };
            let reason = "it is in the way".to_owned();
            let action = Action::Delete { kind: Kind::Lock, id: lock, reason };
            before_group.push(draft.add(step, action, None));
        }
        if given_group::is_given(&names, observed) {
            empty(&mut draft, &names, group, observed, before_group);
            // Here objects go one after the other: a lock of others that stands before the last of them would be met when
            // the servers are gone. In a group that goes as a whole Azure looks before it begins.
            forbidden(&draft.steps, observed.objects.iter(), &observed.own_locks(&names))?;
            return draft.finish();
        }
        let foreign = foreign_objects(&names, observed);
        if !foreign.is_empty() && !spec.force_destroy {
            return Err(PlanError::NotOurs { foreign });
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

/// In which order objects go: those that refer to others before these. The account is last, as it says whose the cluster
/// is, but where it is closed: the way to it outlives it, and then the group's tag says that. What hangs on one of them
/// goes with it.
fn rank(names: &Names, is_closed: bool, kind: Kind, id: &ArmId) -> Option<u8> {
    let is_way = id.is_within(&names.own_storage_zone());
    Some(match kind {
        Kind::PrivateDnsLink if is_way => 3,
        Kind::PrivateDnsZone if is_way => 4,
        Kind::ScaleSet | Kind::Peering | Kind::PrivateDnsLink => 0,
        Kind::LoadBalancer | Kind::PrivateDnsZone => 1,
        Kind::StorageAccount if is_closed => 2,
        Kind::PrivateEndpoint => 3,
        Kind::VirtualNetwork | Kind::Identity => 4,
        Kind::NatGateway | Kind::NetworkSecurityGroup => 5,
        Kind::PublicIpAddress => 6,
        Kind::StorageAccount => RANK_MAX,
        _ => return None,
    })
}

const RANK_MAX: u8 = 7;

/// Takes what is the cluster's out of a given group, at last the group's tags.
fn empty(
    draft: &mut Draft,
    names: &Names,
    group: &Value,
    observed: &Observed,
    before: Vec<StepRef>,
) {
    let mut before = before;
    let own = given_group::own_keys(names);
    let is_closed = is_closed(observed, names);
    for at in 0..=RANK_MAX {
        let mut steps = Vec::new();
        for (id, body) in given_group::resources(names, observed) {
            let Some(kind) = Kind::ALL.into_iter().find(|kind| id.is_a(*kind)) else { continue };
            if rank(names, is_closed, kind, &id) != Some(at) {
                continue;
            }
            if !given_group::is_ours(names, &own, &id, body) {
                continue;
            }
            let reason = "the cluster is destroyed, and its group stays".to_owned();
            let word = kind.resource_type().rsplit('/').next().unwrap_or_default();
            // Links of two zones have one name.
            let of = id.parent().map(|parent| format!(" of {}", parent.name()));
            let step = format!("delete {word} {}{}", id.name(), of.unwrap_or_default());
            steps.push(draft.add(step, Action::Delete { kind, id, reason }, None));
        }
        if !steps.is_empty() {
            for (before, step) in before.iter().flat_map(|b| steps.iter().map(move |s| (*b, *s))) {
                draft.edge(before, step);
            }
            before = steps;
        }
    }
    let tags = group.get("tags").and_then(Value::as_object).into_iter().flatten();
    let own = tags.filter(|(name, _)| {
        [CLUSTER_TAG, INCARNATION_TAG, GIVEN_TAG].iter().any(|own| own.eq_ignore_ascii_case(name))
    });
    let differences = own
        .clone()
        .map(|(name, value)| Difference {
            path: format!("tags.{name}"),
            observed: value.clone(),
            desired: Value::Null,
            effect: Effect::InPlace,
        })
        .collect();
    let mut body = merged(Kind::ResourceGroup, &json!({}), group);
    for (name, _) in own {
        diff::remove(&mut body, &["tags", name]);
    }
    let action = Action::Put {
        object: object::RESOURCE_GROUP.to_owned(),
        kind: Kind::ResourceGroup,
        id: names.cluster_id.clone(),
        body,
        update: true,
        differences,
        alternatives: vec![],
    };
    let release = draft.add("release resource_group", action, None);
    for before in before {
        draft.edge(before, release);
    }
}

/// What others hang on the cluster's own network, in whatever group it lies: a network in use would stop the destroy when
/// the servers are gone. What goes with the group does not count.
fn network_users(names: &Names, observed: &Observed) -> Vec<ArmId> {
    let vnet = names.vnet();
    let Some(body) = observed.object(&vnet).filter(|_| vnet.is_within(&names.cluster_id)) else {
        return vec![];
    };
    let subnets = rows(body, "/properties/subnets");
    let users = subnets.flat_map(|subnet| {
        let lists = ["/properties/ipConfigurations", "/properties/privateEndpoints"];
        lists.into_iter().flat_map(|list| rows(subnet, list))
    });
    let users = users.filter_map(|user| Some(ArmId::new(user.get("id")?.as_str()?)));
    let is_given = given_group::is_given(names, observed);
    let own = given_group::own_keys(names);
    let goes = |id: &ArmId| {
        id.is_within(&names.cluster_id)
            && (!is_given || own.iter().any(|own| id.is_within(&ArmId::new(own.as_str()))))
    };
    users.filter(|id| !goes(id)).collect()
}

fn rows<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// What others have in a given group from which a cluster is about to go so that another one comes: that one takes an
/// empty group only.
pub fn in_the_way_of_the_next(spec: &ClusterSpec, observed: &Observed) -> Result<(), PlanError> {
    let names = Names::new(spec);
    let own = given_group::own_keys(&names);
    let mut foreign = foreign_objects(&names, observed);
    foreign.retain(|one| !own.contains(&one.id.key()));
    if foreign.is_empty() || !given_group::is_given(&names, observed) {
        return Ok(());
    }
    Err(PlanError::NotFree { foreign })
}

/// Top-level resources in the managed group that lack our tag.
fn foreign_objects(names: &Names, observed: &Observed) -> Vec<Foreign> {
    let resources = given_group::resources(names, observed);
    let foreign = resources.filter(|(id, body)| {
        let own = body.pointer(&format!("/tags/{CLUSTER_TAG}")).and_then(Value::as_str);
        // Azure makes it with the endpoint, and it bears no tags.
        let is_interface = *id == names.private_endpoint_interface();
        id.parent().is_none() && own != Some(names.uid.as_str()) && !is_interface
    });
    let text = |body: &Value, name: &str| body.get(name)?.as_str().map(str::to_owned);
    let told = foreign.map(|(id, body)| Foreign {
        kind: text(body, "type"),
        maker: text(body, "managedBy"),
        id,
    });
    told.collect()
}
