//! What a region offers: zones per VM size, and physical zones behind the logical ones.

use std::collections::{BTreeMap, BTreeSet};

use crate::arm::Arm;
use crate::error::EngineError;
use serde_json::Value;

const SKUS_API_VERSION: &str = "2021-07-01";
const FEATURES_API_VERSION: &str = "2021-07-01";
const USAGES_API_VERSION: &str = "2024-07-01";
const LOCATIONS_API_VERSION: &str = "2022-12-01";

/// A region of the subscription.
#[derive(Clone, Debug, Default)]
pub struct Region {
    /// By size in lower case: its name, and the zones that offer it to this subscription, sorted; none: the size is
    /// regional only.
    sizes: BTreeMap<String, (String, Vec<String>)>,
    /// By size in lower case: its family and its cores.
    cores: BTreeMap<String, (String, u64)>,
    /// Sizes with accelerated networking, in lower case.
    accelerated: BTreeSet<String>,
    /// Sizes whose hosts do not encrypt, in lower case.
    without_host_encryption: BTreeSet<String>,
    /// Sizes that the region has and hcs cannot use, with the reason.
    unfit: BTreeMap<String, &'static str>,
    /// Sizes that the region has but this subscription may not use, with the reason.
    restricted: BTreeMap<String, String>,
    /// Logical zone -> physical zone.
    physical_zones: BTreeMap<String, String>,
}

/// Why a size cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoSize {
    /// The region does not have it.
    Absent,
    /// The subscription may not use it.
    Restricted(String),
}

impl Region {
    /// Zones that offer the size.
    pub fn zones_of(&self, vm_size: &str) -> Result<&[String], NoSize> {
        let key = vm_size.to_lowercase();
        if let Some((_, zones)) = self.sizes.get(&key) {
            return Ok(zones);
        }
        match self.restricted.get(&key) {
            Some(reason) => Err(NoSize::Restricted(reason.clone())),
            None => Err(NoSize::Absent),
        }
    }

    /// Whether any size is offered in zones.
    pub fn has_zones(&self) -> bool {
        self.sizes.values().any(|(_, zones)| !zones.is_empty())
    }

    /// The lists of zones that its sizes are offered in, each once.
    pub fn zone_lists(&self) -> Vec<Vec<String>> {
        let lists: BTreeSet<&Vec<String>> = self.sizes.values().map(|(_, zones)| zones).collect();
        lists.into_iter().cloned().collect()
    }

    /// A few general sizes that every zone of the region has.
    pub fn alternatives(&self) -> Vec<&str> {
        self.sizes
            .values()
            .filter(|(name, zones)| name.contains("_D") && zones.len() >= 3)
            .filter(|(name, _)| self.unfit(name).is_none())
            .map(|(name, _)| name.as_str())
            .take(5)
            .collect()
    }

    /// Quota family and cores of a size.
    pub fn cores_of(&self, vm_size: &str) -> Option<(&str, u64)> {
        let (family, cores) = self.cores.get(&vm_size.to_lowercase())?;
        Some((family, *cores))
    }

    /// Sizes with accelerated networking, in lower case.
    pub fn accelerated_sizes(&self) -> BTreeSet<String> {
        self.accelerated.clone()
    }

    /// Whether a size has accelerated networking.
    pub fn is_accelerated(&self, vm_size: &str) -> bool {
        self.accelerated.contains(&vm_size.to_lowercase())
    }

    /// Whether hosts of a size encrypt caches and temporary disks, as far as Azure says.
    pub fn encrypts_at_host(&self, vm_size: &str) -> bool {
        !self.without_host_encryption.contains(&vm_size.to_lowercase())
    }

    /// Why a server cannot run on this size, wherever the region offers it.
    pub fn unfit(&self, vm_size: &str) -> Option<&'static str> {
        self.unfit.get(&vm_size.to_lowercase()).copied()
    }

    /// The data centre behind a logical zone of this subscription.
    pub fn physical_zone(&self, zone: &str) -> Option<&str> {
        self.physical_zones.get(zone).map(String::as_str)
    }
}

