//! Types of attributes, and their JSON form on the wire.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value as Json, json};

use crate::value::DEPTH_MAX;

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// `true` or `false`.
    Bool,
    /// A number of any size.
    Number,
    /// A text.
    String,
    /// Elements in order.
    List(Box<Type>),
    /// Elements without an order or repetition.
    Set(Box<Type>),
    /// Elements by name.
    Map(Box<Type>),
    /// Named attributes, each with its own type.
    Object(BTreeMap<String, Type>),
    /// A fixed number of elements, each with its own type.
    Tuple(Vec<Type>),
    /// Whatever the configuration gives.
    Dynamic,
}

/// A type that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TypeError {
    /// The text is not JSON.
    #[error("the type is not valid JSON")]
    Json,
    /// The JSON does not describe a type.
    #[error("{0} does not describe a type")]
    Unknown(String),
    /// The type is nested too deeply.
    #[error("the type is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

impl Type {
    /// A list of elements of a type.
    pub fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }

    /// A set of elements of a type.
    pub fn set(element: Self) -> Self {
        Self::Set(Box::new(element))
    }

    /// A map of elements of a type.
    pub fn map(element: Self) -> Self {
        Self::Map(Box::new(element))
    }

    /// An object from its attributes.
    pub fn object<K: Into<String>>(attributes: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Object(attributes.into_iter().map(|(name, ty)| (name.into(), ty)).collect())
    }

    /// Whether any part of the type is left open.
    pub fn has_dynamic(&self) -> bool {
        match self {
            Self::Dynamic => true,
            Self::Bool | Self::Number | Self::String => false,
            Self::List(element) | Self::Set(element) | Self::Map(element) => element.has_dynamic(),
            Self::Object(attributes) => attributes.values().any(Self::has_dynamic),
            Self::Tuple(elements) => elements.iter().any(Self::has_dynamic),
        }
    }

    /// The form that the protocol carries.
    pub fn to_json(&self) -> Vec<u8> {
        self.json().to_string().into_bytes()
    }

    fn json(&self) -> Json {
        match self {
            Self::Bool => json!("bool"),
            Self::Number => json!("number"),
            Self::String => json!("string"),
            Self::Dynamic => json!("dynamic"),
            Self::List(element) => json!(["list", element.json()]),
            Self::Set(element) => json!(["set", element.json()]),
            Self::Map(element) => json!(["map", element.json()]),
            Self::Object(attributes) => {
                let attributes: serde_json::Map<_, _> =
                    attributes.iter().map(|(name, ty)| (name.clone(), ty.json())).collect();
                json!(["object", attributes])
            }
            Self::Tuple(elements) => {
                json!(["tuple", elements.iter().map(Self::json).collect::<Vec<_>>()])
            }
        }
    }

    /// Reads the form that the protocol carries.
    pub fn from_json(bytes: &[u8]) -> Result<Self, TypeError> {
        let json: Json = serde_json::from_slice(bytes).map_err(|_| TypeError::Json)?;
        Self::from_parsed(&json, 0)
    }

    fn from_parsed(json: &Json, depth: usize) -> Result<Self, TypeError> {
        if depth > DEPTH_MAX {
            return Err(TypeError::TooDeep);
        }
        let unknown = || TypeError::Unknown(json.to_string());
        let inner = |json| Self::from_parsed(json, depth + 1);
        if let Some(name) = json.as_str() {
            return match name {
                "bool" => Ok(Self::Bool),
                "number" => Ok(Self::Number),
                "string" => Ok(Self::String),
                "dynamic" => Ok(Self::Dynamic),
                _ => Err(unknown()),
            };
        }
        // An object type may have a third part that names its optional attributes; values of such
        // a type hold all attributes, so it says nothing here.
        let parts = json.as_array().ok_or_else(unknown)?;
        let [kind, parameter, ..] = parts.as_slice() else {
            return Err(unknown());
        };
        match (kind.as_str(), parameter) {
            (Some("list"), element) => inner(element).map(Self::list),
            (Some("set"), element) => inner(element).map(Self::set),
            (Some("map"), element) => inner(element).map(Self::map),
            (Some("object"), Json::Object(attributes)) => attributes
                .iter()
                .map(|(name, ty)| Ok((name.clone(), inner(ty)?)))
                .collect::<Result<_, _>>()
                .map(Self::Object),
            (Some("tuple"), Json::Array(elements)) => {
                elements.iter().map(inner).collect::<Result<_, _>>().map(Self::Tuple)
            }
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Type {
    /// The type as the language writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Number => f.write_str("number"),
            Self::String => f.write_str("string"),
            Self::Dynamic => f.write_str("any"),
            Self::List(element) => write!(f, "list({element})"),
            Self::Set(element) => write!(f, "set({element})"),
            Self::Map(element) => write!(f, "map({element})"),
            Self::Object(attributes) => {
                f.write_str("object({")?;
                for (position, (name, ty)) in attributes.iter().enumerate() {
                    let comma = if position == 0 { "" } else { ", " };
                    write!(f, "{comma}{name} = {ty}")?;
                }
                f.write_str("})")
            }
            Self::Tuple(elements) => {
                f.write_str("tuple([")?;
                for (position, ty) in elements.iter().enumerate() {
                    let comma = if position == 0 { "" } else { ", " };
                    write!(f, "{comma}{ty}")?;
                }
                f.write_str("])")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_go_round_through_their_wire_form() {
        let cases = [
            (Type::String, r#""string""#),
            (Type::list(Type::Number), r#"["list","number"]"#),
            (Type::set(Type::Bool), r#"["set","bool"]"#),
            (Type::map(Type::Dynamic), r#"["map","dynamic"]"#),
            (
                Type::object([("b", Type::Bool), ("a", Type::String)]),
                r#"["object",{"a":"string","b":"bool"}]"#,
            ),
            (Type::Tuple(vec![Type::String, Type::Number]), r#"["tuple",["string","number"]]"#),
        ];
        for (ty, wire) in cases {
            assert_eq!(String::from_utf8(ty.to_json()).unwrap(), wire);
            assert_eq!(Type::from_json(wire.as_bytes()).unwrap(), ty);
        }
    }

    #[test]
    fn nonsense_is_no_type() {
        for wire in ["", "1", r#""text""#, "[]", r#"["list"]"#, r#"["object",[]]"#, r#"["a","b"]"#]
        {
            assert!(Type::from_json(wire.as_bytes()).is_err(), "{wire}");
        }
    }

    #[test]
    fn bottomless_types_are_refused() {
        let wire = format!("{}\"bool\"{}", "[\"list\",".repeat(2000), "]".repeat(2000));
        assert!(Type::from_json(wire.as_bytes()).is_err());
        let wire = format!("{}\"bool\"{}", "[\"list\",".repeat(100), "]".repeat(100));
        assert!(Type::from_json(wire.as_bytes()).is_ok());
    }

    #[test]
    fn a_type_is_shown_as_the_language_writes_it() {
        let ty = Type::object([("a", Type::list(Type::String)), ("b", Type::Dynamic)]);
        assert_eq!(ty.to_string(), "object({a = list(string), b = any})");
    }
}
