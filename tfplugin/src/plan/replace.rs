//! Changes that need a new object.

use crate::path::Path;
use crate::schema::{Attribute, Block, BlockNesting, Kind, Nesting};
use crate::value::Value;

/// The paths of attributes whose change needs a new object. None leads into a set: its elements
/// have no name, so the set itself is told.
pub(super) fn changes(block: &Block, prior: &Value, planned: &Value) -> Vec<Path> {
    let mut found = Vec::new();
    in_block(block, prior, planned, &Path::empty(), &mut found);
    found
}

fn in_block(block: &Block, prior: &Value, planned: &Value, at: &Path, found: &mut Vec<Path>) {
    in_attributes(&block.attributes, prior, planned, at, found);
    for inner in &block.blocks {
        let at = at.clone().attr(inner.name.as_str());
        let (prior, planned) = (prior.get(&inner.name), planned.get(&inner.name));
        if inner.nesting == BlockNesting::Set {
            if prior != planned && block_replaces(&inner.block) {
                found.push(at);
            }
            continue;
        }
        for (at, prior, planned) in pairs(prior, planned, &at, one_block(inner.nesting)) {
            in_block(&inner.block, prior, planned, &at, found);
        }
    }
}

fn in_attributes(
    attributes: &[Attribute],
    prior: &Value,
    planned: &Value,
    at: &Path,
    found: &mut Vec<Path>,
) {
    for attribute in attributes {
        let (prior, planned) = (prior.get(&attribute.name), planned.get(&attribute.name));
        if prior == planned {
            continue;
        }
        let at = at.clone().attr(attribute.name.as_str());
        if attribute.rules.replaces.as_ref().is_some_and(|replaces| replaces(prior, planned)) {
            found.push(at);
            continue;
        }
        match &attribute.kind {
            Kind::Nested(Nesting::Set, inner) => {
                if inner.iter().any(attribute_replaces) {
                    found.push(at);
                }
            }
            Kind::Nested(nesting, inner) => {
                let one = *nesting == Nesting::Single;
                for (at, prior, planned) in pairs(prior, planned, &at, one) {
                    in_attributes(inner, prior, planned, &at, found);
                }
            }
            Kind::Plain(_) => {}
        }
    }
}

const fn one_block(nesting: BlockNesting) -> bool {
    matches!(nesting, BlockNesting::Single | BlockNesting::Group)
}

fn block_replaces(block: &Block) -> bool {
    block.attributes.iter().any(attribute_replaces)
        || block.blocks.iter().any(|inner| block_replaces(&inner.block))
}

fn attribute_replaces(attribute: &Attribute) -> bool {
    let nested = match &attribute.kind {
        Kind::Nested(_, inner) => inner.iter().any(attribute_replaces),
        Kind::Plain(_) => false,
    };
    nested || attribute.rules.replaces.is_some()
}

/// Elements that are there before and after. What comes or goes is a change of its own kind.
fn pairs<'v>(
    prior: &'v Value,
    planned: &'v Value,
    at: &Path,
    one: bool,
) -> Vec<(Path, &'v Value, &'v Value)> {
    match (prior.plain(), planned.plain()) {
        _ if one && prior.is_set() && planned.is_set() => vec![(at.clone(), prior, planned)],
        _ if one => Vec::new(),
        (Value::List(prior), Value::List(planned)) => {
            let both = prior.iter().zip(planned).zip(0..);
            both.map(|((prior, planned), index)| (at.clone().index(index), prior, planned))
                .collect()
        }
        (Value::Map(prior), Value::Map(planned)) => {
            let both =
                prior.iter().filter_map(|(key, prior)| Some((key, prior, planned.get(key)?)));
            both.map(|(key, prior, planned)| (at.clone().key(key.as_str()), prior, planned))
                .collect()
        }
        _ => Vec::new(),
    }
}
