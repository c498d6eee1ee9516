//! The newest version of a marketplace image.
//!
//! Fact: a scale set whose model says `latest` gives each instance the newest image of the day, and a running one another
//! OS disk when it is brought to the model (Microsoft's page on image upgrades of scale sets). So the word never gets there.

use std::time::Duration;

use hcs_planner::spec::{ClusterSpec, ImageReference};
use serde_json::Value;

use crate::arm::Arm;
use crate::error::{ArmError, EngineError};

const API_VERSION: &str = "2024-07-01";

/// The version by number, e.g. `24.04.202611050`. Whoever may not read the marketplace's list, which is the
/// subscription's, has to name one: the error says so.
pub async fn newest_version(arm: &Arm, spec: &ClusterSpec) -> Result<String, EngineError> {
    let image = &spec.image;
    let path = format!(
        "/subscriptions/{}/providers/Microsoft.Compute/locations/{}/publishers/{}/artifacttypes/vmimage/offers/{}/skus/{}/versions?api-version={API_VERSION}",
        spec.subscription_id, spec.location, image.publisher, image.offer, image.sku
    );
    let mut listed = arm.get_path(&path).await;
    if is_denied(&listed) {
        // Rights flicker.
        arm.sleep(Duration::from_secs(5)).await?;
        listed = arm.get_path(&path).await;
    }
    if is_denied(&listed) {
        let reason = format!(
            "the newest version of the image {}:{}:{} cannot be found out, as the caller may not read the subscription's \
             list of images: set image with an exact version (az vm image list), or give the caller Reader on the \
             subscription",
            image.publisher, image.offer, image.sku
        );
        return Err(EngineError::Unplanned { reason });
    }
    let listed = listed?;
    let rows = listed.as_ref().and_then(Value::as_array).into_iter().flatten();
    let names = rows.filter_map(|row| row.get("name")?.as_str());
    let newest = names.max_by_key(|name| ImageReference::version_order(name)).map(str::to_owned);
    newest.ok_or_else(|| {
        let image = format!("{}:{}:{}", image.publisher, image.offer, image.sku);
        let reason = format!("the region {} has no image {image}: set image", spec.location);
        EngineError::Unplanned { reason }
    })
}

fn is_denied<T>(answer: &Result<T, EngineError>) -> bool {
    matches!(answer, Err(EngineError::Arm(ArmError { status: 401 | 403, .. })))
}
