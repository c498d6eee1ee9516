//! Images of the servers, what was bought with them, and room that is reserved.

use hcs_planner::rules;
use hcs_planner::spec::{ImageChannel, ZoneFallback};
use tfplugin::typed::Content as _;
use tfplugin::{Diagnostic, Diagnostics, Value};

use crate::cluster::model::{Cluster, Image, ImagePlan};

pub(super) fn images(config: &Value, found: &mut Diagnostics) {
    let channel = config.get(Cluster::IMAGE_UPGRADE_CHANNEL).as_str();
    let takes_newest = channel == Some(ImageChannel::Latest.as_str());
    let version = config.get(Cluster::IMAGE).get(Image::VERSION).as_str();
    if let Some(exact) = version.filter(|version| !version.eq_ignore_ascii_case("latest"))
        && takes_newest
    {
        let detail = format!(
            "An exact image stays until another one is written, and a channel moves it. Set image.version = \"latest\" instead \
             of {exact:?}, or image_upgrade_channel = \"none\"."
        );
        let summary = "image_upgrade_channel does not go with an exact image";
        found.push(Diagnostic::error(summary, detail).at(Cluster::IMAGE_UPGRADE_CHANNEL));
    }
    if config.get(Cluster::SOURCE_IMAGE_ID).is_set() && takes_newest {
        let summary = "image_upgrade_channel does not go with source_image_id";
        let diagnostic = Diagnostic::error(summary, rules::CHANNEL_NEEDS_A_MARKETPLACE);
        found.push(diagnostic.at(Cluster::IMAGE_UPGRADE_CHANNEL));
    }
    purchase(config, found);
}

/// What was bought goes with what is taken.
fn purchase(config: &Value, found: &mut Diagnostics) {
    let (plan, image) = (config.get(Cluster::IMAGE_PLAN), config.get(Cluster::IMAGE));
    let of_gallery = !config.get(Cluster::SOURCE_IMAGE_ID).is_null();
    if !plan.is_set() || of_gallery {
        return;
    }
    if image.is_null() {
        let summary = "image_plan without an image";
        let diagnostic = Diagnostic::error(summary, rules::PLAN_NEEDS_AN_IMAGE);
        found.push(diagnostic.at(Cluster::IMAGE_PLAN));
        return;
    }
    if !plan.is_wholly_known() || !image.is_wholly_known() {
        return;
    }
    let (plan, image) = (ImagePlan::read(plan).ok(), Image::read(image).ok());
    let plan = plan.and_then(|plan| plan.known()?.to_spec().ok());
    let image = image.and_then(|image| image.known()?.to_spec().ok());
    if let (Some(plan), Some(image)) = (plan, image)
        && let Err(detail) = rules::image_plan(&plan, &image)
    {
        let summary = "image_plan is of another image";
        found.push(Diagnostic::error(summary, detail).at(Cluster::IMAGE_PLAN));
    }
}

/// Room that is reserved is of one size and place.
pub(super) fn reservations(config: &Value, found: &mut Diagnostics) {
    let fallback = config.get(Cluster::ZONE_FALLBACK).as_str();
    let is_elsewhere = fallback.is_some_and(|word| word != ZoneFallback::Strict.as_str());
    if config.get(Cluster::CAPACITY_RESERVATION_GROUP_ID).is_set() && is_elsewhere {
        let summary = "capacity_reservation_group_id needs zone_fallback = \"strict\"";
        let diagnostic = Diagnostic::error(summary, rules::RESERVATION_NEEDS_STRICT);
        found.push(diagnostic.at(Cluster::CAPACITY_RESERVATION_GROUP_ID));
    }
}
