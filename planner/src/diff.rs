//! Desired against observed, as ARM means it: owned properties only, ids without case, named lists without order,
//! whatever else is there left alone.

mod absent;
mod merge;
mod spelling;

pub(crate) use absent::{absent, gone, without_absent};
pub(crate) use merge::merged_whole;
pub use merge::{is_same_to_write, merged};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::arm::Kind;
use crate::effect::{self, Effect, effect};
use crate::names::hex;
use crate::reference::{Outputs, is_reference, is_settled_at_birth, resolve};
use absent::is_absent;
use spelling::{canonical, has_identity_kind, lookup, same_text};

/// One owned property that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Where, e.g. `properties.securityRules[consul-rpc].properties.access`.
    pub path: String,
    /// What Azure holds; `Null` when it is missing.
    pub observed: Value,
    /// What should be there; `Null` when it should not.
    pub desired: Value,
    /// What a change of it does.
    pub effect: Effect,
}

/// Named lists whose elements are all ours: what we do not want there goes.
const OWNED_LISTS: &[(Kind, &str)] = &[(Kind::LoadBalancer, "loadBalancerBackendAddresses")];
/// Plain lists to which others may add: what we want must be there.
const OPEN_LISTS: &[(Kind, &str)] = &[(Kind::VirtualNetwork, "addressPrefixes")];
/// Numbers that somebody may have raised: more is no difference, and stays.
const AT_LEAST: &[(Kind, &str)] = &[(Kind::BlobService, "days")];
/// Properties whose values are told by their hash only.
const SECRET_NAMES: [&str; 6] = [
    "customData",
    "adminPassword",
    "protectedSettings",
    "connectionString",
    "sharedKey",
    "primaryKey",
];

/// Differences of `observed` from `desired`, both of an object of this type. What `outputs` does not know yet differs.
pub fn differences(
    kind: Kind,
    desired: &Value,
    observed: &Value,
    outputs: &dyn Outputs,
) -> Vec<Difference> {
    let (desired, observed) = (canonical(kind, desired), canonical(kind, observed));
    let mut comparison = Comparison { kind, outputs, path: Vec::new(), found: Vec::new() };
    comparison.compare(&desired, &observed);
    let mut found = comparison.found;
    if kind == Kind::Peering {
        found.extend(broken_peering(&observed));
    }
    found
}

/// What Azure says of a half that does not carry: its other half went and may have come back (the half must be made anew,
/// or the other cannot be), or the other network got other addresses (a write of it brings them over).
fn broken_peering(observed: &Value) -> Option<Difference> {
    let text = |name: &str| observed.get("properties")?.get(name)?.as_str();
    let found = |name: &str, wanted: &str, effect: Effect| Difference {
        path: format!("properties.{name}"),
        observed: json!(text(name)),
        desired: json!(wanted),
        effect,
    };
    if text("peeringState").is_some_and(|state| state.eq_ignore_ascii_case("Disconnected")) {
        return Some(found("peeringState", "Connected", Effect::RecreatesObject));
    }
    let is_behind = text("peeringSyncLevel").is_some_and(|level| level.starts_with("Local"));
    is_behind.then(|| found("peeringSyncLevel", "FullyInSync", Effect::InPlace))
}

/// Whether the two differ in a property of this class. What refers to other objects is left out.
pub(crate) fn differs_in(kind: Kind, desired: &Value, observed: &Value, effect: Effect) -> bool {
    differences(kind, desired, observed, &Nothing).iter().any(|found| found.effect == effect)
}

/// Knows no value.
struct Nothing;

impl Outputs for Nothing {
    fn output(&self, _: &str, _: &str) -> Option<Value> {
        None
    }

    fn parameter(&self, _: &str) -> Option<Value> {
        None
    }
}

/// A step on the way to a property.
#[derive(Clone, Copy)]
enum Segment<'a> {
    Key(&'a str),
    Element(&'a str),
}

impl<'a> Segment<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Key(text) | Self::Element(text) => text,
        }
    }
}

