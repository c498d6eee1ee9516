//! Changes that need a new object.

use crate::oracle::equal;
use crate::path::Path;
use crate::schema::{Attribute, Block, BlockNesting, Change, Kind, Nesting, Type};
use crate::value::Value;

/// The paths of attributes whose change needs a new object. None leads into a set: its elements
/// have no name, so the set itself is told.
pub(super) fn changes(block: &Block, change: Change<'_>) -> Vec<Path> {
    let mut found = Vec::new();
    in_block(block, change, &Path::empty(), &mut found);
    found
}

/// The same change of one member.
fn member<'v>(change: Change<'v>, name: &str) -> Change<'v> {
    let Change { prior, planned, config } = change;
    Change { prior: prior.get(name), planned: planned.get(name), config: config.get(name) }
}

fn in_block(block: &Block, change: Change<'_>, at: &Path, found: &mut Vec<Path>) {
    in_attributes(&block.attributes, change, at, found);
    for inner in &block.blocks {
        let at = at.clone().attr(inner.name.as_str());
        let change = member(change, &inner.name);
        let Change { prior, planned, .. } = change;
        if inner.nesting == BlockNesting::Set {
            let ty = inner.block.implied_type();
            let key = |element: &Value| replacing_of_block(&inner.block, element);
            if another_element(&ty, prior, planned, &key) {
                found.push(at);
            }
            continue;
        }
        for (at, change) in pairs(change, &at, one_block(inner.nesting)) {
            in_block(&inner.block, change, &at, found);
        }
    }
}

fn in_attributes(attributes: &[Attribute], change: Change<'_>, at: &Path, found: &mut Vec<Path>) {
    for attribute in attributes {
        let change = member(change, &attribute.name);
        let Change { prior, planned, .. } = change;
        if equal(&attribute.implied_type(), prior, planned) {
            continue;
        }
        let at = at.clone().attr(attribute.name.as_str());
        if attribute.rules.replaces.as_ref().is_some_and(|replaces| replaces(change)) {
            found.push(at);
            continue;
        }
        match &attribute.kind {
            Kind::Nested(Nesting::Set, inner) => {
                let ty = element_type(&attribute.implied_type());
                let key = |element: &Value| replacing_of(inner, element);
                if another_element(&ty, prior, planned, &key) {
                    found.push(at);
                }
            }
            // One object that comes or goes: its attributes change from null, or to it.
            Kind::Nested(Nesting::Single, inner) if prior.is_null() || planned.is_null() => {
                let there = if prior.is_null() { planned } else { prior };
                if there.is_set() && !replacing_of(inner, there).is_empty() {
                    found.push(at);
                }
            }
            Kind::Nested(nesting, inner) => {
                let one = *nesting == Nesting::Single;
                for (at, change) in pairs(change, &at, one) {
                    in_attributes(inner, change, &at, found);
                }
            }
            Kind::Plain(_) => {}
        }
    }
}

const fn one_block(nesting: BlockNesting) -> bool {
    matches!(nesting, BlockNesting::Single | BlockNesting::Group)
}

/// The values of an object whose change needs a new one, by their places; nulls are none.
fn replacing_of(attributes: &[Attribute], object: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for attribute in attributes {
        let value = object.get(&attribute.name);
        if value.is_null() {
            continue;
        }
        if attribute.rules.replaces.is_some() {
            found.push((attribute.name.clone(), value.clone()));
        } else if let Kind::Nested(_, inner) = &attribute.kind {
            let elements: Vec<&Value> = match value.plain() {
                Value::List(elements) => elements.iter().collect(),
                _ => vec![value],
            };
            for element in elements {
                let inner = replacing_of(inner, element).into_iter();
                found.extend(
                    inner.map(|(name, value)| (format!("{}.{name}", attribute.name), value)),
                );
            }
        }
    }
    found
}

fn replacing_of_block(block: &Block, object: &Value) -> Vec<(String, Value)> {
    let mut found = replacing_of(&block.attributes, object);
    for nested in &block.blocks {
        let value = object.get(&nested.name);
        for element in value.as_list().unwrap_or(std::slice::from_ref(value)) {
            let inner = replacing_of_block(&nested.block, element).into_iter();
            found.extend(inner.map(|(name, value)| (format!("{}.{name}", nested.name), value)));
        }
    }
    found
}

