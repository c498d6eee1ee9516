//! DELETE, locks and conflicts: what must not happen now, and what goes along.

use serde_json::{Value, json};

use super::World;
use super::errors::{Answer, ArmError, with_retry_after};
use super::http::{Request, Response};
use super::ids::{self, ArmPath};
use super::kind::{Kind, PutManner};
use super::operations::{Action, Outcome};
use super::resource::{Resource, State};
use crate::providers::groups::GROUP;
use crate::providers::locks::LOCK;
use crate::providers::storage::account::ACCOUNT;
use crate::providers::storage::retention::account_deletable;

impl World {
    pub(crate) fn delete(&mut self, req: &Request, path: &ArmPath, kind: &'static Kind) -> Answer {
        let is_group = kind.rtype == GROUP.rtype;
        if let Some(group) = path.group.as_deref() {
            self.group(&path.subscription, group)?;
        }
        let id = self.id_for(kind, path)?;
        let key = ids::key(&id);
        let Some(resource) = self.resources.get(&key).cloned() else {
            return Ok(Response::empty(204));
        };
        if kind.rtype != LOCK.rtype {
            self.check_locks(&id, true)?;
        }
        if let Some(wanted) = req.condition("if-match")
            && wanted != "*"
            && wanted.trim_matches('"') != resource.etag.trim_matches('"')
        {
            let text = "The etag provided in If-Match does not match the resource's.";
            return Err(ArmError::new(412, "PreconditionFailed", text));
        }
        if resource.state == State::Deleting
            && let Some(running) = &resource.busy
        {
            return Ok(self.delete_accepted(kind, &running.clone()));
        }
        if !is_group {
            self.check_conflict(kind, &id, Some(&resource))?;
        }
        (kind.deletable)(self, &resource)?;
        if !kind.delete_async {
            let body = self.render(&resource);
            self.remove_tree(&key);
            let shown = kind.rtype.ends_with("/roleAssignments");
            return Ok(if shown { Response::json(200, body) } else { Response::empty(200) });
        }
        let mut keys = vec![key.clone()];
        keys.extend(self.inline_parent(kind, &key));
        let mut duration = kind.delete_ms;
        if is_group {
            let inside = self.below(&key).count() as u64;
            duration += (inside * 3_000).min(90_000);
        }
        let action = if is_group { Action::DeleteGroup } else { Action::Delete };
        let location = resource.location().to_owned();
        let operation = self.start_operation(kind, &key, keys, action, &location, duration);
        if let Some(resource) = self.resources.get_mut(&key) {
            resource.state = State::Deleting;
            resource.last_operation = kind.operation.replacen("Put", "Delete", 1);
        }
        Ok(self.delete_accepted(kind, &operation))
    }

    fn delete_accepted(&self, kind: &Kind, operation: &str) -> Response {
        let urls = self.operation_urls(operation);
        let mut response = Response::empty(202).with("location", urls.result);
        let mut retry_ms = 10_000;
        if kind.rtype == GROUP.rtype {
            retry_ms = 15_000;
        } else {
            response = response
                .with("azure-asyncoperation", urls.status)
                .with("azure-asyncnotification", "Enabled");
        }
        with_retry_after(response, self.scaled(retry_ms))
    }

    /// Objects strictly below a key.
    pub(crate) fn below<'w>(&'w self, key: &'w str) -> impl Iterator<Item = &'w Resource> {
        self.resources
            .range_from(key)
            .take_while(move |(k, _)| k.starts_with(key))
            .filter(move |(k, _)| k.len() > key.len() && ids::within(k, key))
            .map(|(_, r)| r)
    }

    /// Removes an object and all below it, deepest first.
    pub(crate) fn remove_tree(&mut self, key: &str) {
        let mut keys: Vec<String> = self.below(key).map(Resource::key).collect();
        keys.push(key.to_owned());
        keys.sort_by_key(|k| std::cmp::Reverse(k.len()));
        for gone in keys {
            let kind = self.kind_of(&gone);
            if let Some(resource) = self.resources.remove(&gone)
                && let Some(kind) = kind
            {
                (kind.removed)(self, &resource);
            }
        }
    }

    /// Half way through a group's deletion its machines are gone.
    pub(crate) fn delete_machines_of_group(&mut self, key: &str) {
        let sets: Vec<String> = self
            .below(key)
            .filter(|r| r.rtype == crate::providers::compute::scale_set::SCALE_SET.rtype)
            .map(Resource::key)
            .collect();
        for set in sets {
            self.remove_tree(&set);
        }
    }

