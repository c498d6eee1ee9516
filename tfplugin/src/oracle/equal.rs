//! Equality as Terraform sees it: sets have no order.

use crate::schema::Type;
use crate::value::Value;

/// Whether two values of a type are the same. Unknowns are, if they promise the same.
pub fn equal(ty: &Type, a: &Value, b: &Value) -> bool {
    if let (Value::Typed(a), Value::Typed(b)) = (a, b) {
        return a.ty == b.ty && equal(&a.ty, &a.value, &b.value);
    }
    match (ty, a.plain(), b.plain()) {
        (Type::Set(element), Value::List(a), Value::List(b)) => {
            let mut left: Vec<&Value> = b.iter().collect();
            a.len() == b.len()
                && a.iter().all(|a| {
                    let found = left.iter().position(|b| equal(element, a, b));
                    found.map(|position| left.swap_remove(position)).is_some()
                })
        }
        (Type::List(element), Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(element, a, b))
        }
        (Type::Tuple(types), Value::List(a), Value::List(b)) => {
            a.len() == b.len()
                && types.iter().zip(a.iter().zip(b)).all(|(ty, (a, b))| equal(ty, a, b))
        }
        (Type::Map(element), Value::Map(a), Value::Map(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(element, a, b)))
        }
        // Absent attributes count as null.
        (Type::Object(types), a @ Value::Map(_), b @ Value::Map(_)) => {
            types.iter().all(|(name, ty)| equal(ty, a.get(name), b.get(name)))
        }
        (_, a, b) => a == b,
    }
}
