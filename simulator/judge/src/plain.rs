//! A world without what is another one each time it is made: principals, addresses of machines, times, ids that Azure
//! draws. Each is replaced by a word for whose it is, so that what refers to it is still compared.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Snapshot;

/// Properties whose value Azure draws or counts for itself.
const DRAWN: [&str; 10] = [
    // What others add stays; that it does is asked apart.
    "of-somebody",
    "etag",
    "ipAddress",
    "keyData",
    "resourceGuid",
    "uniqueId",
    "vmId",
    "macAddress",
    "createdBy",
    "updatedBy",
];
/// A machine takes its set's tags over when it takes over its model, which no change of tags asks of it.
const FOLLOWS: &str = "/virtualMachineScaleSets/virtualMachines";
/// Properties of documents that tell how they came to be: how often they were written, and which Consul was named before.
const HISTORY: [&str; 3] = ["generation", "consul_before", "consul_declared_at"];

/// Objects by what they are, documents by name.
pub(crate) type Plain = BTreeMap<String, Value>;

/// See the head of this file.
pub(crate) fn plain(snapshot: &Snapshot) -> Plain {
    let words = words(snapshot);
    let mut plain = Plain::new();
    for object in &snapshot.objects {
        let mut body = object.clone();
        strip(&mut body, &words, &DRAWN);
        if text(&body, "type").ends_with(FOLLOWS)
            && let Some(machine) = body.as_object_mut()
        {
            machine.remove("tags");
        }
        plain.insert(key(text(object, "id"), &body), body);
    }
    for (name, document) in &snapshot.documents {
        let mut body = document.clone();
        strip(&mut body, &words, &HISTORY);
        plain.insert(format!("document {name}"), body);
    }
    for name in &snapshot.blobs {
        plain.insert(format!("blob {name}"), Value::Null);
    }
    plain
}

/// What stands for principals, clients and addresses.
fn words(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let mut words = BTreeMap::new();
    for object in &snapshot.objects {
        for (pointer, of) in [("principalId", "principal"), ("clientId", "client")] {
            let own = object.pointer(&format!("/properties/{pointer}")).and_then(Value::as_str);
            let is_identity = text(object, "type").ends_with("/userAssignedIdentities");
            if let Some(own) = own.filter(|_| is_identity) {
                words.insert(own.to_owned(), format!("<{of} of {}>", text(object, "name")));
            }
        }
    }
    for (name, address) in &snapshot.addresses {
        words.insert(address.clone(), format!("<address of {name}>"));
    }
    words
}

/// A role assignment is what it gives to whom on what, whatever its name.
fn key(id: &str, body: &Value) -> String {
    let id = id.to_ascii_lowercase();
    let Some((scope, _)) = id.split_once("/providers/microsoft.authorization/roleassignments/")
    else {
        return id;
    };
    let of = |name: &str| body.pointer(&format!("/properties/{name}")).and_then(Value::as_str);
    let (role, who) = (of("roleDefinitionId").unwrap_or("?"), of("principalId").unwrap_or("?"));
    format!("{scope}: {role} to {who}").to_ascii_lowercase()
}

fn strip(body: &mut Value, words: &BTreeMap<String, String>, left_out: &[&str]) {
    match body {
        Value::String(text) => {
            if let Some(word) = words.get(text) {
                text.clone_from(word);
            } else if is_guid(text) {
                "<drawn>".clone_into(text);
            } else if is_time(text) {
                "<time>".clone_into(text);
            } else if text.contains("/roleAssignments/") {
                let at = text.rfind('/').unwrap_or(text.len());
                text.truncate(at);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| strip(item, words, left_out)),
        Value::Object(fields) => {
            fields.retain(|name, _| !left_out.contains(&name.as_str()) && name != "emulator");
            if fields
                .get("type")
                .is_some_and(|of| of.as_str().is_some_and(|of| of.ends_with("/roleAssignments")))
            {
                fields.remove("name");
            }
            for field in fields.values_mut() {
                strip(field, words, left_out);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn text<'v>(body: &'v Value, name: &str) -> &'v str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// `8e3af657-a8ff-443c-a75c-2fe8c4bcb635`
fn is_guid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `2026-11-27T…`
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[7] == b'-' && bytes[10] == b'T'
}
