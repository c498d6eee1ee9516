//! The user's subnets, looked at while planning.

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::spec::ClusterSpec;
use ipnet::Ipv4Net;
use serde_json::Value;
use tfplugin::Path;

use super::Planner;
use crate::cluster::model::Cluster;

/// One of them: where it is declared, and what it has to have.
struct UserSubnet<'s> {
    path: Path,
    id: &'s ArmId,
    prefix_len_max: u8,
    /// Why it must not be smaller.
    room: &'static str,
    /// Whether servers are made in it, which need a way out.
    has_servers: bool,
}

/// The subnet of all, and those of zones.
fn user_subnets<'s>(spec: &'s ClusterSpec, common: &'s ArmId) -> Vec<UserSubnet<'s>> {
    let of_servers = spec.subnets_of_servers();
    let mut all = vec![UserSubnet {
        path: Path::root(Cluster::SUBNET_ID),
        id: common,
        prefix_len_max: 27,
        room: "the load balancer needs one and the servers up to 9",
        has_servers: of_servers.contains(&common),
    }];
    for (zone, id) in &spec.zone_subnet_ids {
        // Several zones may share one.
        if all.iter().any(|one| one.id == id) {
            continue;
        }
        all.push(UserSubnet {
            path: Path::root(Cluster::ZONE_SUBNET_IDS).key(zone),
            id,
            prefix_len_max: 28,
            room: "the servers of a zone need up to 9",
            has_servers: of_servers.contains(&id),
        });
    }
    all
}

impl Planner {
    /// The user's subnets must be in the region, free for machines, and large enough for all servers and a helper.
    pub(super) async fn check_subnets(&mut self, spec: &ClusterSpec, is_new: bool) {
        let ways = [Cluster::OUTBOUND_TYPE, Cluster::STORAGE_ACCESS, Cluster::ZONE_SUBNET_IDS];
        let places = [Cluster::ZONES, Cluster::ZONE_FALLBACK];
        let places = places.into_iter().filter(|_| !spec.zone_subnet_ids.is_empty());
        let asks = is_new || ways.into_iter().chain(places).any(|name| !self.same(name));
        let Some(common) = spec.subnet_id.as_ref().filter(|_| asks) else { return };
        let Some(vnet) = common.parent() else { return };
        self.tell_zones_without_servers(spec);
        let theirs = common.segment("subscriptions").unwrap_or_default();
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
        for one in
            user_subnets(spec, common).into_iter().filter(|one| one.id.parent() == common.parent())
        {
            self.check_subnet(spec, &vnet, &body, &one);
        }
    }

    /// A subnet for a zone in which no server comes to be is a misspelt zone, or one that the region does not have.
    fn tell_zones_without_servers(&mut self, spec: &ClusterSpec) {
        let is_none = |(zone, _): &(&String, &ArmId)| !spec.zones.contains(zone);
        for (zone, id) in spec.zone_subnet_ids.iter().filter(is_none) {
            let zones = match spec.zones.as_slice() {
                [] => "it has none".to_owned(),
                zones => format!("those are {}", zones.join(", ")),
            };
            let detail = format!(
                "Zone {zone} is none of the cluster's zones ({zones}), so no server comes into the subnet {}. A server lives in \
                 the subnet of its own zone, or in subnet_id.",
                id.name()
            );
            let path = Path::root(Cluster::ZONE_SUBNET_IDS).key(zone);
            self.warn(path, "Subnet of a zone without servers", detail);
        }
    }

    fn check_subnet(
        &mut self,
        spec: &ClusterSpec,
        vnet: &ArmId,
        body: &Value,
        own: &UserSubnet<'_>,
    ) {
        let name = own.id.name();
        let is_own = |row: &&Value| {
            let theirs = row.pointer("/name").and_then(Value::as_str);
            theirs.is_some_and(|theirs| theirs.eq_ignore_ascii_case(name))
        };
        let all = body.pointer("/properties/subnets").and_then(Value::as_array);
        let Some(subnet) = all.into_iter().flatten().find(is_own) else {
            let detail = format!(
                "The network {} has no subnet {name:?} now. That is fine when this run makes it.",
                vnet.name()
            );
            self.warn(own.path.clone(), "Subnet does not exist yet", detail);
            return;
        };
        let delegations = subnet.pointer("/properties/delegations").and_then(Value::as_array);
        if let Some(delegation) = delegations.and_then(|rows| rows.first()) {
            let to = delegation.pointer("/properties/serviceName").and_then(Value::as_str);
            let to = to.unwrap_or("a service");
            let detail = format!(
                "The subnet {name} is delegated to {to}, so no machine can be put into it. Choose another subnet."
            );
            self.error(own.path.clone(), "Subnet is delegated", detail);
        }
        let prefix = ["/properties/addressPrefix", "/properties/addressPrefixes/0"]
            .iter()
            .find_map(|pointer| subnet.pointer(pointer)?.as_str());
        let prefix: Option<Ipv4Net> = prefix.and_then(|prefix| prefix.parse().ok());
        if let Some(prefix) = prefix.filter(|prefix| prefix.prefix_len() > own.prefix_len_max) {
            let detail = format!(
                "The subnet {name} is {prefix}: Azure keeps 5 addresses of it, {}. Choose one of /{} or larger.",
                own.room, own.prefix_len_max
            );
            self.error(own.path.clone(), "Subnet is too small", detail);
        }
        if own.has_servers {
            self.check_way_out(spec, name, subnet);
        }
    }
}
