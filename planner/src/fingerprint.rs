//! Fingerprints of owned properties: what `terraform plan` shows of an Azure object.

use sha2::{Digest, Sha256};

use crate::arm::Kind;
use crate::desired::{DesiredObject, moved_into, place_in};
use crate::diff::{Difference, remove};
use crate::effect::at_creation;
use crate::names::{GIVEN_TAG, INCARNATION_TAG, hex};
use crate::reference::image_version;

const IMAGE_VERSION: &str =
    "/properties/virtualMachineProfile/storageProfile/imageReference/version";

/// Fingerprint of an object as it should be; depends on the spec alone, wherever a server found room: with the zone, and the
/// subnet there, in which it belongs.
pub fn desired(object: &DesiredObject) -> String {
    let mut body = match &object.declared {
        Some((place, subnet_id)) if place_in(&object.body) != *place => {
            moved_into(&object.body, place, subnet_id)
        }
        _ => object.body.clone(),
    };
    for path in at_creation(object.kind) {
        remove(&mut body, path);
    }
    // Which cluster it is, and who made its group, says nothing about what it is.
    remove(&mut body, &["tags", INCARNATION_TAG]);
    remove(&mut body, &["tags", GIVEN_TAG]);
    // How old an image may be says nothing about what a server is.
    if let Some(version) = body.pointer_mut(IMAGE_VERSION).filter(|version| version.is_object()) {
        *version = image_version(None);
    }
    if object.kind == Kind::ResourceGroup {
        remove(&mut body, &["location"]);
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

fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex(&hasher.finalize()[..6])
}
