//! The gossip key's rotation through Consul's keyring: looked at, and brought one step nearer to what is wanted.
//!
//! Every step is repeated until each pool says that all of its members took it: a partial result stays in force, and
//! doing it again is safe.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

use crate::consul::client::{ConsulClient, ConsulError};
use crate::files::{self, FileError};
use crate::secrets::Secret;

/// Where Consul keeps the keys that it knows, below its data folder: the one in use first.
const KEYRINGS: [&str; 2] = ["serf/local.keyring", "serf/remote.keyring"];

/// One gossip pool, as `GET operator/keyring` shows it. Holds keys, so it is never printed.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Pool {
    /// Members that know a key, by key.
    #[serde(default)]
    keys: BTreeMap<String, u32>,
    /// Members that use a key, by key. Not in every version.
    #[serde(default)]
    primary_keys: Option<BTreeMap<String, u32>>,
    /// Living members.
    num_nodes: u32,
}

/// The keyrings of all pools.
pub struct Keyring(Vec<Pool>);

impl Keyring {
    /// As the whole cluster has them now.
    pub async fn look(client: &ConsulClient) -> Result<Self, ConsulError> {
        Ok(Self(client.get("operator/keyring").await?))
    }

    fn all(&self, holds: impl Fn(&Pool) -> bool) -> bool {
        !self.0.is_empty() && self.0.iter().all(holds)
    }

    /// Whether every living member of every pool knows the key.
    pub fn all_know(&self, key: &Secret) -> bool {
        self.all(|pool| pool.keys.get(key.expose()) == Some(&pool.num_nodes))
    }

    /// Whether all use it; `None` where this Consul does not say.
    pub fn all_use(&self, key: &Secret) -> Option<bool> {
        let says = self.0.iter().all(|pool| pool.primary_keys.is_some());
        says.then(|| {
            self.all(|pool| {
                let used = pool.primary_keys.as_ref().and_then(|keys| keys.get(key.expose()));
                used == Some(&pool.num_nodes)
            })
        })
    }

    /// The one key that all members of all pools use; `None` where there are several, or Consul does not say.
    pub fn in_use(&self) -> Option<Secret> {
        let first = self.0.first()?.primary_keys.as_ref()?.keys().next()?;
        let key = Secret::new(first.as_str());
        (self.all_use(&key) == Some(true)).then_some(key)
    }

    /// Keys that somebody knows beside this one.
    pub fn others(&self, key: &Secret) -> Vec<Secret> {
        let mut others: Vec<&String> = self.0.iter().flat_map(|pool| pool.keys.keys()).collect();
        others.sort();
        others.dedup();
        others
            .into_iter()
            .filter(|other| *other != key.expose())
            .map(|other| Secret::new(other.as_str()))
            .collect()
    }
}

/// Gives a key to all members.
pub async fn install(client: &ConsulClient, key: &Secret) -> Result<(), ConsulError> {
    client.post_only("operator/keyring", &json!({ "Key": key.expose() })).await
}

/// Has all members use a key that they know.
pub async fn use_key(client: &ConsulClient, key: &Secret) -> Result<(), ConsulError> {
    client.put_only("operator/keyring", &json!({ "Key": key.expose() })).await
}

/// Takes a key away from all members.
pub async fn remove(client: &ConsulClient, key: &Secret) -> Result<(), ConsulError> {
    client.delete_with("operator/keyring", &json!({ "Key": key.expose() })).await
}

/// Keyrings that do not know the key in use, and use one that was ours before: a server that was away during a rotation
/// finds nobody with them. What somebody rotated to by hand is not ours to judge.
pub fn outdated(
    data_dir: &Path,
    in_use: &Secret,
    before: &[Secret],
) -> Result<Vec<PathBuf>, FileError> {
    let mut outdated = Vec::new();
    for name in KEYRINGS {
        let path = data_dir.join(name);
        let Some(bytes) = files::read(&path)? else { continue };
        let bytes = zeroize::Zeroizing::new(bytes);
        let Ok(keys) = serde_json::from_slice::<Vec<&str>>(&bytes) else { continue };
        let knows_it = keys.contains(&in_use.expose());
        let used = keys.first().copied().unwrap_or_default();
        if !knows_it && before.iter().any(|key| key.expose() == used) {
            outdated.push(path);
        }
    }
    Ok(outdated)
}

