//! What the provider block says of tags: those that every cluster gets, and those that hcs leaves alone.

use std::collections::{BTreeMap, BTreeSet};

use hcs_planner::tags::{self, IgnoredTags};
use tfplugin::validate::{Finding, Validator};
use tfplugin::{Attr, Path, Value};

use crate::cluster::{Cluster, tag_map};
use crate::provider::{IgnoreTags, ProviderConfig};

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
        let own = tag_map(own).ok_or(Cluster::TAGS)?;
        let mut tags = tag_map(&self.defaults).ok_or(ProviderConfig::DEFAULT_TAGS)?;
        // Names of tags have no case: Azure would refuse both.
        tags.retain(|key, _| !own.keys().any(|other| other.to_lowercase() == key.to_lowercase()));
        tags.extend(own);
        tags.retain(|key, _| !self.ignored.covers(key));
        Ok(tags)
    }
}

/// Reads the block `ignore_tags`.
pub(crate) fn ignored(block: &Attr<IgnoreTags>) -> IgnoredTags {
    let texts = |texts: &Attr<BTreeSet<String>>| {
        texts.known().into_iter().flatten().map(|text| text.to_lowercase()).collect()
    };
    let Some(IgnoreTags { keys, key_prefixes }) = block.known() else {
        return IgnoredTags::default();
    };
    IgnoredTags { keys: texts(keys), key_prefixes: texts(key_prefixes) }
}

/// Azure's rules for tags.
pub(crate) fn rules() -> impl Validator {
    TagRules
}

struct TagRules;

impl Validator for TagRules {
    fn describe(&self) -> String {
        "tags that Azure takes".to_owned()
    }

    fn accepts(&self, value: &Value) -> bool {
        self.findings(value, &Path::empty()).is_empty()
    }

    fn findings(&self, value: &Value, at: &Path) -> Vec<Finding> {
        let known: BTreeMap<String, String> = value
            .as_map()
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect();
        let whole = tags::check_all(&known).err().map(|told| (at.clone(), told));
        let each = known.iter().filter_map(|(key, value)| {
            Some((at.clone().key(key.clone()), tags::check(key, value).err()?))
        });
        let found = whole.into_iter().chain(each);
        found.map(|(path, told)| Finding::says(path, told, self.describe(), value)).collect()
    }

    fn needs_all_known(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_tags_win_whatever_their_case_and_ignored_ones_are_nobodys() {
        let map =
            |rows: &[(&str, &str)]| Value::map(rows.iter().map(|(k, v)| (*k, Value::from(*v))));
        let texts = |text: &str| Attr::Known(BTreeSet::from([text.to_owned()]));
        let block = IgnoreTags { keys: texts("CostCenter"), key_prefixes: texts("policy-") };
        let tagging = Tagging {
            defaults: map(&[("Env", "test"), ("costcenter", "1"), ("Policy-b", "x")]),
            ignored: ignored(&block.into()),
        };
        let tags = tagging.of_cluster(&map(&[("env", "prod"), ("policy-a", "x")])).unwrap();
        assert_eq!(tags, BTreeMap::from([("env".to_owned(), "prod".to_owned())]));
        assert_eq!(tagging.of_cluster(&Value::unknown()), Err("tags"));
    }
}
