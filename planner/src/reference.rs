//! Values in a body that are known only while a plan runs: outputs of earlier objects, parameters, cloud-init.
//!
//! A reference is an object with one `$` key, so bodies stay plain JSON and plans stay byte-equal.

use serde_json::{Map, Value, json};

use crate::cloud_init;
use crate::dataplane::BootstrapConfig;
use crate::spec::ImageReference;

/// What a body refers to could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not known yet")]
pub struct Unresolved {
    /// The reference.
    pub what: String,
}

/// Gives the values behind references.
pub trait Outputs {
    /// A value in the latest body of a logical object, by JSON pointer.
    fn output(&self, object: &str, pointer: &str) -> Option<Value>;
    /// A parameter of the run.
    fn parameter(&self, name: &str) -> Option<Value>;
}

/// Parameters of a run.
pub mod parameter {
    /// SHA-256 of the host manager that new servers fetch.
    pub const HOST_MANAGER_SHA256: &str = "host_manager_sha256";
    /// Public SSH key of new servers.
    pub const SSH_PUBLIC_KEY: &str = "ssh_public_key";
    /// The version of the image with which servers are made, where the newest is meant.
    pub const IMAGE_VERSION: &str = "image_version";

    /// Whether servers of this size get accelerated networking.
    pub fn accelerated_networking(vm_size: &str) -> String {
        format!("accelerated_networking/{}", vm_size.to_lowercase())
    }

    /// SHA-256 of the Consul artifact.
    pub const CONSUL_SHA256: &str = "consul_sha256";
    /// File name of the Consul artifact.
    pub const CONSUL_FILE_NAME: &str = "consul_file_name";
}

/// The version of the image where the servers are not to be older than this one.
const IMAGE_AT_LEAST: &str = "$image_at_least";

/// Refers to a value in the latest body of a logical object.
pub fn output(object: &str, pointer: &str) -> Value {
    json!({ "$output": { "object": object, "pointer": pointer } })
}

/// Refers to a parameter of the run.
pub fn parameter(name: &str) -> Value {
    json!({ "$parameter": name })
}

/// The version of the image, resolved when a server is born. From then on what it was made with counts, unless that is
/// older than `at_least`.
pub fn image_version(at_least: Option<&str>) -> Value {
    match at_least {
        None => parameter(parameter::IMAGE_VERSION),
        Some(version) => json!({ IMAGE_AT_LEAST: version }),
    }
}

/// Whether what a server was made with is fine, whatever is newest today.
pub(crate) fn is_settled_at_birth(wanted: &Map<String, Value>, made_with: &str) -> bool {
    if let Some(at_least) = wanted.get(IMAGE_AT_LEAST).and_then(Value::as_str) {
        return ImageReference::version_order(made_with) >= ImageReference::version_order(at_least);
    }
    wanted.get("$parameter").is_some_and(|name| name == parameter::IMAGE_VERSION)
}

/// Stands for the base64 of a server's cloud-init; `bootstrap` is a [`BootstrapConfig`] that may hold references.
pub fn cloud_init(bootstrap: Value) -> Value {
    let mut reference = Map::new();
    reference.insert("$cloud_init".to_owned(), bootstrap);
    Value::Object(reference)
}

/// Sets a field of a [`cloud_init`] reference; anything else is left alone.
pub(crate) fn set_cloud_init(reference: &mut Value, field: &str, value: Value) {
    if let Some(bootstrap) = reference.get_mut("$cloud_init") {
        bootstrap[field] = value;
    }
}

/// The value at a JSON pointer whose names need no escapes, as all of ours. `Value::pointer` unescapes each name into a
/// string of its own, which shows where it is called for every object.
pub(crate) fn point<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    let mut names = pointer.split('/').skip(1);
    names.try_fold(value, |value, name| match value {
        Value::Object(map) => map.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Whether the value holds a reference anywhere.
pub fn has_reference(value: &Value) -> bool {
    match value {
        Value::Object(map) => is_reference(map) || map.values().any(has_reference),
        Value::Array(items) => items.iter().any(has_reference),
        _ => false,
    }
}

/// Whether the object stands for a value that is known only while a plan runs.
pub(crate) fn is_reference(map: &Map<String, Value>) -> bool {
    map.len() == 1 && map.keys().all(|key| key.starts_with('$'))
}

/// Replaces every reference in `value`.
pub fn resolve(value: &Value, outputs: &dyn Outputs) -> Result<Value, Unresolved> {
    match value {
        Value::Object(map) if is_reference(map) => resolve_reference(map, outputs),
        Value::Object(map) => {
            let mut resolved = Map::new();
            for (key, item) in map {
                resolved.insert(key.clone(), resolve(item, outputs)?);
            }
            Ok(Value::Object(resolved))
        }
        Value::Array(items) => items
            .iter()
            .map(|item| resolve(item, outputs))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        plain => Ok(plain.clone()),
    }
}

fn resolve_reference(map: &Map<String, Value>, outputs: &dyn Outputs) -> Result<Value, Unresolved> {
    let unresolved = |what: String| Unresolved { what };
    if let Some(reference) = map.get("$output") {
        let text = |key: &str| reference.get(key).and_then(Value::as_str).unwrap_or_default();
        let (object, pointer) = (text("object"), text("pointer"));
        return outputs
            .output(object, pointer)
            .ok_or_else(|| unresolved(format!("{pointer} of {object}")));
    }
    if let Some(name) = map.get("$parameter").and_then(Value::as_str) {
        return outputs.parameter(name).ok_or_else(|| unresolved(format!("parameter {name}")));
    }
    if map.contains_key(IMAGE_AT_LEAST) {
        let name = parameter::IMAGE_VERSION;
        return outputs.parameter(name).ok_or_else(|| unresolved(format!("parameter {name}")));
    }
    if let Some(bootstrap) = map.get("$cloud_init") {
        let bootstrap: BootstrapConfig = serde_json::from_value(resolve(bootstrap, outputs)?)
            .map_err(|error| unresolved(format!("cloud-init ({error})")))?;
        return Ok(Value::String(cloud_init::render_base64(&bootstrap)));
    }
    Err(unresolved(format!("reference {:?}", map.keys().next())))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;

    impl Outputs for One {
        fn output(&self, object: &str, pointer: &str) -> Option<Value> {
            (object == "a" && pointer == "/p").then(|| json!("value"))
        }
        fn parameter(&self, name: &str) -> Option<Value> {
            (name == "n").then(|| json!(7))
        }
    }

    #[test]
    fn references_are_replaced_at_any_depth() {
        let body = json!({ "x": [ { "y": output("a", "/p") }, parameter("n") ], "z": 1 });
        assert!(has_reference(&body));
        let resolved = resolve(&body, &One).unwrap();
        assert_eq!(resolved, json!({ "x": [ { "y": "value" }, 7 ], "z": 1 }));
        assert!(!has_reference(&resolved));
    }

    #[test]
    fn a_missing_output_is_named() {
        let error = resolve(&json!([output("b", "/q")]), &One).unwrap_err();
        assert_eq!(error.to_string(), "/q of b is not known yet");
    }
}
