//! Takes out of a value what must not be stored.

use super::{Attribute, Block, BlockNesting, Kind, Nesting};
use crate::value::Value;

/// Sets everything write-only in a value of this block to null.
pub(crate) fn null_write_only(value: &mut Value, block: &Block) {
    null_attributes(value, &block.attributes);
    for nested in &block.blocks {
        let many = !matches!(nested.nesting, BlockNesting::Single | BlockNesting::Group);
        if let Some(inner) = value.get_mut(&nested.name) {
            inner.each_object(many, &mut |object| null_write_only(object, &nested.block));
        }
    }
}

fn null_attributes(value: &mut Value, attributes: &[Attribute]) {
    for attribute in attributes {
        let Some(inner) = value.get_mut(&attribute.name) else { continue };
        match &attribute.kind {
            _ if attribute.write_only => *inner = Value::Null,
            Kind::Nested(nesting, attributes) => {
                let many = *nesting != Nesting::Single;
                inner.each_object(many, &mut |object| null_attributes(object, attributes));
            }
            Kind::Plain(_) => {}
        }
    }
}

/// Puts the write-only values of a configuration into a value of the same block, at every depth where both have elements
/// that belong together: by position or key; elements of sets have neither, and hold nothing write-only.
pub(crate) fn copy_write_only(block: &Block, config: &Value, value: &mut Value) {
    copy_attributes(&block.attributes, config, value);
    for nested in &block.blocks {
        let configured = config.get(&nested.name);
        let Some(inner) = value.get_mut(&nested.name) else { continue };
        let many = !matches!(nested.nesting, BlockNesting::Single | BlockNesting::Group);
        pairs(many, configured, inner, &mut |config, value| {
            copy_write_only(&nested.block, config, value);
        });
    }
}

fn copy_attributes(attributes: &[Attribute], config: &Value, value: &mut Value) {
    for attribute in attributes {
        let configured = config.get(&attribute.name);
        if attribute.write_only {
            if !configured.is_null() {
                value.set(attribute.name.as_str(), configured.clone());
            }
            continue;
        }
        let Kind::Nested(nesting, attributes) = &attribute.kind else { continue };
        let Some(inner) = value.get_mut(&attribute.name) else { continue };
        pairs(*nesting != Nesting::Single, configured, inner, &mut |config, value| {
            copy_attributes(attributes, config, value);
        });
    }
}

fn pairs(many: bool, config: &Value, value: &mut Value, work: &mut dyn FnMut(&Value, &mut Value)) {
    match value {
        Value::Typed(typed) => pairs(many, config, &mut typed.value, work),
        _ if !config.is_set() => {}
        Value::Map(_) if !many => work(config, value),
        Value::List(elements) => {
            let configured = config.as_list().unwrap_or_default();
            elements.iter_mut().zip(configured).for_each(|(value, config)| work(config, value));
        }
        Value::Map(elements) => {
            for (key, value) in elements {
                work(config.get(key), value);
            }
        }
        _ => {}
    }
}

/// Blocks that are null become empty, as Terraform has them: lists, sets and maps without elements, groups of nulls.
/// Terraform did so itself to 1.15, and refuses the null from 1.16 on.
pub(crate) fn empty_blocks(value: &mut Value, block: &Block) {
    if !value.is_set() {
        return;
    }
    for nested in &block.blocks {
        let many = !matches!(nested.nesting, BlockNesting::Single | BlockNesting::Group);
        if value.get(&nested.name).is_null() {
            match nested.nesting {
                BlockNesting::Single => continue,
                BlockNesting::Group => value.set(nested.name.as_str(), Value::object::<String>([])),
                BlockNesting::List | BlockNesting::Set => {
                    value.set(nested.name.as_str(), Value::list([]));
                }
                BlockNesting::Map => {
                    value.set(nested.name.as_str(), Value::Map(std::collections::BTreeMap::new()));
                }
            }
        }
        if let Some(inner) = value.get_mut(&nested.name) {
            inner.each_object(many, &mut |object| empty_blocks(object, &nested.block));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{NestedBlock, Schema};

    #[test]
    fn secrets_vanish_at_every_depth_and_nothing_else_does() {
        let pair = || {
            [Attribute::string("name").optional(), Attribute::string("key").optional().write_only()]
        };
        let schema = Schema::new(0)
            .attributes(pair())
            .attribute(Attribute::nested_map("map", pair()).optional())
            .block(NestedBlock::list("many", Block::new().attributes(pair())))
            .block(NestedBlock::single("one", Block::new().attributes(pair())));
        let object = |key: Option<&str>| [("name", Value::from("n")), ("key", Value::from(key))];
        let value = |key| {
            Value::object(object(key))
                .with("map", Value::map([("k", Value::object(object(key)))]))
                .with("many", Value::list([Value::object(object(key))]))
                .with("one", Value::object(object(key)))
        };
        let mut stored = value(Some("secret"));
        null_write_only(&mut stored, &schema.block);
        assert_eq!(stored, value(None));
        // And they come back from the configuration to whoever makes the object.
        copy_write_only(&schema.block, &value(Some("secret")), &mut stored);
        assert_eq!(stored, value(Some("secret")));
        let fewer = value(Some("secret")).with("many", Value::list([])).with("map", Value::Null);
        let mut planned = value(None);
        copy_write_only(&schema.block, &fewer, &mut planned);
        assert_eq!(planned.get("many"), value(None).get("many"));
        assert_eq!(planned.get("key").as_str(), Some("secret"));
    }
}
