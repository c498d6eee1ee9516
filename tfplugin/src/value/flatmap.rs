//! The flat map in which Terraform 0.11 and older stored attributes: `disks.0.size` = `"1"`.
//!
//! Lists and sets carry their length under `disks.#`, maps under `tags.%`; the keys of a set's
//! elements are hashes and mean nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{Place, index};
use super::{Number, Value, ValueError};
use crate::path::Step;
use crate::schema::Type;

/// What stands for an unknown value; it can only occur in a state that a crash left behind.
const UNKNOWN: &str = "74D93920-ED26-11E3-AC10-0800200C9A66";

/// Reads a flat map by the type of the whole object. Absent attributes are null, further ones are
/// dropped.
pub(crate) fn decode(entries: &BTreeMap<String, String>, ty: &Type) -> Result<Value, ValueError> {
    let Type::Object(attributes) = ty else {
        return Err(ValueError::new("a flat map holds an object"));
    };
    Reader { entries, place: Place::default() }.object("", attributes)
}

struct Reader<'e> {
    entries: &'e BTreeMap<String, String>,
    place: Place,
}

impl Reader<'_> {
    fn object(
        &mut self,
        prefix: &str,
        attributes: &BTreeMap<String, Type>,
    ) -> Result<Value, ValueError> {
        let mut object = BTreeMap::new();
        for (name, ty) in attributes {
            self.place.enter(Step::Attribute(name.clone()))?;
            object.insert(name.clone(), self.value(&format!("{prefix}{name}"), ty)?);
            self.place.leave();
        }
        Ok(Value::Map(object))
    }

    fn value(&mut self, key: &str, ty: &Type) -> Result<Value, ValueError> {
        match ty {
            Type::Bool | Type::Number | Type::String | Type::Dynamic => self.primitive(key, ty),
            Type::List(element) | Type::Set(element) => {
                let Some(length) = self.length(key, '#')? else { return Ok(Value::Null) };
                let keys = self.keys_below(key);
                if length != keys.len() {
                    let found = keys.len();
                    return Err(self.place.error(format!("{length} elements, {found} stored")));
                }
                let elements = keys.iter().enumerate().map(|(position, inner)| {
                    self.place.enter(index(position))?;
                    let element = self.value(&format!("{key}.{inner}"), element)?;
                    self.place.leave();
                    Ok(element)
                });
                elements.collect::<Result<_, _>>().map(Value::List)
            }
            Type::Map(element) => {
                if self.length(key, '%')?.is_none() {
                    return Ok(Value::Null);
                }
                // Keys may hold dots themselves, so an element of a map is a primitive.
                let prefix = format!("{key}.");
                let below = self.entries.range(prefix.clone()..);
                let names: Vec<String> = below
                    .map_while(|(name, _)| name.strip_prefix(&prefix))
                    .filter(|name| *name != "%")
                    .map(str::to_owned)
                    .collect();
                let elements = names.into_iter().map(|name| {
                    self.place.enter(Step::Key(name.clone()))?;
                    let value = self.value(&format!("{prefix}{name}"), element)?;
                    self.place.leave();
                    Ok((name, value))
                });
                elements.collect::<Result<_, _>>().map(Value::Map)
            }
            Type::Object(attributes) => {
                let prefix = format!("{key}.");
                let attributes = attributes.clone();
                self.object(&prefix, &attributes)
            }
            Type::Tuple(types) => {
                let elements = types.iter().enumerate().map(|(position, ty)| {
                    self.place.enter(index(position))?;
                    let element = self.value(&format!("{key}.{position}"), ty)?;
                    self.place.leave();
                    Ok(element)
                });
                elements.collect::<Result<_, _>>().map(Value::List)
            }
        }
    }

    fn primitive(&self, key: &str, ty: &Type) -> Result<Value, ValueError> {
        let Some(text) = self.entries.get(key) else { return Ok(Value::Null) };
        match ty {
            _ if text == UNKNOWN => Err(self.place.error("an unknown value was stored")),
            Type::Bool => match text.as_str() {
                "true" | "1" => Ok(Value::Bool(true)),
                "false" | "0" => Ok(Value::Bool(false)),
                "" => Ok(Value::Null),
                _ => Err(self.place.error(format!("{text:?} is not a bool"))),
            },
            Type::Number if text.is_empty() => Ok(Value::Null),
            Type::Number => text
                .parse::<Number>()
                .map(Value::Number)
                .map_err(|_| self.place.error(format!("{text:?} is not a number"))),
            _ => Ok(Value::String(text.clone())),
        }
    }

    /// The stored length of a collection; `None` where the collection is null.
    fn length(&self, key: &str, mark: char) -> Result<Option<usize>, ValueError> {
        let Some(text) = self.entries.get(&format!("{key}.{mark}")) else { return Ok(None) };
        let problem = || self.place.error(format!("{text:?} is not a length"));
        text.parse().map(Some).map_err(|_| problem())
    }

    /// The first parts of the keys below a collection, in the order of their numbers.
    fn keys_below(&self, key: &str) -> Vec<String> {
        let prefix = format!("{key}.");
        let below = self.entries.range(prefix.clone()..);
        let firsts = below
            .map_while(|(name, _)| name.strip_prefix(&prefix))
            .filter(|rest| *rest != "#")
            .map(|rest| rest.split('.').next().unwrap_or(rest));
        let firsts: BTreeSet<&str> = firsts.collect();
        let mut firsts: Vec<String> = firsts.into_iter().map(str::to_owned).collect();
        firsts.sort_by_key(|first| first.parse::<u64>().unwrap_or(u64::MAX));
        firsts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)], ty: &Type) -> Result<Value, String> {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        decode(&entries.iter().map(own).collect(), ty).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_of_attribute_is_read_from_a_flat_map() {
        let disk = Type::object([("size", Type::Number), ("fast", Type::Bool)]);
        let ty = Type::object([
            ("id", Type::String),
            ("note", Type::String),
            ("disks", Type::list(disk)),
            ("tags", Type::map(Type::String)),
            ("zones", Type::set(Type::String)),
        ]);
        let entries = [
            ("id", "i-1"),
            ("disks.#", "2"),
            ("disks.0.size", "0.1"),
            ("disks.0.fast", "true"),
            ("disks.1.size", "12345678901234567890123"),
            ("tags.%", "2"),
            ("tags.a", "1"),
            ("tags.b.c", "2"),
            ("zones.#", "2"),
            ("zones.99", "z2"),
            ("zones.123", "z1"),
            ("dropped", "x"),
        ];
        let disk = |size: &str, fast: Value| {
            let size = Value::Number(size.parse().unwrap());
            Value::object([("size", size), ("fast", fast)])
        };
        let disks = [disk("0.1", true.into()), disk("12345678901234567890123", Value::Null)];
        let expected = Value::object([
            ("id", Value::from("i-1")),
            ("note", Value::Null),
            ("disks", Value::list(disks)),
            ("tags", Value::map([("a", Value::from("1")), ("b.c", Value::from("2"))])),
            ("zones", Value::list(["z2", "z1"].map(Value::from))),
        ]);
        assert_eq!(read(&entries, &ty), Ok(expected));
    }

    #[test]
    fn nonsense_is_told_with_its_place() {
        let ty = Type::object([("a", Type::list(Type::Number))]);
        let told = |entries: &[(&str, &str)]| read(entries, &ty).unwrap_err();
        assert_eq!(told(&[("a.#", "1"), ("a.0", "x")]), "a[0]: \"x\" is not a number");
        assert_eq!(
            told(&[("a.#", "4000000000"), ("a.0", "1")]),
            "a: 4000000000 elements, 1 stored"
        );
        assert_eq!(told(&[("a.#", "many")]), "a: \"many\" is not a length");
        assert_eq!(told(&[("a.#", "1"), ("a.0", UNKNOWN)]), "a[0]: an unknown value was stored");
    }
}
