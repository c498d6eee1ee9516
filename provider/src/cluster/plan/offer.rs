//! Cores that a change needs and the subscription has: a quota that is too small is told before anything is made.

use crate::cluster::model::Cluster;
use std::collections::{BTreeMap, BTreeSet};

use hcs_engine::error::EngineError;
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::rules;
use hcs_planner::spec::ClusterSpec;

use super::Planner;
use super::change::Change;
use hcs_engine::regions::{self, Region};

impl Planner {
    /// Usages are read only where more cores are needed than before.
    pub(super) async fn check_offer(
        &mut self,
        prior: Option<&ClusterSpec>,
        spec: &ClusterSpec,
        change: &Change,
    ) {
        let Some(region) = self.region.clone() else { return };
        let Some(needed) = Needed::new(&region, prior, spec, change) else { return };
        // Never fewer than of the region.
        if needed.of_family == 0 {
            return;
        }
        let location = rules::location(&spec.location);
        let usages =
            match regions::usages(&self.arm, self.client.subscription_id(), &location).await {
                Ok(usages) => usages,
                Err(error) => {
                    let what = format!("the quotas of {location}");
                    self.unread(&what, &error);
                    return;
                }
            };
        let owned = match self.owned_cores(&region, prior, spec).await {
            Ok(owned) => owned,
            Err(error) => {
                self.unread("the scale sets that exist", &error);
                return;
            }
        };
        let of_family = owned.get(needed.family).copied().unwrap_or(0);
        let of_region = owned.values().sum();
        for (family, cores) in [
            (needed.family, needed.of_family.saturating_sub(of_family)),
            ("cores", needed.of_region.saturating_sub(of_region)),
        ] {
            let usage = usages.iter().find(|usage| usage.family.eq_ignore_ascii_case(family));
            let Some(usage) = usage.filter(|usage| usage.used + cores > usage.limit) else {
                continue;
            };
            let what = if family == "cores" { "all families" } else { family };
            let detail = format!(
                "This change needs {cores} more cores of {what} in {location}; {} of {} are in use, so {} are \
                 left. Raise the quota (Azure portal, Quotas, Compute), or choose another vm_size, \
                 region or fewer servers.{}",
                usage.used,
                usage.limit,
                usage.limit.saturating_sub(usage.used),
                if change.more_servers()
                    > spec.server_count.saturating_sub(prior.map_or(0, |p| p.server_count))
                {
                    " While servers are made anew, a helper needs cores, too."
                } else {
                    ""
                }
            );
            self.error(Cluster::VM_SIZE, "Not enough cores", detail);
            return;
        }
    }

    /// Cores that the cluster has already while Terraform knows no cluster: of a create that was cut off, or of the
    /// one that goes before this one comes. Azure counts them as used.
    async fn owned_cores(
        &self,
        region: &Region,
        prior: Option<&ClusterSpec>,
        spec: &ClusterSpec,
    ) -> Result<BTreeMap<String, u64>, EngineError> {
        let mut owned: BTreeMap<String, u64> = BTreeMap::new();
        if prior.is_some() {
            return Ok(owned);
        }
        let own = spec.managed_resource_group_name.as_str();
        let before = self.prior.get(Cluster::MANAGED_RESOURCE_GROUP_NAME).as_str();
        let groups: BTreeSet<&str> = std::iter::once(own).chain(before).collect();
        for group in groups {
            let id = ArmId::resource_group(&spec.subscription_id, group);
            let (kind, version) = (Kind::ScaleSet.resource_type(), Kind::ScaleSet.api_version());
            for set in
                self.arm.list(&format!("{id}/providers/{kind}?api-version={version}")).await?
            {
                let size = set.pointer("/sku/name").and_then(serde_json::Value::as_str);
                if let Some((family, cores)) = size.and_then(|size| region.cores_of(size)) {
                    *owned.entry(family.to_owned()).or_default() += cores;
                }
            }
        }
        Ok(owned)
    }
}

/// Cores that are needed on top of those in use. A restart frees what the server had; of the family of its new size
/// only if that was of the same.
struct Needed<'r> {
    family: &'r str,
    of_family: u64,
    of_region: u64,
}

impl<'r> Needed<'r> {
    fn new(
        region: &'r Region,
        prior: Option<&ClusterSpec>,
        spec: &ClusterSpec,
        change: &Change,
    ) -> Option<Self> {
        let (family, cores) = region.cores_of(&spec.vm_size)?;
        let (old_family, old_cores) =
            prior.and_then(|prior| region.cores_of(&prior.vm_size)).unwrap_or((family, 0));
        let stay = prior.map_or(0, |prior| u64::from(prior.server_count.min(spec.server_count)));
        let freed = if old_family == family { old_cores } else { 0 };
        let come = u64::from(change.more_servers()) * cores;
        Some(Self {
            family,
            of_family: come + stay * cores.saturating_sub(freed),
            of_region: come + stay * cores.saturating_sub(old_cores),
        })
    }
}
