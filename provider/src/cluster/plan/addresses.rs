//! Addresses that come and go with what is declared: null without, unknown until they are there, and kept from then on.

use hcs_planner::reach::StorageAccess;
use hcs_planner::spec::ClusterSpec;
use tfplugin::Value;

use super::{ENDPOINT_URL, Planner};
use crate::cluster::model::Cluster;

impl Planner {
    pub(super) fn addresses(&self, spec: &ClusterSpec, is_new: bool) -> [(&'static str, Value); 3] {
        let is_private = spec.storage_access == StorageAccess::PrivateEndpoint;
        [
            (ENDPOINT_URL, spec.external_endpoint.is_some()),
            (Cluster::STORAGE_PRIVATE_ENDPOINT_IP_ADDRESS, is_private),
            (Cluster::OUTBOUND_PUBLIC_IP_ADDRESS, spec.has_own_way_out()),
        ]
        .map(|(name, is_declared)| {
            let known = self.prior.get(name);
            let value = match is_declared {
                false => Value::Null,
                true if is_new || known.is_null() => Value::unknown(),
                true => known.clone(),
            };
            (name, value)
        })
    }
}
