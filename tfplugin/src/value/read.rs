//! Readers of values. None of them fails: what is not there or of another kind is `None`.

use std::collections::BTreeMap;

use super::{Number, Value};
use crate::path::{Path, Step};

impl Value {
    /// The value itself, without the type that a dynamic value carries.
    pub fn plain(&self) -> &Self {
        match self {
            Self::Typed(typed) => typed.value.plain(),
            other => other,
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self.plain(), Self::Null)
    }

    /// Whether it is unknown itself; its elements may be unknown all the same.
    pub fn is_unknown(&self) -> bool {
        matches!(self.plain(), Self::Unknown(_))
    }

    /// Whether it is neither null nor unknown.
    pub fn is_set(&self) -> bool {
        !self.is_null() && !self.is_unknown()
    }

    /// Whether nothing in it is unknown.
    pub fn is_wholly_known(&self) -> bool {
        match self.plain() {
            Self::Unknown(_) => false,
            Self::List(elements) => elements.iter().all(Self::is_wholly_known),
            Self::Map(elements) => elements.values().all(Self::is_wholly_known),
            _ => true,
        }
    }

    /// An attribute of an object or an element of a map; null where there is none.
    pub fn get(&self, name: &str) -> &Self {
        self.as_map().and_then(|elements| elements.get(name)).unwrap_or(&Self::Null)
    }

    /// The value at a path; null where there is none.
    pub fn at(&self, path: &Path) -> &Self {
        path.steps().iter().fold(self, |value, step| match step {
            Step::Attribute(name) | Step::Key(name) => value.get(name),
            Step::Index(index) => usize::try_from(*index)
                .ok()
                .and_then(|index| value.as_list()?.get(index))
                .unwrap_or(&Self::Null),
        })
    }

    /// The truth value.
    pub fn as_bool(&self) -> Option<bool> {
        match self.plain() {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The text.
    pub fn as_str(&self) -> Option<&str> {
        match self.plain() {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number.
    pub fn as_number(&self) -> Option<&Number> {
        match self.plain() {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The number, if it is an integer that fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number()?.as_i64()
    }

    /// The number, if it is a natural number that fits.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number()?.as_u64()
    }

    /// The number, rounded to the nearest that fits.
    pub fn as_f64(&self) -> Option<f64> {
        self.as_number().map(Number::as_f64)
    }

    /// The elements of a list, set or tuple.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self.plain() {
            Self::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// The elements of a map or the attributes of an object.
    pub fn as_map(&self) -> Option<&BTreeMap<String, Self>> {
        match self.plain() {
            Self::Map(elements) => Some(elements),
            _ => None,
        }
    }
}

/// The path of the first unknown in a value.
pub(crate) fn first_unknown(value: &Value) -> Option<Path> {
    fn search(value: &Value, path: &mut Vec<Step>) -> bool {
        let mut deeper = |step, value| {
            path.push(step);
            let found = search(value, path);
            if !found {
                path.pop();
            }
            found
        };
        match value.plain() {
            Value::Unknown(_) => true,
            Value::List(elements) => elements.iter().enumerate().any(|(position, value)| {
                deeper(Step::Index(i64::try_from(position).unwrap_or(i64::MAX)), value)
            }),
            Value::Map(elements) => {
                elements.iter().any(|(name, value)| deeper(Step::Attribute(name.clone()), value))
            }
            _ => false,
        }
    }
    let mut steps = Vec::new();
    search(value, &mut steps).then(|| steps.into_iter().fold(Path::empty(), Path::then))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_reads_as_null() {
        let value = Value::object([("tags", Value::from(vec![Value::from("a")]))]);
        assert!(value.get("name").is_null());
        assert!(value.get("tags").get("name").is_null());
        assert_eq!(value.at(&Path::root("tags").index(0)).as_str(), Some("a"));
        assert!(value.at(&Path::root("tags").index(1)).is_null());
    }

    #[test]
    fn an_unknown_deep_inside_is_found() {
        let value = Value::object([("a", Value::from(vec![Value::unknown()]))]);
        assert!(!value.is_unknown());
        assert!(!value.is_wholly_known());
    }
}
