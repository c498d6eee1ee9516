//! What a provider keeps beside the state: small values by name, out of sight of configurations.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// A provider's own values beside the state of one object. Not for secrets: they are stored.
#[derive(Debug, Clone, Default)]
pub struct Private(Arc<Mutex<BTreeMap<String, Json>>>);

impl Private {
    /// A value; none where there is none of that name and type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::from_value(values.get(name)?.clone()).ok()
    }

    /// Keeps a value; one that is no JSON is not kept.
    pub fn set(&self, name: impl Into<String>, value: impl Serialize) {
        if let Ok(value) = serde_json::to_value(value) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), value);
        }
    }

    /// Reads what was stored. Bytes of another form, from an older provider, are dropped.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        Self(Arc::new(Mutex::new(serde_json::from_slice(bytes).unwrap_or_default())))
    }

    /// What is to be stored: nothing where nothing is kept.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if values.is_empty() {
            return Vec::new();
        }
        serde_json::to_vec(&*values).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_storage_and_nonsense_is_dropped() {
        let private = Private::default();
        assert!(private.encode().is_empty());
        private.set("writes", 3);
        let again = Private::decode(&private.encode());
        assert_eq!(again.get::<u32>("writes"), Some(3));
        assert_eq!(again.get::<String>("writes"), None);
        assert_eq!(Private::decode(b"|||").get::<u32>("writes"), None);
    }
}
