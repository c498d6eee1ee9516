//! What can only be told with a look at the world: the archive, the peers.

use crate::cluster::model::Cluster;
use std::collections::BTreeMap;

use hcs_planner::arm::Kind;
use hcs_planner::peers::{Overlap, overlaps};
use hcs_planner::spec::ClusterSpec;
use ipnet::Ipv4Net;
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

    /// The user's subnet must be in the region, free for machines, and large enough for all servers and a helper.
    pub(super) async fn check_subnet(&mut self, spec: &ClusterSpec, is_new: bool) {
        let asks =
            is_new || !self.same(Cluster::OUTBOUND_TYPE) || !self.same(Cluster::STORAGE_ACCESS);
        let Some(subnet) = spec.subnet_id.as_ref().filter(|_| asks) else { return };
        let Some(vnet) = subnet.parent() else { return };
        let theirs = subnet.segment("subscriptions").unwrap_or_default();
        if !theirs.eq_ignore_ascii_case(&spec.subscription_id) {
            let detail = format!(
                "The subnet is in subscription {theirs}, the cluster in {}. Azure puts machines into networks of \
                 their own subscription only: share the network by peering, or choose a subnet of this one.",
                spec.subscription_id
            );
            self.error(Cluster::SUBNET_ID, "Subnet is in another subscription", detail);
            return;
        }
        let body = match self.arm.get(&vnet, Kind::VirtualNetwork).await {
            Ok(Some(body)) => body,
            Ok(None) => {
                let detail = format!("{vnet} is not there. That is fine when this run makes it.");
                self.warn(Cluster::SUBNET_ID, "Network does not exist yet", detail);
                return;
            }
            Err(error) => {
                let what = format!("the network {vnet}");
                self.unread(&what, &error);
                return;
            }
        };
        let location = body.pointer("/location").and_then(Value::as_str).unwrap_or_default();
        if hcs_planner::rules::location(location) != spec.location {
            let detail = format!(
                "The network {} is in {location}, the cluster in {}. Azure puts machines into networks of their \
                 own region only: choose a subnet there, or set location = {location:?}.",
                vnet.name(),
                spec.location
            );
            self.error(Cluster::SUBNET_ID, "Subnet is in another region", detail);
            return;
        }
        let subnets = body.pointer("/properties/subnets").and_then(Value::as_array);
        let name = subnet.name();
        let own = subnets.into_iter().flatten().find(|row| {
            row.pointer("/name")
                .and_then(Value::as_str)
                .is_some_and(|own| own.eq_ignore_ascii_case(name))
        });
        match own {
            None => {
                let detail = format!(
                    "The network {} has no subnet {name:?} now. That is fine when this run makes it.",
                    vnet.name()
                );
                self.warn(Cluster::SUBNET_ID, "Subnet does not exist yet", detail);
            }
            Some(own) => {
                self.check_subnet_body(name, own);
                self.check_way_out(spec, name, own);
            }
        }
    }

    fn check_subnet_body(&mut self, name: &str, subnet: &Value) {
        let delegations = subnet.pointer("/properties/delegations").and_then(Value::as_array);
        if let Some(delegation) = delegations.and_then(|rows| rows.first()) {
            let to = delegation.pointer("/properties/serviceName").and_then(Value::as_str);
            let to = to.unwrap_or("a service");
            let detail = format!(
                "The subnet {name} is delegated to {to}, so no machine can be put into it. Choose another subnet."
            );
            self.error(Cluster::SUBNET_ID, "Subnet is delegated", detail);
        }
        let prefix = ["/properties/addressPrefix", "/properties/addressPrefixes/0"]
            .iter()
            .find_map(|pointer| subnet.pointer(pointer)?.as_str());
        let prefix: Option<Ipv4Net> = prefix.and_then(|prefix| prefix.parse().ok());
        if let Some(prefix) = prefix.filter(|prefix| prefix.prefix_len() > 27) {
            let detail = format!(
                "The subnet {name} is {prefix}: Azure keeps 5 addresses of it, the load balancer needs one and \
                 the servers up to 9. Choose one of /27 or larger."
            );
            self.error(Cluster::SUBNET_ID, "Subnet is too small", detail);
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
