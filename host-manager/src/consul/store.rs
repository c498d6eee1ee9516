//! What Raft keeps on the data disk, and which store a server stays with.
//!
//! Consul stores Raft's log, term and vote in `raft/raft.db` (`BoltDB`), or from 1.20.0 on for a new server in `raft/wal/`.
//! It never converts one into the other: a server that is told the other store begins an empty one, and with the log its
//! vote is gone. So the store is chosen once, before the first start, and afterwards by what lies there.

use std::path::Path;

use semver::Version;

use crate::files::{self, FileError};

/// Where Raft's log lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStore {
    /// `raft/raft.db`.
    BoltDb,
    /// `raft/wal/`, which 1.15.0 and newer can read.
    Wal,
}

impl LogStore {
    /// What a server that is born with this version gets: Consul's own default.
    pub fn of_birth(version: &Version) -> Self {
        if core(version) >= Version::new(1, 20, 0) { Self::Wal } else { Self::BoltDb }
    }

    /// The word of `raft_logstore.backend`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BoltDb => "boltdb",
            Self::Wal => "wal",
        }
    }
}

/// A version without prerelease and build.
pub fn core(version: &Version) -> Version {
    Version::new(version.major, version.minor, version.patch)
}

/// What lies on the data disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RaftData {
    /// The store that holds something; Consul takes `raft.db` where both do.
    pub store: Option<LogStore>,
    /// A store was begun and holds nothing: the power went before the first write reached the disk.
    pub is_torn: bool,
    /// Raft's own snapshots.
    pub has_snapshots: bool,
}

impl RaftData {
    /// Looks below Consul's data folder.
    pub fn look(data_dir: &Path) -> Result<Self, FileError> {
        let raft = data_dir.join("raft");
        let bolt = files::len(&raft.join("raft.db"))?;
        let wal = files::len(&raft.join("wal/wal-meta.db"))?;
        let is_filled = |bytes: Option<u64>| bytes.is_some_and(|bytes| bytes > 0);
        let store = match (is_filled(bolt), is_filled(wal)) {
            (true, _) => Some(LogStore::BoltDb),
            (false, true) => Some(LogStore::Wal),
            (false, false) => None,
        };
        Ok(Self {
            store,
            is_torn: store.is_none() && (bolt.is_some() || wal.is_some()),
            has_snapshots: files::has_entries(&raft.join("snapshots"))?,
        })
    }

    /// Whether this server holds anything of the cluster.
    pub fn exists(self) -> bool {
        self.store.is_some() || self.has_snapshots
    }
}

/// Whether a file is whole.
type IsWhole = fn(&[u8]) -> bool;

/// Files that a power cut can leave empty or half written, with which Consul does not start, and whether one is whole.
/// Consul makes each of them anew: the node's id, the keyrings from `encrypt`, the metadata at once.
const REMADE: [(&str, IsWhole); 4] = [
    ("node-id", is_node_id),
    ("serf/local.keyring", is_keyring),
    ("serf/remote.keyring", is_keyring),
    ("server_metadata.json", is_object),
];
/// Stores that open as fresh ones when they are empty; beside the other store they would hide it.
const STORES: [&str; 2] = ["raft/raft.db", "raft/wal/wal-meta.db"];

fn is_node_id(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    uuid::Uuid::try_parse(text.trim()).is_ok()
}

fn is_keyring(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Vec<String>>(bytes).is_ok_and(|keys| !keys.is_empty())
}

fn is_object(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes).is_ok()
}

/// Removes what a power cut broke; returns the names. Only while Consul is stopped.
pub fn mend(data_dir: &Path) -> Result<Vec<&'static str>, FileError> {
    let mut mended = Vec::new();
    for (name, is_whole) in REMADE {
        let path = data_dir.join(name);
        if files::read(&path)?.is_some_and(|bytes| !is_whole(&bytes)) {
            files::remove(&path)?;
            mended.push(name);
        }
    }
    for name in STORES {
        let path = data_dir.join(name);
        if files::len(&path)? == Some(0) {
            files::remove(&path)?;
            mended.push(name);
        }
    }
    Ok(mended)
}