    /// Removes a group's content unless something outside still needs it.
    pub(crate) fn finish_group_delete(&mut self, key: &str) -> Outcome {
        let mut blocked: Vec<Value> = Vec::new();
        for resource in self.below(key) {
            for (user, what) in self.users_of(resource) {
                if !ids::within(&ids::key(&user), key) {
                    blocked.push(json!({"code": what, "target": resource.id, "message": user}));
                }
            }
            if resource.rtype == ACCOUNT.rtype
                && let Err(error) = account_deletable(self, resource)
            {
                let (code, message) = (error.code, error.message);
                blocked.push(json!({"code": code, "target": resource.id, "message": message}));
            }
        }
        if blocked.is_empty() {
            self.remove_tree(key);
            return Outcome::Succeeded;
        }
        Outcome::Failed(json!({
            "code": "ResourceGroupDeletionBlocked",
            "message": format!(
                "Deletion of resource group '{}' failed as resources with identifiers {} could \
                 not be deleted. The provisioning state of the resource group will be rolled back.",
                ids::name_of(key),
                blocked.iter().filter_map(|b| b["target"].as_str()).collect::<Vec<_>>().join(", ")
            ),
            "details": blocked,
        }))
    }

    /// Refuses what a lock forbids; locks are inherited and a locked child protects its parents.
    pub(crate) fn check_locks(&self, target: &str, delete: bool) -> Answer<()> {
        let key = ids::key(target);
        let locks = self
            .resources
            .values()
            .filter(|r| r.rtype == LOCK.rtype)
            .map(|r| (r.id.as_str(), r.text("/properties/level")))
            .chain(self.ghost_locks.iter().map(|g| (g.id.as_str(), g.level.as_str())));
        let mut locked = Vec::new();
        for (id, level) in locks {
            let scope = lock_scope(id);
            let scope_key = ids::key(scope);
            let inherited = ids::within(&key, &scope_key);
            let applies = match (level, delete) {
                ("ReadOnly", false) => inherited,
                (_, true) => inherited || ids::within(&scope_key, &key),
                _ => false,
            };
            if applies && !locked.iter().any(|seen| seen == scope) {
                locked.push(scope.to_owned());
            }
        }
        if locked.is_empty() {
            return Ok(());
        }
        Err(ArmError::scope_locked(target, if delete { "delete" } else { "write" }, &locked))
    }

    /// Refuses a write while another one runs on the object or on the parent that holds it.
    pub(crate) fn check_conflict(
        &mut self,
        kind: &Kind,
        id: &str,
        old: Option<&Resource>,
    ) -> Answer<()> {
        let key = ids::key(id);
        let parent = self.inline_parent(kind, &key);
        let parent = parent.and_then(|p| self.resources.get(&p));
        if let Some(parent) = parent.filter(|p| p.busy.is_some()) {
            let state = parent.state.as_str();
            return Err(if kind.rtype.ends_with("/virtualNetworkPeerings") {
                let mut error =
                    ArmError::not_provisioned(&parent.id, id, state, &parent.last_operation);
                error.status = 400;
                "ReferencedResourceNotProvisioned".clone_into(&mut error.code);
                error
            } else {
                ArmError::not_provisioned(&parent.id, id, state, &parent.last_operation)
                    .after_ms(self.scaled(10_000))
            });
        }
        let Some(running) = old.and_then(|o| o.busy.clone()) else { return Ok(()) };
        match kind.put {
            PutManner::Location { .. } => Err(ArmError::new(
                409,
                "StorageAccountOperationInProgress",
                format!(
                    "An operation is currently performing on storage account {} that requires \
                     exclusive access.",
                    ids::name_of(id)
                ),
            )),
            _ if kind.patch_async && old.is_some_and(|o| o.state != State::Deleting) => {
                self.preempt(&running);
                Ok(())
            }
            _ => {
                let uri = self.operation_urls(&running).status;
                Err(ArmError::new(
                    409,
                    "AnotherOperationInProgress",
                    format!(
                        "Another operation on this or dependent resource is in progress. To \
                         retrieve status of the operation use uri: {uri}."
                    ),
                )
                .after_ms(self.scaled(10_000)))
            }
        }
    }
}

/// The scope of a lock's id.
pub(crate) fn lock_scope(id: &str) -> &str {
    let at = id.to_ascii_lowercase().rfind("/providers/microsoft.authorization/");
    at.map_or(id, |at| &id[..at])
}