struct Comparison<'a> {
    kind: Kind,
    outputs: &'a dyn Outputs,
    path: Vec<Segment<'a>>,
    found: Vec<Difference>,
}

impl<'a> Comparison<'a> {
    fn compare(&mut self, desired: &'a Value, observed: &Value) {
        match (desired, observed) {
            (want, have) if is_absent(want) && is_nothing(have) => {}
            (want, have) if is_absent(want) => self.differs(&Value::Null, have),
            (Value::Object(want), Value::String(have)) if is_settled_at_birth(want, have) => {}
            (Value::Object(want), have) if is_reference(want) => {
                match resolve(desired, self.outputs) {
                    Ok(known) if self.is_same(&known, have) => {}
                    Ok(known) => self.differs(&known, have),
                    Err(_) => self.differs(desired, have),
                }
            }
            (Value::Object(want), Value::Object(have)) => {
                for (key, value) in want {
                    let other = self.lookup(have, key);
                    // That an id is there says something, although nothing stands behind it.
                    let is_missing = other.is_null() && key.starts_with('/') && !is_absent(value);
                    self.at(Segment::Key(key), |inner| {
                        if is_missing {
                            inner.differs(value, other);
                        } else {
                            inner.compare(value, other);
                        }
                    });
                }
            }
            (Value::Array(want), Value::Array(have)) => self.lists(want, have),
            (want, have) if self.is_same(want, have) => {}
            // Of a whole that is not there what counts at creation is no difference.
            (Value::Object(want), Value::Null) if self.holds_at_creation() => {
                for (key, value) in want {
                    self.at(Segment::Key(key), |inner| inner.compare(value, &Value::Null));
                }
            }
            // An empty text, list or object that ARM leaves out says the same.
            (Value::String(want), Value::Null) if want.is_empty() => {}
            (Value::Array(want), Value::Null) if want.iter().all(is_absent) => {}
            (want @ Value::Object(_), Value::Null) if is_hollow(want) => {}
            (Value::String(want), Value::String(have)) if self.is_location(want, have) => {}
            (want, have) => self.differs(want, have),
        }
    }

    fn at(&mut self, segment: Segment<'a>, work: impl FnOnce(&mut Self)) {
        self.path.push(segment);
        let path = || self.path.iter().map(|segment| segment.text());
        if !effect::is_at_creation(self.kind, path) {
            work(self);
        }
        self.path.pop();
    }

