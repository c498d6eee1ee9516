//! Builders of values.

use std::collections::BTreeMap;

use super::{Number, Refinement, Typed, Value};
use crate::schema::Type;

impl Value {
    /// A value that is not known before apply.
    pub fn unknown() -> Self {
        Self::Unknown(Refinement::default())
    }

    /// An object from its attributes. Attributes that the schema has and this lacks are null.
    pub fn object<K: Into<String>>(attributes: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Map(attributes.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// A map from its elements.
    pub fn map<K: Into<String>>(elements: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::object(elements)
    }

    /// A list, set or tuple from its elements.
    pub fn list(elements: impl IntoIterator<Item = Self>) -> Self {
        Self::List(elements.into_iter().collect())
    }

    /// A value for a dynamic attribute with its concrete type.
    pub fn typed(ty: Type, value: Self) -> Self {
        Self::Typed(Box::new(Typed { ty, value }))
    }

    /// The same object with one attribute set. Anything but an object or map stays as it is.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Self>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets an attribute of an object or an element of a map; does nothing to other values.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Self>) {
        match self {
            Self::Map(elements) => {
                elements.insert(name.into(), value.into());
            }
            Self::Typed(typed) => typed.value.set(name, value),
            _ => {}
        }
    }

    /// An attribute of an object or an element of a map, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        match self {
            Self::Map(elements) => elements.get_mut(name),
            Self::Typed(typed) => typed.value.get_mut(name),
            _ => None,
        }
    }

    /// Visits the objects of a collection, or the one object.
    pub(crate) fn each_object(&mut self, many: bool, visit: &mut dyn FnMut(&mut Self)) {
        match self {
            object if !many => visit(object),
            Self::List(objects) => objects.iter_mut().for_each(visit),
            Self::Map(objects) => objects.values_mut().for_each(visit),
            _ => {}
        }
    }

    /// The same value with null in place of everything unknown.
    #[must_use]
    pub fn unknowns_as_null(self) -> Self {
        match self {
            Self::Unknown(_) => Self::Null,
            Self::List(elements) => Self::list(elements.into_iter().map(Self::unknowns_as_null)),
            Self::Map(elements) => Self::Map(
                elements
                    .into_iter()
                    .map(|(name, value)| (name, value.unknowns_as_null()))
                    .collect(),
            ),
            Self::Typed(typed) => Self::typed(typed.ty, typed.value.unknowns_as_null()),
            known => known,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::String(text.clone())
    }
}

macro_rules! from_numbers {
    ($($number:ty),*) => {$(
        impl From<$number> for Value {
            fn from(number: $number) -> Self {
                Self::Number(number.into())
            }
        }
    )*};
}
from_numbers!(Number, i32, i64, u8, u16, u32, u64, f64);

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(elements: Vec<T>) -> Self {
        Self::List(elements.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<BTreeMap<String, T>> for Value {
    fn from(elements: BTreeMap<String, T>) -> Self {
        Self::Map(elements.into_iter().map(|(name, value)| (name, value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_options_become_null() {
        assert_eq!(Value::from(None::<String>), Value::Null);
        assert_eq!(Value::from(Some("a")), Value::from("a"));
    }

    #[test]
    fn unknowns_become_null_at_every_depth() {
        let planned = Value::object([
            ("id", Value::unknown()),
            ("list", Value::list([Value::unknown(), Value::from(1)])),
            ("any", Value::typed(Type::String, Value::unknown())),
        ]);
        let expected = Value::object([
            ("id", Value::Null),
            ("list", Value::list([Value::Null, Value::from(1)])),
            ("any", Value::typed(Type::String, Value::Null)),
        ]);
        assert_eq!(planned.unknowns_as_null(), expected);
    }
}