/// While Consul is stopped: a keyring that is not there is begun with every key that others may use, the one in use first,
/// as the one that Consul would begin knows a single key, and others may change theirs at this moment.
pub fn begin(data_dir: &Path, in_use: &Secret, known: &[Secret]) -> Result<(), FileError> {
    let others = known.iter().filter(|key| *key != in_use);
    let keys: Vec<&str> = std::iter::once(in_use).chain(others).map(Secret::expose).collect();
    let text = zeroize::Zeroizing::new(serde_json::to_vec(&keys).unwrap_or_default());
    for name in KEYRINGS {
        let path = data_dir.join(name);
        if files::read(&path)?.is_none() {
            files::make_dir(path.parent().unwrap_or(data_dir), 0o700)?;
            files::write(&path, &text, files::SECRET_MODE)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(pools: &str) -> Keyring {
        Keyring(serde_json::from_str(pools).unwrap())
    }

    fn key(text: &str) -> Secret {
        Secret::new(text)
    }

    #[test]
    fn a_key_is_known_and_used_when_every_member_of_every_pool_says_so() {
        // In the form of Consul 1.8.7: LAN and WAN.
        let ring = keyring(
            r#"[{"WAN":true,"Datacenter":"dc1","Segment":"","Keys":{"a":3,"b":3},"PrimaryKeys":{"a":3},"NumNodes":3},
                {"WAN":false,"Datacenter":"dc1","Segment":"","Keys":{"a":5,"b":4},"PrimaryKeys":{"a":5},"NumNodes":5}]"#,
        );
        assert!(ring.all_know(&key("a")) && !ring.all_know(&key("b")) && !ring.all_know(&key("c")));
        assert_eq!(ring.all_use(&key("a")), Some(true));
        assert_eq!(ring.all_use(&key("b")), Some(false));
        assert_eq!(ring.in_use(), Some(key("a")));
        assert_eq!(ring.others(&key("a")), [key("b")]);
        let mixed = keyring(r#"[{"Keys":{"a":3,"b":3},"PrimaryKeys":{"a":2,"b":1},"NumNodes":3}]"#);
        assert_eq!((mixed.in_use(), mixed.all_use(&key("a"))), (None, Some(false)));
    }

    #[test]
    fn what_is_not_said_is_not_believed() {
        let silent = keyring(r#"[{"Keys":{"a":3},"NumNodes":3}]"#);
        assert_eq!((silent.all_use(&key("a")), silent.in_use()), (None, None));
        assert!(!keyring("[]").all_know(&key("a")), "no pool is no consent");
    }

    #[test]
    fn a_keyring_that_slept_through_a_rotation_goes_and_one_by_hand_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serf/local.keyring");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let before = [key("old"), key("older")];
        for (text, goes) in [
            (r#"["old"]"#, true),
            (r#"["older","old"]"#, true),
            (r#"["old","new"]"#, false),
            (r#"["new","old"]"#, false),
            (r#"["by hand"]"#, false),
            ("", false),
            ("[]", false),
        ] {
            std::fs::write(&path, text).unwrap();
            let found = outdated(folder.path(), &key("new"), &before).unwrap();
            assert_eq!(found.len() == 1, goes, "{text}");
        }
        begin(folder.path(), &key("new"), &[key("new"), key("next")]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[]", "what is there stays");
        std::fs::remove_file(&path).unwrap();
        begin(folder.path(), &key("new"), &[key("new"), key("next")]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), r#"["new","next"]"#);
    }
}
