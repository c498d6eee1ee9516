//! Rules of the key that encrypts the storage account.

use super::{identity_id, is_id_of_type};
use crate::customer_key::CustomerManagedKey;
use crate::spec::ClusterSpec;

/// Id of what holds a key.
pub fn key_vault_id(text: &str) -> Result<(), String> {
    let kinds = [CustomerManagedKey::VAULT, CustomerManagedKey::HSM];
    if kinds.iter().any(|kind| is_id_of_type(text, kind)) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not the id of a key vault; it ends in {}/<name> or {}/<name>.",
        kinds[0], kinds[1]
    ))
}

/// Name of a key: Azure's are 1 to 127 letters, digits and hyphens.
pub fn key_name(text: &str) -> Result<(), String> {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if (1..=127).contains(&text.len()) && text.chars().all(is_inner) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not the name of a key: 1 to 127 letters, digits and hyphens, without the vault's address."
    ))
}

/// Version of a key.
pub fn key_version(text: &str) -> Result<(), String> {
    if text.len() == 32 && text.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not the version of a key: 32 hexadecimal digits. Leave it out for the newest one, which Azure looks for \
         each day."
    ))
}

/// What of it is wrong: the attribute, and why.
pub(super) fn broken(spec: &ClusterSpec) -> Vec<(&'static str, String)> {
    let Some(key) = &spec.customer_managed_key else { return Vec::new() };
    let version = key.key_version.as_deref().map_or(Ok(()), key_version);
    let all = [
        key_vault_id(key.key_vault_id.as_str()),
        key_name(&key.key_name),
        version,
        identity_id(key.user.identity_id.as_str()),
    ];
    let told = all.into_iter().filter_map(Result::err);
    told.map(|told| ("customer_managed_key", told)).collect()
}
