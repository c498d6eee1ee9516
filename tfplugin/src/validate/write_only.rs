//! Write-only values that a client cannot keep out of its state.

use crate::path::{Path, Step};
use crate::schema::{Attribute, Block, BlockNesting, Kind, Nesting, Schema};
use crate::value::{Value, index};
use crate::{Diagnostic, Diagnostics};

/// An error at each write-only attribute that is set.
pub(crate) fn write_only_values(schema: &Schema, config: &Value) -> Diagnostics {
    let mut found = Vec::new();
    in_block(&schema.block, config, &Path::empty(), &mut found);
    let told = found.into_iter().map(|path| {
        let detail = format!(
            "`{path}` is write-only, which this version of Terraform or OpenTofu does not know: it would store the value in \
             its state. Use Terraform 1.11, OpenTofu 1.11 or newer, or leave it out."
        );
        Diagnostic::error("Write-only attribute cannot be used", detail).at(path)
    });
    told.collect()
}

fn in_block(block: &Block, config: &Value, at: &Path, found: &mut Vec<Path>) {
    in_attributes(&block.attributes, config, at, found);
    for nested in &block.blocks {
        let at = at.clone().attr(nested.name.as_str());
        let many = !matches!(nested.nesting, BlockNesting::Single | BlockNesting::Group);
        for (at, object) in objects(many, config.get(&nested.name), &at) {
            in_block(&nested.block, object, &at, found);
        }
    }
}

fn in_attributes(attributes: &[Attribute], config: &Value, at: &Path, found: &mut Vec<Path>) {
    for attribute in attributes {
        let (value, at) = (config.get(&attribute.name), at.clone().attr(attribute.name.as_str()));
        if value.is_null() {
            continue;
        }
        if attribute.write_only {
            found.push(at);
        } else if let Kind::Nested(nesting, inner) = &attribute.kind {
            for (at, object) in objects(*nesting != Nesting::Single, value, &at) {
                in_attributes(inner, object, &at, found);
            }
        }
    }
}

/// The objects that a value is, or holds.
fn objects<'v>(many: bool, value: &'v Value, at: &Path) -> Vec<(Path, &'v Value)> {
    let within = |step: Step| at.clone().then(step);
    match value.plain() {
        Value::List(elements) => {
            elements.iter().enumerate().map(|(n, one)| (within(index(n)), one)).collect()
        }
        Value::Map(elements) if many => {
            elements.iter().map(|(key, one)| (within(Step::Key(key.clone())), one)).collect()
        }
        Value::Map(_) => vec![(at.clone(), value)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NestedBlock;

    #[test]
    fn every_write_only_value_that_is_set_is_told_by_its_path() {
        let pair = || {
            [Attribute::string("name").optional(), Attribute::string("key").optional().write_only()]
        };
        let schema = Schema::new(0)
            .attributes(pair())
            .attribute(Attribute::nested_map("map", pair()).optional())
            .attribute(Attribute::nested_single("one", pair()).optional())
            .block(NestedBlock::list("many", Block::new().attributes(pair())));
        let object = |key: Value| Value::object([("name", Value::from("n")), ("key", key)]);
        let config = |key: Value| {
            object(key.clone())
                .with("map", Value::map([("k", object(key.clone()))]))
                .with("one", object(key.clone()))
                .with("many", Value::list([object(key)]))
        };
        let told = |config: &Value| -> Vec<String> {
            let found = write_only_values(&schema, config);
            found.iter().map(|one| one.path.as_ref().unwrap().to_string()).collect()
        };
        let all = ["key", "map[\"k\"].key", "one.key", "many[0].key"];
        assert_eq!(told(&config("secret".into())), all);
        assert_eq!(told(&config(Value::unknown())), all);
        assert!(told(&config(Value::Null)).is_empty());
    }
}
