//! Reads a declared cluster and an observed world from JSON files.

mod terraform;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hcs_planner::assumed::assumed;
use hcs_planner::observed::Observed;
use hcs_planner::rules::{self, Broken};
use hcs_planner::spec::{ClusterSpec, ImageReference};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use terraform::from_terraform;

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
    /// The declared cluster has an attribute that there is not.
    #[error("{} has {name:?}, which no cluster has{}", path.display(), did_you_mean(near))]
    Unknown {
        /// Which file.
        path: PathBuf,
        /// The attribute.
        name: String,
        /// One that reads like it, or empty.
        near: String,
    },
    /// The declared cluster breaks a rule.
    #[error("{}: {attribute}: {reason}", path.display())]
    Broken {
        /// Which file.
        path: PathBuf,
        /// The attribute.
        attribute: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The plan has no such step.
    #[error("the plan has no step {step:?}{}", did_you_mean(near))]
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
    /// Azure could not be asked, or says no.
    #[error("{reason}")]
    Azure {
        /// What, why, and what to do.
        reason: String,
    },
    /// The planner refuses.
    #[error("{0}")]
    Plan(#[from] hcs_planner::plan::PlanError),
}

fn did_you_mean(near: &str) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {near:?}?") }
}

/// Of these names the one that reads most like `wanted`; empty when there are none.
pub(crate) fn nearest<'n>(names: impl Iterator<Item = &'n str>, wanted: &str) -> String {
    let nearest = names.min_by_key(|name| strsim::levenshtein(name, wanted));
    nearest.unwrap_or_default().to_owned()
}

/// Files that say what is declared and what is there.
pub(crate) struct Files<'a> {
    /// The declared cluster, or a Terraform plan.
    pub(crate) declared: &'a Path,
    /// What Azure holds, if it is known.
    pub(crate) observed: Option<&'a Path>,
    /// Which resource of a Terraform plan is meant.
    pub(crate) address: Option<&'a str>,
}

/// What is to be planned.
pub(crate) struct Input {
    /// The declared cluster.
    pub(crate) spec: ClusterSpec,
    /// What is there.
    pub(crate) observed: Observed,
    /// Inputs that a Terraform plan does not know yet.
    pub(crate) unknown: Vec<String>,
    /// Whether [`Self::observed`] is only what the Terraform state lets expect.
    pub(crate) is_assumed: bool,
}

impl Files<'_> {
    /// Reads them. Without an observed world a Terraform plan is planned from what its state declares, and a
    /// cluster.json from nothing.
    pub(crate) fn read(&self) -> Result<Input, CliError> {
        let path = self.declared;
        let value: Map<String, Value> = read(path, "a cluster")?;
        let observed = self.observed.map(|path| read(path, "an observed world")).transpose()?;
        let Some(changes) = value.get("resource_changes") else {
            let given: Vec<String> = value.keys().cloned().collect();
            let spec = checked(path, spec(path, value)?)?;
            known_only(path, &given, &spec)?;
            return Ok(Input {
                spec,
                observed: observed.unwrap_or_default(),
                unknown: vec![],
                is_assumed: false,
            });
        };
        let change = self.change(changes)?;
        let side = |side: &str| {
            change["change"][side]
                .as_object()
                .map(|values| spec(path, from_terraform(values)))
                .transpose()
        };
        let (before, after) = (side("before")?, side("after")?);
        let before = before.map(|before| checked(path, before)).transpose()?;
        let mut spec = after.ok_or_else(|| self.refused("the Terraform plan destroys it"))?;
        let unknown = unknown_inputs(&change["change"]["after_unknown"]);
        // What is not known is missing here, and rules of several inputs would take it for left out. Terraform has asked
        // the provider about them, and asks again when all is known.
        if unknown.is_empty() {
            spec = checked(path, spec)?;
        }
        // Which one its channel brings, the apply finds out.
        let changes = &change["change"];
        let is_same = |name: &str| changes["before"][name] == changes["after"][name];
        let is_by_channel = is_same("image") && is_same("source_image_id");
        if is_by_channel && changes["after_unknown"]["image_version"] == true {
            let before = change["change"]["before"]["image_version"].as_str();
            spec.image_at_least = before.map(ImageReference::newer_than);
        }
        if let Some(observed) = observed {
            return Ok(Input { spec, observed, unknown, is_assumed: false });
        }
        let is_replaced = change["change"]["actions"].as_array().is_some_and(|a| a.len() > 1);
        let before = before.filter(|_| !is_replaced);
        let is_assumed = before.is_some();
        let observed = before.map_or_else(Observed::default, |before| assumed(&before));
        Ok(Input { spec, observed, unknown, is_assumed })
    }

    /// The change of the `hcs_cluster` that is meant.
    fn change<'c>(&self, changes: &'c Value) -> Result<&'c Value, CliError> {
        let clusters: Vec<&Value> = changes
            .as_array()
            .into_iter()
            .flatten()
            .filter(|change| change["type"] == "hcs_cluster" && change["mode"] == "managed")
            .collect();
        let addresses: Vec<&str> =
            clusters.iter().filter_map(|change| change["address"].as_str()).collect();
        match (self.address, clusters.as_slice()) {
            (_, []) => Err(self.refused("the Terraform plan holds no hcs_cluster")),
            (None, [only]) => Ok(*only),
            (None, _) => Err(self.refused(&format!(
                "the Terraform plan holds several hcs_cluster; choose one with --address: {}",
                addresses.join(", ")
            ))),
            (Some(wanted), _) => {
                let found = clusters.iter().copied().find(|change| change["address"] == wanted);
                found.ok_or_else(|| {
                    let others = addresses.join(", ");
                    self.refused(&format!("it holds no {wanted}; it holds {others}"))
                })
            }
        }
    }

    fn refused(&self, reason: &str) -> CliError {
        let (path, reason) = (self.declared.to_owned(), reason.to_owned());
        CliError::Content { path, what: "a cluster", reason }
    }
}

