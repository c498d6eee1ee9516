//! Whether a value is what a schema says.

use std::fmt::Write as _;

use serde_json::Value;

use super::schema::{Kind, Schema, Schemas};

/// What is wrong at one place of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// As in `properties.subnets[0].name`.
    pub(crate) path: String,
    pub(crate) fault: Fault,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A property that the type has not.
    Unknown { name: String, of: String },
    /// A property that only Azure says, in another value than it says.
    ReadOnly,
    /// Not among the words that are defined.
    Word { found: String, known: String },
    /// Something that is required is not there.
    Missing,
    /// Another type.
    Type { expected: &'static str },
    /// Too short, too long, too small or too large.
    Range { found: String },
}

/// What every client sends back as it read it, and which changes meanwhile.
const SENT_BACK: [&str; 2] = ["etag", "provisioningstate"];

impl Schemas {
    /// What is wrong with a value, as a schema says it, and with everything in it.
    pub(super) fn complaints(
        &self,
        index: usize,
        value: &Value,
        now: Option<&Value>,
    ) -> Vec<Complaint> {
        let mut complaints = Vec::new();
        self.check(index, value, now, &mut String::new(), &mut complaints);
        complaints
    }

    /// `path` is where the value stands.
    fn check(
        &self,
        index: usize,
        value: &Value,
        now: Option<&Value>,
        path: &mut String,
        complaints: &mut Vec<Complaint>,
    ) {
        let schema = &self.all[index];
        if value.is_null() {
            return;
        }
        let fault = wrong(schema, value);
        if let Some(fault) = fault {
            complaints.push(Complaint { path: path.clone(), fault });
            return;
        }
        let length = path.len();
        match value {
            Value::Array(rows) => {
                let Some(items) = schema.items else { return };
                for (number, row) in rows.iter().enumerate() {
                    let _ = write!(path, "[{number}]");
                    let there = now.and_then(|now| counterpart(now, number, row));
                    self.check(items, row, there, path, complaints);
                    path.truncate(length);
                }
            }
            Value::Object(object) => {
                for (name, inner) in object {
                    path.push_str(if length == 0 { "" } else { "." });
                    path.push_str(name);
                    let there = now.and_then(|now| get(now, name));
                    self.check_property(schema, (name, inner), there, path, complaints);
                    path.truncate(length);
                }
                for name in &schema.required {
                    if get(value, name).is_none_or(Value::is_null) {
                        let dot = if length == 0 { "" } else { "." };
                        let path = format!("{path}{dot}{name}");
                        complaints.push(Complaint { path, fault: Fault::Missing });
                    }
                }
            }
            _ => {}
        }
    }

    fn check_property(
        &self,
        schema: &Schema,
        (name, inner): (&str, &Value),
        there: Option<&Value>,
        path: &mut String,
        complaints: &mut Vec<Complaint>,
    ) {
        let lower = name.to_ascii_lowercase();
        if let Some(property) = schema.properties.get(&lower) {
            let is_sent_back = SENT_BACK.contains(&lower.as_str())
                || there.is_some_and(|there| same(there, inner));
            if !property.is_read_only {
                self.check(property.schema, inner, there, path, complaints);
            } else if !inner.is_null() && !is_sent_back {
                complaints.push(Complaint { path: path.clone(), fault: Fault::ReadOnly });
            }
        } else if let Some(others) = schema.others {
            self.check(others, inner, there, path, complaints);
        } else if !schema.is_open {
            let fault = Fault::Unknown { name: name.to_owned(), of: schema.name.clone() };
            complaints.push(Complaint { path: path.clone(), fault });
        }
    }
}

fn wrong(schema: &Schema, value: &Value) -> Option<Fault> {
    let fits = match schema.kind {
        Kind::Object => value.is_object() || (schema.is_open && schema.name.is_empty()),
        Kind::Array => value.is_array(),
        Kind::String => value.is_string(),
        Kind::Integer => value.is_i64() || value.is_u64(),
        Kind::Number => value.is_number(),
        Kind::Boolean => value.is_boolean(),
    };
    if !fits {
        return Some(Fault::Type { expected: schema.kind.word() });
    }
    if let Some(word) = value.as_str().filter(|_| !schema.words.is_empty())
        && !schema.words.iter().any(|known| known.eq_ignore_ascii_case(word))
    {
        return Some(Fault::Word { found: word.to_owned(), known: schema.words.join(", ") });
    }
    let length = match value {
        Value::String(text) => Some(text.chars().count()),
        Value::Array(rows) => Some(rows.len()),
        _ => None,
    };
    let length = length.and_then(|length| u64::try_from(length).ok());
    let is_short = length.zip(schema.length_min).is_some_and(|(length, min)| length < min);
    let is_long = length.zip(schema.length_max).is_some_and(|(length, max)| length > max);
    let number = value.as_f64();
    let is_small = number.zip(schema.least).is_some_and(|(number, least)| number < least);
    let is_large = number.zip(schema.most).is_some_and(|(number, most)| number > most);
    (is_short || is_long || is_small || is_large).then(|| Fault::Range { found: value.to_string() })
}

/// A property, whatever its case.
fn get<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let object = value.as_object()?;
    object.get(name).or_else(|| {
        object.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    })
}

/// The row of a list that an object has now: by its name, else by its place.
fn counterpart<'v>(now: &'v Value, number: usize, row: &Value) -> Option<&'v Value> {
    let rows = now.as_array()?;
    match row["name"].as_str() {
        None => rows.get(number),
        Some(name) => rows
            .iter()
            .find(|now| now["name"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(name))),
    }
}

/// Azure spells ids in more than one way.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.eq_ignore_ascii_case(b),
        _ => a == b,
    }
}
