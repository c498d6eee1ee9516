//! What the provider block says of tags: those that every cluster gets, and those that hcs leaves alone.

use std::collections::BTreeMap;

use hcs_planner::tags::IgnoredTags;
use tfplugin::Value;

use crate::cluster::tag_map;

/// The provider's say on the tags of all clusters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tagging {
    /// Tags that every cluster gets: a map of texts, null for none; it may hold unknowns while planning.
    pub(crate) defaults: Value,
    /// Tags that a policy or somebody else looks after.
    pub(crate) ignored: IgnoredTags,
}

impl Tagging {
    /// A cluster's tags: its own over the provider's, without the ignored; the error names what is unknown.
    pub(crate) fn of_cluster(&self, own: &Value) -> Result<BTreeMap<String, String>, &'static str> {
        let own = tag_map(own).ok_or("tags")?;
        let mut tags = tag_map(&self.defaults).ok_or("default_tags")?;
        // Names of tags have no case: Azure would refuse both.
        tags.retain(|key, _| !own.keys().any(|other| other.to_lowercase() == key.to_lowercase()));
        tags.extend(own);
        tags.retain(|key, _| !self.ignored.covers(key));
        Ok(tags)
    }
}

/// Reads the block `ignore_tags`.
pub(crate) fn ignored(block: &Value) -> IgnoredTags {
    let texts = |name: &str| {
        let items = block.get(name).as_list().unwrap_or_default().iter();
        items.filter_map(Value::as_str).map(str::to_lowercase).collect()
    };
    IgnoredTags { keys: texts("keys"), key_prefixes: texts("key_prefixes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_tags_win_whatever_their_case_and_ignored_ones_are_nobodys() {
        let map =
            |rows: &[(&str, &str)]| Value::map(rows.iter().map(|(k, v)| (*k, Value::from(*v))));
        let block = Value::object([
            ("keys", Value::from(vec!["CostCenter".to_owned()])),
            ("key_prefixes", Value::from(vec!["policy-".to_owned()])),
        ]);
        let tagging = Tagging {
            defaults: map(&[("Env", "test"), ("costcenter", "1"), ("Policy-b", "x")]),
            ignored: ignored(&block),
        };
        let tags = tagging.of_cluster(&map(&[("env", "prod"), ("policy-a", "x")])).unwrap();
        assert_eq!(tags, BTreeMap::from([("env".to_owned(), "prod".to_owned())]));
        assert_eq!(tagging.of_cluster(&Value::unknown()), Err("tags"));
    }
}
