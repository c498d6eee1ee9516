//! Azure Compute Gallery and capacity reservations: what users make, and what a scale set says of them. Sources: Microsoft's
//! pages on galleries ("must be replicated to the region"), on the linked scope check, and on on-demand capacity reservation.

use serde_json::{Value, json};

use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::ids;
use crate::world::kind::{COMPUTE_VERSIONS, Kind, PLAIN, Prepared, Put, PutManner, own_parts};
use crate::world::resource::{list, text};

const GALLERY_VERSIONS: &[&str] = &["2022-03-03", "2023-07-03", "2024-03-03"];

/// What all of them have in common.
const OWN: Kind = Kind {
    put: PutManner::Async { retry_after_ms: 2_000 },
    delete_async: true,
    create_ms: 2_000,
    update_ms: 2_000,
    delete_ms: 2_000,
    tracked: true,
    prepare: |_, put| {
        let mut body = own_parts(put.body);
        body["location"] = json!(put.location);
        Ok(Prepared { body, ..Prepared::default() })
    },
    ..PLAIN
};

/// Galleries.
pub(crate) const GALLERY: Kind =
    Kind { rtype: "Microsoft.Compute/galleries", versions: GALLERY_VERSIONS, ..OWN };

/// Images, which have versions.
pub(crate) const IMAGE: Kind =
    Kind { rtype: "Microsoft.Compute/galleries/images", versions: GALLERY_VERSIONS, ..OWN };

/// What machines are made of.
pub(crate) const VERSION: Kind = Kind {
    rtype: "Microsoft.Compute/galleries/images/versions",
    versions: GALLERY_VERSIONS,
    ..OWN
};

/// Groups of reservations.
pub(crate) const RESERVATION_GROUP: Kind = Kind {
    rtype: "Microsoft.Compute/capacityReservationGroups",
    versions: COMPUTE_VERSIONS,
    ..OWN
};

/// Room for machines of one size in one zone.
pub(crate) const RESERVATION: Kind = Kind {
    rtype: "Microsoft.Compute/capacityReservationGroups/capacityReservations",
    versions: COMPUTE_VERSIONS,
    ..OWN
};

const PROFILE: &str = "/properties/virtualMachineProfile";

/// What Azure says of a scale set's image of a gallery, and of its reservation.
pub(super) fn check(world: &World, put: &Put<'_>) -> Answer<()> {
    let at = |tail: &str| text(put.body, &format!("{PROFILE}{tail}"));
    let image = at("/storageProfile/imageReference/id");
    if !image.is_empty() {
        check_image(world, put, image)?;
    }
    let group = at("/capacityReservation/capacityReservationGroup/id");
    if group.is_empty() { Ok(()) } else { check_reservation(world, put, group) }
}

fn check_image(world: &World, put: &Put<'_>, id: &str) -> Answer<()> {
    let version = world.referenced(id, put.id)?;
    if version.rtype != VERSION.rtype {
        return Err(ArmError::invalid("InvalidParameter", "The image path is incomplete."));
    }
    let secure = format!("{PROFILE}/securityProfile/securityType");
    if text(put.body, &secure) == "TrustedLaunch" && !is_trusted(world, id) {
        return Err(ArmError::invalid(
            "BadRequest",
            "The gallery image does not support the security type 'TrustedLaunch'.",
        ));
    }
    let regions = list(&version.body, "/properties/publishingProfile/targetRegions");
    let normal = |name: &str| name.replace(' ', "").to_lowercase();
    let is_here = |region: &Value| normal(text(region, "/name")) == put.location;
    if !regions.iter().any(is_here) {
        return Err(ArmError::new(
            404,
            "GalleryImageNotFound",
            format!(
                "The gallery image {id} is not available in {} region. Please contact image owner to replicate to this region, \
                 or change your requested region.",
                put.location
            ),
        ));
    }
    world.require_linked(
        put.principal,
        "Microsoft.Compute/galleries/images/versions/read",
        id,
        put.id,
    )
}

/// Whether the image of this version is one for machines that start securely.
fn is_trusted(world: &World, version: &str) -> bool {
    let image = version.rsplit_once("/versions/").map_or("", |(image, _)| image);
    let Some(image) = world.resources.get(&ids::key(image)) else { return false };
    let mut features = list(&image.body, "/properties/features").iter();
    features.any(|feature| {
        text(feature, "/name") == "SecurityType"
            && text(feature, "/value").starts_with("TrustedLaunch")
    })
}

fn check_reservation(world: &World, put: &Put<'_>, group: &str) -> Answer<()> {
    let found = world.referenced(group, put.id)?;
    if found.rtype != RESERVATION_GROUP.rtype || found.text("/location") != put.location {
        return Err(ArmError::invalid(
            "InvalidParameter",
            format!(
                "The capacity reservation group '{group}' must be in the location '{}'.",
                put.location
            ),
        ));
    }
    world.require_linked(
        put.principal,
        "Microsoft.Compute/capacityReservationGroups/deploy/action",
        group,
        put.id,
    )?;
    let number = |pointer: &str| put.body.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let is_single = put.body.pointer("/properties/singlePlacementGroup") != Some(&json!(false));
    if is_single || number("/properties/platformFaultDomainCount") > 3 {
        return Err(ArmError::invalid(
            "InvalidParameter",
            "A scale set in a capacity reservation group needs singlePlacementGroup false and 3 fault domains at most.",
        ));
    }
    let size = text(put.body, "/sku/name");
    let wanted = list(put.body, "/zones");
    let within = format!("{}/capacityreservations/", ids::key(group));
    let fits = |body: &Value| {
        let zones = list(body, "/zones");
        text(body, "/sku/name").eq_ignore_ascii_case(size)
            && (if wanted.is_empty() {
                zones.is_empty()
            } else {
                wanted.iter().all(|zone| zones.contains(zone))
            })
    };
    let mut reserved = world.resources.iter().filter(|(key, _)| key.starts_with(&within));
    if reserved.any(|(_, reservation)| fits(&reservation.body)) {
        return Ok(());
    }
    Err(ArmError::new(
        409,
        "OperationNotAllowed",
        format!(
            "The capacity reservation group '{group}' has no capacity reservation that matches the VM size '{size}' and zone of \
             '{}'.",
            ids::name_of(put.id)
        ),
    ))
}
