//! Blob containers as ARM sees them.

use serde_json::{Value, json};

use super::{VERSIONS, retention};
use crate::world::events::Event;
use crate::world::kind::{Kind, PLAIN, Prepared, own_parts};
use crate::world::names;
use crate::world::operations::rfc3339;
use crate::world::resource::default;

/// Blob containers.
pub(crate) const CONTAINER: Kind = Kind {
    rtype: "Microsoft.Storage/storageAccounts/blobServices/containers",
    versions: VERSIONS,
    operation: "PutContainerOperation",
    name: names::container,
    prepare: |_, put| Ok(Prepared { body: defaults(put.body), ..Prepared::default() }),
    render: |world, container, body| {
        retention::describe(world, container, body);
        body["etag"] = json!(container.etag.trim_start_matches("W/"));
        body["properties"]["lastModifiedTime"] = json!(rfc3339(container.created_ms));
    },
    deletable: retention::container_deletable,
    removed: |world, container| {
        let mut segments = container.id.rsplit('/');
        let (name, account) = (segments.next(), segments.nth(3));
        world.events.push(Event::ContainerDeleted {
            account: account.unwrap_or_default().to_owned(),
            container: name.unwrap_or_default().to_owned(),
        });
    },
    ..PLAIN
};

/// A container's body with what the service fills.
pub(crate) fn defaults(sent: &Value) -> Value {
    let mut body = own_parts(sent);
    for (name, value) in [
        ("publicAccess", json!("None")),
        ("leaseStatus", json!("Unlocked")),
        ("leaseState", json!("Available")),
        ("defaultEncryptionScope", json!("$account-encryption-key")),
        ("denyEncryptionScopeOverride", json!(false)),
        ("hasImmutabilityPolicy", json!(false)),
        ("hasLegalHold", json!(false)),
        ("deleted", json!(false)),
        ("remainingRetentionDays", json!(0)),
    ] {
        default(&mut body["properties"], name, value);
    }
    body
}
