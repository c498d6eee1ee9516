//! What tells an object from all others, apart from its state.

use std::collections::BTreeSet;

use crate::schema::Type;
use crate::{Diagnostic, Diagnostics, Value};

/// The attributes that together identify an object for good, such as an account and a name.
///
/// Terraform 1.12 and later store the identity beside the state and import by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentitySchema {
    /// Version of the stored identity.
    pub version: i64,
    /// The attributes.
    pub attributes: Vec<IdentityAttribute>,
    /// Whether an object may get another identity in its life, as when somebody renames it.
    pub mutable: bool,
}

/// One attribute of an identity: a text, number or truth value, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityAttribute {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub ty: Type,
    /// Whether an import by identity must give it; else it may.
    pub required_for_import: bool,
    /// What it is.
    pub description: String,
}

impl IdentitySchema {
    /// An identity without attributes.
    pub fn new(version: i64) -> Self {
        Self { version, attributes: Vec::new(), mutable: false }
    }

    /// An object may get another identity in its life. Without this one that changes is told as the provider's mistake.
    #[must_use]
    pub fn mutable(self) -> Self {
        Self { mutable: true, ..self }
    }

    /// Adds an attribute that an import must give.
    #[must_use]
    pub fn required(self, name: impl Into<String>, ty: Type, text: impl Into<String>) -> Self {
        self.attribute(name.into(), ty, true, text.into())
    }

    /// Adds an attribute that an import may leave out, because the provider can tell it.
    #[must_use]
    pub fn optional(self, name: impl Into<String>, ty: Type, text: impl Into<String>) -> Self {
        self.attribute(name.into(), ty, false, text.into())
    }

    fn attribute(mut self, name: String, ty: Type, required: bool, description: String) -> Self {
        let attribute = IdentityAttribute { name, ty, required_for_import: required, description };
        self.attributes.push(attribute);
        self
    }

    /// The type of an identity.
    pub fn implied_type(&self) -> Type {
        Type::object(self.attributes.iter().map(|inner| (inner.name.clone(), inner.ty.clone())))
    }

    /// The attributes of these names in a state; null where the state has none.
    pub fn of_state(&self, state: &Value) -> Value {
        let pick = |name: &String| (name.clone(), state.get(name).clone());
        Value::Map(self.attributes.iter().map(|inner| pick(&inner.name)).collect())
    }

    /// Everything that is wrong with the schema.
    pub(crate) fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.attributes.is_empty() {
            problems.push("an identity needs attributes".to_owned());
        }
        let mut seen = BTreeSet::new();
        for attribute in &self.attributes {
            let name = &attribute.name;
            if !seen.insert(name) {
                problems.push(format!("{name}: the name is used twice"));
            }
            let sound = match &attribute.ty {
                Type::List(element) => is_primitive(element),
                ty => is_primitive(ty),
            };
            if !sound {
                problems.push(format!("{name}: an identity holds primitives and lists of them"));
            }
        }
        problems
    }
}

fn is_primitive(ty: &Type) -> bool {
    matches!(ty, Type::Bool | Type::Number | Type::String)
}

/// By what an object is to be imported.
#[derive(Debug, Clone, PartialEq)]
pub enum ImportRequest {
    /// An id, as `terraform import` and `id` in an import block give it.
    Id(String),
    /// An identity, as `identity` in an import block gives it.
    Identity(Value),
}

impl ImportRequest {
    /// The id, or the text of one attribute of the identity; empty where it has none.
    ///
    /// For resources that one text identifies.
    pub fn id_or(&self, attribute: &str) -> &str {
        match self {
            Self::Id(id) => id,
            Self::Identity(identity) => identity.get(attribute).as_str().unwrap_or_default(),
        }
    }

    /// Checks an identity that somebody wrote: all that is required is there, and all is known.
    pub(crate) fn check(&self, schema: &IdentitySchema) -> Diagnostics {
        let Self::Identity(identity) = self else { return Diagnostics::none() };
        let lacking = schema.attributes.iter().filter(|attribute| {
            let value = identity.get(&attribute.name);
            !value.is_wholly_known() || (attribute.required_for_import && value.is_null())
        });
        lacking
            .map(|attribute| {
                let name = &attribute.name;
                let detail = format!("`{name}` must be given and known to import by identity.");
                Diagnostic::error("Identity is not complete", detail).at(name.as_str())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_a_part_of_the_state() {
        let schema = IdentitySchema::new(0).required("name", Type::String, "").optional(
            "region",
            Type::String,
            "",
        );
        let state = Value::object([("name", Value::from("a")), ("size", Value::from(1))]);
        let expected = Value::object([("name", Value::from("a")), ("region", Value::Null)]);
        assert_eq!(schema.of_state(&state), expected);
        assert!(ImportRequest::Identity(expected).check(&schema).is_empty());
        let lacking = ImportRequest::Identity(Value::object([("region", Value::from("b"))]));
        let found = lacking.check(&schema);
        assert!(found.iter().next().unwrap().detail.contains("`name` must be given"));
    }

    #[test]
    fn an_identity_holds_simple_values_only() {
        let nested = Type::object([("a", Type::String)]);
        let schema = IdentitySchema::new(0)
            .required("a", nested, "")
            .required("b", Type::list(Type::Number), "")
            .required("b", Type::String, "");
        let problems = schema.check().join("; ");
        assert!(problems.contains("a: an identity holds primitives"), "{problems}");
        assert!(problems.contains("b: the name is used twice"), "{problems}");
        assert!(!IdentitySchema::new(0).check().is_empty());
    }
}
