//! A managed group that was there before its cluster. Whoever may not make groups is given one, with rights on it; a
//! create fills it, and a destroy empties it and leaves it.
//!
//! That it was given is said by a tag and by the run record: a tag that somebody takes off does not make the group ours.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::arm::ArmId;
use crate::names::{CLUSTER_TAG, GIVEN_TAG, Names};
use crate::observed::Observed;
use crate::plan::MAX_SLOTS;

fn tag<'v>(body: &'v Value, name: &str) -> Option<&'v str> {
    body.get("tags")?.get(name)?.as_str()
}

/// Whether the group is another's to make and to delete. One that is free becomes such by the first write.
pub fn is_given(names: &Names, observed: &Observed) -> bool {
    let group = observed.object(&names.cluster_id);
    group.is_some_and(|group| tag(group, GIVEN_TAG).is_some())
        || observed.run.as_ref().is_some_and(|run| run.group_given)
        || is_free(names, observed)
}

/// Whether the group is there and is nobody's: no cluster's tag, and nothing in it but rights and locks. `observed` must
/// hold all that is in it.
pub fn is_free(names: &Names, observed: &Observed) -> bool {
    is_untagged(names, observed) && resources(names, observed).next().is_none()
}

/// Whether the group is there and nothing in it is this cluster's, by tag or by name: the cluster is gone, its group
/// stayed.
pub fn is_released(names: &Names, observed: &Observed) -> bool {
    let own = own_keys(names);
    is_untagged(names, observed)
        && !resources(names, observed).any(|(id, body)| {
            tag(body, CLUSTER_TAG) == Some(names.uid.as_str()) || own.contains(&id.key())
        })
}

/// Whether a given group holds nothing of the cluster's any more but its tags.
pub fn is_emptied(names: &Names, observed: &Observed) -> bool {
    let own = own_keys(names);
    let group = observed.object(&names.cluster_id);
    group.is_some_and(|group| tag(group, GIVEN_TAG).is_some())
        && !resources(names, observed).any(|(id, body)| is_ours(names, &own, &id, body))
}

fn is_untagged(names: &Names, observed: &Observed) -> bool {
    let group = observed.object(&names.cluster_id);
    group.is_some_and(|group| tag(group, CLUSTER_TAG).is_none())
}

/// Whether an object in the group is the cluster's: by its tag; where that is gone, by its name; a child by its parent.
pub(crate) fn is_ours(names: &Names, own: &BTreeSet<String>, id: &ArmId, body: &Value) -> bool {
    match (tag(body, CLUSTER_TAG), id.parent()) {
        (Some(tag), None) => tag == names.uid,
        (None, None) => own.contains(&id.key()),
        // Whoever made it: it goes with what it hangs on.
        (_, Some(parent)) => own.contains(&parent.key()),
    }
}

/// Keys of every top-level object that the cluster may have, whatever is declared.
pub(crate) fn own_keys(names: &Names) -> BTreeSet<String> {
    let single = [
        names.storage_account(),
        names.vnet(),
        names.security_group(),
        names.nat_gateway(),
        names.nat_ip(),
        names.load_balancer(),
        names.endpoint(),
        names.endpoint_ip(),
        names.dns_zone(),
        names.own_shared_identity(),
        names.private_endpoint(),
        names.private_endpoint_interface(),
        names.own_storage_zone(),
    ];
    let slots =
        (0..MAX_SLOTS).flat_map(|slot| [names.scale_set(slot), names.own_server_identity(slot)]);
    single.into_iter().chain(slots).map(|id| id.key()).collect()
}

/// What lies in the group, rights and locks left out.
pub(crate) fn resources<'o>(
    names: &Names,
    observed: &'o Observed,
) -> impl Iterator<Item = (ArmId, &'o Value)> {
    let group = names.cluster_id.key();
    observed.objects.values().filter_map(move |body| {
        let id = ArmId::new(body.get("id")?.as_str()?);
        let key = id.key();
        let is_within = key.strip_prefix(&group)?.starts_with("/providers/");
        // Of the group, or of anything in it.
        let is_right = key.contains("/providers/microsoft.authorization/");
        (is_within && !is_right).then_some((id, body))
    })
}
