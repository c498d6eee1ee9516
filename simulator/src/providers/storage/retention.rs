//! What an account keeps of blobs that somebody overwrites or deletes, and what nobody may overwrite or delete: versions,
//! soft delete, time-based immutability.

use serde_json::{Value, json};

use super::VERSIONS;
use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::http::{Method, Request, Response};
use crate::world::kind::{Kind, PLAIN, Prepared, own_parts};
use crate::world::resource::{Resource, State, default, text};

const DAY_MS: u64 = 86_400_000;

/// A container's time-based policy, always named `default`.
pub(crate) const IMMUTABILITY_POLICY: Kind = Kind {
    rtype: "Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies",
    versions: VERSIONS,
    operation: "PutImmutabilityPolicyOperation",
    prepare: |_, put| {
        if put.old.is_some_and(is_locked) {
            return Err(not_with_this_state());
        }
        let days = put.body.pointer("/properties/immutabilityPeriodSinceCreationInDays");
        if !days.and_then(Value::as_u64).is_some_and(|days| (1..=146_000).contains(&days)) {
            return Err(ArmError::invalid(
                "InvalidValuesForRequestParameters",
                "Values for request parameters are invalid: immutabilityPeriodSinceCreationInDays.",
            ));
        }
        let mut body = own_parts(put.body);
        body["properties"]["state"] = json!("Unlocked");
        default(&mut body["properties"], "allowProtectedAppendWrites", json!(false));
        Ok(Prepared { body, ..Prepared::default() })
    },
    render: |_, policy, body| body["etag"] = json!(policy.etag.trim_start_matches("W/")),
    deletable: |_, policy| if is_locked(policy) { Err(not_with_this_state()) } else { Ok(()) },
    ..PLAIN
};

fn not_with_this_state() -> ArmError {
    ArmError::new(
        409,
        "ImmutabilityPolicyNotAllowedWithCurrentState",
        "Operation not allowed on immutability policy with current state",
    )
}

fn is_locked(policy: &Resource) -> bool {
    policy.text("/properties/state") == "Locked"
}

/// What holds for the blobs of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retention {
    /// What is overwritten or deleted stays as a version.
    pub(crate) versions: bool,
    /// So long a deleted blob can be brought back; zero: not at all.
    pub(crate) deleted_ms: u64,
    /// So long after its creation a blob can neither be overwritten nor deleted; zero: no policy.
    pub(crate) immutable_ms: u64,
    /// Append blobs of an immutable container still grow.
    pub(crate) appends: bool,
}

impl World {
    fn immutability_policy(&self, container: &str) -> Option<&Resource> {
        self.visible(&format!("{container}/immutabilityPolicies/default"))
    }

    fn container_id(&self, account: &str, container: &str) -> Option<String> {
        let account = self.account(account)?;
        Some(format!("{}/blobServices/default/containers/{container}", account.id))
    }

    /// What holds for the blobs of a container, in the world's own time.
    pub(crate) fn retention(&self, account: &str, container: &str) -> Retention {
        let Some(id) = self.container_id(account, container) else { return Retention::default() };
        let days = |object: &Resource, path: &str| {
            let days = object.body.pointer(path).and_then(Value::as_u64).unwrap_or_default();
            if days == 0 { 0 } else { self.scaled(days * DAY_MS) }
        };
        let mut retention = Retention::default();
        let service = id.rsplitn(3, '/').nth(2).and_then(|id| self.visible(id));
        if let Some(service) = service {
            let is = |path: &str| service.body.pointer(path) == Some(&Value::Bool(true));
            retention.versions = is("/properties/isVersioningEnabled");
            if is("/properties/deleteRetentionPolicy/enabled") {
                retention.deleted_ms = days(service, "/properties/deleteRetentionPolicy/days");
            }
        }
        if let Some(policy) = self.immutability_policy(&id) {
            let path = "/properties/immutabilityPeriodSinceCreationInDays";
            retention.immutable_ms = days(policy, path);
            let appends = policy.body.pointer("/properties/allowProtectedAppendWrites");
            retention.appends = appends == Some(&Value::Bool(true));
        }
        retention
    }

