//! What Terraform proposes as the new state.

use super::equal::equal;
use crate::schema::{Attribute, Block, BlockNesting, Kind, Nesting, Schema};
use crate::value::Value;

/// The configuration, with prior values where it leaves computed attributes open.
///
/// Elements of lists meet by position, of maps by key, of sets by what the configuration sets.
pub fn proposed_new_state(schema: &Schema, prior: &Value, config: &Value) -> Value {
    block(&schema.block, prior, config)
}

fn block(block: &Block, prior: &Value, config: &Value) -> Value {
    if !config.is_set() {
        return config.clone();
    }
    let mut proposed = attributes(&block.attributes, prior, config);
    for nested in &block.blocks {
        let (prior, config) = (prior.get(&nested.name), config.get(&nested.name));
        let inner = |prior: &Value, config: &Value| self::block(&nested.block, prior, config);
        let value = match nested.nesting {
            BlockNesting::Single | BlockNesting::Group => inner(prior, config),
            BlockNesting::List => list(prior, config, &inner),
            BlockNesting::Map => map(prior, config, &inner),
            BlockNesting::Set => set(prior, config, &inner, &|prior, config| {
                fits(&nested.block.attributes, prior, config)
            }),
        };
        proposed.set(nested.name.as_str(), value);
    }
    proposed
}

fn attributes(all: &[Attribute], prior: &Value, config: &Value) -> Value {
    Value::object(all.iter().map(|attribute| {
        let (prior, config) = (prior.get(&attribute.name), config.get(&attribute.name));
        (attribute.name.clone(), self::attribute(attribute, prior, config))
    }))
}

fn attribute(attribute: &Attribute, prior: &Value, config: &Value) -> Value {
    if config.is_null() && attribute.computed {
        return prior.clone();
    }
    let Kind::Nested(nesting, inner) = &attribute.kind else { return config.clone() };
    if !config.is_set() {
        return config.clone();
    }
    let object = |prior: &Value, config: &Value| {
        if config.is_set() { attributes(inner, prior, config) } else { config.clone() }
    };
    match nesting {
        Nesting::Single => object(prior, config),
        Nesting::List => list(prior, config, &object),
        Nesting::Map => map(prior, config, &object),
        Nesting::Set => set(prior, config, &object, &|prior, config| fits(inner, prior, config)),
    }
}

type Inner<'a> = dyn Fn(&Value, &Value) -> Value + 'a;

fn list(prior: &Value, config: &Value, inner: &Inner<'_>) -> Value {
    let Some(elements) = config.as_list() else { return config.clone() };
    let before = prior.as_list().unwrap_or_default();
    let elements = elements.iter().enumerate();
    Value::list(
        elements
            .map(|(position, config)| inner(before.get(position).unwrap_or(&Value::Null), config)),
    )
}

fn map(prior: &Value, config: &Value, inner: &Inner<'_>) -> Value {
    let Some(elements) = config.as_map() else { return config.clone() };
    Value::map(elements.iter().map(|(key, config)| (key.clone(), inner(prior.get(key), config))))
}

fn set(
    prior: &Value,
    config: &Value,
    inner: &Inner<'_>,
    fits: &dyn Fn(&Value, &Value) -> bool,
) -> Value {
    let Some(elements) = config.as_list() else { return config.clone() };
    let mut left: Vec<&Value> = prior.as_list().unwrap_or_default().iter().collect();
    Value::list(elements.iter().map(|config| {
        let found = left.iter().position(|prior| fits(prior, config));
        let prior = found.map(|position| left.remove(position));
        inner(prior.unwrap_or(&Value::Null), config)
    }))
}

/// Whether a prior element can be what a configured one became: all that is configured is there.
fn fits(attributes: &[Attribute], prior: &Value, config: &Value) -> bool {
    attributes.iter().all(|attribute| {
        let (prior, config) = (prior.get(&attribute.name), config.get(&attribute.name));
        match &attribute.kind {
            _ if attribute.computed && config.is_null() => true,
            Kind::Nested(Nesting::Single, inner) if prior.is_set() && config.is_set() => {
                fits(inner, prior, config)
            }
            _ => equal(&attribute.implied_type(), prior, config),
        }
    })
}
