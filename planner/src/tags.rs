//! Tags: what Azure takes, on all objects of a cluster and on those of single types.
//!
//! Source: Microsoft's "Use tags to organize your Azure resources and management hierarchy", limitations.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::arm::Kind;

/// Azure takes 50; three may be ours.
const COUNT_MAX: usize = 47;
/// Of private DNS zones and their links Azure takes 15; one is ours.
const DNS_COUNT_MAX: usize = 14;
/// Storage accounts take names of 128 characters, and each cluster has one.
const NAME_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 256;
/// Scale sets take so many in all names and values together; ours have less than 100.
const SCALE_SET_CHARS_MAX: usize = 2048 - 100;
/// Starts of names that Azure keeps for itself, and ours.
const RESERVED: [&str; 4] = ["microsoft", "azure", "windows", "hcs-"];

/// Names of tags that hcs neither writes, compares nor takes away: a policy looks after them, or somebody else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoredTags {
    /// Whole names, in lower case.
    pub keys: Vec<String>,
    /// Starts of names, in lower case.
    pub key_prefixes: Vec<String>,
}

impl IgnoredTags {
    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.key_prefixes.is_empty()
    }

    /// Whether a tag is one of them.
    pub fn covers(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.keys.contains(&name) || self.key_prefixes.iter().any(|start| name.starts_with(start))
    }
}

/// The tags as a whole.
pub fn check_all(tags: &BTreeMap<String, String>) -> Result<(), String> {
    if tags.len() > COUNT_MAX {
        return Err(format!("{} tags; Azure allows 50, and hcs needs three of them.", tags.len()));
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = tags.keys().find(|name| !names.insert(name.to_lowercase())) {
        return Err(format!("Tag {twice:?} is there twice: names of tags have no case in Azure."));
    }
    let chars: usize = tags.iter().map(|(k, v)| k.chars().count() + v.chars().count()).sum();
    if chars > SCALE_SET_CHARS_MAX {
        return Err(format!(
            "Names and values have {chars} characters in all; a scale set takes 2,048, and hcs needs some of them."
        ));
    }
    Ok(())
}

/// One tag.
pub fn check(name: &str, value: &str) -> Result<(), String> {
    let length = name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&length)
        || name.contains(|c| "<>%&\\?/".contains(c))
        || value.chars().count() > VALUE_CHARS_MAX
    {
        return Err(format!(
            "Tag {name:?}: names have 1 to {NAME_CHARS_MAX} characters without <>%&\\?/, values at most \
             {VALUE_CHARS_MAX}."
        ));
    }
    let lower = name.to_lowercase();
    match RESERVED.iter().find(|start| lower.starts_with(*start)) {
        Some(&"hcs-") => {
            Err(format!("Tag {name:?}: names that start with hcs- belong to hcs itself."))
        }
        Some(start) => {
            Err(format!("Tag {name:?}: Azure keeps names that start with {start:?} for itself."))
        }
        None => Ok(()),
    }
}

/// Those of the user's tags that objects of this type take.
pub fn of_kind(
    kind: Kind,
    tags: &BTreeMap<String, String>,
) -> impl Iterator<Item = (&String, &String)> {
    let is_dns = matches!(kind, Kind::PrivateDnsZone | Kind::PrivateDnsLink);
    let count_max = if is_dns { DNS_COUNT_MAX } else { COUNT_MAX };
    tags.iter().filter(move |(name, _)| !is_dns || is_dns_name(name)).take(count_max)
}

/// Names of the user's tags that some type does not take.
pub fn left_out(tags: &BTreeMap<String, String>) -> Vec<&str> {
    let taken: BTreeSet<&String> =
        of_kind(Kind::PrivateDnsZone, tags).map(|(name, _)| name).collect();
    tags.keys().filter(|name| !taken.contains(name)).map(String::as_str).collect()
}

/// DNS takes no blanks, no special characters, no digit in front.
fn is_dns_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(rows: &[(&str, &str)]) -> BTreeMap<String, String> {
        rows.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn characters_count_and_not_bytes() {
        assert!(check(&"ü".repeat(128), &"ß".repeat(256)).is_ok());
        assert!(check(&"ü".repeat(129), "").is_err());
        assert!(check("a", &"ß".repeat(257)).is_err());
    }

    #[test]
    fn what_azure_keeps_for_itself_is_refused_whatever_its_case() {
        for name in ["Microsoft.x", "azure-team", "WINDOWS", "Hcs-slot", "", "a/b", "a?"] {
            assert!(check(name, "x").is_err(), "{name}");
        }
        assert!(check("team", "x").is_ok());
        assert!(check_all(&tags(&[("Team", "a"), ("team", "b")])).is_err());
        let long = "v".repeat(256);
        let many: Vec<(String, String)> = (0..8).map(|n| (format!("k{n}"), long.clone())).collect();
        assert!(check_all(&many.into_iter().collect()).is_err());
    }

    #[test]
    fn zones_get_the_tags_that_they_take_and_the_rest_is_named() {
        let all = tags(&[("Cost Center", "1"), ("2nd", "x"), ("team", "net"), ("größe", "s")]);
        assert_eq!(of_kind(Kind::PrivateDnsZone, &all).count(), 1);
        assert_eq!(of_kind(Kind::ScaleSet, &all).count(), 4);
        assert_eq!(left_out(&all), ["2nd", "Cost Center", "größe"]);
        let many: BTreeMap<String, String> =
            (0..20).map(|n| (format!("t{n:02}"), String::new())).collect();
        assert_eq!((of_kind(Kind::PrivateDnsLink, &many).count(), left_out(&many).len()), (14, 6));
    }
}
