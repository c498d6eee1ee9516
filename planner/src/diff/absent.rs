//! What must not be there: elements of lists and properties that are ours and no longer wanted.

use serde_json::{Value, json};

/// Marks an element of a named list that is ours and no longer wanted.
const ABSENT: &str = "$absent";

/// An element of a named list that must not be there.
pub(crate) fn absent(name: &str) -> Value {
    json!({ "name": name, ABSENT: true })
}

/// A property that must not be there.
pub(crate) fn gone() -> Value {
    json!({ ABSENT: true })
}

/// The body of an object that does not exist yet: without what must not be there.
pub(crate) fn without_absent(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !is_absent(value));
            map.values_mut().for_each(without_absent);
        }
        Value::Array(items) => {
            items.retain(|item| item.get(ABSENT).is_none());
            items.iter_mut().for_each(without_absent);
        }
        _ => {}
    }
}

/// Whether a value stands for something that must not be there.
pub(super) fn is_absent(element: &Value) -> bool {
    element.get(ABSENT).is_some()
}
