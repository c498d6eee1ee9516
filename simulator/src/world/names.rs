//! Name rules of Azure's resource types.

use super::errors::{Answer, ArmError};

fn refuse(name: &str, rule: &str) -> Answer<()> {
    Err(ArmError::invalid(
        "InvalidResourceName",
        format!(
            "Resource name {name} is invalid. The name can be up to {rule}. \
             See https://aka.ms/resourcenamerules"
        ),
    ))
}

/// Resource groups: 1–90 of letters, digits, `_-.()`, no dot at the end.
pub(crate) fn group(name: &str) -> Answer<()> {
    let known = |c: char| c.is_alphanumeric() || "_-.()".contains(c);
    if name.chars().count() <= 90 && name.chars().all(known) && !name.ends_with('.') {
        return Ok(());
    }
    Err(ArmError::gateway(
        400,
        "InvalidResourceGroupName",
        format!("The provided resource group name '{name}' is not valid."),
    ))
}

fn network_like(name: &str, min: usize, max: usize) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (min..=max).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().all(inner)
}

/// Most of Microsoft.Network: 1–80.
pub(crate) fn network(name: &str) -> Answer<()> {
    if network_like(name, 1, 80) {
        return Ok(());
    }
    refuse(
        name,
        "80 characters long. It must begin with a word character, and it must end with a word \
         character or with '_'. The name may contain word characters or '.', '-', '_'",
    )
}

/// Virtual networks: 2–64.
pub(crate) fn vnet(name: &str) -> Answer<()> {
    if network_like(name, 2, 64) {
        return Ok(());
    }
    refuse(name, "64 characters long and at least 2")
}

/// Scale sets: 1–64, no `_` at the start, no `.` or `-` at the end.
pub(crate) fn scale_set(name: &str) -> Answer<()> {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let fine = (1..=64).contains(&name.len())
        && name.chars().all(inner)
        && !name.starts_with(['_', '-', '.'])
        && !name.ends_with(['.', '-']);
    if fine {
        return Ok(());
    }
    Err(ArmError::invalid(
        "InvalidParameter",
        format!("The entity name '{name}' is invalid according to its validation rule."),
    ))
}

/// Storage accounts: 3–24 of a–z and 0–9.
pub(crate) fn storage(name: &str) -> Answer<()> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if (3..=24).contains(&name.len()) && name.chars().all(inner) {
        return Ok(());
    }
    Err(ArmError::invalid(
        "AccountNameInvalid",
        format!(
            "{name} is not a valid storage account name. Storage account name must be between 3 \
             and 24 characters in length and use numbers and lower-case letters only."
        ),
    ))
}

/// Containers: 3–63 of a–z, 0–9 and single inner dashes.
pub(crate) fn container(name: &str) -> Answer<()> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let plain = (3..=63).contains(&name.len())
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    if plain || ["$root", "$web", "$logs"].contains(&name) {
        return Ok(());
    }
    let text = "The specifed resource name contains invalid characters.";
    Err(ArmError::invalid("ContainerNameInvalid", text))
}

/// User-assigned identities: 3–128.
pub(crate) fn identity(name: &str) -> Answer<()> {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if (3..=128).contains(&name.len()) && starts && name.chars().all(inner) {
        return Ok(());
    }
    let text = format!("The resource name '{name}' is invalid.");
    Err(ArmError::invalid("BadRequest", text))
}

/// Private DNS zones: 2–34 labels.
pub(crate) fn dns_zone(name: &str) -> Answer<()> {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let labels: Vec<&str> = name.split('.').collect();
    if (2..=34).contains(&labels.len()) && labels.iter().all(|l| label(l)) {
        return Ok(());
    }
    let text = format!("The domain name '{name}' is invalid. The provided zone name is malformed.");
    Err(ArmError::invalid("BadRequest", text))
}

/// Locks: 1–90.
pub(crate) fn lock(name: &str) -> Answer<()> {
    let inner = |c: char| c.is_alphanumeric() || "_-.()".contains(c);
    if (1..=90).contains(&name.len()) && name.chars().all(inner) {
        return Ok(());
    }
    Err(ArmError::gateway(400, "InvalidLockName", format!("The lock name '{name}' is invalid.")))
}

/// Role assignments: a GUID.
pub(crate) fn guid(name: &str) -> Answer<()> {
    if uuid::Uuid::parse_str(name).is_ok() {
        return Ok(());
    }
    let text = format!("The role assignment ID '{name}' is not valid. It must be a GUID.");
    Err(ArmError::invalid("InvalidRoleAssignmentId", text))
}
