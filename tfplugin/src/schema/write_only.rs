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
    }
}
