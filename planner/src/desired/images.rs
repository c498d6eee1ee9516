//! From which image a server is made, what was bought with it, and from which reservation it takes its room.

use serde_json::{Value, json};

use super::Builder;
use crate::arm::ArmId;
use crate::diff::gone;
use crate::names::RESERVATION_TAG;
use crate::reference::image_version;

/// What the tag says of a server whose reservation was declared here. What somebody else set stays.
const DECLARED: &str = "declared";

/// Azure's reference to the image.
pub(super) fn reference(builder: &Builder<'_>) -> Value {
    let spec = builder.spec;
    if let Some(id) = &spec.source_image_id {
        return json!({ "id": id });
    }
    let mut image = json!(spec.image);
    if spec.takes_newest_image() {
        // A word in the model would bring another image with the next write of it, and with it another OS disk.
        image["version"] = image_version(spec.image_at_least.as_deref());
    }
    image
}

/// Writes what was bought, and the reservation, into the body of this server.
pub(super) fn add(builder: &Builder<'_>, server: &ArmId, body: &mut Value) {
    let spec = builder.spec;
    let before = builder.observed.object(server);
    // Azure takes a purchase at creation alone: what is there was declared.
    if let Some(plan) = &spec.image_plan {
        body["plan"] = json!(plan);
    } else if before.is_some_and(|before| before.get("plan").is_some_and(Value::is_object)) {
        body["plan"] = gone();
    }
    let was_declared = was_declared(builder, server);
    let profile = &mut body["properties"]["virtualMachineProfile"];
    if let Some(id) = &spec.capacity_reservation_group_id {
        profile["capacityReservation"] = json!({ "capacityReservationGroup": { "id": id } });
    } else if was_declared {
        profile["capacityReservation"] = gone();
    }
}

/// Whether the reservation of this server was declared: its tag says so, or the declaration that is stored.
fn was_declared(builder: &Builder<'_>, server: &ArmId) -> bool {
    let Some(body) = builder.observed.object(server) else { return false };
    let group = "/properties/virtualMachineProfile/capacityReservation/capacityReservationGroup/id";
    let own = body.pointer(group).and_then(Value::as_str).map(ArmId::new);
    let stored = builder.observed.stored_spec.as_ref();
    let stored = stored.and_then(|spec| spec.capacity_reservation_group_id.as_ref());
    body["tags"][RESERVATION_TAG].is_string() || (own.is_some() && own.as_ref() == stored)
}

/// Writes down that a reservation is declared, beside it.
pub(super) fn tag(builder: &mut Builder<'_>, server: &str) {
    let is_declared = builder.spec.capacity_reservation_group_id.is_some();
    let Some(object) = builder.objects.get(server) else { return };
    let before = builder.observed.object(&object.id);
    let is_tagged = before.is_some_and(|before| before["tags"][RESERVATION_TAG].is_string());
    let tag = if is_declared { json!(DECLARED) } else { gone() };
    if let (true, Some(object)) = (is_declared || is_tagged, builder.objects.get_mut(server)) {
        object.body["tags"][RESERVATION_TAG] = tag;
    }
}
