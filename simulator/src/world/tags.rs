//! What Azure takes as tags, by type.
//!
//! Source: Microsoft's page "Use tags to organize your Azure resources", section on limitations.

use serde_json::Value;

use super::errors::{Answer, ArmError};

const RESERVED: [&str; 3] = ["microsoft", "azure", "windows"];
const FORBIDDEN: &str = "<>%&\\?/";

/// Refuses tags that an object of this type cannot have.
pub(crate) fn check(rtype: &str, tags: &Value) -> Answer<()> {
    let Some(tags) = tags.as_object() else { return Ok(()) };
    let rtype = rtype.to_ascii_lowercase();
    let is_zone = rtype.contains("dnszones");
    let count_max = if is_zone { 15 } else { 50 };
    if tags.len() > count_max {
        return refuse(
            "TooManyTags",
            format!("The resource has {} tags; at most {count_max} are allowed.", tags.len()),
        );
    }
    let name_max = if rtype == "microsoft.storage/storageaccounts" { 128 } else { 512 };
    for (name, value) in tags {
        let lower = name.to_lowercase();
        let twins = tags.keys().filter(|other| other.to_lowercase() == lower).count();
        if twins > 1 {
            return refuse(
                "TagNameNotUnique",
                format!("The tag name '{name}' is there more than once."),
            );
        }
        if name.is_empty() || name.chars().count() > name_max {
            return refuse(
                "InvalidTagNameLength",
                format!("The tag name '{name}' must have 1 to {name_max} characters."),
            );
        }
        if name.chars().any(|c| FORBIDDEN.contains(c) || c.is_control()) {
            return refuse(
                "InvalidTagNameCharacters",
                format!(
                    "The tag names '{name}' have reserved characters '<,>,%,&,\\,?,/' or control characters."
                ),
            );
        }
        if RESERVED.iter().any(|prefix| lower.starts_with(prefix)) {
            return refuse(
                "InvalidTagNamePrefix",
                format!("The tag names '{name}' have reserved prefix 'microsoft,azure,windows'."),
            );
        }
        if is_zone && (name.contains(' ') || name.starts_with(|c: char| c.is_ascii_digit())) {
            return refuse(
                "InvalidTagName",
                format!(
                    "The tag name '{name}' of a DNS zone must not hold spaces or begin with a number."
                ),
            );
        }
        if value.as_str().is_some_and(|value| value.chars().count() > 256) {
            return refuse(
                "InvalidTagValueLength",
                format!("The value of the tag '{name}' has more than 256 characters."),
            );
        }
    }
    Ok(())
}

fn refuse(code: &str, text: String) -> Answer<()> {
    Err(ArmError::invalid(code, text))
}
