//! Unknowns in place of what only the provider can tell.

use super::elements::{Pairing, member, nested, of_block, visit};
use crate::schema::{Attribute, Block};
use crate::value::Value;

pub(super) fn mark(block: &Block, prior: &Value, config: &Value, planned: &mut Value) {
    attributes(&block.attributes, prior, config, planned);
    for inner in &block.blocks {
        let Some(value) = planned.get_mut(&inner.name) else { continue };
        let (prior, config) = (prior.get(&inner.name), config.get(&inner.name));
        let pairing = of_block(inner);
        visit(pairing, prior, config, value, &mut |prior, config, element| {
            if !settled(pairing, prior, element) {
                mark(&inner.block, prior, config, element);
            }
        });
    }
}

fn attributes(all: &[Attribute], prior: &Value, config: &Value, planned: &mut Value) {
    for attribute in all {
        let before = prior.get(&attribute.name);
        let configured = config.get(&attribute.name);
        let Some(value) = member(planned, &attribute.name) else { continue };
        if configured.is_null() {
            let open = attribute.computed && attribute.rules.default.is_none();
            if open && attribute.rules.keeps_prior && !before.is_null() {
                *value = before.clone();
            } else if open {
                *value = Value::unknown();
            }
            continue;
        }
        if let Some((pairing, inner)) = nested(attribute) {
            visit(pairing, before, configured, value, &mut |prior, config, element| {
                if !settled(pairing, prior, element) {
                    attributes(inner, prior, config, element);
                }
            });
        }
    }
}

/// An element of a set that is as it was: opening it would make another element of it.
fn settled(pairing: Pairing<'_>, prior: &Value, element: &Value) -> bool {
    pairing == Pairing::Set && !prior.is_null() && prior == element
}
