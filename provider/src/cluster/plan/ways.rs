//! Ways out of the servers' network, and to the storage account, as the network has them now.

use hcs_planner::names::Names;
use hcs_planner::reach::{StorageAccess, StorageZone, lack, storage_suffix};
use hcs_planner::spec::ClusterSpec;
use serde_json::Value;

use super::Planner;
use crate::cluster::model::Cluster;

impl Planner {
    /// What the user's subnet offers of the way out that is declared.
    pub(super) fn check_way_out(&mut self, spec: &ClusterSpec, name: &str, subnet: &Value) {
        match lack(spec, name, subnet) {
            Some(lack) if lack.is_fatal => {
                self.error(Cluster::OUTBOUND_TYPE, lack.summary, lack.detail);
            }
            Some(lack) => self.warn(Cluster::OUTBOUND_TYPE, lack.summary, lack.detail),
            None => {}
        }
    }

    /// Whoever runs Terraform writes to the account as well.
    pub(super) fn check_way_to_storage(&mut self, spec: &ClusterSpec, is_new: bool) {
        let is_private = spec.storage_access == StorageAccess::PrivateEndpoint;
        let zone = Cluster::STORAGE_PRIVATE_DNS_ZONE_ID;
        if is_private && !is_new && self.same(Cluster::STORAGE_ACCESS) && !self.same(zone) {
            let detail = "A network has one zone of this name, so another one cannot answer before the first is gone, and servers \
                          and Terraform would find no account in between. Set storage_access = \"public_endpoint\" and apply, \
                          see to the other zone, then set both as they are to be.";
            self.error(zone, "The zone of a closed account cannot be exchanged", detail);
            return;
        }
        if !is_private || (!is_new && self.same(Cluster::STORAGE_ACCESS)) {
            return;
        }
        let account = Names::new(spec).storage_account();
        let name = format!("{}.blob.{}", account.name(), storage_suffix(&spec.location));
        if is_new && spec.subnet_id.is_none() {
            let detail = format!(
                "Terraform writes the cluster's documents to {name} before the first server is made, and with storage_access = \
                 \"private_endpoint\" that answers in the servers' network only. A network of the cluster's own does not exist \
                 by then, so nobody can have a route to it: set subnet_id to a subnet of yours that this machine reaches."
            );
            self.error(Cluster::STORAGE_ACCESS, "A private endpoint needs a subnet_id", detail);
            return;
        }
        let told = match &spec.storage_zone {
            StorageZone::System => {
                "The cluster's own zone tells it in the servers' network only; elsewhere your resolver has to.".to_owned()
            }
            StorageZone::Existing(zone) => format!("The zone {} tells it where it is linked.", zone.name()),
            StorageZone::None => "Nothing of the cluster tells it.".to_owned(),
        };
        let detail = format!(
            "{name} will answer at an address in the servers' network and nowhere else. This machine, and every other one that \
             runs Terraform or hcs for the cluster, needs a route there and has to find that address by the name. {told} \
             Without them an apply stops before it makes a server, and goes on when they are there."
        );
        self.warn(
            Cluster::STORAGE_ACCESS,
            "Terraform needs a route to the storage account",
            detail,
        );
    }
}
