//! Rules on states: after apply, read, import and upgrade.

use super::applied::compatible;
use super::equal::equal;
use super::{Rule, Violation};
use crate::path::Path;
use crate::schema::{Attribute, Block, BlockNesting, Kind, Nesting, Schema};
use crate::value::{Value, conform};
use crate::{ApplyRequest, ApplyResponse, Function, FunctionError};

/// Judges an apply.
///
/// Without errors the object exists exactly if it was planned, nothing is unknown, and all that
/// was planned came true. With errors the state may be partial, but never unknown.
pub fn apply(schema: &Schema, request: &ApplyRequest, response: &ApplyResponse) -> Vec<Violation> {
    let state = &response.state;
    let failed = response.diagnostics.has_errors();
    let mut found = kept(schema, state, Rule::UnknownAfterApply, &request.config);
    match (request.is_destroy(), state.is_null()) {
        _ if failed => {}
        (true, false) => {
            let message = "the object was destroyed without an error and still has a state";
            found.push(Violation::new(Rule::ExistenceWrong, &Path::empty(), message));
        }
        (false, true) => {
            let message = "the object was made without an error and has no state";
            found.push(Violation::new(Rule::ExistenceWrong, &Path::empty(), message));
        }
        (false, false) if found.iter().all(|one| one.rule != Rule::Misfit) => {
            found.extend(compatible(&schema.implied_type(), &request.planned, state));
        }
        _ => {}
    }
    found
}

/// Judges what a read saw: wholly known, and nothing write-only.
pub fn refresh(schema: &Schema, state: &Value) -> Vec<Violation> {
    kept(schema, state, Rule::UnknownRead, &Value::Null)
}

/// Judges what a data source found: it exists, and is wholly known.
pub fn read_data(schema: &Schema, state: &Value) -> Vec<Violation> {
    let mut found = kept(schema, state, Rule::UnknownRead, &Value::Null);
    if state.is_null() {
        let message = "a lookup without an error must have a result";
        found.push(Violation::new(Rule::ExistenceWrong, &Path::empty(), message));
    }
    found
}

/// Judges an import: it gave something, and what it gave can be stored.
pub fn import(schema: &Schema, state: &Value) -> Vec<Violation> {
    if state.is_null() {
        let message = "an import without an error must have a state";
        return vec![Violation::new(Rule::NothingImported, &Path::empty(), message)];
    }
    kept(schema, state, Rule::UnknownRead, &Value::Null)
}

/// Judges an upgrade from the current version: nothing may change.
pub fn upgrade(schema: &Schema, stored: &Value, upgraded: &Value) -> Vec<Violation> {
    let mut found = kept(schema, upgraded, Rule::UnknownRead, &Value::Null);
    if !equal(&schema.implied_type(), stored, upgraded) {
        let message = "state of the current version must come out of an upgrade as it went in";
        found.push(Violation::new(Rule::UpgradeLoss, &Path::empty(), message));
    }
    found
}

/// Judges a function: the same arguments give the same result. Returns the result.
pub fn pure(
    function: &dyn Function,
    arguments: &[Value],
) -> (Result<Value, FunctionError>, Vec<Violation>) {
    let (first, second) = (function.call(arguments), function.call(arguments));
    let mut found = Vec::new();
    if first != second {
        let message = format!("{} gave two results for the same arguments", function.name());
        found.push(Violation::new(Rule::Impure, &Path::empty(), message));
    }
    (first, found)
}

/// What every stored state must be.
fn kept(schema: &Schema, state: &Value, unknown: Rule, config: &Value) -> Vec<Violation> {
    let mut found: Vec<Violation> = conforms(schema, state).into_iter().collect();
    found.extend(write_only_null(schema, state));
    if let Some(path) = crate::value::first_unknown(state) {
        found.push(Violation::new(unknown, &path, "is unknown, and must be known"));
    }
    found.extend(leaks(schema, state, config));
    found
}

/// The value does not fit the schema.
pub(super) fn conforms(schema: &Schema, value: &Value) -> Option<Violation> {
    let error = conform(value, &schema.implied_type()).err()?;
    Some(Violation::new(Rule::Misfit, &error.path, error.problem))
}

/// Everything write-only that is not null.
pub(super) fn write_only_null(schema: &Schema, value: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    write_only(&schema.block, value, &Path::empty(), &mut |path, value| {
        if !value.is_null() {
            let message = "is write-only, and must be null in plans and states";
            found.push(Violation::new(Rule::WriteOnlyKept, path, message));
        }
    });
    found
}

/// A write-only text of some length that appears anywhere in the state, alone or inside a text.
fn leaks(schema: &Schema, state: &Value, config: &Value) -> Vec<Violation> {
    let mut secrets = Vec::new();
    write_only(&schema.block, config, &Path::empty(), &mut |_, value| {
        // Short texts appear by chance.
        secrets.extend(value.as_str().filter(|text| text.len() >= 6).map(str::to_owned));
    });
    let mut found = Vec::new();
    for secret in secrets {
        // What the configuration itself repeats elsewhere is the user's doing.
        let mut public = config.clone();
        crate::schema::null_write_only(&mut public, &schema.block);
        let message = "holds what is write-only, and would be stored";
        if let Some(path) = holds(state, &secret, Path::empty())
            && holds(&public, &secret, Path::empty()).is_none()
        {
            found.push(Violation::new(Rule::SecretLeaked, &path, message));
        }
    }
    found
}

fn holds(value: &Value, secret: &str, path: Path) -> Option<Path> {
    match value.plain() {
        Value::String(text) => text.contains(secret).then_some(path),
        Value::List(all) => {
            let mut all = all.iter().enumerate();
            all.find_map(|(position, value)| holds(value, secret, path.clone().index(position)))
        }
        Value::Map(all) => {
            let mut all = all.iter();
            all.find_map(|(name, value)| holds(value, secret, path.clone().attr(name.as_str())))
        }
        _ => None,
    }
}

/// Visits everything write-only outside of sets.
fn write_only(block: &Block, value: &Value, at: &Path, visit: &mut dyn FnMut(&Path, &Value)) {
    write_only_attributes(&block.attributes, value, at, visit);
    for nested in &block.blocks {
        let at = at.clone().attr(nested.name.as_str());
        let one = matches!(nested.nesting, BlockNesting::Single | BlockNesting::Group);
        for (at, object) in objects(value.get(&nested.name), one, &at) {
            write_only(&nested.block, object, &at, visit);
        }
    }
}

fn write_only_attributes(
    attributes: &[Attribute],
    value: &Value,
    at: &Path,
    visit: &mut dyn FnMut(&Path, &Value),
) {
    for attribute in attributes {
        let at = at.clone().attr(attribute.name.as_str());
        let value = value.get(&attribute.name);
        match &attribute.kind {
            _ if attribute.write_only => visit(&at, value),
            Kind::Nested(nesting, attributes) => {
                for (at, object) in objects(value, *nesting == Nesting::Single, &at) {
                    write_only_attributes(attributes, object, &at, visit);
                }
            }
            Kind::Plain(_) => {}
        }
    }
}

fn objects<'v>(value: &'v Value, one: bool, at: &Path) -> Vec<(Path, &'v Value)> {
    match value.plain() {
        object if one => vec![(at.clone(), object)],
        Value::List(all) => {
            let all = all.iter().enumerate();
            all.map(|(position, object)| (at.clone().index(position), object)).collect()
        }
        Value::Map(all) => {
            all.iter().map(|(key, object)| (at.clone().key(key.as_str()), object)).collect()
        }
        _ => Vec::new(),
    }
}
