//! Between Terraform's values and the planner's spec.

use std::collections::BTreeMap;

use hcs_planner::arm::ArmId;
use hcs_planner::spec::{
    ArtifactSource, ClusterSpec, ExternalEndpoint, ImageReference, LockLevel, ZoneFallback,
};
use ipnet::Ipv4Net;
use tfplugin::Value;

use crate::tagging::Tagging;

/// Every input, in the order of [`super::state::inputs`].
pub(super) const INPUTS: [&str; 27] = [
    "name",
    "resource_group_name",
    "location",
    "managed_resource_group_name",
    "consul_datacenter",
    "server_count",
    "zones",
    "zone_fallback",
    "vm_size",
    "vm_size_fallbacks",
    "image",
    "os_disk_gib",
    "data_disk_gib",
    "ssh_public_key",
    "ssh_allowed_cidrs",
    "artifact_source",
    "vnet_cidr",
    "subnet_id",
    "peer_vnet_ids",
    "private_dns_zone_id",
    "consul_external_endpoint",
    "allowed_cidrs",
    "consul_version",
    "lock",
    "deletion_protection",
    "force_destroy",
    "tags",
];

/// Inputs whose change makes another cluster: names and places of everything follow from them, and Azure moves neither a
/// network nor a region, and the servers' certificates carry the names of their zone.
pub(super) const REPLACES: [&str; 8] = [
    "name",
    "resource_group_name",
    "location",
    "managed_resource_group_name",
    "consul_datacenter",
    "vnet_cidr",
    "subnet_id",
    "private_dns_zone_id",
];

/// Reads the spec that a state was made of: its tags are those that it had then, whatever the provider gives now.
pub(crate) fn stored_spec_of(
    state: &Value,
    subscription_id: &str,
    tagging: &Tagging,
) -> Result<ClusterSpec, String> {
    match texts_by_key(state.get("tags_all")) {
        Some(all) => spec_with(state, subscription_id, all, tagging),
        None => spec_of(state, subscription_id, tagging),
    }
}

/// Reads a spec from a plan whose inputs are known; the error names the input that is not.
pub(crate) fn spec_of(
    value: &Value,
    subscription_id: &str,
    tagging: &Tagging,
) -> Result<ClusterSpec, String> {
    spec_with(value, subscription_id, tagging.of_cluster(value.get("tags"))?, tagging)
}

fn spec_with(
    value: &Value,
    subscription_id: &str,
    tags: BTreeMap<String, String>,
    tagging: &Tagging,
) -> Result<ClusterSpec, String> {
    let text = |name: &str| {
        let text = value.get(name).as_str().map(str::to_owned);
        text.ok_or_else(|| name.to_owned())
    };
    let number = |name: &str| {
        let number = value.get(name).as_i64().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| name.to_owned())
    };
    Ok(ClusterSpec {
        subscription_id: subscription_id.to_owned(),
        name: text("name")?,
        resource_group_name: text("resource_group_name")?,
        managed_resource_group_name: text("managed_resource_group_name")?,
        location: hcs_planner::rules::location(&text("location")?),
        consul_datacenter: text("consul_datacenter")?,
        server_count: number("server_count")?,
        zones: texts(value.get("zones")).ok_or("zones")?,
        zone_fallback: fallback(value)?,
        vm_size: text("vm_size")?,
        vm_size_fallbacks: match value.get("vm_size_fallbacks") {
            sizes if sizes.is_null() => vec![],
            sizes => texts(sizes).ok_or("vm_size_fallbacks")?,
        },
        image: image(value.get("image"))?,
        os_disk_gib: number("os_disk_gib")?,
        data_disk_gib: number("data_disk_gib")?,
        ssh_public_key: known(value, "ssh_public_key")?,
        ssh_allowed_cidrs: match value.get("ssh_allowed_cidrs") {
            none if none.is_null() => vec![],
            some => cidrs(some).ok_or("ssh_allowed_cidrs")?,
        },
        vnet_cidr: match known(value, "vnet_cidr")? {
            Some(cidr) => Some(cidr.parse().map_err(|_| "vnet_cidr")?),
            None => None,
        },
        subnet_id: known(value, "subnet_id")?.map(ArmId::new),
        peer_vnet_ids: match value.get("peer_vnet_ids") {
            ids if ids.is_null() => vec![],
            ids => texts(ids).ok_or("peer_vnet_ids")?.into_iter().map(ArmId::new).collect(),
        },
        private_dns_zone_id: known(value, "private_dns_zone_id")?.map(ArmId::new),
        external_endpoint: endpoint(value)?,
        consul_version: text("consul_version")?.parse().map_err(|_| "consul_version")?,
        artifact_source: artifact_source(value.get("artifact_source"))?,
        lock: match text("lock")?.as_str() {
            "none" => LockLevel::None,
            _ => LockLevel::CanNotDelete,
        },
        deletion_protection: value.get("deletion_protection").as_bool().unwrap_or(false),
        force_destroy: value.get("force_destroy").as_bool().unwrap_or(false),
        timeouts: match value.get("timeouts") {
            none if none.is_null() => None,
            block => Some(tag_map(block).ok_or("timeouts")?),
        },
        tags,
        ignored_tags: tagging.ignored.clone(),
    })
}