/// Names of the regions that the subscription can use, or the region itself.
pub async fn look_up(
    arm: &Arm,
    subscription_id: &str,
    location: &str,
) -> Result<Result<Region, Vec<String>>, EngineError> {
    let path =
        format!("/subscriptions/{subscription_id}/locations?api-version={LOCATIONS_API_VERSION}");
    let locations = arm.list(&path).await?;
    let name =
        |value: &Value| value.pointer("/name").and_then(Value::as_str).map(str::to_lowercase);
    let Some(own) = locations.iter().find(|value| name(value).as_deref() == Some(location)) else {
        return Ok(Err(locations.iter().filter_map(name).collect()));
    };
    let mut region = Region { physical_zones: physical_zones(own), ..Region::default() };
    let path = format!(
        "/subscriptions/{subscription_id}/providers/Microsoft.Compute/skus?api-version={SKUS_API_VERSION}&$filter=location%20eq%20%27{location}%27"
    );
    for sku in arm.list(&path).await? {
        if sku.get("resourceType").and_then(Value::as_str) == Some("virtualMachines") {
            read_sku(&sku, location, &mut region);
        }
    }
    Ok(Ok(region))
}

/// Whether the subscription has the feature that encryption at host needs; none where Azure does not say.
pub async fn may_encrypt_at_host(
    arm: &Arm,
    subscription_id: &str,
) -> Result<Option<bool>, EngineError> {
    let path = format!(
        "/subscriptions/{subscription_id}/providers/Microsoft.Features/providers/Microsoft.Compute/features/EncryptionAtHost?api-version={FEATURES_API_VERSION}"
    );
    let feature = arm.get_path(&path).await?;
    let state = feature.as_ref().and_then(|feature| feature.pointer("/properties/state")?.as_str());
    Ok(state.map(|state| state.eq_ignore_ascii_case("Registered")))
}

/// Cores of one family, or of all, in a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The family, or `cores` for all of them.
    pub family: String,
    /// Cores in use.
    pub used: u64,
    /// Cores that may be in use.
    pub limit: u64,
}

/// What the subscription uses of its cores in a region.
pub async fn usages(
    arm: &Arm,
    subscription_id: &str,
    location: &str,
) -> Result<Vec<Usage>, EngineError> {
    let path = format!(
        "/subscriptions/{subscription_id}/providers/Microsoft.Compute/locations/{location}/usages?api-version={USAGES_API_VERSION}"
    );
    let rows = arm.list(&path).await?;
    let usage = |row: &Value| {
        Some(Usage {
            family: row.pointer("/name/value")?.as_str()?.to_owned(),
            used: row.get("currentValue")?.as_u64()?,
            limit: row.get("limit")?.as_u64()?,
        })
    };
    Ok(rows.iter().filter_map(usage).collect())
}

fn physical_zones(location: &Value) -> BTreeMap<String, String> {
    let mappings = location.get("availabilityZoneMappings").and_then(Value::as_array);
    mappings
        .into_iter()
        .flatten()
        .filter_map(|mapping| {
            let text = |key: &str| mapping.get(key).and_then(Value::as_str).map(str::to_owned);
            Some((text("logicalZone")?, text("physicalZone")?))
        })
        .collect()
}

fn read_sku(sku: &Value, location: &str, region: &mut Region) {
    let Some(name) = sku.pointer("/name").and_then(Value::as_str) else { return };
    let mut infos = sku.get("locationInfo").and_then(Value::as_array).into_iter().flatten();
    let info = infos.find(|info| {
        info.pointer("/location")
            .and_then(Value::as_str)
            .is_some_and(|own| own.eq_ignore_ascii_case(location))
    });
    let Some(info) = info else { return };
    let mut zones: BTreeSet<String> = texts(info.pointer("/zones"));
    for restriction in sku.get("restrictions").and_then(Value::as_array).into_iter().flatten() {
        let reason = restriction.get("reasonCode").and_then(Value::as_str).unwrap_or("restricted");
        match restriction.pointer("/type").and_then(Value::as_str) {
            Some("Zone") => {
                let gone = texts(restriction.pointer("/restrictionInfo/zones"));
                zones.retain(|zone| !gone.contains(zone));
            }
            _ => {
                region.restricted.insert(name.to_lowercase(), reason.to_owned());
                return;
            }
        }
    }
    let zones = zones.into_iter().collect();
    let capabilities = sku.get("capabilities").and_then(Value::as_array);
    let capability = |name: &str| {
        let mut rows = capabilities.into_iter().flatten();
        rows.find(|row| row.pointer("/name").and_then(Value::as_str) == Some(name))?
            .get("value")?
            .as_str()
    };
    if let Some(why) = unfit(capability) {
        region.unfit.insert(name.to_lowercase(), why);
    }
    if capability("AcceleratedNetworkingEnabled").is_some_and(|v| v.eq_ignore_ascii_case("True")) {
        region.accelerated.insert(name.to_lowercase());
    }
    if capability("EncryptionAtHostSupported").is_some_and(|v| v.eq_ignore_ascii_case("False")) {
        region.without_host_encryption.insert(name.to_lowercase());
    }
    let cores = capability("vCPUs").and_then(|value| value.parse().ok());
    if let (Some(family), Some(cores)) = (sku.get("family").and_then(Value::as_str), cores) {
        region.cores.insert(name.to_lowercase(), (family.to_owned(), cores));
    }
    region.sizes.insert(name.to_lowercase(), (name.to_owned(), zones));
}

