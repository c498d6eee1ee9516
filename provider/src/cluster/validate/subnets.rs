//! Subnets of the user's by zone.

use hcs_planner::arm::ArmId;
use hcs_planner::rules;
use tfplugin::validate::{Finding, Validator};
use tfplugin::{Diagnostic, Diagnostics, Path, Value};

use crate::cluster::model::Cluster;

/// Ids of subnets by zones.
pub(crate) fn zone_subnets() -> impl Validator {
    ZoneSubnets
}

/// Case means nothing in an id, and a null element means no subnet.
pub(crate) fn same_subnets(prior: &Value, planned: &Value) -> bool {
    let read = |value: &Value| {
        let all = value.as_map().filter(|_| value.is_wholly_known())?.iter();
        let set = all.filter_map(|(zone, id)| Some((zone.clone(), id.as_str()?.to_lowercase())));
        Some(set.collect::<Vec<_>>())
    };
    read(prior).is_some() && read(prior) == read(planned)
}

struct ZoneSubnets;

impl Validator for ZoneSubnets {
    fn describe(&self) -> String {
        "ids of subnets by zone".to_owned()
    }

    fn accepts(&self, value: &Value) -> bool {
        self.findings(value, &Path::empty()).is_empty()
    }

    fn findings(&self, value: &Value, at: &Path) -> Vec<Finding> {
        let all = value.as_map().into_iter().flatten();
        let wrong = all.filter_map(|(zone, id)| {
            let told = rules::zone_subnet_id(zone, id.as_str()?).err()?;
            Some((at.clone().key(zone), told))
        });
        wrong.map(|(path, told)| Finding::says(path, told, self.describe(), value)).collect()
    }
}

/// They are in the network of the one that all others live in.
pub(super) fn subnets(config: &Value, found: &mut Diagnostics) {
    let (common, by_zone) = (config.get(Cluster::SUBNET_ID), config.get(Cluster::ZONE_SUBNET_IDS));
    let set = by_zone.as_map().into_iter().flatten();
    let set: Vec<_> = set.filter_map(|(zone, id)| Some((zone, id.as_str()?))).collect();
    // What is not known may be null yet, and what is wrong by itself is told already.
    let is_valid = |(zone, id): &(&String, &str)| rules::zone_subnet_id(zone, id).is_ok();
    if set.is_empty() || common.is_unknown() || !set.iter().all(is_valid) {
        return;
    }
    let root = Path::root(Cluster::ZONE_SUBNET_IDS);
    let Some(common) = common.as_str().map(ArmId::new) else {
        let summary = "zone_subnet_ids needs a subnet_id";
        found.push(Diagnostic::error(summary, rules::ZONES_NEED_A_SUBNET).at(root));
        return;
    };
    for (zone, id) in set {
        if let Err(detail) = rules::same_network(&common, &ArmId::new(id)) {
            let summary = "Subnet of a zone is in another network";
            found.push(Diagnostic::error(summary, detail).at(root.clone().key(zone)));
        }
    }
}