/// Whether an element of a set became another one: some go, some come, and what comes needs a new object that none of
/// those that go had. Elements that only come or only go are changes of their own kind, as in lists and maps.
fn another_element(
    ty: &Type,
    prior: &Value,
    planned: &Value,
    key: &dyn Fn(&Value) -> Vec<(String, Value)>,
) -> bool {
    let (Some(before), Some(after)) = (prior.as_list(), planned.as_list()) else { return false };
    let ty = match ty {
        Type::Set(element) => element,
        other => other,
    };
    let without = |own: &[Value], others: &[Value]| -> Vec<Value> {
        own.iter()
            .filter(|one| !others.iter().any(|other| equal(ty, one, other)))
            .cloned()
            .collect()
    };
    let (mut gone, come) = (without(before, after), without(after, before));
    if gone.is_empty() || come.is_empty() {
        return false;
    }
    come.iter().any(|one| {
        let wanted = key(one);
        match gone.iter().position(|other| key(other) == wanted) {
            Some(at) => {
                gone.swap_remove(at);
                false
            }
            None => !gone.is_empty() && !wanted.is_empty(),
        }
    })
}

fn element_type(ty: &Type) -> Type {
    match ty {
        Type::List(element) | Type::Set(element) | Type::Map(element) => (**element).clone(),
        other => other.clone(),
    }
}

/// Elements that are there before and after. What comes or goes is a change of its own kind.
fn pairs<'v>(change: Change<'v>, at: &Path, one: bool) -> Vec<(Path, Change<'v>)> {
    let Change { prior, planned, config } = change;
    match (prior.plain(), planned.plain()) {
        _ if one && prior.is_set() && planned.is_set() => vec![(at.clone(), change)],
        _ if one => Vec::new(),
        (Value::List(prior), Value::List(planned)) => {
            let config = config.as_list().unwrap_or_default();
            let both = prior.iter().zip(planned).enumerate();
            both.map(|(index, (prior, planned))| {
                let config = config.get(index).unwrap_or(&Value::Null);
                (at.clone().index(index), Change { prior, planned, config })
            })
            .collect()
        }
        (Value::Map(prior), Value::Map(planned)) => {
            let both =
                prior.iter().filter_map(|(key, prior)| Some((key, prior, planned.get(key)?)));
            both.map(|(key, prior, planned)| {
                let config = config.get(key);
                (at.clone().key(key.as_str()), Change { prior, planned, config })
            })
            .collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Schema;

    fn told(prior: &Value, planned: &Value) -> Vec<String> {
        let disk = || {
            [Attribute::string("name").optional().replaces(), Attribute::number("size").optional()]
        };
        let schema = Schema::new(0)
            .attribute(Attribute::nested_single("one", disk()).optional())
            .attribute(Attribute::nested_set("set", disk()).optional())
            .attribute(Attribute::set("zones", Type::String).optional().replaces());
        let found = changes(&schema.block, Change { prior, planned, config: planned });
        found.iter().map(ToString::to_string).collect()
    }

    fn disk(name: &str, size: i64) -> Value {
        Value::object([("name", Value::from(name)), ("size", Value::from(size))])
    }

    #[test]
    fn one_object_replaces_when_it_comes_or_goes_with_what_replaces() {
        let with = |one: Value| Value::object([("one", one)]);
        assert_eq!(told(&with(Value::Null), &with(disk("a", 1))), ["one"]);
        assert_eq!(told(&with(disk("a", 1)), &with(Value::Null)), ["one"]);
        assert_eq!(told(&with(disk("a", 1)), &with(disk("b", 1))), ["one.name"]);
        let open = Value::object([("size", Value::from(1))]);
        assert!(told(&with(Value::Null), &with(open)).is_empty());
        assert!(told(&with(disk("a", 1)), &with(disk("a", 2))).is_empty());
    }

    #[test]
    fn an_element_of_a_set_replaces_when_it_became_another_one() {
        let with = |disks: &[(&str, i64)]| {
            Value::object([("set", Value::list(disks.iter().map(|(n, s)| disk(n, *s))))])
        };
        let before = with(&[("a", 1), ("b", 1)]);
        assert!(told(&before, &with(&[("b", 1), ("a", 1)])).is_empty(), "sets have no order");
        assert!(told(&before, &with(&[("a", 1), ("b", 2)])).is_empty(), "a size changes in place");
        assert!(told(&before, &with(&[("a", 1)])).is_empty(), "one goes");
        assert!(told(&before, &with(&[("a", 1), ("b", 1), ("c", 1)])).is_empty(), "one comes");
        assert_eq!(told(&before, &with(&[("a", 1), ("c", 1)])), ["set"]);
    }

    #[test]
    fn the_order_of_a_set_is_no_change() {
        let with =
            |zones: [&str; 2]| Value::object([("zones", Value::list(zones.map(Value::from)))]);
        assert!(told(&with(["1", "2"]), &with(["2", "1"])).is_empty());
        assert_eq!(told(&with(["1", "2"]), &with(["2", "3"])), ["zones"]);
    }
}
