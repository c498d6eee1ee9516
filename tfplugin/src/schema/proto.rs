//! The wire form of schemas.

use tfplugin_proto::tfplugin6 as proto;

use super::{Attribute, Block, BlockNesting, Kind, NestedBlock, Nesting, Schema};

/// The wire form of a schema.
pub(crate) fn schema_to_proto(schema: &Schema) -> proto::Schema {
    proto::Schema { version: schema.version, block: Some(block(&schema.block)) }
}

fn block(block: &Block) -> proto::schema::Block {
    proto::schema::Block {
        version: 0,
        attributes: block.attributes.iter().map(attribute).collect(),
        block_types: block.blocks.iter().map(nested_block).collect(),
        description: block.description.clone(),
        description_kind: proto::StringKind::Markdown.into(),
        deprecated: block.deprecated.is_some(),
        deprecation_message: block.deprecated.clone().unwrap_or_default(),
        // A schema cannot know who reads it, and older clients would refuse every plan of such a block.
        computed: false,
    }
}

fn nested_block(nested: &NestedBlock) -> proto::schema::NestedBlock {
    use proto::schema::nested_block::NestingMode;
    let nesting = match nested.nesting {
        BlockNesting::Single => NestingMode::Single,
        BlockNesting::Group => NestingMode::Group,
        BlockNesting::List => NestingMode::List,
        BlockNesting::Set => NestingMode::Set,
        BlockNesting::Map => NestingMode::Map,
    };
    proto::schema::NestedBlock {
        type_name: nested.name.clone(),
        block: Some(block(&nested.block)),
        nesting: nesting.into(),
        min_items: nested.items_min,
        max_items: nested.items_max,
    }
}

/// Exactly one of the type and the nested type is set: Terraform refuses a provider otherwise.
fn attribute(attribute: &Attribute) -> proto::schema::Attribute {
    let (ty, nested_type) = match &attribute.kind {
        Kind::Plain(ty) => (ty.to_json(), None),
        Kind::Nested(nesting, attributes) => (Vec::new(), Some(object(*nesting, attributes))),
    };
    proto::schema::Attribute {
        name: attribute.name.clone(),
        r#type: ty,
        nested_type,
        description: attribute.description.clone(),
        required: attribute.required,
        optional: attribute.optional,
        computed: attribute.computed,
        sensitive: attribute.sensitive,
        description_kind: proto::StringKind::Markdown.into(),
        deprecated: attribute.deprecated.is_some(),
        write_only: attribute.write_only,
        deprecation_message: attribute.deprecated.clone().unwrap_or_default(),
    }
}

fn object(nesting: Nesting, attributes: &[Attribute]) -> proto::schema::Object {
    use proto::schema::object::NestingMode;
    let nesting = match nesting {
        Nesting::Single => NestingMode::Single,
        Nesting::List => NestingMode::List,
        Nesting::Set => NestingMode::Set,
        Nesting::Map => NestingMode::Map,
    };
    proto::schema::Object {
        attributes: attributes.iter().map(attribute).collect(),
        nesting: nesting.into(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Type;

    #[test]
    fn an_attribute_has_a_type_or_a_nested_type_and_never_both() {
        let plain = attribute(&Attribute::list("a", Type::String).required());
        assert_eq!(plain.r#type, br#"["list","string"]"#);
        assert!(plain.nested_type.is_none());

        let nested = Attribute::nested_list("a", [Attribute::string("b").optional()]).optional();
        let nested = attribute(&nested);
        assert!(nested.r#type.is_empty());
        assert_eq!(nested.nested_type.map(|object| object.attributes.len()), Some(1));
    }

    #[test]
    fn flags_and_texts_reach_the_wire() {
        let sent = attribute(
            &Attribute::string("a")
                .optional()
                .sensitive()
                .write_only()
                .deprecated("Use `b`.")
                .describe("An *a*."),
        );
        assert!(sent.optional && sent.sensitive && sent.write_only && sent.deprecated);
        assert_eq!(sent.deprecation_message, "Use `b`.");
        assert_eq!(sent.description, "An *a*.");
    }
}
