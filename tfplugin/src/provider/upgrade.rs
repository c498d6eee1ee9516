//! Stored state of earlier schema versions.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::schema::Type;
use crate::value::{ValueError, json};
use crate::{Diagnostic, Diagnostics, Schema, Value};

/// State as it was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct UpgradeRequest {
    /// The schema version that it was stored with.
    pub version: i64,
    /// The stored state.
    pub raw: RawState,
}

/// Stored state before it is known to fit a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawState {
    /// A JSON document.
    Json(Vec<u8>),
    /// The flat map of Terraform 0.11 and older.
    Flatmap(BTreeMap<String, String>),
}

impl RawState {
    /// Reads the state by a type: absent attributes are null, further ones are dropped.
    pub fn decode(&self, ty: &Type) -> Result<Value, ValueError> {
        json::decode_dropping(self.json()?, ty)
    }

    /// Reads the state as it is: objects, lists, texts, exact numbers.
    pub fn decode_untyped(&self) -> Result<Value, ValueError> {
        json::decode_untyped(self.json()?)
    }

    fn json(&self) -> Result<&[u8], ValueError> {
        match self {
            Self::Json(bytes) => Ok(bytes),
            Self::Flatmap(_) => Err(ValueError::new(
                "the state was stored by Terraform 0.11 or older; apply once with Terraform 0.12",
            )),
        }
    }
}

/// State of the current schema version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpgradeResponse {
    /// The state.
    pub state: Value,
    /// Messages.
    pub diagnostics: Diagnostics,
}

impl UpgradeResponse {
    /// Upgraded, without a message.
    pub fn new(state: Value) -> Self {
        Self { state, diagnostics: Diagnostics::none() }
    }

    /// Could not be upgraded.
    pub fn failed(diagnostics: impl Into<Diagnostics>) -> Self {
        Self { state: Value::Null, diagnostics: diagnostics.into() }
    }
}

/// Takes state of the current version by the schema, and no other version.
pub(crate) fn upgrade_by_schema(
    type_name: &str,
    schema: &Schema,
    request: &UpgradeRequest,
) -> UpgradeResponse {
    let (stored, current) = (request.version, schema.version);
    match stored.cmp(&current) {
        Ordering::Equal => match request.raw.decode(&schema.implied_type()) {
            Ok(state) => UpgradeResponse::new(state),
            Err(error) => UpgradeResponse::failed(Diagnostic::error(
                "Stored state does not fit the schema",
                format!("The state of this {type_name} cannot be read: {error}."),
            )),
        },
        Ordering::Greater => UpgradeResponse::failed(Diagnostic::error(
            "State is newer than the provider",
            format!(
                "The state of this {type_name} has schema version {stored}, and this provider \
                 knows version {current} at most. Use the newer version of the provider that \
                 wrote it."
            ),
        )),
        Ordering::Less => UpgradeResponse::failed(Diagnostic::error(
            "State is too old",
            format!(
                "The state of this {type_name} has schema version {stored}, and this provider \
                 needs version {current} and knows no way between them."
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Attribute;

    fn upgrade(version: i64, raw: RawState) -> UpgradeResponse {
        let schema = Schema::new(2).attribute(Attribute::string("name").required());
        upgrade_by_schema("example_box", &schema, &UpgradeRequest { version, raw })
    }

    #[test]
    fn state_of_the_same_version_loses_what_the_schema_lacks() {
        let response = upgrade(2, RawState::Json(br#"{"name":"a","old":[1]}"#.to_vec()));
        assert_eq!(response, UpgradeResponse::new(Value::object([("name", Value::from("a"))])));
    }

    #[test]
    fn other_versions_are_refused_with_the_way_out() {
        let newer = upgrade(3, RawState::Json(b"{}".to_vec()));
        assert!(newer.diagnostics.iter().any(|d| d.summary.contains("newer than the provider")));
        let older = upgrade(1, RawState::Json(b"{}".to_vec()));
        assert!(older.diagnostics.iter().any(|d| d.summary.contains("too old")));
        let ancient = upgrade(2, RawState::Flatmap(BTreeMap::new()));
        assert!(ancient.diagnostics.iter().any(|d| d.detail.contains("0.11")));
    }
}
