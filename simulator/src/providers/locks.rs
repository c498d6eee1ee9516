//! Management locks on any scope.

use serde_json::json;

use crate::world::errors::{Answer, ArmError};
use crate::world::kind::{Kind, PLAIN, Prepared, Put, own_parts};
use crate::world::remove::lock_scope;
use crate::world::resource::{Resource, text};
use crate::world::{GhostLock, World, names};

/// Locks.
pub(crate) const LOCK: Kind = Kind {
    rtype: "Microsoft.Authorization/locks",
    versions: &["2020-05-01", "2016-09-01", "2017-04-01"],
    operation: "PutLockOperation",
    name: names::lock,
    prepare,
    removed,
    ..PLAIN
};

fn prepare(world: &World, put: &Put<'_>) -> Answer<Prepared> {
    let level = text(put.body, "/properties/level");
    if !["CanNotDelete", "ReadOnly"].contains(&level) {
        return Err(ArmError::gateway(
            400,
            "InvalidLockLevel",
            format!(
                "The lock level '{level}' is invalid. The supported levels are 'CanNotDelete, \
                 ReadOnly'."
            ),
        ));
    }
    let scope = lock_scope(put.id);
    let segments = scope.split('/').filter(|s| !s.is_empty()).count();
    if segments > 2 && world.visible(scope).is_none() {
        let text = format!("The scope '{scope}' could not be found.");
        return Err(ArmError::gateway(404, "ResourceNotFound", text));
    }
    let mut body = own_parts(put.body);
    body["properties"] = json!({"level": level});
    let notes = text(put.body, "/properties/notes");
    if !notes.is_empty() {
        body["properties"]["notes"] = json!(notes);
    }
    Ok(Prepared { body, ..Prepared::default() })
}

/// A removed lock is felt for some time.
fn removed(world: &mut World, lock: &Resource) {
    let until_ms = world.now_ms + world.scaled(world.settings.lock_delay_ms);
    // A scope that is gone needs no protection.
    if world.visible(lock_scope(&lock.id)).is_some() {
        let level = lock.text("/properties/level").to_owned();
        world.ghost_locks.push(GhostLock { id: lock.id.clone(), level, until_ms });
    }
}
