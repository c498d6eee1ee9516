//! Microsoft.Storage.

pub(crate) mod account;
pub(crate) mod container;
pub(crate) mod firewall;
pub(crate) mod retention;

use serde_json::json;

use crate::world::World;
use crate::world::crud::missing;
use crate::world::errors::{Answer, ArmError};
use crate::world::http::{Method, Request, Response};
use crate::world::ids::ArmPath;
use crate::world::names;
use crate::world::resource::text;

/// Api-versions: the pinned one, then those that SDK and CLI send.
pub(crate) const VERSIONS: &[&str] = &[
    "2023-05-01",
    "2023-01-01",
    "2024-01-01",
    "2025-01-01",
    "2025-06-01",
    "2025-08-01",
    "2026-04-01",
    "2026-09-01",
];

/// Names that paths of the same endpoint need for themselves.
pub(crate) const RESERVED: &[&str] =
    &["subscriptions", "providers", "tenants", "metadata", "emulator", "common", "organizations"];

/// Name checks, keys.
pub(crate) fn route(
    world: &mut World,
    req: &Request,
    path: &ArmPath,
    version: &str,
) -> Option<Answer> {
    if !path.namespace.eq_ignore_ascii_case("Microsoft.Storage") {
        return None;
    }
    if retention::is_lock(&path.types) {
        let known = VERSIONS.contains(&version);
        return Some(if known {
            retention::lock(world, req)
        } else {
            Err(crate::world::versions::unknown_type(path, version))
        });
    }
    let action = path.types.last().map(|w| w.to_ascii_lowercase()).unwrap_or_default();
    if !["checknameavailability", "listkeys"].contains(&action.as_str()) {
        return None;
    }
    if !VERSIONS.contains(&version) {
        return Some(Err(crate::world::versions::unknown_type(path, version)));
    }
    if req.method != Method::Post {
        return Some(Err(ArmError::method_not_allowed(req.method.as_str())));
    }
    if action == "checknameavailability" {
        return Some(check_name(world, req));
    }
    let id = req.path.rsplit_once('/').map_or("", |(id, _)| id);
    let answer = world
        .require(&req.principal, "Microsoft.Storage/storageAccounts/listKeys/action", id)
        .and_then(|()| match world.visible(id) {
            None => Err(missing(&account::ACCOUNT, path)),
            // The data plane takes no shared key, so neither does any account give one out.
            Some(_) => Ok(Response::json(200, json!({"keys": []}))),
        });
    Some(answer)
}

fn check_name(world: &World, req: &Request) -> Answer {
    let name = text(&req.body, "/name");
    if text(&req.body, "/type") != "Microsoft.Storage/storageAccounts" {
        return Err(ArmError::missing_property("type"));
    }
    let refusal = if let Err(error) = names::storage(name) {
        Some(("AccountNameInvalid", error.message))
    } else if world.account_name_taken(name) || RESERVED.contains(&name) {
        Some(("AlreadyExists", format!("The storage account named {name} is already taken.")))
    } else {
        None
    };
    Ok(Response::json(
        200,
        match refusal {
            None => json!({"nameAvailable": true}),
            Some((reason, message)) => {
                json!({"nameAvailable": false, "reason": reason, "message": message})
            }
        },
    ))
}