/// Inputs that are not known, whole or in part.
fn unknown_inputs(after_unknown: &Value) -> Vec<String> {
    let spec = json!(ClusterSpec::new("", "", "", ""));
    let written = spec.as_object().into_iter().flat_map(Map::keys).map(String::as_str);
    let inputs = written.chain(terraform::LEFT_OUT).chain(terraform::TURNED);
    let unknown = inputs.filter(|name| has_true(&after_unknown[*name]));
    unknown.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

fn has_true(value: &Value) -> bool {
    match value {
        Value::Bool(is_unknown) => *is_unknown,
        Value::Array(items) => items.iter().any(has_true),
        Value::Object(fields) => fields.values().any(has_true),
        _ => false,
    }
}

/// What a declared cluster cannot leave out.
const REQUIRED: [&str; 4] = ["subscription_id", "name", "resource_group_name", "location"];

/// A spec from JSON; what is left out has the provider's defaults.
fn spec(path: &Path, mut value: Map<String, Value>) -> Result<ClusterSpec, CliError> {
    let text = |value: &Map<String, Value>, key: &str| {
        value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let (name, group) = (text(&value, "name"), text(&value, "resource_group_name"));
    // As the resource has it.
    if let Some(Value::Object(lock)) = value.get("lock").cloned() {
        value.remove("lock");
        let parts = [("kind", "lock"), ("name", "lock_name")];
        let set = parts.into_iter().filter_map(|(own, name)| Some((name, lock.get(own)?.clone())));
        value.extend(set.map(|(name, part)| (name.to_owned(), part)));
    }
    // Terraform names the secrets that have no word, too, and keeps an element that is null.
    for map in ["rotation_triggers", "zone_subnet_ids", "tags"] {
        if let Some(Value::Object(elements)) = value.get_mut(map) {
            elements.retain(|_, element| !element.is_null());
        }
    }
    let has_subnet = value.get("subnet_id").is_some_and(|id| !id.is_null());
    let mut defaults = json!(ClusterSpec::new("", &name, &group, ""));
    if has_subnet {
        defaults["vnet_cidr"] = Value::Null;
    }
    for (key, default) in defaults.as_object().into_iter().flatten() {
        if !REQUIRED.contains(&key.as_str()) {
            value.entry(key.clone()).or_insert_with(|| default.clone());
        }
    }
    serde_path_to_error::deserialize(Value::Object(value)).map_err(|error| CliError::Content {
        path: path.to_owned(),
        what: "a cluster",
        reason: error.to_string(),
    })
}

/// The spec, if it can be.
fn checked(path: &Path, spec: ClusterSpec) -> Result<ClusterSpec, CliError> {
    match rules::broken(&spec).into_iter().next() {
        Some(Broken { attribute, reason }) => {
            Err(CliError::Broken { path: path.to_owned(), attribute, reason })
        }
        None => Ok(spec),
    }
}

/// A misspelled attribute would be planned with its default.
fn known_only(path: &Path, given: &[String], spec: &ClusterSpec) -> Result<(), CliError> {
    let all = json!(spec);
    let written = || all.as_object().into_iter().flat_map(Map::keys).map(String::as_str);
    let known = || written().chain(terraform::LEFT_OUT);
    match given.iter().find(|name| known().all(|other| other != name.as_str())) {
        Some(name) => Err(CliError::Unknown {
            path: path.to_owned(),
            name: name.clone(),
            near: nearest(known(), name),
        }),
        None => Ok(()),
    }
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
