//! Pairs of elements that belong together in configuration, plan and state.

use std::collections::BTreeMap;

use crate::schema::{Attribute, BlockNesting, Kind, NestedBlock, Nesting};
use crate::value::Value;

/// How the elements of a nested attribute or block find each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pairing<'a> {
    /// One object.
    Single,
    /// By position.
    List,
    /// In a list, by an attribute of theirs.
    Named(&'a str),
    /// By content.
    Set,
    /// By key.
    Map,
}

impl From<Nesting> for Pairing<'_> {
    fn from(nesting: Nesting) -> Self {
        match nesting {
            Nesting::Single => Self::Single,
            Nesting::List => Self::List,
            Nesting::Set => Self::Set,
            Nesting::Map => Self::Map,
        }
    }
}

/// How the blocks of a nested block find each other.
pub(super) fn of_block(nested: &NestedBlock) -> Pairing<'_> {
    match (nested.nesting, &nested.identified_by) {
        (BlockNesting::Single | BlockNesting::Group, _) => Pairing::Single,
        (BlockNesting::List, Some(name)) => Pairing::Named(name),
        (BlockNesting::List, None) => Pairing::List,
        (BlockNesting::Set, _) => Pairing::Set,
        (BlockNesting::Map, _) => Pairing::Map,
    }
}

/// Visits each planned element with the configured one and the prior one.
///
/// A planned element of a set belongs to the configured element that it fits, and to the prior
/// element that it equals.
pub(super) fn visit(
    pairing: Pairing<'_>,
    prior: &Value,
    config: &Value,
    planned: &mut Value,
    visit: &mut dyn FnMut(&Value, &Value, &mut Value),
) {
    if pairing == Pairing::Single {
        if planned.is_set() {
            visit(prior, config, planned);
        }
        return;
    }
    match planned {
        Value::Typed(typed) => self::visit(pairing, prior, config, &mut typed.value, visit),
        Value::List(elements) if pairing == Pairing::Set => {
            for element in elements.iter_mut().filter(|element| element.is_set()) {
                let configured = config.as_list().unwrap_or_default();
                let configured = configured.iter().find(|configured| fits(element, configured));
                let prior = prior.as_list().unwrap_or_default();
                let prior = prior.iter().find(|prior| *prior == element);
                let null = &Value::Null;
                visit(prior.unwrap_or(null), configured.unwrap_or(null), element);
            }
        }
        Value::List(elements) => {
            let at = |value: &'_ Value, position: usize| {
                value.as_list().and_then(|all| all.get(position)).cloned().unwrap_or_default()
            };
            for (position, element) in elements.iter_mut().enumerate() {
                if !element.is_set() {
                    continue;
                }
                let before = match pairing {
                    Pairing::Named(name) => named(prior, name, element.get(name)),
                    _ => at(prior, position),
                };
                visit(&before, &at(config, position), element);
            }
        }
        Value::Map(elements) => {
            for (key, element) in elements.iter_mut().filter(|(_, element)| element.is_set()) {
                visit(prior.get(key), config.get(key), element);
            }
        }
        _ => {}
    }
}

/// The element of a list that has this name; null where none has, or the name is not known.
fn named(elements: &Value, attribute: &str, name: &Value) -> Value {
    let mut all = elements.as_list().unwrap_or_default().iter();
    let found = all.find(|element| name.is_set() && element.get(attribute) == name);
    found.cloned().unwrap_or_default()
}

/// Whether a planned object can have come from a configured one: all that is configured is there.
fn fits(planned: &Value, configured: &Value) -> bool {
    match (planned.plain(), configured.plain()) {
        (_, Value::Null) => true,
        (Value::Map(planned), Value::Map(configured)) => configured.iter().all(|(name, value)| {
            planned.get(name).map_or(value.is_null(), |planned| fits(planned, value))
        }),
        (Value::List(planned), Value::List(configured)) => {
            planned.len() == configured.len()
                && planned.iter().zip(configured).all(|(planned, value)| fits(planned, value))
        }
        (planned, configured) => planned == configured,
    }
}

/// The nested attributes of an attribute, with their pairing.
pub(super) fn nested(attribute: &Attribute) -> Option<(Pairing<'_>, &[Attribute])> {
    match &attribute.kind {
        Kind::Nested(Nesting::List, attributes) if attribute.rules.identified_by.is_some() => {
            let name = attribute.rules.identified_by.as_deref()?;
            Some((Pairing::Named(name), attributes))
        }
        Kind::Nested(nesting, attributes) => Some(((*nesting).into(), attributes)),
        Kind::Plain(_) => None,
    }
}

/// The members of an object, to change them; absent ones are put there as null.
pub(super) fn member<'v>(object: &'v mut Value, name: &str) -> Option<&'v mut Value> {
    match object {
        Value::Map(members) => Some(entry(members, name)),
        Value::Typed(typed) => member(&mut typed.value, name),
        _ => None,
    }
}

fn entry<'v>(members: &'v mut BTreeMap<String, Value>, name: &str) -> &'v mut Value {
    if !members.contains_key(name) {
        members.insert(name.to_owned(), Value::Null);
    }
    members.entry(name.to_owned()).or_default()
}