/// Puts what is left of Raft's data aside, where people find it, and with it the node's id: a server that lost its vote
/// must not come back as the one that gave it.
pub fn set_aside(data_dir: &Path) -> Result<(), FileError> {
    let (raft, aside) = (data_dir.join("raft"), data_dir.join("raft.torn"));
    if !raft.exists() {
        return Ok(());
    }
    files::remove_dir(&aside)?;
    files::rename(&raft, &aside)?;
    files::remove(&data_dir.join("node-id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        folder
    }

    #[test]
    fn data_is_there_when_a_store_has_a_size_or_a_snapshot_lies_there() {
        use LogStore::{BoltDb, Wal};
        type Row = (&'static [(&'static str, &'static [u8])], Option<LogStore>, bool, bool);
        let rows: [Row; 8] = [
            (&[], None, false, false),
            (&[("raft/peers.info", b"note")], None, false, false),
            (&[("raft/raft.db", b"x")], Some(BoltDb), false, true),
            (&[("raft/wal/wal-meta.db", b"x")], Some(Wal), false, true),
            // Consul itself takes the first one then.
            (&[("raft/raft.db", b"x"), ("raft/wal/wal-meta.db", b"x")], Some(BoltDb), false, true),
            (&[("raft/raft.db", b""), ("raft/wal/wal-meta.db", b"x")], Some(Wal), false, true),
            (&[("raft/wal/wal-meta.db", b"")], None, true, false),
            (&[("raft/snapshots/2-9-1/meta.json", b"{}")], None, false, true),
        ];
        for (files, store, is_torn, exists) in rows {
            let folder = folder(files);
            let data = RaftData::look(folder.path()).unwrap();
            assert_eq!(
                (data.store, data.is_torn, data.exists()),
                (store, is_torn, exists),
                "{files:?}"
            );
        }
    }

    #[test]
    fn broken_files_go_one_by_one_and_whole_ones_stay() {
        let id = b"0e2ab1b6-9c5c-4f0e-8a63-0ff2f0d8a111".as_slice();
        let keys = br#"["c2VjcmV0LWdvc3NpcC1rZXktb2YtMzItYnl0ZXMhISE="]"#.as_slice();
        let rows: [(&str, &[u8], &[u8]); 10] = [
            ("node-id", b"", id),
            ("node-id", b"0e2ab1b6-9c5c", id),
            ("serf/local.keyring", b"", keys),
            ("serf/local.keyring", &keys[..20], keys),
            ("serf/remote.keyring", b"[]", keys),
            ("server_metadata.json", b"", br#"{"last_seen_unix":1}"#),
            ("server_metadata.json", b"\0\0\0\0", br#"{"last_seen_unix":1}"#),
            ("raft/raft.db", b"", b"x"),
            ("raft/wal/wal-meta.db", b"", b"x"),
            ("raft/raft.db", b"", b"\0"),
        ];
        for (name, broken, whole) in rows {
            let folder = folder(&[(name, broken), ("raft/peers.info", b""), ("checkpoint", b"")]);
            assert_eq!(mend(folder.path()).unwrap(), [name], "{broken:?}");
            assert!(!folder.path().join(name).exists());
            assert!(folder.path().join("checkpoint").exists(), "not ours to judge");
            std::fs::write(folder.path().join(name), whole).unwrap();
            assert_eq!(mend(folder.path()).unwrap(), [""; 0], "{name}");
        }
    }

    #[test]
    fn what_is_set_aside_is_kept_for_people() {
        let folder = folder(&[("raft/snapshots/2-9-1/meta.json", b"{}"), ("node-id", b"id")]);
        set_aside(folder.path()).unwrap();
        assert!(folder.path().join("raft.torn/snapshots/2-9-1/meta.json").exists());
        assert!(!folder.path().join("raft").exists() && !folder.path().join("node-id").exists());
        set_aside(folder.path()).unwrap();
        assert!(folder.path().join("raft.torn").exists(), "a second time changes nothing");
    }
}
