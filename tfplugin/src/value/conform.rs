//! Holds a value against a type.

use super::{Value, ValueError, msgpack};
use crate::schema::Type;

/// Checks that a value fits a type. Absent attributes of objects count as null; null and unknown
/// fit everywhere.
pub fn conform(value: &Value, ty: &Type) -> Result<(), ValueError> {
    // What can be sent conforms: the encoder follows the type through every part of the value.
    msgpack::encode(value, ty).map(drop)
}

impl Value {
    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.plain() {
            Self::Null => "null",
            Self::Unknown(_) => "an unknown value",
            Self::Bool(_) => "a bool",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
            // A typed value is looked through.
            Self::Typed(_) => "a dynamic value",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(value: &Value, ty: &Type) -> String {
        conform(value, ty).unwrap_err().to_string()
    }

    #[test]
    fn a_misfit_is_named_with_its_path() {
        let ty = Type::object([("a", Type::list(Type::object([("b", Type::String)])))]);
        let inner = |value| Value::object([("a", Value::list([Value::object([("b", value)])]))]);
        assert!(conform(&inner(Value::from("x")), &ty).is_ok());
        assert!(conform(&inner(Value::unknown()), &ty).is_ok());
        assert_eq!(problem(&inner(Value::from(1)), &ty), "a[0].b: a number where string is wanted");
        assert_eq!(
            problem(&Value::object([("c", Value::Null)]), &ty),
            "c: the schema has no such attribute"
        );
        assert_eq!(
            problem(&Value::from(true), &Type::map(Type::Bool)),
            "a bool where map(bool) is wanted"
        );
    }

    #[test]
    fn a_tuple_has_as_many_elements_as_its_type() {
        let ty = Type::Tuple(vec![Type::String, Type::Number]);
        assert!(conform(&Value::list([Value::from("a"), Value::from(1)]), &ty).is_ok());
        assert!(conform(&Value::list([Value::from("a")]), &ty).is_err());
    }

    #[test]
    fn a_dynamic_value_must_fit_its_own_type() {
        let sound = Value::typed(Type::String, Value::from("a"));
        assert!(conform(&sound, &Type::Dynamic).is_ok());
        let broken = Value::typed(Type::Bool, Value::from("a"));
        assert!(conform(&broken, &Type::Dynamic).is_err());
    }
}
