//! User-assigned identities and the principals behind them.

use serde_json::json;

use crate::world::errors::Answer;
use crate::world::ids;
use crate::world::kind::{Kind, PLAIN, Prepared, Put, own_parts};
use crate::world::{Principal, World, names};

/// User-assigned identities.
pub(crate) const IDENTITY: Kind = Kind {
    rtype: "Microsoft.ManagedIdentity/userAssignedIdentities",
    versions: &["2023-01-31", "2024-11-30", "2025-01-31-preview", "2025-05-31-preview"],
    tracked: true,
    operation: "PutIdentityOperation",
    name: names::identity,
    prepare,
    stored,
    removed: |world, resource| {
        let principal = resource.text("/properties/principalId");
        world.principals.remove(principal);
    },
    ..PLAIN
};

#[allow(clippy::unnecessary_wraps)] // the signature of every type
fn prepare(_: &World, put: &Put<'_>) -> Answer<Prepared> {
    let mut body = own_parts(put.body);
    body["location"] = json!(put.location);
    body["properties"] = put.old.map_or(json!({}), |old| old.body["properties"].clone());
    Ok(Prepared { body, ..Prepared::default() })
}

fn stored(world: &mut World, key: &str) {
    let known =
        world.resources.get(key).is_none_or(|r| !r.text("/properties/principalId").is_empty());
    if known {
        return;
    }
    let mut drawn = world.drawn_for(key);
    let (object_id, client_id) = (drawn.guid(), drawn.guid());
    let visible_ms = world.now_ms + world.scaled(world.settings.principal_delay_ms);
    let tenant = world.settings.tenant_id.clone();
    let Some(identity) = world.resources.get_mut(key) else { return };
    identity.body["properties"] =
        json!({"tenantId": tenant, "principalId": object_id, "clientId": client_id});
    let identity_id = identity.id.clone();
    let principal = Principal { object_id: object_id.clone(), client_id, identity_id, visible_ms };
    world.principals.insert(object_id, principal);
}

impl World {
    /// Principal id and client id of an identity.
    pub(crate) fn identity_ids(&self, id: &str) -> Option<(String, String)> {
        let identity = self.resources.get(&ids::key(id)).filter(|r| r.rtype == IDENTITY.rtype)?;
        Some((
            identity.text("/properties/principalId").to_owned(),
            identity.text("/properties/clientId").to_owned(),
        ))
    }
}
