//! Holds a value against a type.

use super::error::{Place, index};
use super::{Value, ValueError};
use crate::path::Step;
use crate::schema::Type;

/// Checks that a value fits a type. Absent attributes of objects count as null; null and unknown
/// fit everywhere.
pub fn conform(value: &Value, ty: &Type) -> Result<(), ValueError> {
    check(value, ty, &mut Place::default())
}

fn check(value: &Value, ty: &Type, place: &mut Place) -> Result<(), ValueError> {
    match (value, ty) {
        (Value::Typed(typed), Type::Dynamic) => check(&typed.value, &typed.ty, place),
        (_, Type::Dynamic) => Ok(()),
        (Value::Typed(typed), _) => check(&typed.value, ty, place),
        (Value::Null | Value::Unknown(_), _)
        | (Value::Bool(_), Type::Bool)
        | (Value::Number(_), Type::Number)
        | (Value::String(_), Type::String) => Ok(()),
        (Value::List(elements), Type::List(element) | Type::Set(element)) => elements
            .iter()
            .enumerate()
            .try_for_each(|(position, value)| {
                place.within(index(position), |place| check(value, element, place))
            }),
        (Value::List(elements), Type::Tuple(types)) if elements.len() == types.len() => elements
            .iter()
            .zip(types)
            .enumerate()
            .try_for_each(|(position, (value, ty))| {
                place.within(index(position), |place| check(value, ty, place))
            }),
        (Value::Map(elements), Type::Map(element)) => {
            elements.iter().try_for_each(|(key, value)| {
                place.within(Step::Key(key.clone()), |place| check(value, element, place))
            })
        }
        (Value::Map(elements), Type::Object(attributes)) => {
            elements.iter().try_for_each(|(name, value)| {
                place.within(Step::Attribute(name.clone()), |place| {
                    match attributes.get(name) {
                        Some(ty) => check(value, ty, place),
                        None => Err(place.error("the schema has no such attribute")),
                    }
                })
            })
        }
        _ => Err(place.error(format!("{} where {ty} is wanted", value.kind()))),
    }
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
        assert_eq!(
            problem(&inner(Value::from(1)), &ty),
            "a[0].b: a number where string is wanted"
        );
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
