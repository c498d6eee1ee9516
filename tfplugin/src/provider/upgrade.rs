//! Stored state of earlier schema versions.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use crate::schema::Type;
use crate::value::{ValueError, flatmap, json};
use crate::{Diagnostic, Diagnostics, Value};

/// State as it was stored.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
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
        match self {
            Self::Json(bytes) => json::decode_dropping(bytes, ty),
            Self::Flatmap(entries) => flatmap::decode(entries, ty),
        }
    }

    /// Reads the state as it is: objects, lists, texts, exact numbers. A flat map needs a type.
    pub fn decode_untyped(&self) -> Result<Value, ValueError> {
        match self {
            Self::Json(bytes) => json::decode_untyped(bytes),
            Self::Flatmap(_) => Err(ValueError::new(
                "the state was stored by Terraform 0.11 or older and can be read by a type only",
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

/// The way from one earlier version straight to the current one.
pub struct Upgrader {
    /// The version that it starts from.
    pub from: i64,
    /// The type of values of that version.
    pub ty: Type,
    upgrade: Box<dyn Fn(Value) -> Result<Value, Diagnostic> + Send + Sync>,
}

impl Upgrader {
    /// A way from a version whose values have a type.
    pub fn new(
        from: i64,
        ty: Type,
        upgrade: impl Fn(Value) -> Result<Value, Diagnostic> + Send + Sync + 'static,
    ) -> Self {
        Self { from, ty, upgrade: Box::new(upgrade) }
    }
}

impl fmt::Debug for Upgrader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrader").field("from", &self.from).finish_non_exhaustive()
    }
}

/// Takes what was stored at the current version by its type, and earlier versions by their
/// upgraders.
pub(crate) fn upgrade_by_type(
    type_name: &str,
    current: i64,
    ty: &Type,
    upgraders: &[Upgrader],
    request: &UpgradeRequest,
) -> UpgradeResponse {
    let stored = request.version;
    let upgrader = upgraders.iter().find(|upgrader| upgrader.from == stored);
    let misfit = |error: ValueError| {
        UpgradeResponse::failed(Diagnostic::error(
            "Stored state does not fit the schema",
            format!("What is stored of this {type_name} cannot be read: {error}."),
        ))
    };
    match (stored.cmp(&current), upgrader) {
        (Ordering::Equal, _) => match request.raw.decode(ty) {
            Ok(state) => UpgradeResponse::new(state),
            Err(error) => misfit(error),
        },
        (Ordering::Less, Some(upgrader)) => match request.raw.decode(&upgrader.ty) {
            Ok(old) => match (upgrader.upgrade)(old) {
                Ok(state) => UpgradeResponse::new(state),
                Err(failure) => UpgradeResponse::failed(failure),
            },
            Err(error) => misfit(error),
        },
        (Ordering::Greater, _) => UpgradeResponse::failed(Diagnostic::error(
            "State is newer than the provider",
            format!(
                "The state of this {type_name} has schema version {stored}, and this provider \
                 knows version {current} at most. Use the newer version of the provider that \
                 wrote it."
            ),
        )),
        (Ordering::Less, None) => UpgradeResponse::failed(Diagnostic::error(
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

    fn upgrade(version: i64, raw: RawState) -> UpgradeResponse {
        let ty = Type::object([("name", Type::String)]);
        let old = Type::object([("title", Type::String), ("sizes", Type::list(Type::Number))]);
        let upgraders = [Upgrader::new(1, old, |old| {
            let sizes = old.get("sizes").as_list().map_or(0, <[Value]>::len);
            let Some(title) = old.get("title").as_str() else {
                return Err(Diagnostic::error("The box has no title", ""));
            };
            Ok(Value::object(
                [("name", format!("{title} of {sizes}"))]
                    .map(|(name, text)| (name, Value::from(text))),
            ))
        })];
        upgrade_by_type("example_box", 2, &ty, &upgraders, &UpgradeRequest { version, raw })
    }

    fn named(name: &str) -> UpgradeResponse {
        UpgradeResponse::new(Value::object([("name", Value::from(name))]))
    }

    #[test]
    fn state_of_the_same_version_loses_what_the_schema_lacks() {
        let response = upgrade(2, RawState::Json(br#"{"name":"a","old":[1]}"#.to_vec()));
        assert_eq!(response, named("a"));
    }

    #[test]
    fn an_earlier_version_goes_through_its_upgrader_from_json_and_flat_map() {
        let json = RawState::Json(br#"{"title":"a","sizes":[1,2.5]}"#.to_vec());
        assert_eq!(upgrade(1, json), named("a of 2"));
        let flat = [("title", "a"), ("sizes.#", "1"), ("sizes.0", "2.5")];
        let flat = flat.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(upgrade(1, RawState::Flatmap(flat.into())), named("a of 1"));
        let failed = upgrade(1, RawState::Json(b"{}".to_vec()));
        assert!(failed.diagnostics.iter().any(|d| d.summary == "The box has no title"));
    }

    #[test]
    fn other_versions_are_refused_with_the_way_out() {
        let newer = upgrade(3, RawState::Json(b"{}".to_vec()));
        assert!(newer.diagnostics.iter().any(|d| d.summary.contains("newer than the provider")));
        let older = upgrade(0, RawState::Json(b"{}".to_vec()));
        assert!(older.diagnostics.iter().any(|d| d.summary.contains("too old")));
        assert!(RawState::Flatmap(BTreeMap::new()).decode_untyped().is_err());
    }
}