    fn lookup<'m>(&self, map: &'m Map<String, Value>, key: &str) -> &'m Value {
        let parent = self.path.last().map(|segment| segment.text());
        lookup(map, parent, key).map_or(&Value::Null, |(_, value)| value)
    }

    fn is_same(&self, want: &Value, have: &Value) -> bool {
        match (want, have) {
            (Value::String(want), Value::String(have)) => {
                let path = || self.path.iter().map(|segment| segment.text());
                same_text(path(), want, have)
                    || has_identity_kind(&path().collect::<Vec<_>>(), want, have)
            }
            (want, have) if self.list_is(AT_LEAST) => is_enough(want, have),
            (want, have) => same_scalar(want, have),
        }
    }

    fn effect(&self) -> Effect {
        effect(self.kind, &self.path_texts())
    }

    fn holds_at_creation(&self) -> bool {
        effect::holds_at_creation(self.kind, &self.path_texts())
    }

    fn path_texts(&self) -> Vec<&'a str> {
        self.path.iter().map(|segment| segment.text()).collect()
    }

    /// ARM answers `westeurope` to "West Europe", and some types the other way round.
    fn is_location(&self, want: &str, have: &str) -> bool {
        let plain = |text: &str| text.replace(' ', "").to_lowercase();
        matches!(self.path.as_slice(), [Segment::Key("location")]) && plain(want) == plain(have)
    }

    fn differs(&mut self, desired: &Value, observed: &Value) {
        let mut path = String::new();
        for segment in &self.path {
            match segment {
                Segment::Key(key) if path.is_empty() => path.push_str(key),
                Segment::Key(key) => {
                    path.push('.');
                    path.push_str(key);
                }
                Segment::Element(name) => {
                    path.push('[');
                    path.push_str(name);
                    path.push(']');
                }
            }
        }
        let secret = self.path.iter().any(|segment| SECRET_NAMES.contains(&segment.text()));
        let shown = |value: &Value| if secret { hashed(value) } else { value.clone() };
        let (observed, mut desired) = (shown(observed), shown(desired));
        without_absent(&mut desired);
        self.found.push(Difference { path, observed, desired, effect: self.effect() });
    }

    /// Whether the property here is in a table.
    fn list_is(&self, table: &[(Kind, &str)]) -> bool {
        let name = self.path.last().map_or("", |segment| segment.text());
        table.contains(&(self.kind, name))
    }

    fn lists(&mut self, want: &'a [Value], have: &[Value]) {
        // Elements with a name: ours must be there as they should be; others may be policy's or somebody's, and stay.
        if !want.is_empty() && want.iter().all(|element| identity(element).is_some()) {
            self.named_lists(want, have);
            return;
        }
        // Anything else is one value whose order says nothing.
        let length_counts = !self.list_is(OPEN_LISTS);
        let outputs = self.outputs;
        let has =
            |element: &Value| have.iter().any(|other| contains(self.kind, element, other, outputs));
        if (length_counts && want.len() != have.len()) || !want.iter().all(has) {
            let known = |element: &Value| resolve_known(element, outputs);
            let want = want.iter().map(known).collect();
            self.differs(&Value::Array(want), &Value::Array(have.to_vec()));
        }
    }

    fn named_lists(&mut self, want: &'a [Value], have: &[Value]) {
        for element in want {
            let name = identity(element).unwrap_or_default();
            let other = have.iter().find(|other| same_identity(element, other));
            let short = name.rsplit('/').next().unwrap_or(name);
            self.at(Segment::Element(short), |inner| match (element.as_object(), other) {
                (Some(_), None) if is_absent(element) => {}
                (Some(_), Some(other)) if is_absent(element) => inner.differs(&Value::Null, other),
                (Some(map), Some(Value::Object(other))) => {
                    // Name and id were matched already, without case, which is how ARM means them.
                    let rest = map.iter().filter(|(key, _)| *key != "name" && *key != "id");
                    for (key, value) in rest {
                        let other = inner.lookup(other, key);
                        inner.at(Segment::Key(key), |inner| inner.compare(value, other));
                    }
                }
                (_, other) => inner.differs(element, other.unwrap_or(&Value::Null)),
            });
        }
        if self.list_is(OWNED_LISTS) {
            let is_wanted = |other: &&Value| want.iter().any(|own| same_identity(own, other));
            let extra: Vec<&Value> = have.iter().filter(|other| !is_wanted(other)).collect();
            for other in extra {
                self.differs(&Value::Null, other);
            }
        }
    }
}

/// What Azure shows of a property that nobody set: nothing, an empty text, or that it is off (recorded).
fn is_nothing(value: &Value) -> bool {
    value.is_null() || *value == Value::Bool(false) || value.as_str().is_some_and(str::is_empty)
}

/// An object without fields, however deep: Azure does not give it back.
fn is_hollow(value: &Value) -> bool {
    let is_id = |key: &String| key.starts_with('/');
    let is_nothing =
        |fields: &Map<String, Value>| !fields.keys().any(is_id) && fields.values().all(is_hollow);
    value.as_object().is_some_and(is_nothing)
}

fn hashed(value: &Value) -> Value {
    if value.is_null() {
        return Value::Null;
    }
    json!(format!("sha256:{}", hex(&Sha256::digest(value.to_string().as_bytes())[..6])))
}

