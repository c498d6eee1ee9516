//! Cores that a change needs and the subscription has: a quota that is too small is told before anything is made.

use std::collections::BTreeMap;

use hcs_planner::spec::ClusterSpec;

use super::Planner;
use super::change::Change;
use crate::naming;
use crate::regions::{self, Region};

impl Planner {
    /// Usages are read only where more cores are needed than before.
    pub(super) async fn check_offer(
        &mut self,
        prior: Option<&ClusterSpec>,
        spec: &ClusterSpec,
        change: &Change,
    ) {
        let Some(region) = self.region.clone() else { return };
        let needed = cores_needed(&region, prior, spec, change);
        if needed.values().all(|cores| *cores == 0) {
            return;
        }
        let location = naming::location(&spec.location);
        let usages =
            match regions::usages(&self.arm, self.client.subscription_id(), &location).await {
                Ok(usages) => usages,
                Err(error) => {
                    let what = format!("the quotas of {location}");
                    self.diagnostics.push(crate::diagnostics::read(&what, &error));
                    return;
                }
            };
        let total: u64 = needed.values().sum();
        let families = needed.iter().map(|(family, cores)| (family.as_str(), *cores));
        for (family, cores) in families.chain([("cores", total)]) {
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
            self.error("vm_size", "Not enough cores", detail);
            return;
        }
    }
}

/// Cores that are needed on top of those in use, by family.
fn cores_needed(
    region: &Region,
    prior: Option<&ClusterSpec>,
    spec: &ClusterSpec,
    change: &Change,
) -> BTreeMap<String, u64> {
    let mut needed: BTreeMap<String, u64> = BTreeMap::new();
    let Some((family, cores)) = region.cores_of(&spec.vm_size) else { return needed };
    *needed.entry(family.to_owned()).or_default() += u64::from(change.more_servers()) * cores;
    let Some(prior) = prior.filter(|prior| prior.vm_size != spec.vm_size) else { return needed };
    let stay = u64::from(prior.server_count.min(spec.server_count));
    let before = match region.cores_of(&prior.vm_size) {
        // What a server had of its family is free for what it gets.
        Some((old, cores)) if old == family => cores,
        _ => 0,
    };
    *needed.entry(family.to_owned()).or_default() += stay * cores.saturating_sub(before);
    needed
}
