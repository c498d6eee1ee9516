//! Values that are spelled in another way and mean the same: what is stored stays.

use crate::schema::{Attribute, Kind, Nesting, Schema};
use crate::value::Value;

/// Puts the prior value in place of one that means the same, by [`Attribute::equal_if`].
///
/// What [`super::by_schema`] does with a plan, and a resource over a model with what it reads; for authors who plan by
/// themselves. Inside of lists and sets of objects nothing is compared: their elements have no name.
pub fn keep_equal(schema: &Schema, prior: &Value, value: &mut Value) {
    in_attributes(&schema.block.attributes, prior, value);
}

fn in_attributes(attributes: &[Attribute], prior: &Value, value: &mut Value) {
    for attribute in attributes {
        let before = prior.get(&attribute.name);
        let now = value.get(&attribute.name);
        if !before.is_set() || !now.is_set() || before == now {
            continue;
        }
        let is_equal = attribute.rules.equal.as_ref().is_some_and(|equal| equal(before, now));
        if is_equal {
            value.set(attribute.name.as_str(), before.clone());
            continue;
        }
        let Kind::Nested(nesting, inner) = &attribute.kind else { continue };
        let mut object = now.clone();
        match nesting {
            Nesting::Single => in_attributes(inner, before, &mut object),
            Nesting::Map => {
                let keys: Vec<String> =
                    object.as_map().into_iter().flat_map(|map| map.keys().cloned()).collect();
                for key in keys {
                    let mut element = object.get(&key).clone();
                    in_attributes(inner, before.get(&key), &mut element);
                    object.set(key, element);
                }
            }
            Nesting::List | Nesting::Set => continue,
        }
        value.set(attribute.name.as_str(), object);
    }
}

/// Texts that differ in the case of letters only, and lists of such.
pub fn ignoring_case(prior: &Value, planned: &Value) -> bool {
    match (prior.as_str(), planned.as_str()) {
        (Some(prior), Some(planned)) => prior.to_lowercase() == planned.to_lowercase(),
        _ => elements(prior, planned, ignoring_case),
    }
}

/// Durations of one length: `60m` and `1h`.
pub fn by_duration(prior: &Value, planned: &Value) -> bool {
    let read = |value: &Value| crate::parse_duration(value.as_str()?).ok();
    read(prior).is_some() && read(prior) == read(planned)
}

/// JSON documents of one meaning, whatever their blanks and the order of their keys.
pub fn by_json(prior: &Value, planned: &Value) -> bool {
    let read = |value: &Value| serde_json::from_str::<serde_json::Value>(value.as_str()?).ok();
    read(prior).is_some() && read(prior) == read(planned)
}

/// Addresses in another spelling, such as IPv6 with and without zeros.
pub fn by_address(prior: &Value, planned: &Value) -> bool {
    let read = |value: &Value| value.as_str()?.parse::<std::net::IpAddr>().ok();
    read(prior).is_some() && read(prior) == read(planned)
}

fn elements(prior: &Value, planned: &Value, equal: fn(&Value, &Value) -> bool) -> bool {
    match (prior.as_list(), planned.as_list()) {
        (Some(prior), Some(planned)) => {
            prior.len() == planned.len()
                && prior.iter().zip(planned).all(|(a, b)| a == b || equal(a, b))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PlanRequest;

    #[test]
    fn what_means_the_same_stays_as_it_is_stored_and_replaces_nothing() {
        let inner = [Attribute::string("every").optional().equal_if(by_duration)];
        let schema = Schema::new(0)
            .attribute(Attribute::string("id").required().replaces().equal_if(ignoring_case))
            .attribute(
                Attribute::list("peers", crate::Type::String).optional().equal_if(ignoring_case),
            )
            .attribute(Attribute::string("policy").optional().equal_if(by_json))
            .attribute(Attribute::string("ip").optional().equal_if(by_address))
            .attribute(Attribute::nested_map("runs", inner).optional());
        let object = |id: &str, peer: &str, policy: &str, ip: &str, every: &str| {
            let run = Value::object([("every", Value::from(every))]);
            Value::object([
                ("id", Value::from(id)),
                ("peers", Value::list([Value::from(peer)])),
                ("policy", policy.into()),
                ("ip", ip.into()),
                ("runs", Value::map([("a", run)])),
            ])
        };
        let prior = object("/A/b", "X", r#"{"a": 1, "b": 2}"#, "2001:db8::1", "60m");
        let same = object("/a/B", "x", r#"{"b":2,"a":1}"#, "2001:db8:0::1", "1h");
        let other = object("/a/c", "y", r#"{"b":3}"#, "2001:db8::2", "2h");
        let plan = |config: &Value| {
            let (config, proposed) = (config.clone(), config.clone());
            let request =
                PlanRequest { prior: prior.clone(), config, proposed, ..PlanRequest::default() };
            super::super::by_schema(&schema, request)
        };
        let kept = plan(&same);
        assert_eq!((&kept.planned, kept.requires_replace.len()), (&prior, 0));
        let changed = plan(&other);
        assert_eq!((&changed.planned, changed.requires_replace.len()), (&other, 1));
    }
}
