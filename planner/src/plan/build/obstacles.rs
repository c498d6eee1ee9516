//! What no plan may pass over: lost keys, networks that overlap, names that are taken, locks of others.

use serde_json::{Value, json};

use super::Planner;
use crate::arm::ArmId;
use crate::dataplane::container;
use crate::peers::{Overlap, overlaps};
use crate::plan::{Action, Impossible, PlanError, Step};
use crate::roles::Identities;
use crate::shared_zone;

impl Planner<'_> {
    pub(super) fn check_secrets(&self) -> Result<(), PlanError> {
        if self.situation.present.is_empty() {
            return Ok(());
        }
        let shared = [container::SECRETS_SHARED, container::CERTIFICATES];
        let containers = shared.map(|name| self.names.container(name));
        let needed = [self.names.storage_account()].into_iter().chain(containers);
        match needed.into_iter().find(|id| self.observed.object(id).is_none()) {
            Some(id) => Err(PlanError::LostSecrets { id }),
            None => Ok(()),
        }
    }

    pub(super) fn check_peers(&self) -> Result<(), PlanError> {
        match overlaps(self.spec, |peer| self.observed.object(peer)).into_iter().next() {
            Some(Overlap { peer, space, other, whose, .. }) => {
                Err(PlanError::Overlap { peer, space, other, whose })
            }
            None => Ok(()),
        }
    }

    /// A machine knows its identities from its birth: with others beside them it would go on with those.
    pub(super) fn check_identities(&self) -> Result<(), PlanError> {
        let stored =
            self.observed.stored_spec.as_ref().and_then(|stored| stored.identities.as_ref());
        let Some((was, wanted)) = stored.zip(self.spec.identities.as_ref()) else { return Ok(()) };
        let stay = self.situation.present.keys().filter(|slot| **slot < self.spec.server_count);
        for slot in stay {
            let of = |given: &Identities| given.server_ids.get(*slot as usize).cloned();
            if was.shared_id != wanted.shared_id || of(was) != of(wanted) {
                return Err(PlanError::Impossible(Box::new(Impossible {
                    id: self.names.scale_set(*slot),
                    path: "identity".to_owned(),
                    observed: json!([was.shared_id, of(was)]),
                    desired: json!([wanted.shared_id, of(wanted)]),
                    reason: "a server knows its identities from the day it was made",
                })));
            }
        }
        Ok(())
    }

    /// Names stay in their zone, and records of others in a shared one are not written over.
    pub(super) fn check_records(&self) -> Result<(), PlanError> {
        let stored = self.observed.stored_spec.as_ref();
        if let Some(stored) =
            stored.filter(|s| s.private_dns_zone_id != self.spec.private_dns_zone_id)
        {
            let zone = |id: &Option<ArmId>| {
                id.as_ref()
                    .map_or_else(|| "a zone of the cluster's own".to_owned(), ToString::to_string)
            };
            return Err(PlanError::OtherZone {
                was: zone(&stored.private_dns_zone_id),
                wanted: zone(&self.spec.private_dns_zone_id),
            });
        }
        match shared_zone::taken(&self.names, self.observed).into_iter().next() {
            Some((record, owner)) => Err(PlanError::NameTaken { record, owner }),
            None => Ok(()),
        }
    }

    /// Locks that are not ours stay, and forbid what they forbid.
    pub(super) fn check_locks(&self) -> Result<(), PlanError> {
        let others = self.others.iter().map(|&(key, body)| (key, body));
        forbidden(&self.draft.steps, others, &self.observed.own_locks(&self.names))
    }
}

/// The first step that somebody's lock forbids, as an error. `own`: key of the lock that is ours.
pub(in crate::plan) fn forbidden<'o>(
    steps: &[Step],
    objects: impl Iterator<Item = (&'o String, &'o Value)>,
    own: &[ArmId],
) -> Result<(), PlanError> {
    for (key, body) in objects {
        let Some((scope, _)) = key.rsplit_once("/providers/microsoft.authorization/locks/") else {
            continue;
        };
        if own.iter().any(|own| own.key() == *key) {
            continue;
        }
        let level = body.pointer("/properties/level").and_then(Value::as_str);
        let level = level.unwrap_or("CanNotDelete");
        let scope = ArmId::new(scope);
        let forbidden = steps.iter().find(|step| match &step.action {
            Action::Put { id, .. } => level == "ReadOnly" && id.is_within(&scope),
            Action::Delete { id, .. } => id.is_within(&scope) || scope.is_within(id),
            Action::Restart { scale_set, .. } => level == "ReadOnly" && scale_set.is_within(&scope),
            _ => false,
        });
        if let Some(step) = forbidden {
            let named = body.get("id").and_then(Value::as_str);
            return Err(PlanError::Locked {
                lock: named.map_or_else(|| ArmId::new(key), ArmId::new),
                level: level.to_owned(),
                step: step.id.clone(),
            });
        }
    }
    Ok(())
}
