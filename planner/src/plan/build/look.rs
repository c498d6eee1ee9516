//! One look at each desired object: is it there, is it ours, and in what does it differ?

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Planner, Servers};
use crate::arm::Kind;
use crate::desired::{DesiredObject, object};
use crate::diff::{Difference, differences};
use crate::effect::{self, Effect};
use crate::given_group;
use crate::names::CLUSTER_TAG;
use crate::plan::{Impossible, PlanError};
use crate::reference::{Outputs, point};
use crate::spec::ZoneFallback;
use crate::tags;

/// What is observed of a desired object.
pub(super) enum Look {
    /// It is not there.
    Missing,
    /// It is there, but has to go before it comes anew: its delete is under way, its machine is gone, its server is
    /// lost, or it never came up and may find another place.
    Going,
    /// It is there.
    Found(Found),
}

/// What is observed of an object that is there.
pub(super) struct Found {
    /// A write of an earlier run is under way.
    pub(super) running: bool,
    /// Its last write failed.
    pub(super) failed: bool,
    /// Owned properties that differ.
    pub(super) differences: Vec<Difference>,
    /// Tags that an earlier spec set and this one does not.
    pub(super) stale_tags: Vec<String>,
}

impl Planner<'_> {
    /// A look at every desired object.
    pub(super) fn look(&self, servers: &mut Servers) -> Result<BTreeMap<String, Look>, PlanError> {
        let fresh = servers.fresh();
        let mut looks = BTreeMap::new();
        for object in self.desired.objects.values() {
            if let Some(look) = servers.looks.remove(&object.name) {
                looks.insert(object.name.clone(), look);
                continue;
            }
            // What lists all servers keeps the old address of one that is made anew until it is there.
            let void = if is_address_book(object) { &servers.missing } else { &fresh };
            looks.insert(object.name.clone(), self.look_at(object, void)?);
        }
        Ok(looks)
    }

    pub(super) fn look_at(
        &self,
        object: &DesiredObject,
        fresh: &BTreeSet<u32>,
    ) -> Result<Look, PlanError> {
        let Some(have) = self.have(object) else { return Ok(Look::Missing) };
        self.check_owner(object, have)?;
        if is_going(have) {
            return Ok(Look::Going);
        }
        let (running, failed) = provisioning(have);
        let differences = self.differences(object, fresh).unwrap_or_default();
        let impossible = differences.iter().find(|d| d.effect == Effect::Impossible);
        if let Some(difference) = impossible {
            let path: Vec<&str> = difference.path.split('.').collect();
            return Err(PlanError::Impossible(Box::new(Impossible {
                id: object.id.clone(),
                path: difference.path.clone(),
                observed: difference.observed.clone(),
                desired: difference.desired.clone(),
                reason: effect::reason(object.kind, &path),
            })));
        }
        if self.is_lost(object) {
            return Ok(Look::Going);
        }
        // A server that never came up is made at its own place, unless writing it again may do.
        let server = object.slot.filter(|_| object.kind == Kind::ScaleSet);
        if server.is_some_and(|slot| self.situation.unborn.contains(&slot)) {
            let moves = differences.iter().any(|d| d.effect == Effect::ReplacesServer);
            if moves || self.spec.zone_fallback != ZoneFallback::Strict {
                return Ok(Look::Going);
            }
        }
        let stale_tags = self.stale_tags(object, have);
        Ok(Look::Found(Found { running, failed, differences, stale_tags }))
    }

    /// Whether it is the scale set of a server that is lost.
    pub(super) fn is_lost(&self, object: &DesiredObject) -> bool {
        object.kind == Kind::ScaleSet
            && object.slot.is_some_and(|slot| self.situation.lost.contains(&slot))
    }

    /// In what an object differs; `None` when it is not there. `fresh` servers have no address and no scale set yet.
    pub(super) fn differences(
        &self,
        object: &DesiredObject,
        fresh: &BTreeSet<u32>,
    ) -> Option<Vec<Difference>> {
        let have = self.have(object)?;
        Some(differences(object.kind, &object.body, have, &Known { planner: self, fresh }))
    }

    /// Anybody else's tags stay.
    pub(super) fn stale_tags(&self, object: &DesiredObject, have: &Value) -> Vec<String> {
        let (Some(stored), true) = (&self.observed.stored_spec, object.kind.has_tags()) else {
            return vec![];
        };
        let present = have.get("tags").and_then(Value::as_object);
        let present =
            |name: &String| present?.keys().find(|own| own.eq_ignore_ascii_case(name)).cloned();
        // What the type takes now: of private DNS zones it is a choice, and another tag may have come before.
        let wanted: Vec<&String> =
            tags::of_kind(object.kind, &self.spec.tags).map(|(name, _)| name).collect();
        stored
            .tags
            .keys()
            .filter(|name| !wanted.iter().any(|own| own.eq_ignore_ascii_case(name)))
            .filter(|name| !self.spec.ignored_tags.covers(name))
            .filter_map(present)
            .collect()
    }

    fn check_owner(&self, object: &DesiredObject, have: &Value) -> Result<(), PlanError> {
        if !object.kind.has_tags() {
            return Ok(());
        }
        let tag = have.get("tags").and_then(|tags| tags.get(CLUSTER_TAG)).and_then(Value::as_str);
        if tag == Some(self.names.uid.as_str()) {
            return Ok(());
        }
        // What lost its tag in a group that is ours is ours.
        if tag.is_none() && object.kind != Kind::ResourceGroup && self.group_is_ours() {
            return Ok(());
        }
        if object.kind == Kind::ResourceGroup && given_group::is_free(&self.names, self.observed) {
            return Ok(());
        }
        let tag = tag.map_or_else(|| "missing".to_owned(), |tag| format!("{tag:?}"));
        let uid = self.names.uid.clone();
        Err(PlanError::Foreign { id: object.id.clone(), tag, uid })
    }

    fn group_is_ours(&self) -> bool {
        self.observed
            .object(&self.names.cluster_id)
            .and_then(|group| group.pointer(&format!("/tags/{CLUSTER_TAG}")))
            .is_some_and(|tag| tag == self.names.uid.as_str())
    }
}

