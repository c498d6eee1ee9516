//! From JSON to values.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::path::Step;
use crate::schema::Type;
use crate::value::error::{Place, index};
use crate::value::{Value, ValueError};

/// What to do with attributes that the type lacks.
#[derive(Clone, Copy, PartialEq)]
enum Surplus {
    Refuse,
    Drop,
}

/// Reads a document by a type. Absent attributes become null, further ones are refused.
pub(crate) fn decode(json: &[u8], ty: &Type) -> Result<Value, ValueError> {
    from_raw(parse(json)?, ty, Surplus::Refuse, &mut Place::default())
}

/// Reads a document by a type. Absent attributes become null, further ones are dropped.
pub(crate) fn decode_dropping(json: &[u8], ty: &Type) -> Result<Value, ValueError> {
    from_raw(parse(json)?, ty, Surplus::Drop, &mut Place::default())
}

/// Reads a document as it is.
pub(crate) fn decode_untyped(json: &[u8]) -> Result<Value, ValueError> {
    from_raw_untyped(parse(json)?, &mut Place::default())
}

fn parse(json: &[u8]) -> Result<&RawValue, ValueError> {
    serde_json::from_slice(json).map_err(|error| ValueError::new(format!("invalid JSON: {error}")))
}

/// Reads one level; the levels below stay raw.
fn level<'a, T: Deserialize<'a>>(
    raw: &'a RawValue,
    wanted: &impl std::fmt::Display,
    place: &Place,
) -> Result<T, ValueError> {
    serde_json::from_str(raw.get())
        .map_err(|_| place.error(format!("{} where {wanted} is wanted", kind(raw))))
}

fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        Some(b't' | b'f') => "a bool",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn from_raw(
    raw: &RawValue,
    ty: &Type,
    surplus: Surplus,
    place: &mut Place,
) -> Result<Value, ValueError> {
    if raw.get() == "null" {
        return Ok(Value::Null);
    }
    let from_elements = |element: &Type, place: &mut Place| {
        let elements: Vec<&RawValue> = level(raw, ty, place)?;
        let step = |(position, raw): (usize, &&RawValue)| {
            place.within(index(position), |place| from_raw(raw, element, surplus, place))
        };
        elements.iter().enumerate().map(step).collect::<Result<_, _>>().map(Value::List)
    };
    match ty {
        Type::Bool | Type::Number | Type::String => scalar(raw, ty, place),
        Type::List(element) | Type::Set(element) => from_elements(element, place),
        Type::Map(element) => {
            let elements: BTreeMap<String, &RawValue> = level(raw, ty, place)?;
            let step = |(key, raw): (String, &RawValue)| {
                let value = place.within(Step::Key(key.clone()), |place| {
                    from_raw(raw, element, surplus, place)
                })?;
                Ok((key, value))
            };
            elements.into_iter().map(step).collect::<Result<_, _>>().map(Value::Map)
        }
        Type::Tuple(types) => {
            let elements: Vec<&RawValue> = level(raw, ty, place)?;
            if elements.len() != types.len() {
                let count = elements.len();
                return Err(place.error(format!("{count} elements where {ty} is wanted")));
            }
            let step = |(position, (raw, ty)): (usize, (&&RawValue, &Type))| {
                place.within(index(position), |place| from_raw(raw, ty, surplus, place))
            };
            elements
                .iter()
                .zip(types)
                .enumerate()
                .map(step)
                .collect::<Result<_, _>>()
                .map(Value::List)
        }
        Type::Object(attributes) => object(level(raw, ty, place)?, attributes, surplus, place),
        Type::Dynamic => dynamic(raw, surplus, place),
    }
}

fn object(
    mut raw: BTreeMap<String, &RawValue>,
    attributes: &BTreeMap<String, Type>,
    surplus: Surplus,
    place: &mut Place,
) -> Result<Value, ValueError> {
    let mut values = BTreeMap::new();
    for (name, ty) in attributes {
        let value = match raw.remove(name) {
            Some(raw) => place
                .within(Step::Attribute(name.clone()), |place| from_raw(raw, ty, surplus, place))?,
            None => Value::Null,
        };
        values.insert(name.clone(), value);
    }
    match raw.into_keys().next() {
        Some(name) if surplus == Surplus::Refuse => place.within(Step::Attribute(name), |place| {
            Err(place.error("the schema has no such attribute"))
        }),
        _ => Ok(Value::Map(values)),
    }
}

/// A value of open type is stored as `{"type": ..., "value": ...}`.
fn dynamic(raw: &RawValue, surplus: Surplus, place: &mut Place) -> Result<Value, ValueError> {
    let parts: BTreeMap<String, &RawValue> = level(raw, &"a type and a value", place)?;
    let (Some(ty), Some(value)) = (parts.get("type"), parts.get("value")) else {
        return Err(place.error("an object without a type and a value"));
    };
    let ty =
        Type::from_json(ty.get().as_bytes()).map_err(|error| place.error(error.to_string()))?;
    let value = from_raw(value, &ty, surplus, place)?;
    Ok(if ty == Type::Dynamic { value } else { Value::typed(ty, value) })
}

/// Reads a scalar; like Terraform, across kinds where nothing is lost.
fn scalar(raw: &RawValue, ty: &Type, place: &Place) -> Result<Value, ValueError> {
    let text = match raw.get().as_bytes().first() {
        Some(b'[' | b'{') => {
            return Err(place.error(format!("{} where {ty} is wanted", kind(raw))));
        }
        Some(b'"') => level::<String>(raw, ty, place)?,
        _ => raw.get().to_owned(),
    };
    match ty {
        Type::Number => {
            text.parse().map(Value::Number).map_err(|error| place.error(format!("{error}")))
        }
        Type::Bool => text
            .parse()
            .map(Value::Bool)
            .map_err(|_| place.error(format!("{} where bool is wanted", kind(raw)))),
        _ => Ok(Value::String(text)),
    }
}

fn from_raw_untyped(raw: &RawValue, place: &mut Place) -> Result<Value, ValueError> {
    match raw.get().as_bytes().first() {
        Some(b'n') => Ok(Value::Null),
        Some(b'"') => scalar(raw, &Type::String, place),
        Some(b't' | b'f') => scalar(raw, &Type::Bool, place),
        Some(b'[') => {
            let elements: Vec<&RawValue> = level(raw, &"an array", place)?;
            let step = |(position, raw): (usize, &&RawValue)| {
                place.within(index(position), |place| from_raw_untyped(raw, place))
            };
            elements.iter().enumerate().map(step).collect::<Result<_, _>>().map(Value::List)
        }
        Some(b'{') => {
            let attributes: BTreeMap<String, &RawValue> = level(raw, &"an object", place)?;
            let step = |(name, raw): (String, &RawValue)| {
                let value = place
                    .within(Step::Attribute(name.clone()), |place| from_raw_untyped(raw, place))?;
                Ok((name, value))
            };
            attributes.into_iter().map(step).collect::<Result<_, _>>().map(Value::Map)
        }
        _ => scalar(raw, &Type::Number, place),
    }
}
