//! Fingerprints of owned properties: what `terraform plan` shows of an Azure object.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::desired::DesiredObject;
use crate::diff::Difference;
use crate::names::hex;

/// Fingerprint of an object as it should be; depends on the spec alone.
pub fn desired(object: &DesiredObject) -> String {
    let mut body = object.body.clone();
    for pointer in object.create_only {
        remove(&mut body, pointer);
    }
    digest(&[body.to_string().as_bytes()])
}

/// Fingerprint of an object as it is: the desired one when nothing owned differs.
pub fn observed(object: &DesiredObject, differences: &[Difference]) -> String {
    let wanted = desired(object);
    if differences.is_empty() {
        return wanted;
    }
    let mut parts = vec![wanted];
    parts.extend(differences.iter().map(|d| format!("{}={}", d.path, d.observed)));
    let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
    digest(&parts)
}

fn remove(body: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    if let Some(map) = body.pointer_mut(parent).and_then(Value::as_object_mut) {
        map.remove(key);
    }
}

fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex(&hasher.finalize()[..6])
}