/// A list of known strings.
pub(crate) fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_list()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// Texts by key: null is none, and so is a null element, by which a user takes one away. `None` where any is unknown.
pub(crate) fn tag_map(value: &Value) -> Option<BTreeMap<String, String>> {
    if value.is_null() {
        return Some(BTreeMap::new());
    }
    let present = value.as_map()?.iter().filter(|(_, item)| !item.is_null());
    present.map(|(key, item)| Some((key.clone(), item.as_str()?.to_owned()))).collect()
}

/// A map of known strings.
pub(crate) fn texts_by_key(value: &Value) -> Option<BTreeMap<String, String>> {
    let map = value.as_map()?;
    map.iter().map(|(key, item)| Some((key.clone(), item.as_str()?.to_owned()))).collect()
}

/// A string that may be null but not unknown.
fn known(value: &Value, name: &str) -> Result<Option<String>, String> {
    match value.get(name) {
        item if item.is_unknown() => Err(name.to_owned()),
        item => Ok(item.as_str().map(str::to_owned)),
    }
}

fn fallback(value: &Value) -> Result<ZoneFallback, String> {
    let word = known(value, "zone_fallback")?;
    let all = ZoneFallback::ALL.into_iter();
    Ok(all.into_iter().find(|one| word.as_deref() == Some(one.as_str())).unwrap_or_default())
}

fn endpoint(value: &Value) -> Result<Option<ExternalEndpoint>, String> {
    let (name, cidrs) = ("consul_external_endpoint", "allowed_cidrs");
    if value.get(name).is_unknown() {
        return Err(name.to_owned());
    }
    if value.get(name).as_bool() != Some(true) {
        return Ok(None);
    }
    let allowed_cidrs = self::cidrs(value.get(cidrs)).ok_or(cidrs)?;
    Ok(Some(ExternalEndpoint { allowed_cidrs }))
}

/// A list of known ranges.
fn cidrs(value: &Value) -> Option<Vec<Ipv4Net>> {
    texts(value)?.iter().map(|cidr| cidr.parse().ok()).collect()
}

fn image(value: &Value) -> Result<ImageReference, String> {
    if value.is_null() {
        return Ok(ImageReference::default());
    }
    let text = |name: &str| {
        let text = value.get(name).as_str().map(str::to_owned);
        text.ok_or_else(|| format!("image.{name}"))
    };
    Ok(ImageReference {
        publisher: text("publisher")?,
        offer: text("offer")?,
        sku: text("sku")?,
        version: text("version")?,
    })
}

fn artifact_source(value: &Value) -> Result<Option<ArtifactSource>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let location = value.get("location").as_str().ok_or("artifact_source.location")?.to_owned();
    Ok(Some(ArtifactSource { location, sha256: known(value, "sha256")? }))
}
