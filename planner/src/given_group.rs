//! A managed group that was there before its cluster. Whoever may not make groups is given one, with rights on it; a
//! create fills it, and a destroy empties it and leaves it.

use serde_json::Value;

use crate::arm::ArmId;
use crate::names::{CLUSTER_TAG, GIVEN_TAG, Names};
use crate::observed::Observed;

fn tag<'v>(body: &'v Value, name: &str) -> Option<&'v str> {
    body.get("tags")?.get(name)?.as_str()
}

/// Whether the group is another's to make and to delete. One that is free becomes such by the first write.
pub fn is_given(names: &Names, observed: &Observed) -> bool {
    let group = observed.object(&names.cluster_id);
    group.is_some_and(|group| tag(group, GIVEN_TAG).is_some()) || is_free(names, observed)
}

/// Whether the group is there and is nobody's: no cluster's tag, and nothing in it but rights and locks. `observed` must
/// hold all that is in it.
pub fn is_free(names: &Names, observed: &Observed) -> bool {
    is_untagged(names, observed) && resources(names, observed).next().is_none()
}

/// Whether the group is there and nothing in it is this cluster's: the cluster is gone, its group stayed.
pub fn is_released(names: &Names, observed: &Observed) -> bool {
    let is_ours = |body: &Value| tag(body, CLUSTER_TAG) == Some(names.uid.as_str());
    is_untagged(names, observed) && !resources(names, observed).any(|(_, body)| is_ours(body))
}

fn is_untagged(names: &Names, observed: &Observed) -> bool {
    let group = observed.object(&names.cluster_id);
    group.is_some_and(|group| tag(group, CLUSTER_TAG).is_none())
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