fn same_scalar(want: &Value, have: &Value) -> bool {
    match (want, have) {
        (Value::String(a), Value::String(b)) => a.eq_ignore_ascii_case(b),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

fn is_enough(want: &Value, have: &Value) -> bool {
    want.as_f64().zip(have.as_f64()).is_some_and(|(want, have)| have >= want)
}

/// What tells an element of a list from its neighbours, if anything does; a service endpoint has its service.
fn identity(element: &Value) -> Option<&str> {
    ["name", "id", "service"].iter().find_map(|key| element.get(*key).and_then(Value::as_str))
}

fn same_identity(a: &Value, b: &Value) -> bool {
    match (identity(a), identity(b)) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        _ => false,
    }
}

fn contains(kind: Kind, want: &Value, have: &Value, outputs: &dyn Outputs) -> bool {
    match (want, have) {
        (Value::Object(_) | Value::Array(_), _) => {
            differences(kind, want, have, outputs).is_empty()
        }
        (want, have) => same_scalar(want, have),
    }
}

/// The value with all references replaced that are known.
fn resolve_known(value: &Value, outputs: &dyn Outputs) -> Value {
    match value {
        Value::Object(map) if is_reference(map) => {
            resolve(value, outputs).unwrap_or_else(|_| value.clone())
        }
        Value::Object(map) => {
            let known = map.iter().map(|(key, item)| (key.clone(), resolve_known(item, outputs)));
            Value::Object(known.collect())
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| resolve_known(item, outputs)).collect())
        }
        plain => plain.clone(),
    }
}