/// Whether the object holds the addresses of all servers.
pub(super) fn is_address_book(object: &DesiredObject) -> bool {
    [object::DNS_RECORD, object::ENDPOINT].contains(&object.name.as_str())
}

/// Whether the object is being deleted: what it is now says nothing about afterwards.
pub(in crate::plan) fn is_going(body: &Value) -> bool {
    let is_deleting = provisioning_word(body).is_some_and(|word| {
        ["deleting", "deprovisioning"].iter().any(|going| word.eq_ignore_ascii_case(going))
    });
    is_deleting || is_empty(body)
}

/// Whether somebody deleted the machine of a scale set. Another one would have another address and no data, so the set
/// goes, too, and all that follows from a new set follows.
pub(super) fn is_empty(body: &Value) -> bool {
    body.get("sku").and_then(|sku| sku.get("capacity")).is_some_and(|capacity| capacity == 0)
}

/// Whether the object's last write failed.
pub(crate) fn has_failed(body: &Value) -> bool {
    provisioning(body).1
}

fn provisioning_word(body: &Value) -> Option<&str> {
    body.get("properties")?.get("provisioningState")?.as_str()
}

/// Whether a write of the object is under way.
pub(super) fn is_running(body: &Value) -> bool {
    provisioning(body).0
}

/// What ARM says of an object's last write: whether it runs, whether it failed. Absent means done; a word that we do
/// not know is never success.
fn provisioning(body: &Value) -> (bool, bool) {
    match provisioning_word(body) {
        None => (false, false),
        Some(word) if word.eq_ignore_ascii_case("Succeeded") => (false, false),
        Some(word) => {
            let failed =
                ["failed", "canceled", "cancelled"].contains(&word.to_lowercase().as_str());
            (!failed, failed)
        }
    }
}

/// Values that are known before anything is done.
struct Known<'p> {
    planner: &'p Planner<'p>,
    fresh: &'p BTreeSet<u32>,
}

impl Outputs for Known<'_> {
    fn output(&self, object_name: &str, pointer: &str) -> Option<Value> {
        if let Some(slot) = object_name.strip_prefix(object::ADDRESS_PREFIX) {
            let slot = slot.parse().ok().filter(|slot| !self.fresh.contains(slot))?;
            return Some(json!(self.planner.observed.addresses.get(&slot)?));
        }
        let object = self.planner.desired.objects.get(object_name)?;
        if object.kind == Kind::ScaleSet
            && object.slot.is_some_and(|slot| self.fresh.contains(&slot))
        {
            return None;
        }
        point(self.planner.have(object)?, pointer).cloned()
    }

    fn parameter(&self, _: &str) -> Option<Value> {
        None
    }
}
