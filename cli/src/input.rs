//! Reads a declared cluster and an observed world from JSON files.

use std::fs;
use std::path::{Path, PathBuf};

use hcs_planner::names::default_managed_group;
use hcs_planner::observed::Observed;
use hcs_planner::releases;
use hcs_planner::spec::ClusterSpec;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// A file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file holds something else.
    #[error("{} does not describe {what}: {reason}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The plan has no such step.
    #[error("the plan has no step {step:?}{}", if near.is_empty() { String::new() } else { format!("; did you mean {near:?}?") })]
    NoStep {
        /// The step that was asked for.
        step: String,
        /// One that reads like it, or empty.
        near: String,
    },
    /// The cluster has no such zone.
    #[error("the cluster has no zone {zone}; its zones are {zones}")]
    NoZone {
        /// The zone that was asked for.
        zone: String,
        /// Zones that there are.
        zones: String,
    },
    /// The planner refuses.
    #[error("{0}")]
    Plan(#[from] hcs_planner::plan::PlanError),
}

/// A declared cluster; what is left out has the provider's defaults.
pub(crate) fn cluster(path: &Path) -> Result<ClusterSpec, CliError> {
    let mut value: Map<String, Value> = read(path, "a cluster")?;
    if let Some(changes) = value.get("resource_changes") {
        value = from_terraform(path, changes)?;
    }
    let text = |value: &Map<String, Value>, key: &str| {
        value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let (name, group) = (text(&value, "name"), text(&value, "resource_group_name"));
    let defaults = json!({
        "managed_resource_group_name": default_managed_group(&group, &name),
        "consul_datacenter": name,
        "server_count": 3,
        "zones": ["1", "2", "3"],
        "vm_size": "Standard_D2s_v5",
        "image": hcs_planner::spec::ImageReference::default(),
        "os_disk_gib": 64,
        "data_disk_gib": 32,
        "ssh_public_key": null,
        "vnet_cidr": "172.25.16.0/24",
        "peer_vnet_ids": [],
        "consul_version": releases::newest(),
        "artifact_source": null,
        "lock": "CanNotDelete",
        "deletion_protection": false,
        "tags": {},
    });
    for (key, default) in defaults.as_object().into_iter().flatten() {
        value.entry(key.clone()).or_insert_with(|| default.clone());
    }
    serde_json::from_value(Value::Object(value)).map_err(|error| CliError::Content {
        path: path.to_owned(),
        what: "a cluster",
        reason: error.to_string(),
    })
}

/// The first `hcs_cluster` of a Terraform plan, as it will be.
fn from_terraform(path: &Path, changes: &Value) -> Result<Map<String, Value>, CliError> {
    let refused = |reason: &str| CliError::Content {
        path: path.to_owned(),
        what: "a cluster",
        reason: reason.to_owned(),
    };
    let mut changes = changes.as_array().into_iter().flatten();
    let change =
        changes.find(|change| change["type"] == "hcs_cluster" && change["mode"] == "managed");
    let change = change.ok_or_else(|| refused("the Terraform plan holds no hcs_cluster"))?;
    let after = change["change"]["after"].as_object();
    let after = after.ok_or_else(|| refused("the Terraform plan destroys the hcs_cluster"))?;
    let mut value: Map<String, Value> = after
        .iter()
        .filter(|(_, item)| !item.is_null())
        .map(|(key, item)| (key.clone(), item.clone()))
        .collect();
    if let Some(tags) = value.remove("tags_all") {
        value.insert("tags".to_owned(), tags);
    }
    // The subscription is the provider's business; ids in the plan differ by it only.
    let id = after.get("id").and_then(Value::as_str).and_then(|id| id.split('/').nth(2));
    value.insert("subscription_id".to_owned(), json!(id.unwrap_or(NO_SUBSCRIPTION)));
    Ok(value)
}

/// Stands for a subscription that the input does not name.
const NO_SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";

/// An observed world; an empty one without a file.
pub(crate) fn world(path: Option<&Path>) -> Result<Observed, CliError> {
    path.map_or_else(|| Ok(Observed::default()), |path| read(path, "an observed world"))
}

fn read<T: DeserializeOwned>(path: &Path, what: &'static str) -> Result<T, CliError> {
    let bytes = fs::read(path)
        .map_err(|error| CliError::File { path: path.to_owned(), reason: error.to_string() })?;
    serde_json::from_slice(&bytes).map_err(|error| CliError::Content {
        path: path.to_owned(),
        what,
        reason: error.to_string(),
    })
}
