//! Rules of the servers' images, and of the room that is reserved for them.

use super::is_id_of_type;
use crate::spec::{ClusterSpec, ImageChannel, ImagePlan, ImageReference, ZoneFallback};

const GALLERY: &str = "Microsoft.Compute/galleries";
const RESERVATIONS: &str = "Microsoft.Compute/capacityReservationGroups";

/// A channel for an image that is one version.
pub const CHANNEL_NEEDS_A_MARKETPLACE: &str = "source_image_id names one version, which stays until another one is \
                                               written. Set image_upgrade_channel = \"none\", and write the id of a newer \
                                               version for a newer image.";
/// A reservation, and servers that may be elsewhere.
pub const RESERVATION_NEEDS_STRICT: &str = "Room is reserved for one size in one zone, and with a zone_fallback a server may \
                                            be of another size or elsewhere. Set zone_fallback = \"strict\" (the default).";
/// A reservation, and servers in no zone.
pub const RESERVATION_NEEDS_ZONES: &str = "Azure takes scale sets with reserved room in a zone, or with three fault domains at \
                                           most, and servers outside of zones have five. Choose a region with zones, or leave \
                                           capacity_reservation_group_id out.";
/// A purchase with nothing that was bought.
pub const PLAN_NEEDS_AN_IMAGE: &str = "The image that hcs takes by itself costs nothing. Set image or source_image_id to what \
                                       was bought, or leave image_plan out.";

/// Id of a version of an image in a gallery.
pub fn source_image_id(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split('/').collect();
    let is_version = parts.len() == 13
        && parts[1..].iter().all(|part| !part.is_empty())
        && is_id_of_type(&parts[..9].join("/"), GALLERY)
        && parts[9].eq_ignore_ascii_case("images")
        && parts[11].eq_ignore_ascii_case("versions");
    let version = parts.last().copied().unwrap_or_default();
    let is_exact = version.split('.').count() == 3 && version.split('.').all(is_number);
    if is_version && is_exact {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not the id of a version in an image gallery; it ends in \
         {GALLERY}/<gallery>/images/<image>/versions/<1.2.3>, as azurerm_shared_image_version.example.id has it. The newest \
         version is the data source's: data \"azurerm_shared_image_version\" with name = \"latest\"."
    ))
}

fn is_number(part: &str) -> bool {
    part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse::<u32>().is_ok()
}

/// Id of a group of capacity reservations.
pub fn capacity_reservation_group_id(text: &str) -> Result<(), String> {
    if is_id_of_type(text, RESERVATIONS) && !text.ends_with('/') {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not the id of a capacity reservation group; it ends in {RESERVATIONS}/<name>."
    ))
}

/// An image of the marketplace and what was bought are the same offer.
pub fn image_plan(plan: &ImagePlan, image: &ImageReference) -> Result<(), String> {
    let same = |own: &str, other: &str| own.eq_ignore_ascii_case(other);
    if same(&plan.publisher, &image.publisher)
        && same(&plan.product, &image.offer)
        && same(&plan.name, &image.sku)
    {
        return Ok(());
    }
    Err(format!(
        "Bought is {}:{}:{}, and the image is {}:{}:{}. With an image of the marketplace image_plan's publisher, product and \
         name are the image's publisher, offer and sku.",
        plan.publisher, plan.product, plan.name, image.publisher, image.offer, image.sku
    ))
}

/// What of these is wrong together or alone: the attribute, and why.
pub(super) fn broken(spec: &ClusterSpec) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let mut check = |attribute, checked: Result<(), String>| {
        found.extend(checked.err().map(|why| (attribute, why)));
    };
    if let Some(id) = &spec.source_image_id {
        check("source_image_id", source_image_id(id.as_str()));
        if spec.image_upgrade_channel != ImageChannel::None {
            check("image_upgrade_channel", Err(CHANNEL_NEEDS_A_MARKETPLACE.to_owned()));
        }
    } else if let Some(plan) = &spec.image_plan {
        check("image_plan", image_plan(plan, &spec.image));
    }
    if let Some(id) = &spec.capacity_reservation_group_id {
        check("capacity_reservation_group_id", capacity_reservation_group_id(id.as_str()));
        if spec.zone_fallback != ZoneFallback::Strict {
            check("zone_fallback", Err(RESERVATION_NEEDS_STRICT.to_owned()));
        }
        if spec.zones.is_empty() {
            check("capacity_reservation_group_id", Err(RESERVATION_NEEDS_ZONES.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_a_gallery_is_one_version() {
        let image = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/gold/images/ubuntu";
        assert_eq!(source_image_id(&format!("{image}/versions/1.2.3")), Ok(()));
        for wrong in [
            image.to_owned(),
            format!("{image}/versions/latest"),
            format!("{image}/versions/1.2"),
            format!("{image}/versions/1.2.-3"),
            format!("{image}/versions/1.2.+3"),
            format!("{}/versions/1.2.3", image.replace("ubuntu", "")),
            image.replace("galleries/gold/", "") + "/versions/1.2.3",
            String::new(),
        ] {
            assert!(
                source_image_id(&wrong).unwrap_err().contains("not the id of a version"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn what_was_bought_is_the_image() {
        let image = ImageReference {
            publisher: "cis".into(),
            offer: "hardened".into(),
            sku: "l1-gen2".into(),
            version: "latest".into(),
        };
        let plan = ImagePlan {
            publisher: "CIS".into(),
            product: "hardened".into(),
            name: "l1-gen2".into(),
        };
        assert_eq!(image_plan(&plan, &image), Ok(()));
        let other = ImagePlan { name: "l2-gen2".into(), ..plan };
        assert!(image_plan(&other, &image).unwrap_err().contains("publisher, offer and sku"));
    }
}
