//! The body to PUT: what Azure holds, with our properties over it, so that nobody's additions are lost.

use serde_json::{Map, Value};

use super::absent::{is_absent, without_absent};
use super::spelling::{has_identity_kind, lookup, other_spelling};
use super::{AT_LEAST, OPEN_LISTS, OWNED_LISTS, identity, is_enough, same_identity, same_scalar};
use crate::arm::Kind;
use crate::effect::is_at_creation;
use crate::read_only::is_read_only;
use crate::reference::is_settled_at_birth;

/// What Azure holds with what is ours over it. What ARM only shows and does not take is left out, and what counts at
/// creation only stays as it is.
pub fn merged(kind: Kind, desired: &Value, observed: &Value) -> Value {
    Merge { kind, creates: false, path: Vec::new() }.merge(desired, observed)
}

/// The same with what counts at creation: for an object whose first write failed.
pub(crate) fn merged_whole(kind: Kind, desired: &Value, observed: &Value) -> Value {
    Merge { kind, creates: true, path: Vec::new() }.merge(desired, observed)
}

/// Whether two looks at an object differ in nothing that a write of it would carry.
pub fn is_same_to_write(kind: Kind, before: &Value, now: &Value) -> bool {
    let nothing = Value::Object(Map::new());
    merged(kind, &nothing, before) == merged(kind, &nothing, now)
}

/// A walk over both bodies.
struct Merge<'a> {
    kind: Kind,
    /// Whether what counts at creation is written.
    creates: bool,
    /// Where the walk is; an element of a list is `*`.
    path: Vec<&'a str>,
}

impl<'a> Merge<'a> {
    fn merge(&mut self, desired: &'a Value, observed: &'a Value) -> Value {
        match (desired, observed) {
            (Value::Object(want), Value::String(have))
                if !self.creates && is_settled_at_birth(want, have) =>
            {
                observed.clone()
            }
            (Value::Object(want), have) => self.objects(Some(want), have.as_object()),
            (Value::Array(want), Value::Array(have))
                if !want.is_empty() && want.iter().all(|element| identity(element).is_some()) =>
            {
                self.named_lists(want, have)
            }
            (Value::Array(want), Value::Array(have)) if self.list_is(OPEN_LISTS) => {
                let theirs = have.iter().filter(|h| !want.iter().any(|w| same_scalar(w, h)));
                Value::Array(want.iter().chain(theirs).cloned().collect())
            }
            (Value::String(want), Value::String(have))
                if has_identity_kind(&self.path, want, have) =>
            {
                observed.clone()
            }
            (want @ Value::Number(_), have) if self.list_is(AT_LEAST) && is_enough(want, have) => {
                observed.clone()
            }
            (want, _) => {
                let mut want = want.clone();
                without_absent(&mut want);
                want
            }
        }
    }

    fn objects(
        &mut self,
        want: Option<&'a Map<String, Value>>,
        have: Option<&'a Map<String, Value>>,
    ) -> Value {
        let mut out = Map::new();
        let parent = self.path.last().copied();
        for (key, value) in have.into_iter().flatten() {
            self.path.push(key);
            let is_named = |want: &Map<String, Value>| {
                let other = other_spelling(key).is_some_and(|other| want.contains_key(other));
                other || lookup(want, parent, key).is_some()
            };
            let is_ours = self.writes() && want.is_some_and(is_named);
            if !is_ours && !is_read_only(self.kind, &self.path) {
                out.insert(key.clone(), self.writable(value));
            }
            self.path.pop();
        }
        for (key, value) in want.into_iter().flatten() {
            self.path.push(key);
            if self.writes() && !is_absent(value) {
                // Written under the key that is there.
                let there = have.and_then(|have| lookup(have, parent, key));
                let (key, other) = there.unwrap_or((key, &Value::Null));
                out.insert(key.to_owned(), self.merge(value, other));
            }
            self.path.pop();
        }
        Value::Object(out)
    }

    fn named_lists(&mut self, want: &'a [Value], have: &'a [Value]) -> Value {
        let is_owned = self.list_is(OWNED_LISTS);
        self.path.push("*");
        let mut out = Vec::with_capacity(want.len().max(have.len()));
        for own in want.iter().filter(|element| !is_absent(element)) {
            let other = have.iter().find(|other| same_identity(own, other));
            out.push(self.merge(own, other.unwrap_or(&Value::Null)));
        }
        if !is_owned {
            let theirs = have.iter().filter(|h| !want.iter().any(|w| same_identity(w, h)));
            out.extend(theirs.map(|other| self.writable(other)));
        }
        self.path.pop();
        Value::Array(out)
    }

    /// What somebody else put there, without what ARM only shows.
    fn writable(&mut self, value: &'a Value) -> Value {
        match value {
            Value::Object(have) => self.objects(None, Some(have)),
            Value::Array(items) => {
                self.path.push("*");
                let kept = items.iter().map(|item| self.writable(item)).collect();
                self.path.pop();
                Value::Array(kept)
            }
            plain => plain.clone(),
        }
    }

    /// Whether a property of ours at this path is written.
    fn writes(&self) -> bool {
        self.creates || !is_at_creation(self.kind, || self.path.iter().copied())
    }

    fn list_is(&self, table: &[(Kind, &str)]) -> bool {
        self.path.last().is_some_and(|name| table.contains(&(self.kind, *name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_merge_keeps_what_is_not_ours_and_drops_what_arm_only_shows() {
        let rule = |name: &str, priority: u32| json!({ "name": name, "properties": { "priority": priority } });
        let desired = json!({
            "tags": { "ours": "2" },
            "properties": { "securityRules": [rule("r", 1)] },
        });
        let mut theirs = rule("policy", 9);
        theirs["etag"] = json!("y");
        theirs["properties"]["provisioningState"] = json!("Succeeded");
        let observed = json!({
            "id": "/x", "name": "nsg", "etag": "x",
            "tags": { "ours": "1", "theirs": "t" },
            "properties": {
                "provisioningState": "Succeeded",
                "defaultSecurityRules": [rule("AllowVnetInBound", 65000)],
                "securityRules": [theirs, rule("R", 0)],
            },
        });
        assert_eq!(
            merged(Kind::NetworkSecurityGroup, &desired, &observed),
            json!({
                "id": "/x",
                "tags": { "ours": "2", "theirs": "t" },
                "properties": { "securityRules": [rule("r", 1), rule("policy", 9)] },
            })
        );
    }

    #[test]
    fn a_storage_account_is_written_with_what_its_create_takes() {
        let desired =
            json!({ "tags": { "a": "1" }, "properties": { "allowSharedKeyAccess": false } });
        let observed = json!({
            "kind": "StorageV2",
            "properties": {
                "primaryEndpoints": { "blob": "https://x/" }, "creationTime": "now",
                "statusOfPrimary": "available", "accessTier": "Cool", "allowSharedKeyAccess": true,
            },
        });
        let body = merged(Kind::StorageAccount, &desired, &observed);
        let expected = json!({ "accessTier": "Cool", "allowSharedKeyAccess": false });
        assert_eq!(body["properties"], expected);
    }
}
