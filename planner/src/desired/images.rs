//! From which image a server is made, what was bought with it, and from which reservation it takes its room.

use serde_json::{Value, json};

use super::Builder;
use super::shared::{Shared, was_declared};
use crate::arm::ArmId;
use crate::diff::gone;
use crate::reference::image_version;

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
    let was_declared = was_declared(builder, server, Shared::Reservation);
    let profile = &mut body["properties"]["virtualMachineProfile"];
    if let Some(id) = &spec.capacity_reservation_group_id {
        profile["capacityReservation"] = json!({ "capacityReservationGroup": { "id": id } });
    } else if was_declared {
        profile["capacityReservation"] = gone();
    }
}