    /// Whether a container's policy is locked.
    pub(crate) fn container_is_locked(&self, account: &str, container: &str) -> bool {
        let id = self.container_id(account, container);
        id.and_then(|id| self.immutability_policy(&id)).is_some_and(is_locked)
    }
}

/// A container with a locked policy stays. (Azure lets an empty one go; which blobs there are, the front knows alone.)
pub(crate) fn container_deletable(world: &World, container: &Resource) -> Answer<()> {
    if world.immutability_policy(&container.id).is_some_and(is_locked) {
        return Err(ArmError::new(
            409,
            "ContainerProtectedFromDeletion",
            format!("The container {} has a locked immutability policy.", container.name()),
        ));
    }
    Ok(())
}

/// An account with such a container stays.
pub(crate) fn account_deletable(world: &World, account: &Resource) -> Answer<()> {
    let key = account.key();
    let locked: Vec<&str> = world
        .below(&key)
        .filter(|object| object.rtype == IMMUTABILITY_POLICY.rtype && is_locked(object))
        .filter_map(|policy| policy.id.rsplit('/').nth(2))
        .collect();
    if locked.is_empty() {
        return Ok(());
    }
    Err(ArmError::new(
        409,
        "AccountProtectedFromDeletion",
        format!(
            "The storage account {} is protected from deletion. The container(s) {} have a locked immutability policy.",
            account.name(),
            locked.join(", ")
        ),
    ))
}

/// `…/immutabilityPolicies/default/lock`.
pub(crate) fn lock(world: &mut World, req: &Request) -> Answer {
    if req.method != Method::Post {
        return Err(ArmError::method_not_allowed(req.method.as_str()));
    }
    let id = req.path.rsplit_once('/').map_or("", |(id, _)| id);
    let action = format!("{}/lock/action", IMMUTABILITY_POLICY.rtype);
    world.require(&req.principal, &action, id)?;
    let missing = || ArmError::not_found(IMMUTABILITY_POLICY.rtype, "default", "");
    let mut body = world.visible(id).ok_or_else(missing)?.body.clone();
    if is_locked(world.visible(id).ok_or_else(missing)?) {
        return Err(not_with_this_state());
    }
    body["properties"]["state"] = json!("Locked");
    let id = world.visible(id).ok_or_else(missing)?.id.clone();
    let key = world.store(&IMMUTABILITY_POLICY, &id, body, None, State::Succeeded);
    let shown = world.resources.get(&key).map(|policy| world.render(policy));
    Ok(Response::json(200, shown.unwrap_or_default()))
}

/// Whether the path asks to lock a policy.
pub(crate) fn is_lock(types: &[String]) -> bool {
    let mut words = types.iter().rev().map(String::as_str);
    words.next().is_some_and(|word| word.eq_ignore_ascii_case("lock"))
        && words.next().is_some_and(|word| word.eq_ignore_ascii_case("immutabilityPolicies"))
}

/// What a container says of its policy.
pub(crate) fn describe(world: &World, container: &Resource, body: &mut Value) {
    let Some(policy) = world.immutability_policy(&container.id) else { return };
    body["properties"]["hasImmutabilityPolicy"] = json!(true);
    let path = "/properties/immutabilityPeriodSinceCreationInDays";
    body["properties"]["immutabilityPolicy"] = json!({
        "etag": policy.etag.trim_start_matches("W/"),
        "properties": {
            "immutabilityPeriodSinceCreationInDays": policy.body.pointer(path),
            "state": text(&policy.body, "/properties/state"),
        },
        "updateHistory": [],
    });
}

#[cfg(test)]
mod tests {
    use super::is_lock;

    #[test]
    fn only_a_policys_lock_is_one() {
        let types = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        assert!(is_lock(&types("storageAccounts/containers/immutabilitypolicies/lock")));
        assert!(!is_lock(&types("storageAccounts/lock")));
    }
}
