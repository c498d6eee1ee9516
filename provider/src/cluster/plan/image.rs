//! The image that a change would bring by its channel.

use hcs_engine::error::chain;

use super::Planner;
use crate::cluster::images::brought;
use crate::cluster::model::Cluster;
use crate::cluster::spec;

impl Planner {
    /// The image that an apply of this plan would bring. What is not known, or may not be read, brings none.
    pub(super) async fn image(&mut self) -> Option<String> {
        let before = self.prior.get(Cluster::IMAGE_VERSION).as_str()?.to_owned();
        let (subscription, tagging) = (self.client.subscription_id(), &self.client.tagging);
        let spec = spec::spec_of(&self.planned, subscription, tagging).ok()?;
        match brought(&self.arm, &spec, &before, self.client.clock().as_ref()).await {
            Ok(image) => image,
            Err(error) => {
                let detail = format!("The servers stay at the image {before}: {}.", chain(&error));
                self.diagnostics.push_warning("The newest image is not known", detail);
                None
            }
        }
    }
}
