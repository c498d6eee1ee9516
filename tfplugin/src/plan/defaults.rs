//! Defaults in place of what the configuration leaves open.

use super::elements::{member, nested, of_block, visit};
use crate::schema::{Attribute, Block};
use crate::value::Value;

pub(super) fn fill(block: &Block, config: &Value, planned: &mut Value) {
    attributes(&block.attributes, config, planned);
    for inner in &block.blocks {
        let Some(value) = planned.get_mut(&inner.name) else { continue };
        let config = config.get(&inner.name);
        let pairing = of_block(inner);
        visit(pairing, &Value::Null, config, value, &mut |_, config, element| {
            fill(&inner.block, config, element);
        });
    }
}

fn attributes(all: &[Attribute], config: &Value, planned: &mut Value) {
    for attribute in all {
        let configured = config.get(&attribute.name);
        let Some(value) = member(planned, &attribute.name) else { continue };
        match &attribute.rules.default {
            Some(default) if configured.is_null() => *value = default.clone(),
            _ => {}
        }
        // What the configuration leaves open as a whole has no elements to fill.
        if configured.is_set()
            && let Some((pairing, inner)) = nested(attribute)
        {
            visit(pairing, &Value::Null, configured, value, &mut |_, config, element| {
                attributes(inner, config, element);
            });
        }
    }
}
