//! Core quotas of a region.

use serde_json::{Value, json};

use super::skus::{self, SIZES};
use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::http::Response;
use crate::world::ids::ArmPath;
use crate::world::regions;

impl World {
    /// Cores in use in a region, of one family or of all, without one scale set.
    pub(crate) fn cores_used(&self, location: &str, family: Option<&str>, but: &str) -> u64 {
        self.resources
            .values()
            .filter(|r| r.rtype == super::scale_set::SCALE_SET.rtype && r.key() != but)
            .filter(|r| r.location() == location)
            .filter_map(|r| {
                let size = skus::find(r.text("/sku/name"))?;
                let capacity = r.body.pointer("/sku/capacity").and_then(Value::as_u64);
                family
                    .is_none_or(|f| f == size.family)
                    .then_some(size.vcpus * capacity.unwrap_or(0))
            })
            .sum()
    }

    /// Refuses what would exceed a quota.
    pub(crate) fn check_cores(
        &self,
        location: &str,
        size: &skus::Size,
        capacity: u64,
        own_key: &str,
    ) -> Answer<()> {
        let limit = self.settings.cores_limit;
        let wanted = size.vcpus * capacity;
        for family in [Some(size.family), None] {
            let used = self.cores_used(location, family, own_key);
            if used + wanted > limit {
                let name = family.unwrap_or("Total Regional");
                return Err(ArmError::new(
                    409,
                    "OperationNotAllowed",
                    format!(
                        "Operation could not be completed as it results in exceeding approved \
                         {name} Cores quota. Additional details - Deployment Model: Resource \
                         Manager, Location: {location}, Current Limit: {limit}, Current Usage: \
                         {used}, Additional Required: {wanted}, (Minimum) New Limit Required: {}. \
                         Setup Alerts when Quota reaches threshold. Submit a request for Quota \
                         increase at https://aka.ms/ProdportalCRP.",
                        used + wanted
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// `GET …/locations/{location}/usages`.
pub(crate) fn list(world: &World, path: &ArmPath) -> Answer {
    let location = regions::normalise(path.name());
    if regions::find(&location).is_none() {
        return Err(ArmError::gateway(
            400,
            "NoRegisteredProviderFound",
            format!(
                "No registered resource provider found for location '{location}'. The supported \
                 locations are '{}'.",
                regions::names()
            ),
        ));
    }
    let row = |value: &str, local: &str, used: u64, limit: u64| {
        json!({
            "unit": "Count", "currentValue": used, "limit": limit,
            "name": {"value": value, "localizedValue": local},
        })
    };
    let limit = world.settings.cores_limit;
    let cores = world.cores_used(&location, None, "");
    let mut rows = vec![row("cores", "Total Regional vCPUs", cores, limit)];
    let mut seen: Vec<&str> = Vec::new();
    for size in SIZES {
        if !seen.contains(&size.family) {
            seen.push(size.family);
            let used = world.cores_used(&location, Some(size.family), "");
            rows.push(row(size.family, size.family, used, limit));
        }
    }
    let sets = world
        .resources
        .values()
        .filter(|r| r.rtype == super::scale_set::SCALE_SET.rtype && r.location() == location)
        .count();
    rows.push(row("virtualMachineScaleSets", "Virtual Machine Scale Sets", sets as u64, 2500));
    Ok(Response::json(200, json!({"value": rows})))
}
