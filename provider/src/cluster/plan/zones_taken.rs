//! A network takes one private DNS zone of a name, and a zone one record of a name: two clusters of one name cannot serve
//! the same network, nor share a zone.

use std::collections::BTreeSet;

use hcs_engine::observe::observe_shared_zone;
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::Names;
use hcs_planner::observed::Observed;
use hcs_planner::shared_zone;
use hcs_planner::spec::ClusterSpec;
use serde_json::Value;

use super::Planner;
use crate::cluster::{model::Cluster, spec};

impl Planner {
    /// Looks for zones of the cluster's name that serve its networks already. Zones of other subscriptions are not seen.
    pub(super) async fn check_zones_taken(
        &mut self,
        prior: Option<&ClusterSpec>,
        spec: &ClusterSpec,
    ) {
        if spec.private_dns_zone_id.is_some() {
            self.check_shared_zone(prior, spec).await;
            return;
        }
        let before: BTreeSet<String> = prior.map(networks).unwrap_or_default();
        let new: BTreeSet<String> = networks(spec).difference(&before).cloned().collect();
        if new.is_empty() {
            return;
        }
        match self.zone_taken(spec, &new).await {
            Ok(Some((zone, network))) => {
                let detail = format!(
                    "The network {network} is served by the private DNS zone {zone} already, most often that of another \
                     cluster of the name {:?}. Azure links one zone of a name to a network, and clients could not tell \
                     the clusters apart. Give this cluster another name, or take the link of that zone away.",
                    spec.name
                );
                self.error(Cluster::NAME, "The name is taken in the network", detail);
            }
            Ok(None) => {}
            Err(error) => self.unread("the private DNS zones of the subscription", &error),
        }
    }

    /// The zone must be there, and the cluster's name in it free.
    async fn check_shared_zone(&mut self, prior: Option<&ClusterSpec>, spec: &ClusterSpec) {
        let names = Names::new(spec);
        let Some(zone) = names.shared_zone().filter(|_| prior.is_none()) else { return };
        let attribute = Cluster::PRIVATE_DNS_ZONE_ID;
        match self.arm.get(zone, Kind::PrivateDnsZone).await {
            Ok(Some(_)) => {}
            Ok(None) => {
                let detail = format!("{zone} is not there. That is fine when this run makes it.");
                self.warn(attribute, "Private DNS zone does not exist yet", detail);
                return;
            }
            // The records are what is needed, and they are looked at by themselves.
            Err(error) => self.unread(&format!("the private DNS zone {zone}"), &error),
        }
        let mut observed = Observed::default();
        if let Err(error) = observe_shared_zone(&self.arm, &names, &mut observed).await {
            self.unread(&format!("the records of {zone}"), &error);
            return;
        }
        // The cluster that this one takes the place of goes first, and its records with it.
        let before = spec::stored_spec_of(&self.prior, &spec.subscription_id, &self.client.tagging);
        let before = before.ok().map(|before| Names::new(&before).uid);
        let mut taken = shared_zone::taken(&names, &observed).into_iter();
        let Some((record, owner)) = taken.find(|(_, owner)| owner.is_none() || *owner != before)
        else {
            return;
        };
        let whose = match owner {
            Some(_) => "another cluster of this name has it",
            None => "it does not say that it belongs to a cluster of hcs",
        };
        let detail = format!(
            "{} in {zone} is taken: {whose}. Give this cluster another name, name another zone, or delete the record if \
             nobody needs it.",
            record.name()
        );
        self.error(Cluster::NAME, "The name is taken in the zone", detail);
    }

    /// A foreign zone of our name that is linked to one of these networks, and that network.
    async fn zone_taken(
        &self,
        spec: &ClusterSpec,
        networks: &BTreeSet<String>,
    ) -> Result<Option<(ArmId, ArmId)>, hcs_engine::error::EngineError> {
        let own = Names::new(spec).dns_zone();
        // The cluster that this one takes the place of goes first, and its zone with it.
        let before = spec::stored_spec_of(&self.prior, &spec.subscription_id, &self.client.tagging);
        let before = before.ok().map(|before| Names::new(&before).dns_zone());
        let list = |scope: &str, path: &str, kind: Kind| {
            format!("{scope}/{path}?api-version={}", kind.api_version())
        };
        let subscription = format!("/subscriptions/{}", spec.subscription_id);
        let kind = Kind::PrivateDnsZone;
        let path = list(&subscription, &format!("providers/{}", kind.resource_type()), kind);
        let id_of = |body: &Value| body.get(Cluster::ID).and_then(Value::as_str).map(ArmId::new);
        for zone in self.arm.list(&path).await?.iter().filter_map(id_of) {
            if zone == own
                || before.as_ref() == Some(&zone)
                || !zone.name().eq_ignore_ascii_case(own.name())
            {
                continue;
            }
            let links = list(zone.as_str(), "virtualNetworkLinks", Kind::PrivateDnsLink);
            for link in self.arm.list(&links).await? {
                let network = link.pointer("/properties/virtualNetwork/id").and_then(Value::as_str);
                if let Some(network) = network.map(ArmId::new)
                    && networks.contains(&network.key())
                {
                    return Ok(Some((zone, network)));
                }
            }
        }
        Ok(None)
    }
}

/// Networks of others that the cluster's zone is linked to.
fn networks(spec: &ClusterSpec) -> BTreeSet<String> {
    let of_subnet = spec.subnet_id.as_ref().and_then(ArmId::parent);
    of_subnet.iter().chain(&spec.peer_vnet_ids).map(ArmId::key).collect()
}
