//! All objects of a world by key. A clone shares them until one is changed, so that forks cost little.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::resource::Resource;

/// See the head of this file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Resources(BTreeMap<String, Arc<Resource>>);

impl Resources {
    pub(crate) fn get(&self, key: &str) -> Option<&Resource> {
        self.0.get(key).map(AsRef::as_ref)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Resource> {
        self.0.get_mut(key).map(Arc::make_mut)
    }

    pub(crate) fn contains_key(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The object of this key, made where there is none.
    pub(crate) fn get_or_insert_with(
        &mut self,
        key: &str,
        make: impl FnOnce() -> Resource,
    ) -> &mut Resource {
        Arc::make_mut(self.0.entry(key.to_owned()).or_insert_with(|| Arc::new(make())))
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Resource> {
        self.0.remove(key).map(Arc::unwrap_or_clone)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Resource> {
        self.0.values().map(AsRef::as_ref)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Resource)> {
        self.0.iter().map(|(key, resource)| (key, resource.as_ref()))
    }

    /// Objects whose keys are `from` or later.
    pub(crate) fn range_from(&self, from: &str) -> impl Iterator<Item = (&String, &Resource)> {
        self.0.range(from.to_owned()..).map(|(key, resource)| (key, resource.as_ref()))
    }
}