/// Why no server can run on a size, by what Azure says that it can. What is not said counts as fit: Azure would refuse it.
fn unfit<'v>(capability: impl Fn(&str) -> Option<&'v str>) -> Option<&'static str> {
    let is = |name: &str, word: &str| {
        capability(name).is_some_and(|value| value.eq_ignore_ascii_case(word))
    };
    if is("CpuArchitectureType", "Arm64") {
        return Some("its processor is Arm64, and the servers' programs are for x64");
    }
    if capability("DiskControllerTypes").is_some_and(|words| !words.contains("SCSI")) {
        return Some("it has NVMe disks only, and the servers find their data disk as a SCSI disk");
    }
    if is("TrustedLaunchDisabled", "True") {
        return Some("it knows no Trusted Launch, with which the servers are made");
    }
    if is("PremiumIO", "False") {
        return Some("it takes no premium disks, and Raft waits for its disk with every write");
    }
    if capability("HyperVGenerations").is_some_and(|words| !words.contains("V2")) {
        return Some("it runs no machines of generation 2, of which the servers' image is");
    }
    if capability("MaxDataDiskCount").and_then(|count| count.parse().ok()) == Some(0_u32) {
        return Some("it takes no data disk, and Consul's data lies on one");
    }
    None
}

fn texts(value: Option<&Value>) -> BTreeSet<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_size_on_which_no_server_can_run_is_named_with_its_reason() {
        let fit = [
            ("CpuArchitectureType", "x64"),
            ("DiskControllerTypes", "SCSI,NVMe"),
            ("TrustedLaunchDisabled", "False"),
            ("PremiumIO", "True"),
            ("HyperVGenerations", "V1,V2"),
            ("MaxDataDiskCount", "4"),
        ];
        let of = |rows: Vec<(&'static str, &'static str)>| {
            unfit(move |name| rows.iter().find(|(own, _)| *own == name).map(|(_, value)| *value))
        };
        assert_eq!(of(fit.to_vec()), None);
        assert_eq!(of(vec![]), None, "what Azure does not say is for Azure to refuse");
        let bad = [
            ("CpuArchitectureType", "Arm64", "Arm64"),
            ("DiskControllerTypes", "NVMe", "NVMe"),
            ("TrustedLaunchDisabled", "True", "Trusted Launch"),
            ("PremiumIO", "False", "premium"),
            ("HyperVGenerations", "V1", "generation 2"),
            ("MaxDataDiskCount", "0", "data disk"),
        ];
        for (name, value, word) in bad {
            let rows = fit.map(|row| if row.0 == name { (name, value) } else { row }).to_vec();
            assert!(of(rows).is_some_and(|why| why.contains(word)), "{name} = {value}");
        }
    }

    #[test]
    fn restricted_zones_and_sizes_are_not_offered() {
        let mut region = Region::default();
        let sku = |name: &str, restrictions: Value| {
            json!({ "name": name, "resourceType": "virtualMachines", "restrictions": restrictions,
                "locationInfo": [ { "location": "WestEurope", "zones": ["3", "1", "2"] } ] })
        };
        read_sku(&sku("Standard_A", json!([])), "westeurope", &mut region);
        let zone = json!([ { "type": "Zone", "restrictionInfo": { "zones": ["2"] } } ]);
        read_sku(&sku("Standard_B", zone), "westeurope", &mut region);
        let all = json!([ { "type": "Location", "reasonCode": "NotAvailableForSubscription" } ]);
        read_sku(&sku("Standard_C", all), "westeurope", &mut region);

        assert_eq!(region.zones_of("standard_a").unwrap(), ["1", "2", "3"]);
        assert_eq!(region.zones_of("Standard_B").unwrap(), ["1", "3"]);
        let reason = NoSize::Restricted("NotAvailableForSubscription".into());
        assert_eq!(region.zones_of("Standard_C"), Err(reason));
        assert_eq!(region.zones_of("Standard_D"), Err(NoSize::Absent));
    }
}
