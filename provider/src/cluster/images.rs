//! Another image by a channel, in a maintenance window.
//!
//! The servers hold no right to change an object of Azure, so an apply brings it: one that somebody runs, or a pipeline in
//! the window (`docs/decisions/0031-an-apply-brings-images.md`). What is due is found out by a read and stands in the state:
//! core plans again inside the apply, and both plans have to come out the same, whether the window is over by then or
//! another image published. The plan says that the image becomes another one, not which; the apply looks again.

use hcs_engine::arm::Arm;
use hcs_engine::clock::Clock;
use hcs_engine::error::EngineError;
use hcs_engine::image::newest_version;
use hcs_planner::maintenance::Work;
use hcs_planner::spec::{ClusterSpec, ImageReference};
use jiff::Timestamp;
use tfplugin::Value;

use super::model::Cluster;

/// The image that the channel brings now to servers of which the oldest was made with `before`.
pub(super) async fn brought(
    arm: &Arm,
    spec: &ClusterSpec,
    before: &str,
    clock: &dyn Clock,
) -> Result<Option<String>, EngineError> {
    if !spec.takes_images_by_channel() || !is_time(spec, clock) {
        return Ok(None);
    }
    let newest = newest_version(arm, spec).await?;
    Ok(is_newer(&newest, before).then_some(newest))
}

/// The image of before, where a plan means another one.
pub(super) fn replaced<'v>(prior: &'v Value, planned: &Value) -> Option<&'v str> {
    let is_meant = planned.get(Cluster::IMAGE_VERSION).is_unknown();
    prior.get(Cluster::IMAGE_VERSION).as_str().filter(|_| is_meant)
}

pub(super) fn is_newer(one: &str, other: &str) -> bool {
    ImageReference::version_order(one) > ImageReference::version_order(other)
}

/// Whether servers may be made anew with another image now: no window is declared, or one is open for long enough.
fn is_time(spec: &ClusterSpec, clock: &dyn Clock) -> bool {
    let maintenance = &spec.maintenance;
    if maintenance.windows.is_empty() && maintenance.exclusions.is_empty() {
        return true;
    }
    let now = i64::try_from(clock.now_unix_ms()).ok();
    let now = now.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    now.is_some_and(|now| maintenance.schedule().begins(Work::Image, now) == Some(now))
}