/// Takes the property at this path away, if it is there; `*` is every element of a list.
pub(crate) fn remove(body: &mut Value, path: &[&str]) {
    match (path, body) {
        ([key], Value::Object(map)) => {
            map.remove(*key);
        }
        (["*", rest @ ..], Value::Array(items)) => {
            for item in items {
                remove(item, rest);
            }
        }
        ([key, rest @ ..], Value::Object(map)) => {
            if let Some(inner) = map.get_mut(*key) {
                remove(inner, rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn differences(kind: Kind, desired: &Value, observed: &Value) -> Vec<Difference> {
        super::differences(kind, desired, observed, &Nothing)
    }

    fn paths(desired: &Value, observed: &Value) -> Vec<String> {
        let found = differences(Kind::NetworkSecurityGroup, desired, observed);
        found.into_iter().map(|d| d.path).collect()
    }

    #[test]
    fn days_that_somebody_raised_are_no_difference_and_stay() {
        let of = |days: u32, versions: bool| {
            json!({ "properties": {
                "deleteRetentionPolicy": { "enabled": true, "days": days }, "isVersioningEnabled": versions,
            } })
        };
        let desired =
            json!({ "properties": { "deleteRetentionPolicy": { "enabled": true, "days": 7 } } });
        for (days, expected) in [(7, 0), (30, 0), (3, 1)] {
            let found = differences(Kind::BlobService, &desired, &of(days, true));
            assert_eq!(found.len(), expected, "{days}");
        }
        let off = json!({ "properties": { "deleteRetentionPolicy": { "enabled": false } } });
        assert_eq!(differences(Kind::BlobService, &desired, &off).len(), 2);
        let written = merged(Kind::BlobService, &desired, &of(30, true));
        assert_eq!(written, of(30, true));
    }

    #[test]
    fn what_arm_adds_or_respells_is_no_difference() {
        let desired = json!({
            "location": "westeurope",
            "tags": { "hcs-cluster": "a" },
            "properties": {
                "subnet": { "id": "/subscriptions/S/resourceGroups/G/x" },
                "rules": [ { "name": "a", "properties": { "priority": 1 } } ],
                "ports": ["1", "2"],
                "empty": [],
                "capabilities": {},
                "profile": { "inner": {} },
            },
        });
        let observed = json!({
            "id": "/subscriptions/s/...", "etag": "W/1", "location": "westeurope",
            "tags": { "hcs-cluster": "a", "costCenter": "policy" },
            "properties": {
                "provisioningState": "Succeeded",
                "subnet": { "id": "/subscriptions/s/resourcegroups/g/X" },
                "rules": [
                    { "name": "other", "properties": {} },
                    { "name": "A", "id": "x", "properties": { "priority": 1.0, "access": "Allow" } },
                ],
                "ports": ["2", "1"],
            },
        });
        assert_eq!(paths(&desired, &observed), Vec::<String>::new());
    }

    #[test]
    fn one_meaning_in_another_spelling_is_no_difference_and_is_not_written_twice() {
        let subnet = |rest: Value| {
            let mut properties =
                json!({ "serviceEndpoints": [ { "service": "Microsoft.Storage" } ] });
            properties.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            json!({ "properties": { "subnets": [ { "name": "servers", "properties": properties } ] } })
        };
        let desired = subnet(json!({ "addressPrefix": "10.0.0.0/24" }));
        let same = subnet(json!({ "addressPrefixes": ["10.0.0.0/24"] }));
        let kind = Kind::VirtualNetwork;
        assert!(differences(kind, &desired, &same).is_empty());
        assert_eq!(merged(kind, &desired, &same), desired);
        let two = subnet(json!({ "addressPrefixes": ["10.0.0.0/24", "fd00::/64"] }));
        assert_eq!(differences(kind, &desired, &two).len(), 1);
        let mut more = same;
        more["properties"]["subnets"][0]["properties"]["serviceEndpoints"] = json!([
            { "service": "Microsoft.KeyVault", "locations": ["*"] },
            { "service": "microsoft.storage", "locations": ["westeurope"] },
        ]);
        assert!(differences(kind, &desired, &more).is_empty());
        let written = merged(kind, &desired, &more);
        let services = &written["properties"]["subnets"][0]["properties"]["serviceEndpoints"];
        assert_eq!(services.as_array().map(Vec::len), Some(2), "{services}");

        let rule = |properties: Value| json!({ "properties": { "securityRules": [ { "name": "r", "properties": properties } ] } });
        let desired = rule(json!({ "sourceAddressPrefixes": ["10.0.0.0/8"], "protocol": "Tcp" }));
        let same = rule(
            json!({ "sourceAddressPrefix": "10.0.0.0/8", "sourceAddressPrefixes": [], "protocol": "TCP" }),
        );
        assert_eq!(paths(&desired, &same), Vec::<String>::new());
        let other = rule(json!({ "sourceAddressPrefix": "11.0.0.0/8", "protocol": "Tcp" }));
        assert_eq!(paths(&desired, &other).len(), 1);
        assert_eq!(merged(Kind::NetworkSecurityGroup, &desired, &other), desired);
    }

    #[test]
    fn words_of_azure_have_no_case_and_texts_of_people_have() {
        let image = |sku: &str, size: &str| {
            json!({ "sku": { "name": size }, "properties": { "virtualMachineProfile": { "storageProfile":
                { "imageReference": { "publisher": "Canonical", "sku": sku } } } } })
        };
        let found = differences(
            Kind::ScaleSet,
            &image("server", "Standard_D2s_v5"),
            &image("Server", "standard_d2s_v5"),
        );
        assert!(found.is_empty(), "{found:?}");
        let identity = |kind: &str, ids: &[&str]| {
            let ids: Map<String, Value> =
                ids.iter().map(|id| ((*id).to_owned(), json!({}))).collect();
            json!({ "identity": { "type": kind, "userAssignedIdentities": ids } })
        };
        let ours = identity("UserAssigned", &["/a"]);
        let both = identity("SystemAssigned, UserAssigned", &["/A", "/policys"]);
        assert!(differences(Kind::ScaleSet, &ours, &both).is_empty());
        let kept = merged(Kind::ScaleSet, &ours, &both);
        assert_eq!(kept, both, "what a policy adds stays");
        let bare = json!({ "identity": { "type": "SystemAssigned" } });
        assert_eq!(
            differences(Kind::ScaleSet, &ours, &bare).len(),
            2,
            "what was taken off is missed"
        );
        let one = identity("UserAssigned", &["/a"]);
        let two = identity("UserAssigned", &["/a", "/b"]);
        assert_eq!(differences(Kind::ScaleSet, &two, &one).len(), 1, "one of two is missed");
        let tags = |key: &str, value: &str| json!({ "tags": { key: value } });
        let kind = Kind::Identity;
        assert!(differences(kind, &tags("Team", "net"), &tags("team", "net")).is_empty());
        assert_eq!(differences(kind, &tags("Team", "net"), &tags("Team", "Net")).len(), 1);
        let written = merged(kind, &tags("Team", "net"), &tags("team", "Net"));
        assert_eq!(written, tags("team", "net"), "two tags of one name would be refused");
    }

    #[test]
    fn changed_and_missing_owned_properties_are_named() {
        let desired = json!({
            "tags": { "a": "1" },
            "properties": { "rules": [ { "name": "r", "properties": { "access": "Allow" } } ] },
        });
        let observed = json!({
            "properties": { "rules": [ { "name": "r", "properties": { "access": "Deny" } } ] },
        });
        assert_eq!(paths(&desired, &observed), ["properties.rules[r].properties.access", "tags"]);
    }

    #[test]
    fn what_counts_at_creation_only_is_no_difference() {
        let server = |size: &str, data: &str| {
            json!({ "sku": { "name": size },
                "properties": { "virtualMachineProfile": { "osProfile": { "customData": data } } } })
        };
        let (desired, observed) = (server("a", "new"), server("b", "old"));
        let found = differences(Kind::ScaleSet, &desired, &observed);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].path.as_str(), found[0].effect), ("sku.name", Effect::RestartsServer));
        let observed = server("a", "old");
        assert!(differences(Kind::ScaleSet, &desired, &observed).is_empty());
    }

    #[test]
    fn a_location_is_the_same_however_it_is_spelled() {
        let desired = json!({ "location": "westeurope" });
        assert!(paths(&desired, &json!({ "location": "West Europe" })).is_empty());
        assert_eq!(paths(&desired, &json!({ "location": "northeurope" })), ["location"]);
    }

    #[test]
    fn what_is_ours_and_no_longer_wanted_goes() {
        let rule = |name: &str| json!({ "name": name, "properties": { "priority": 1 } });
        let desired = json!({ "properties": { "securityRules": [rule("a"), absent("old")] } });
        let with =
            json!({ "properties": { "securityRules": [rule("OLD"), rule("a"), rule("policy")] } });
        let without = json!({ "properties": { "securityRules": [rule("a"), rule("policy")] } });
        assert_eq!(paths(&desired, &with), ["properties.securityRules[old]"]);
        assert!(paths(&desired, &without).is_empty());
        assert_eq!(merged(Kind::NetworkSecurityGroup, &desired, &with), without);
        let mut fresh = desired;
        without_absent(&mut fresh);
        assert_eq!(fresh, json!({ "properties": { "securityRules": [rule("a")] } }));
    }

    #[test]
    fn some_lists_are_all_ours_and_some_are_open() {
        let pool = |names: &[&str]| {
            let rows: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
            json!({ "properties": { "backendAddressPools": [ { "name": "p",
                "properties": { "loadBalancerBackendAddresses": rows } } ] } })
        };
        let (want, have) = (pool(&["server-0"]), pool(&["server-0", "server-4"]));
        assert_eq!(differences(Kind::LoadBalancer, &want, &have).len(), 1);
        assert_eq!(merged(Kind::LoadBalancer, &want, &have), want);

        let space = |prefixes: &[&str]| json!({ "properties": { "addressSpace": { "addressPrefixes": prefixes } } });
        let (want, have) = (space(&["10.0.0.0/24"]), space(&["10.9.0.0/24", "10.0.0.0/24"]));
        assert!(differences(Kind::VirtualNetwork, &want, &have).is_empty());
        let both = merged(Kind::VirtualNetwork, &want, &have);
        assert_eq!(both, space(&["10.0.0.0/24", "10.9.0.0/24"]));
    }

    #[test]
    fn secrets_are_told_by_their_hash() {
        let desired = json!({ "properties": { "protectedSettings": { "key": "hunter2" } } });
        let observed = json!({ "properties": { "protectedSettings": { "key": "old" } } });
        let found = differences(Kind::ScaleSet, &desired, &observed);
        let text = format!("{found:?}");
        assert!(text.contains("sha256:") && !text.contains("hunter2"), "{text}");
    }
}
