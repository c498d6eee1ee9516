//! Null elements of lists.

use crate::path::{Path, Step};
use crate::schema::{Attribute, Block, Kind, Schema, Type};
use crate::value::{Value, index};
use crate::{Diagnostic, Diagnostics};

/// Every null element of a list or set in a configuration, each an error at its path.
///
/// Terraform lets them pass, and hands them to providers that mean something by a list. Elements of maps may be null:
/// that is how a user takes one away.
pub fn null_elements(schema: &Schema, config: &Value) -> Diagnostics {
    let mut found = Diagnostics::none();
    block(&schema.block, config, &Path::empty(), &mut found);
    found
}

fn block(block_schema: &Block, config: &Value, path: &Path, found: &mut Diagnostics) {
    attributes(&block_schema.attributes, config, path, found);
    for nested in &block_schema.blocks {
        let path = path.clone().then(Step::Attribute(nested.name.clone()));
        objects(config.get(&nested.name), &path, &mut |object, path| {
            block(&nested.block, object, path, found);
        });
    }
}

fn attributes(all: &[Attribute], config: &Value, path: &Path, found: &mut Diagnostics) {
    for attribute in all {
        let value = config.get(&attribute.name);
        let path = path.clone().then(Step::Attribute(attribute.name.clone()));
        match &attribute.kind {
            Kind::Nested(_, inner) => {
                elements(value, &path, found);
                objects(value, &path, &mut |object, path| attributes(inner, object, path, found));
            }
            Kind::Plain(ty) => of_type(ty, value, &path, found),
        }
    }
}

fn of_type(ty: &Type, value: &Value, path: &Path, found: &mut Diagnostics) {
    match ty {
        Type::List(inner) | Type::Set(inner) => {
            elements(value, path, found);
            each(value, path, &mut |element, path| of_type(inner, element, path, found));
        }
        Type::Map(inner) => {
            each(value, path, &mut |element, path| of_type(inner, element, path, found));
        }
        _ => {}
    }
}

fn elements(value: &Value, path: &Path, found: &mut Diagnostics) {
    for (position, element) in value.as_list().unwrap_or_default().iter().enumerate() {
        if element.is_null() {
            let detail = format!(
                "Element {position} of `{path}` is null. Leave it out; compact() removes null \
                 elements of a list."
            );
            let path = path.clone().then(index(position));
            found.push(Diagnostic::error("Null element in a list", detail).at(path));
        }
    }
}

/// The object itself, or each object of a collection.
fn objects(value: &Value, path: &Path, visit: &mut dyn FnMut(&Value, &Path)) {
    match value.as_list() {
        Some(_) => each(value, path, visit),
        None if value.is_set() => {
            visit(value, path);
            each(value, path, visit);
        }
        None => {}
    }
}

fn each(value: &Value, path: &Path, visit: &mut dyn FnMut(&Value, &Path)) {
    for (position, element) in value.as_list().unwrap_or_default().iter().enumerate() {
        visit(element, &path.clone().then(index(position)));
    }
    for (key, element) in value.as_map().into_iter().flatten() {
        visit(element, &path.clone().then(Step::Key(key.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_elements_are_refused_at_their_path_in_lists_and_not_in_maps() {
        let schema = Schema::new(0)
            .attribute(Attribute::list("zones", Type::String).optional())
            .attribute(Attribute::map("tags", Type::String).optional())
            .attribute(Attribute::of("deep", Type::map(Type::list(Type::String))).optional())
            .attribute(
                Attribute::nested_list(
                    "windows",
                    [Attribute::list("days", Type::String).optional()],
                )
                .optional(),
            );
        let texts = |texts: &[Option<&str>]| {
            Value::list(texts.iter().map(|text| text.map_or(Value::Null, Value::from)))
        };
        let config = Value::object([
            ("zones", texts(&[Some("1"), None])),
            ("tags", Value::map([("owner", Value::Null)])),
            ("deep", Value::map([("k", texts(&[None]))])),
            ("windows", Value::list([Value::object([("days", texts(&[Some("Mon"), None]))])])),
        ]);
        let found = null_elements(&schema, &config);
        let paths: Vec<String> = found
            .iter()
            .map(|one| one.path.as_ref().map(ToString::to_string).unwrap_or_default())
            .collect();
        assert_eq!(paths, ["zones[1]", "deep[\"k\"][0]", "windows[0].days[1]"]);
    }
}
