//! What can only be told with a look at the world: the archive, the peers.

use crate::cluster::model::Cluster;
use std::collections::BTreeMap;

use hcs_planner::arm::Kind;
use hcs_planner::peers::{Overlap, overlaps};
use hcs_planner::spec::ClusterSpec;
use serde_json::Value;
use tfplugin::Path;

use super::Planner;
use crate::artifacts::ClusterArtifacts;
use crate::client::Registrations;
use crate::diagnostics;

impl Planner {
    pub(super) fn check_artifact(&mut self, spec: &ClusterSpec) {
        if let Err(detail) = ClusterArtifacts::declared(spec).check() {
            let has_source = self.configured(Cluster::ARTIFACT_SOURCE);
            let attribute =
                if has_source { Cluster::ARTIFACT_SOURCE } else { Cluster::CONSUL_VERSION };
            self.error(attribute, "Consul's archive cannot be had", detail);
        }
    }

    /// What a cluster is made of must be registered in the subscription.
    pub(super) async fn check_registrations(&mut self) {
        let client = std::sync::Arc::clone(&self.client);
        let missing = match client.missing_providers(&self.arm).await {
            Ok([]) => return,
            Ok(missing) => missing,
            Err(error) => {
                self.unread("the subscription's resource providers", &error);
                return;
            }
        };
        if client.registrations == Registrations::Core {
            return;
        }
        // Another resource of this run may register them; the apply looks again before its first write.
        let (summary, detail) = diagnostics::unregistered(client.subscription_id(), missing);
        self.diagnostics.push_warning(summary, detail);
    }

    /// Peered address spaces must not overlap.
    pub(super) async fn check_peers(&mut self, spec: &ClusterSpec) {
        let mut networks: BTreeMap<String, Value> = BTreeMap::new();
        for (index, peer) in spec.peer_vnet_ids.iter().enumerate() {
            match self.arm.get(peer, Kind::VirtualNetwork).await {
                Ok(Some(body)) => {
                    networks.insert(peer.key(), body);
                }
                Ok(None) => {
                    let path = Path::root(Cluster::PEER_VNET_IDS).index(index);
                    let detail =
                        format!("{peer} is not there. That is fine when this run makes it.");
                    self.warn(path, "Peer does not exist yet", detail);
                }
                Err(error) => {
                    let what = format!("the network {peer}");
                    self.unread(&what, &error);
                }
            }
        }
        for Overlap { index, peer, space, other, whose } in
            overlaps(spec, |peer| networks.get(&peer.key()))
        {
            let detail = format!(
                "{} has the address space {space}, which overlaps {other} of {whose}; Azure \
                 cannot peer them. Give the cluster another vnet_cidr.",
                peer.name()
            );
            let path = Path::root(Cluster::PEER_VNET_IDS).index(index);
            self.error(path, "Address spaces overlap", detail);
        }
    }

    /// Tags that not every object of the cluster can carry.
    pub(super) fn check_tags(&mut self, spec: &ClusterSpec) {
        // Each map was looked at by itself; what is written is both.
        if let Err(detail) = hcs_planner::tags::check_all(&spec.tags) {
            let detail = format!("With the provider's default_tags: {detail}");
            self.error(Cluster::TAGS, "Azure does not take these tags", detail);
        }
        let left_out = hcs_planner::tags::left_out(&spec.tags);
        if !left_out.is_empty() {
            let detail = format!(
                "{} stay off the private DNS zone and its links: Azure takes 15 tags there, and no names with blanks, \
                 special characters or a digit in front. All other objects carry them. A policy that demands them on \
                 DNS zones, too, needs an exemption.",
                left_out.join(", ")
            );
            self.warn(Cluster::TAGS, "Some tags do not go everywhere", detail);
        }
    }

    /// An endpoint for everybody is told; the user's own security group is theirs.
    pub(super) fn check_endpoint(&mut self, spec: &ClusterSpec) {
        if spec.subnet_id.is_some() && !spec.ssh_allowed_cidrs.is_empty() {
            let detail = "The servers live in your subnet, whose security group hcs does not touch: let \
                          ssh_allowed_cidrs in on TCP 22 there.";
            self.warn(Cluster::SSH_ALLOWED_CIDRS, "Your security group decides", detail);
        }
        let Some(endpoint) = &spec.external_endpoint else { return };
        if endpoint.allowed_cidrs.iter().any(|cidr| cidr.prefix_len() == 0) {
            let detail = "consul_external_endpoint_allowed_cidrs holds 0.0.0.0/0: everybody reaches Consul's HTTPS API, and only \
                          tokens keep them out.";
            self.warn(
                Cluster::CONSUL_EXTERNAL_ENDPOINT_ALLOWED_CIDRS,
                "The endpoint is open to the world",
                detail,
            );
        }
        if spec.subnet_id.is_some() {
            let detail = "The servers live in your subnet, whose security group hcs does not touch: let \
                          consul_external_endpoint_allowed_cidrs in on TCP 8501 there.";
            self.warn(Cluster::CONSUL_EXTERNAL_ENDPOINT, "Your security group decides", detail);
        }
    }
}
