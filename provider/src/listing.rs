//! Finds the clusters of a subscription by the tag of their managed groups.

use std::collections::BTreeMap;

use hcs_engine::arm::Arm;
use hcs_engine::error::EngineError;
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::{CLUSTER_TAG, cluster_uid};
use hcs_planner::rules;
use serde_json::Value as Json;
use tfplugin::{Attr, Diagnostic};

use crate::client::Client;

/// Start of the names of tags that are our own.
const OWN_TAGS: &str = "hcs-";

/// A managed group that carries the tag of its own cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundGroup {
    /// The cluster's id.
    pub(crate) id: ArmId,
    /// Its region.
    pub(crate) location: String,
    /// Its tags, without our own.
    pub(crate) tags: BTreeMap<String, String>,
}

impl FoundGroup {
    /// A group of a list; `None` where it is no cluster's, whatever somebody has copied onto it.
    fn of(row: &Json) -> Option<Self> {
        let id = ArmId::new(row.pointer("/id")?.as_str()?);
        let all = row.pointer("/tags")?.as_object()?;
        let tag = all.iter().find(|(name, _)| name.eq_ignore_ascii_case(CLUSTER_TAG))?.1;
        if tag.as_str() != Some(cluster_uid(&id).as_str()) {
            return None;
        }
        let tags = all.iter().filter(|(name, _)| !name.to_lowercase().starts_with(OWN_TAGS));
        let tags =
            tags.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        let location = row.pointer("/location").and_then(Json::as_str).unwrap_or_default();
        Some(Self { id, location: rules::location(location), tags: tags.collect() })
    }
}

/// Which clusters are wanted; what is not set lets every one pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    location: Option<String>,
    tags: BTreeMap<String, String>,
}

impl Filter {
    /// As two attributes say it. Regions have several spellings, names of tags no case.
    pub(crate) fn new(location: &Attr<String>, tags: &Attr<BTreeMap<String, String>>) -> Self {
        Self {
            location: location.known().map(|text| rules::location(text)),
            tags: tags.known().cloned().unwrap_or_default(),
        }
    }

    fn passes(&self, group: &FoundGroup) -> bool {
        let has = |name: &str, value: &str| {
            group.tags.iter().any(|(own, has)| own.eq_ignore_ascii_case(name) && has == value)
        };
        self.location.as_ref().is_none_or(|location| *location == group.location)
            && self.tags.iter().all(|(name, value)| has(name, value))
    }
}

/// The groups of clusters that the caller may see, in the order of their ids.
pub(crate) async fn groups(
    client: &Client,
    arm: &Arm,
    filter: &Filter,
) -> Result<Vec<FoundGroup>, Diagnostic> {
    let version = Kind::ResourceGroup.api_version();
    let path = format!(
        "/subscriptions/{}/resourcegroups?api-version={version}&$filter=tagName%20eq%20'{CLUSTER_TAG}'",
        client.subscription_id()
    );
    let rows = arm.list(&path).await.map_err(|error| unlisted(client, &error))?;
    let found = rows.iter().filter_map(FoundGroup::of).filter(|group| filter.passes(group));
    let mut found: Vec<FoundGroup> = found.collect();
    found.sort_by_key(|group| group.id.key());
    Ok(found)
}

/// The list could not be read.
fn unlisted(client: &Client, error: &EngineError) -> Diagnostic {
    let mut told = crate::diagnostics::read("the clusters of the subscription", error);
    if crate::diagnostics::is_forbidden(error) {
        told.detail = format!(
            "{error}\n\nNothing was changed. Azure lists the resource groups of subscription {} to no caller without a \
             right on it: give the caller Reader there, or name the cluster with the data source hcs_cluster, which \
             needs rights on its group only.",
            client.subscription_id()
        );
    }
    told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(name: &str, tags: &Json) -> Json {
        let id = ArmId::resource_group("s", name);
        json!({ "id": id.as_str(), "location": "West Europe", "tags": tags })
    }

    #[test]
    fn only_a_groups_own_tag_makes_it_a_cluster() {
        let id = ArmId::resource_group("s", "rg-mrg-demo");
        let own = json!({ "HCS-Cluster": cluster_uid(&id), "team": "a", "hcs-incarnation": "i" });
        let found = FoundGroup::of(&row("rg-mrg-demo", &own)).unwrap();
        assert_eq!(found.location, "westeurope");
        assert_eq!(found.tags, BTreeMap::from([("team".to_owned(), "a".to_owned())]));
        // The same group in another spelling is the same cluster; another one with its tags is none.
        assert!(FoundGroup::of(&row("RG-mrg-Demo", &own)).is_some());
        assert_eq!(FoundGroup::of(&row("copy", &own)), None);
        assert_eq!(FoundGroup::of(&row("rg-mrg-demo", &json!({ "team": "a" }))), None);
        assert_eq!(FoundGroup::of(&row("rg-mrg-demo", &Json::Null)), None);
    }

    #[test]
    fn a_filter_knows_the_spellings_of_azure() {
        let group = FoundGroup {
            id: ArmId::resource_group("s", "g"),
            location: "westeurope".to_owned(),
            tags: BTreeMap::from([("Team".to_owned(), "a".to_owned())]),
        };
        let passes = |location: Option<&str>, tags: &[(&str, &str)]| {
            let text = |text: &&str| (*text).to_owned();
            let tags = tags.iter().map(|(name, value)| (text(name), text(value))).collect();
            Filter { location: location.map(rules::location), tags }.passes(&group)
        };
        assert!(passes(None, &[]) && passes(Some("West Europe"), &[("team", "a")]));
        assert!(!passes(Some("northeurope"), &[]));
        assert!(!passes(None, &[("team", "A")]) && !passes(None, &[("team", "a"), ("env", "b")]));
    }
}
