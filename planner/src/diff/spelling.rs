//! One meaning, several spellings: what ARM takes for the same is the same here.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::arm::Kind;

/// Properties that hold one value or, under a second name, several (Microsoft's definitions of subnets and of security
/// rules). One that stands in the second says the same as in the first.
const ONE_OR_MANY: [(&str, &str); 5] = [
    ("addressPrefix", "addressPrefixes"),
    ("sourceAddressPrefix", "sourceAddressPrefixes"),
    ("destinationAddressPrefix", "destinationAddressPrefixes"),
    ("sourcePortRange", "sourcePortRanges"),
    ("destinationPortRange", "destinationPortRanges"),
];

/// Values below these keys are somebody's own texts. Everything else that we own are words of ARM, sizes, images and
/// ids, which it compares without case and gives back in a case of its own.
const OWN_TEXTS: [&str; 3] = ["tags", "metadata", "notes"];

/// The name under which the property's values may stand as well: one that is written takes the other's place.
pub(super) fn other_spelling(name: &str) -> Option<&'static str> {
    ONE_OR_MANY.into_iter().find_map(|(one, many)| match name {
        name if name == one => Some(many),
        name if name == many => Some(one),
        _ => None,
    })
}

/// The body with every one-element list under the name of a single value.
pub(super) fn canonical(kind: Kind, body: &Value) -> Cow<'_, Value> {
    let list = match kind {
        Kind::VirtualNetwork => "/properties/subnets",
        Kind::NetworkSecurityGroup => "/properties/securityRules",
        _ => return Cow::Borrowed(body),
    };
    let rows = body.pointer(list).and_then(Value::as_array).into_iter().flatten();
    if !rows
        .filter_map(properties)
        .any(|row| ONE_OR_MANY.iter().any(|pair| is_foldable(row, *pair)))
    {
        return Cow::Borrowed(body);
    }
    let mut body = body.clone();
    let rows = body.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
    for row in rows.filter_map(|row| row.get_mut("properties")?.as_object_mut()) {
        for pair in ONE_OR_MANY {
            fold(row, pair);
        }
    }
    Cow::Owned(body)
}

fn properties(row: &Value) -> Option<&Map<String, Value>> {
    row.get("properties")?.as_object()
}

/// Whether the one value stands under the name of several.
fn is_foldable(row: &Map<String, Value>, (one, many): (&str, &str)) -> bool {
    let is_empty = match row.get(one) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    };
    is_empty && row.get(many).and_then(Value::as_array).is_some_and(|list| list.len() == 1)
}

fn fold(row: &mut Map<String, Value>, (one, many): (&str, &str)) {
    if !is_foldable(row, (one, many)) {
        return;
    }
    if let Some(Value::Array(list)) = row.remove(many) {
        row.extend(list.into_iter().next().map(|single| (one.to_owned(), single)));
    }
}

/// Whether two texts at this path say the same.
pub(super) fn same_text<'p>(mut path: impl Iterator<Item = &'p str>, a: &str, b: &str) -> bool {
    a == b
        || (without_slash(a).eq_ignore_ascii_case(without_slash(b))
            && !path.any(|segment| OWN_TEXTS.contains(&segment)))
}

/// An address says the same with a slash at its end: Azure gives those of vaults back as they came.
fn without_slash(text: &str) -> &str {
    text.strip_suffix('/').filter(|_| text.starts_with("https://")).unwrap_or(text)
}

/// Whether `have`, the kinds of identity that a machine has, has the wanted one among them: a policy may add an identity
/// of the system's (`SystemAssigned, UserAssigned`), and it stays.
pub(super) fn has_identity_kind(path: &[&str], want: &str, have: &str) -> bool {
    path == ["identity", "type"]
        && have.split(',').any(|kind| kind.trim().eq_ignore_ascii_case(want))
}

/// The value under this key of the object at this path. Ids as keys (attached identities) and names of tags have no case.
pub(super) fn lookup<'a>(
    map: &'a Map<String, Value>,
    parent: Option<&str>,
    key: &str,
) -> Option<(&'a str, &'a Value)> {
    if let Some((key, value)) = map.get_key_value(key) {
        return Some((key, value));
    }
    let has_no_case = key.starts_with('/') || parent == Some("tags");
    let mut rows = map.iter().filter(|_| has_no_case);
    rows.find(|(own, _)| own.eq_ignore_ascii_case(key)).map(|(own, value)| (own.as_str(), value))
}
