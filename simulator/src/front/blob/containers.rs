//! Containers through the data plane. Only the roles for blob data grant anything here.

use super::Call;
use super::errors::{BlobError, DENIED, NO_CONTAINER, error, escape};
use crate::front::wire::{self, Reply};
use crate::world::fault::http_date;
use crate::world::names;

fn allow(call: &Call<'_>, what: &str) -> Result<(), BlobError> {
    let world = call.shared.world();
    if world.allows_container(&call.principal, &call.account, &call.container, what) {
        Ok(())
    } else {
        Err(DENIED)
    }
}

fn stamp(reply: &mut Reply, call: &Call<'_>) {
    let id = call.shared.world().account(&call.account).map(|a| a.id.clone()).unwrap_or_default();
    let id = format!("{id}/blobServices/default/containers/{}", call.container);
    if let Some(container) = call.shared.world().visible(&id) {
        wire::set(reply, "etag", container.etag.trim_start_matches("W/"));
        wire::set(reply, "last-modified", &http_date(container.created_ms));
    }
}

/// Create Container.
pub(crate) fn create(call: &Call<'_>) -> Result<Reply, BlobError> {
    allow(call, "write")?;
    names::container(&call.container).map_err(|_| {
        let text = "The specified resource name contains invalid characters.";
        error(400, "InvalidResourceName", text)
    })?;
    if !call.shared.world().create_container(&call.account, &call.container) {
        let text = "The specified container already exists.";
        return Err(error(409, "ContainerAlreadyExists", text));
    }
    call.shared.keep();
    let mut reply = wire::reply(201, "", "");
    stamp(&mut reply, call);
    Ok(reply)
}

/// Get Container Properties.
pub(crate) fn properties(call: &Call<'_>) -> Result<Reply, BlobError> {
    allow(call, "read")?;
    if !call.shared.world().container_exists(&call.account, &call.container) {
        return Err(NO_CONTAINER);
    }
    let mut reply = wire::reply(200, "", "");
    stamp(&mut reply, call);
    wire::set(&mut reply, "x-ms-lease-status", "unlocked");
    wire::set(&mut reply, "x-ms-lease-state", "available");
    let retention = call.shared.world().retention(&call.account, &call.container);
    let immutable = if retention.immutable_ms > 0 { "true" } else { "false" };
    wire::set(&mut reply, "x-ms-has-immutability-policy", immutable);
    wire::set(&mut reply, "x-ms-has-legal-hold", "false");
    Ok(reply)
}

/// Delete Container.
pub(crate) fn delete(call: &Call<'_>) -> Result<Reply, BlobError> {
    allow(call, "delete")?;
    if call.shared.world().container_is_locked(&call.account, &call.container) {
        let text = "The requested operation is not allowed as the container has a locked immutability policy.";
        return Err(error(409, "ContainerImmutabilityPolicyLocked", text));
    }
    if !call.shared.world().delete_container(&call.account, &call.container) {
        return Err(NO_CONTAINER);
    }
    call.shared.keep();
    Ok(wire::reply(202, "", ""))
}

/// List Containers.
pub(crate) fn list(call: &Call<'_>) -> Result<Reply, BlobError> {
    allow(call, "read")?;
    let prefix = call.query("prefix");
    let mut rows = String::new();
    for name in call.shared.world().containers(&call.account) {
        if name.starts_with(prefix) {
            rows += "<Container><Name>";
            rows += &escape(&name);
            rows += "</Name><Properties><LeaseStatus>unlocked</LeaseStatus>\
                     <LeaseState>available</LeaseState></Properties></Container>";
        }
    }
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults \
         ServiceEndpoint=\"{}/{}/\"><Prefix>{}</Prefix><Containers>{rows}</Containers>\
         <NextMarker /></EnumerationResults>",
        call.shared.endpoint,
        call.account,
        escape(prefix)
    );
    Ok(wire::reply(200, "application/xml", xml))
}

/// Get Account Information.
pub(crate) fn account_info(call: &Call<'_>) -> Result<Reply, BlobError> {
    allow(call, "read")?;
    let mut reply = wire::reply(200, "", "");
    wire::set(&mut reply, "x-ms-sku-name", "Standard_LRS");
    wire::set(&mut reply, "x-ms-account-kind", "StorageV2");
    wire::set(&mut reply, "x-ms-is-hns-enabled", "false");
    Ok(reply)
}
