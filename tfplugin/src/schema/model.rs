//! Whether a schema and the struct next to it say the same.

use super::{Attribute, Block, Kind, Type};
use crate::path::Path;
use crate::typed::ModelField;

/// Where a block and the struct that its values are read into disagree. The block `timeouts` is
/// the framework's own.
pub(super) fn disagreements(block: &Block, fields: &[ModelField]) -> Vec<(Path, String)> {
    let Type::Object(types) = block.implied_type() else { return Vec::new() };
    let mut found = Vec::new();
    for field in fields {
        let problem = match types.get(field.name) {
            None => "is a field of the struct, and the schema has no such attribute".to_owned(),
            Some(declared) if *declared != field.shape.ty => {
                format!("is {declared} in the schema and {} in the struct", field.shape.ty)
            }
            Some(_) => continue,
        };
        found.push((Path::root(field.name), problem));
    }
    for name in types.keys().filter(|name| name.as_str() != "timeouts") {
        if fields.iter().all(|field| field.name != name) {
            found.push((
                Path::root(name.as_str()),
                "is an attribute, and no field of the struct".to_owned(),
            ));
        }
    }
    readable_block(block, fields, &Path::default(), &mut found);
    found
}

/// Sensitive attributes of a block, and of the blocks in it, whose fields a log would show.
fn readable_block(
    block: &Block,
    fields: &[ModelField],
    path: &Path,
    found: &mut Vec<(Path, String)>,
) {
    readable(&block.attributes, fields, path, found);
    for nested in &block.blocks {
        if let Some(field) = fields.iter().find(|field| field.name == nested.name) {
            let path = path.clone().attr(&nested.name);
            readable_block(&nested.block, &field.shape.inner, &path, found);
        }
    }
}

/// The same for attributes, and for the objects that they hold.
fn readable(
    attributes: &[Attribute],
    fields: &[ModelField],
    path: &Path,
    found: &mut Vec<(Path, String)>,
) {
    for attribute in attributes {
        let Some(field) = fields.iter().find(|field| field.name == attribute.name) else {
            continue;
        };
        let path = path.clone().attr(&attribute.name);
        if attribute.sensitive && !field.shape.masked {
            found.push((
                path,
                "is sensitive, and the struct's field would show it in logs: make it \
                 `Attr<Sensitive<_>>`"
                    .to_owned(),
            ));
        } else if let Kind::Nested(_, inner) = &attribute.kind
            && !field.shape.masked
        {
            readable(inner, &field.shape.inner, &path, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::typed::Model as _;
    use crate::{Attr, NestedBlock, Schema, Sensitive};

    #[derive(crate::Model)]
    struct Key {
        secret: Attr<String>,
        kept: Attr<Sensitive<String>>,
    }

    #[derive(crate::Model)]
    struct Ring {
        keys: Attr<Vec<Key>>,
        pin: Attr<String>,
        size: Attr<i64>,
        hook: Attr<Vec<Hook>>,
    }

    #[derive(crate::Model)]
    struct Hook {
        spare: Attr<Vec<Key>>,
    }

    #[test]
    fn a_struct_that_disagrees_with_its_schema_is_told_by_name() {
        let inner = ["secret", "kept"].map(|name| Attribute::string(name).optional().sensitive());
        let spare = NestedBlock::list("spare", Block::new().attributes(inner.clone()));
        let schema = Schema::new(0)
            .attribute(Attribute::nested_list("keys", inner).optional())
            .attribute(Attribute::string("pin").optional().sensitive())
            .attribute(Attribute::string("name").optional())
            .attribute(Attribute::string("size").optional())
            .block(NestedBlock::list("hook", Block::new().block(spare)));
        let found = disagreements(&schema.block, &Ring::fields());
        let found: Vec<_> =
            found.iter().map(|(path, problem)| format!("{path}: {problem}")).collect();
        let expected = [
            "size: is string in the schema and number in the struct",
            "name: is an attribute, and no field of the struct",
            "keys.secret: is sensitive",
            "pin: is sensitive",
            "hook.spare.secret: is sensitive",
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
