//! The image that a change would bring by its channel: what the last read found to be due.

use hcs_planner::spec::ClusterSpec;

use super::Planner;
use crate::cluster::images::is_newer;
use crate::cluster::model::Cluster;

impl Planner {
    /// None where the declaration wants none, or nothing was due when the state was read.
    pub(super) fn image(&self, spec: &ClusterSpec) -> Option<String> {
        let text = |name: &str| self.prior.get(name).as_str();
        let (due, before) = (text(Cluster::NEXT_IMAGE_VERSION)?, text(Cluster::IMAGE_VERSION)?);
        (spec.takes_images_by_channel() && is_newer(due, before)).then(|| due.to_owned())
    }
}
