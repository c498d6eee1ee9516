//! From a field's type to its attribute or block; what the derive builds on.

use super::Field;
use crate::schema::{Attribute, Block, BlockNesting, NestedBlock, Nesting};

/// The attribute of a field: its type, its nested attributes, and whether it is sensitive.
pub fn attribute<F: Field>(name: &str) -> Attribute {
    let shape = F::shape();
    let attribute = match shape.nested {
        Some((nesting, block)) => Attribute::nested(name, nesting, block.attributes),
        None => Attribute::of(name, shape.ty),
    };
    if shape.masked { attribute.sensitive() } else { attribute }
}

/// The block of a field that holds one object, or a collection of them.
pub fn nested_block<F: Field>(name: &str) -> NestedBlock {
    match F::shape().nested {
        Some((Nesting::Single, block)) => NestedBlock::single(name, block),
        Some((Nesting::List, block)) => NestedBlock::list(name, block),
        Some((Nesting::Set, block)) => NestedBlock::set(name, block),
        Some((Nesting::Map, block)) => NestedBlock::map(name, block),
        // A block without attributes: told at the start, as the field is no block's value.
        None => {
            NestedBlock { nesting: BlockNesting::Single, ..NestedBlock::single(name, Block::new()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::typed::Model as _;
    use crate::validate::{length, range};
    use crate::{Attr, Group, PlanRequest, Schema, Sensitive, Type, Value};

    /// A box
    /// on a shelf.
    #[derive(crate::Model)]
    #[tf(version = 2, group = Group::at_most_one(&[Crate::NOTE, Crate::PIN]))]
    struct Crate {
        /// The box for good.
        #[tf(computed, keeps_prior, identity)]
        id: Attr<String>,
        /// A new name is a new box.
        ///
        /// It is short.
        #[tf(required, replaces, validate = length(1..=8), validate = length(..5))]
        name: Attr<String>,
        #[tf(default = 3, validate = range(1..))]
        size: Attr<i64>,
        note: Attr<String>,
        #[tf(write_only, deprecated = "Paint it.")]
        pin: Attr<Sensitive<String>>,
        tags: Attr<BTreeSet<String>>,
        #[tf(optional, computed)]
        r#type: Attr<String>,
        shelves: Attr<BTreeMap<String, Shelf>>,
        #[tf(computed)]
        places: Attr<Vec<Place>>,
        #[tf(block(..=2))]
        label: Attr<Vec<Shelf>>,
        content: Value,
    }

    #[derive(crate::Model)]
    struct Shelf {
        #[tf(required)]
        height: Attr<u32>,
    }

    #[derive(crate::Model)]
    #[tf(computed)]
    struct Place {
        room: Attr<String>,
    }

    /// The same by hand.
    fn by_hand() -> Schema {
        let shelf = || Attribute::number("height").required();
        Schema::new(2)
            .describe("A box on a shelf.")
            .attribute(Attribute::string("id").computed().describe("The box for good."))
            .attribute(
                Attribute::string("name")
                    .required()
                    .describe("A new name is a new box.\n\nIt is short."),
            )
            .attribute(Attribute::number("size").optional().computed())
            .attribute(Attribute::string("note").optional())
            .attribute(
                Attribute::string("pin")
                    .optional()
                    .sensitive()
                    .write_only()
                    .deprecated("Paint it."),
            )
            .attribute(Attribute::set("tags", Type::String).optional())
            .attribute(Attribute::string("type").optional().computed())
            .attribute(Attribute::nested_map("shelves", [shelf()]).optional())
            .attribute(
                Attribute::nested_list("places", [Attribute::string("room").computed()]).computed(),
            )
            .attribute(Attribute::dynamic("content").optional())
            .block(NestedBlock::list("label", Block::new().attribute(shelf())).items(0, 2))
            .group(Group::at_most_one(&["note", "pin"]))
            .model::<Crate>()
    }

    #[test]
    fn the_struct_is_the_schema() {
        assert_eq!(Crate::schema(), by_hand());
        assert!(crate::schema::check(&Crate::schema()).is_empty());
        assert_eq!((Crate::TYPE, Crate::SHELVES, Shelf::HEIGHT), ("type", "shelves", "height"));
        let identity = Crate::identity().unwrap();
        assert_eq!(identity.implied_type(), Type::object([("id", Type::String)]));
        assert_eq!(identity.attributes[0].description, "The box for good.");
        assert!(Shelf::identity().is_none());
    }

    #[test]
    fn rules_at_a_field_are_the_attributes() {
        let schema = Crate::schema();
        let config = Value::object([("name", Value::from("a"))]);
        let request =
            PlanRequest { config: config.clone(), proposed: config, ..PlanRequest::default() };
        let planned = crate::plan::by_schema(&schema, request).planned;
        assert_eq!(planned.get(Crate::SIZE).as_i64(), Some(3));
        assert!(planned.get(Crate::ID).is_unknown());
        let prior = planned.clone().with(Crate::ID, "i").with(Crate::TYPE, "t");
        let proposed = prior.clone().with(Crate::NAME, "b");
        let config = Value::object([("name", Value::from("b"))]);
        let request = PlanRequest { prior, proposed, config, ..PlanRequest::default() };
        let plan = crate::plan::by_schema(&schema, request);
        assert_eq!(plan.planned.get(Crate::ID).as_str(), Some("i"));
        assert_eq!(plan.requires_replace, [crate::Path::root(Crate::NAME)]);
        let told = |name: &str, value: Value| {
            let config = Value::object([("name", Value::from("a"))]).with(name, value);
            crate::validate::by_schema(&schema, &config).iter().count()
        };
        assert_eq!(told(Crate::NAME, "longer than eight".into()), 2);
        assert_eq!(told(Crate::SIZE, 0.into()), 1);
        assert_eq!(told(Crate::NOTE, "fine".into()), 0);
    }
}
