//! Conditions: whether a rule describes what is about to be written.

use serde_json::{Value, json};

use super::field::{self, Subject};

/// Words that compare a field.
const COMPARISONS: [&str; 14] = [
    "equals",
    "notEquals",
    "like",
    "notLike",
    "contains",
    "notContains",
    "in",
    "notIn",
    "exists",
    "greater",
    "greaterOrEquals",
    "less",
    "lessOrEquals",
    "containsKey",
];

/// Whether a condition is one that is understood; says what is not.
pub(super) fn check(condition: &Value) -> Result<(), String> {
    for word in ["allOf", "anyOf"] {
        if let Some(rows) = condition[word].as_array() {
            return rows.iter().try_for_each(check);
        }
    }
    if condition["not"].is_object() {
        return check(&condition["not"]);
    }
    if condition["count"]["field"].is_string() {
        return if condition["count"]["where"].is_null() {
            Ok(())
        } else {
            check(&condition["count"]["where"])
        };
    }
    if condition["field"].is_string() && COMPARISONS.iter().any(|word| !condition[*word].is_null())
    {
        return Ok(());
    }
    Err(format!("the condition {condition} is not understood"))
}

/// Whether it holds. Of a list every row must satisfy it, and of an empty one every condition holds.
pub(super) fn holds(condition: &Value, subject: &Subject<'_>) -> bool {
    if let Some(rows) = condition["allOf"].as_array() {
        return rows.iter().all(|row| holds(row, subject));
    }
    if let Some(rows) = condition["anyOf"].as_array() {
        return rows.iter().any(|row| holds(row, subject));
    }
    if condition["not"].is_object() {
        return !holds(&condition["not"], subject);
    }
    let found = if condition["count"].is_object() {
        Some(vec![json!(count(&condition["count"], subject))])
    } else {
        field::read(subject, condition["field"].as_str().unwrap_or_default())
    };
    let Some(found) = found else { return false };
    found.iter().all(|value| {
        COMPARISONS
            .iter()
            .all(|word| condition[*word].is_null() || compares(word, value, &condition[*word]))
    })
}

/// How many rows of a list satisfy a condition.
fn count(count: &Value, subject: &Subject<'_>) -> usize {
    let bodies = field::by_row(subject, count["field"].as_str().unwrap_or_default());
    let satisfies = |body: &&Value| {
        count["where"].is_null() || holds(&count["where"], &Subject { body, ..*subject })
    };
    bodies.iter().filter(satisfies).count()
}

fn compares(word: &str, found: &Value, wanted: &Value) -> bool {
    let among = || wanted.as_array().into_iter().flatten().any(|wanted| same(found, wanted));
    match word {
        "equals" => same(found, wanted),
        "notEquals" => !same(found, wanted),
        "like" => like(&text(found), &text(wanted)),
        "notLike" => !like(&text(found), &text(wanted)),
        "contains" => text(found).contains(&text(wanted)),
        "notContains" => !text(found).contains(&text(wanted)),
        "in" => among(),
        "notIn" => !among(),
        "exists" => found.is_null() != same(wanted, &Value::Bool(true)),
        "containsKey" => found
            .as_object()
            .is_some_and(|o| o.keys().any(|k| k.eq_ignore_ascii_case(&text(wanted)))),
        _ => number(found).zip(number(wanted)).is_some_and(|(found, wanted)| match word {
            "greater" => found > wanted,
            "greaterOrEquals" => found >= wanted,
            "less" => found < wanted,
            _ => found <= wanted,
        }),
    }
}

/// Policies compare without case, and `"true"` is true.
fn same(a: &Value, b: &Value) -> bool {
    text(a) == text(b) && a.is_null() == b.is_null()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_lowercase(),
        Value::Null => String::new(),
        other => other.to_string().to_lowercase(),
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// One `*` stands for any text.
fn like(found: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => found == pattern,
        Some((head, tail)) => {
            found.len() >= head.len() + tail.len()
                && found.starts_with(head)
                && found.ends_with(tail)
        }
    }
}
