//! Configurations that are generated for objects that exist.

use crate::schema::{Attribute, Block, BlockNesting, Kind, Nesting, Schema};
use crate::value::Value;

/// The part of a state that a configuration would set: what is only computed, write-only or
/// deprecated is left out. Blocks stay, `timeouts` too: Terraform's own generator (1.11.4, tried) writes what the state has,
/// and a plan of anything less would not be empty.
pub fn config_of_state(schema: &Schema, mut state: Value) -> Value {
    block(&mut state, &schema.block);
    state
}

fn block(value: &mut Value, block: &Block) {
    attributes(value, &block.attributes);
    for nested in &block.blocks {
        let Some(inner) = value.get_mut(&nested.name) else { continue };
        let many = !matches!(nested.nesting, BlockNesting::Single | BlockNesting::Group);
        inner.each_object(many, &mut |object| self::block(object, &nested.block));
    }
}

fn attributes(value: &mut Value, all: &[Attribute]) {
    for attribute in all {
        let Some(inner) = value.get_mut(&attribute.name) else { continue };
        let settable = attribute.required || attribute.optional;
        if !settable || attribute.write_only || attribute.deprecated.is_some() {
            *inner = Value::Null;
        } else if let Kind::Nested(nesting, nested) = &attribute.kind {
            let many = *nesting != Nesting::Single;
            inner.each_object(many, &mut |object| attributes(object, nested));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::NestedBlock;

    #[test]
    fn a_generated_configuration_holds_what_a_person_could_have_written() {
        let schema = Schema::new(0)
            .attribute(Attribute::string("id").computed())
            .attribute(Attribute::string("name").required())
            .attribute(Attribute::string("old").optional().deprecated("gone"))
            .attribute(
                Attribute::nested_list(
                    "disks",
                    [Attribute::number("size").required(), Attribute::string("path").computed()],
                )
                .optional(),
            )
            .block(NestedBlock::single("timeouts", Block::new()));
        let disk = |path: Option<&str>| {
            Value::list([Value::object([("size", Value::from(1)), ("path", Value::from(path))])])
        };
        let state = Value::object([
            ("id", Value::from("i")),
            ("name", Value::from("n")),
            ("old", Value::from("o")),
            ("disks", disk(Some("/dev/a"))),
            ("timeouts", Value::object([("create", Value::from("1m"))])),
        ]);
        let expected = Value::object([
            ("id", Value::Null),
            ("name", Value::from("n")),
            ("old", Value::Null),
            ("disks", disk(None)),
            ("timeouts", Value::object([("create", Value::from("1m"))])),
        ]);
        assert_eq!(config_of_state(&schema, state), expected);
    }
}
