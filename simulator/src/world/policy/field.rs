//! Fields of policies: from a name to a place in a body.

use serde_json::{Value, json};

/// What is about to be written.
#[derive(Clone, Copy)]
pub(super) struct Subject<'b> {
    pub(super) rtype: &'b str,
    pub(super) name: &'b str,
    pub(super) body: &'b Value,
}

/// What stands at the top of a body, and not below `properties`.
const TOP: [&str; 9] = [
    "location",
    "tags",
    "identity",
    "sku",
    "kind",
    "zones",
    "plan",
    "managedBy",
    "extendedLocation",
];

/// Steps into a body; `None` for a field of another type of object.
fn steps(rtype: &str, field: &str) -> Option<Vec<String>> {
    if let Some(rest) = field.strip_prefix("tags") {
        let name = rest.trim_start_matches(['[', '.']).trim_end_matches(']').trim_matches('\'');
        let name = (!name.is_empty()).then(|| name.to_owned());
        return Some(["tags".to_owned()].into_iter().chain(name).collect());
    }
    let path = if field.contains('/') {
        let head = field.get(..rtype.len()).filter(|head| head.eq_ignore_ascii_case(rtype))?;
        field[head.len()..].strip_prefix('/')?
    } else {
        field
    };
    let mut steps: Vec<String> = Vec::new();
    for word in path.split('.') {
        let plain = word.trim_end_matches("[*]");
        steps.push(plain.to_owned());
        if plain.len() < word.len() {
            steps.push("*".to_owned());
        }
    }
    // Aliases leave out where Azure's bodies say `properties`; of lists of children, too.
    if steps.first().is_some_and(|first| !TOP.iter().any(|top| top.eq_ignore_ascii_case(first))) {
        steps.insert(0, "properties".to_owned());
    }
    Some(steps)
}

/// The values of a field: one, or one of each row where it goes through lists; `None` where the type has no such field.
pub(super) fn read(subject: &Subject<'_>, field: &str) -> Option<Vec<Value>> {
    match field {
        "type" => return Some(vec![json!(subject.rtype)]),
        "name" => return Some(vec![json!(subject.name)]),
        _ => {}
    }
    let steps = steps(subject.rtype, field)?;
    let mut found = vec![subject.body.clone()];
    for step in &steps {
        found = found.into_iter().flat_map(|value| inner(&value, step)).collect();
    }
    Some(found)
}

fn inner(value: &Value, step: &str) -> Vec<Value> {
    if step == "*" {
        return value.as_array().cloned().unwrap_or_default();
    }
    vec![
        get(value, step)
            .or_else(|| get(value.get("properties")?, step))
            .cloned()
            .unwrap_or_default(),
    ]
}

fn get<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let object = value.as_object()?;
    object.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The bodies in which the list of a field has one of its rows each.
pub(super) fn by_row(subject: &Subject<'_>, field: &str) -> Vec<Value> {
    let Some(steps) = steps(subject.rtype, field.trim_end_matches("[*]")) else { return vec![] };
    let mut rows = Vec::new();
    let mut body = subject.body.clone();
    change(&mut body, &steps, &mut |place| rows = place.as_array().cloned().unwrap_or_default());
    let alone = |row: &Value| {
        let mut body = subject.body.clone();
        change(&mut body, &steps, &mut |place| *place = json!([row]));
        body
    };
    rows.iter().map(alone).collect()
}

/// Writes a field, or takes it away.
pub(super) fn set(rtype: &str, body: &mut Value, field: &str, value: Option<&Value>) {
    let Some(steps) = steps(rtype, field) else { return };
    change(body, &steps, &mut |place| match value {
        Some(value) => *place = value.clone(),
        None => *place = Value::Null,
    });
}

/// Adds to a list or an object, or writes a field that is not there.
pub(super) fn append(rtype: &str, body: &mut Value, field: &str, value: &Value) {
    let Some(steps) = steps(rtype, field) else { return };
    // The last list is added to, not gone through.
    let steps = steps.strip_suffix(&["*".to_owned()]).map_or(steps.clone(), <[String]>::to_vec);
    let is_list = field.ends_with("[*]");
    change(body, &steps, &mut |place| match (&mut *place, value) {
        (Value::Array(rows), value) if rows.contains(value) => {}
        (Value::Array(rows), value) => rows.push(value.clone()),
        (Value::Object(own), Value::Object(more)) => {
            for (key, value) in more {
                own.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        (Value::Null, value) => *place = if is_list { json!([value]) } else { value.clone() },
        _ => {}
    });
}

/// Does something at a place, and makes the way to it. What is absent afterwards is taken away.
fn change(value: &mut Value, steps: &[String], work: &mut dyn FnMut(&mut Value)) {
    let Some((step, rest)) = steps.split_first() else { return work(value) };
    if step == "*" {
        for row in value.as_array_mut().into_iter().flatten() {
            // A child in a list has properties of its own.
            let is_within = rest.first().is_some_and(|next| get(row, next).is_none());
            let row = if is_within && row["properties"].is_object() {
                &mut row["properties"]
            } else {
                row
            };
            change(row, rest, work);
        }
        return;
    }
    if !value.is_object() {
        *value = json!({});
    }
    let Some(object) = value.as_object_mut() else { return };
    let name = object.keys().find(|name| name.eq_ignore_ascii_case(step)).unwrap_or(step).clone();
    let inner = object.entry(name.clone()).or_insert(Value::Null);
    change(inner, rest, work);
    if inner.is_null() {
        object.remove(&name);
    }
}
