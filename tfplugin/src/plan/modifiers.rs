//! Plan modifiers of the author's own.

use super::elements::{member, nested, of_block, visit};
use crate::schema::{Attribute, Block, Change};
use crate::value::Value;

pub(super) fn apply(block: &Block, prior: &Value, config: &Value, planned: &mut Value) {
    attributes(&block.attributes, prior, config, planned);
    for inner in &block.blocks {
        let Some(value) = planned.get_mut(&inner.name) else { continue };
        let (prior, config) = (prior.get(&inner.name), config.get(&inner.name));
        visit(of_block(inner), prior, config, value, &mut |prior, config, element| {
            apply(&inner.block, prior, config, element);
        });
    }
}

fn attributes(all: &[Attribute], prior: &Value, config: &Value, planned: &mut Value) {
    for attribute in all {
        let (prior, config) = (prior.get(&attribute.name), config.get(&attribute.name));
        let Some(value) = member(planned, &attribute.name) else { continue };
        for modify in &attribute.rules.modifiers {
            if let Some(other) = modify(Change { prior, planned: value, config }) {
                *value = other;
            }
        }
        if let Some((pairing, inner)) = nested(attribute) {
            visit(pairing, prior, config, value, &mut |prior, config, element| {
                attributes(inner, prior, config, element);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::by_schema;
    use crate::{PlanRequest, Schema};

    #[test]
    fn an_authors_modifier_sees_all_three_and_has_the_last_word() {
        let schema = Schema::new(0)
            .attribute(Attribute::number("size").required().replaces_if(|change| {
                // A disk shrinks by a new one only, where nobody says that it may be smaller.
                change.planned.as_i64() < change.prior.as_i64() && change.config.is_set()
            }))
            .attribute(Attribute::string("serial").computed().modify_plan(|change| {
                let keeps = change.config.is_null() && !change.prior.is_null();
                keeps.then(|| change.prior.clone())
            }));
        let plan = |size: i64| {
            let prior = Value::object([("size", Value::from(8)), ("serial", "s".into())]);
            let config = Value::object([("size", Value::from(size))]);
            let proposed = prior.clone().with("size", size);
            by_schema(&schema, PlanRequest { prior, proposed, config, ..PlanRequest::default() })
        };
        let grown = plan(9);
        assert_eq!(grown.planned.get("serial").as_str(), Some("s"));
        assert!(grown.requires_replace.is_empty());
        assert_eq!(plan(7).requires_replace.len(), 1);
    }
}
