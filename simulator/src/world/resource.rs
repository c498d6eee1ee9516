//! One object in the world and its life.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `provisioningState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// First PUT runs.
    Creating,
    /// A later PUT runs.
    Updating,
    /// DELETE runs.
    Deleting,
    /// At rest.
    Succeeded,
    /// The last operation failed; the object exists.
    Failed,
    /// The last operation was preempted.
    Canceled,
}

impl State {
    /// The word in a body.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Updating => "Updating",
            Self::Deleting => "Deleting",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
        }
    }
}

/// An ARM object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Resource {
    /// Id as ARM gives it back.
    pub(crate) id: String,
    /// Canonical type, e.g. `Microsoft.Network/virtualNetworks`.
    pub(crate) rtype: String,
    /// Body as GET shows it, without id, name, type, etag and provisioningState.
    pub(crate) body: Value,
    /// Write-only parts.
    pub(crate) secret: Value,
    /// Provisioning state.
    pub(crate) state: State,
    /// Changes with every write.
    pub(crate) etag: String,
    /// Not to be seen by GET yet.
    pub(crate) hidden: bool,
    /// The operation that works on it.
    pub(crate) busy: Option<String>,
    /// Name of the last operation, for conflict messages.
    pub(crate) last_operation: String,
    /// When it was first written.
    pub(crate) created_ms: u64,
    /// From when it takes effect (role assignments).
    pub(crate) effective_ms: u64,
    /// Order of creation.
    pub(crate) sequence: u64,
}

impl Resource {
    pub(crate) fn name(&self) -> &str {
        super::ids::name_of(&self.id)
    }

    pub(crate) fn key(&self) -> String {
        super::ids::key(&self.id)
    }

    /// Text at a JSON pointer of the body; empty when absent.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        text(&self.body, pointer)
    }

    pub(crate) fn location(&self) -> &str {
        self.text("/location")
    }
}

/// What a JSON pointer without escapes leads to; the library's own makes two strings for each segment.
pub(crate) fn at<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    pointer.split('/').skip(1).try_fold(value, |value, name| match value {
        Value::Object(fields) => fields.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Text at a JSON pointer; empty when absent.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    at(value, pointer).and_then(Value::as_str).unwrap_or("")
}

/// Array at a JSON pointer; empty when absent.
pub(crate) fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    at(value, pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Sets `object[name]` when it is absent or null.
pub(crate) fn default(object: &mut Value, name: &str, value: Value) {
    if object.get(name).is_none_or(Value::is_null) {
        object[name] = value;
    }
}

/// RFC 7396 merge.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    if let Some(target) = target.as_object_mut() {
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                merge(target.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
    }
}
