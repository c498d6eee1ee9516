//! How much room a disk has left. A full data disk stops Consul's writes while everything still says that it runs.

use std::io;
use std::path::Path;

/// Below this share of its size a data disk is about to be full: a snapshot and the log's next segments need room, too.
const PERCENT_MIN: u64 = 15;

/// A file system's size and what is free of it for programs without privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Size.
    pub total_bytes: u64,
    /// Free.
    pub free_bytes: u64,
}

impl Room {
    /// Of the file system that holds `path`.
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Self { total_bytes: bytes(found.f_blocks), free_bytes: bytes(found.f_bavail) })
    }

    /// What to tell of a disk that is about to be full, in one sentence with the mend.
    pub fn want(self) -> Option<String> {
        let percent = self.free_bytes.saturating_mul(100).checked_div(self.total_bytes)?;
        if percent >= PERCENT_MIN {
            return None;
        }
        let gib = |bytes: u64| bytes.div_ceil(1 << 30);
        Some(format!(
            "the data disk has {percent} % left of its {} GiB: Consul stops writing when it is full; raise data_disk_gib",
            gib(self.total_bytes)
        ))
    }
}

/// Consul writes its state twice for a snapshot, into Raft's store and as the archive that it hands over, and both lie on the
/// data disk.
#[derive(Debug, thiserror::Error)]
#[error(
    "the data disk has {} MiB left, and a snapshot of the {} MiB that Consul holds may take twice that; raise data_disk_gib",
    free_bytes >> 20,
    state_bytes.div_ceil(1 << 20)
)]
pub struct NoRoom {
    free_bytes: u64,
    state_bytes: u64,
}

/// Whether there is room for a snapshot, as far as this server's own data show how large the state is. All servers hold the
/// same, on disks of the same size; the leader's is what Consul writes to.
pub fn for_a_snapshot(data_dir: &Path) -> Result<(), NoRoom> {
    let Ok(room) = Room::of(data_dir) else { return Ok(()) };
    enough(room.free_bytes, state_bytes(data_dir).unwrap_or(0))
}

fn enough(free_bytes: u64, state_bytes: u64) -> Result<(), NoRoom> {
    if free_bytes / 2 < state_bytes {
        return Err(NoRoom { free_bytes, state_bytes });
    }
    Ok(())
}

/// Of the largest state that Raft has stored; none in a young cluster.
fn state_bytes(data_dir: &Path) -> Option<u64> {
    let stored = std::fs::read_dir(data_dir.join("raft/snapshots")).ok()?;
    let sizes = stored.filter_map(|entry| {
        Some(std::fs::metadata(entry.ok()?.path().join("state.bin")).ok()?.len())
    });
    sizes.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_needs_twice_the_room_of_the_largest_state_that_raft_has_stored() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(state_bytes(folder.path()), None);
        for (name, size) in [("2-7-1", 10), ("2-90-2", 3 << 20), ("2-8-3.tmp", 1)] {
            let stored = folder.path().join("raft/snapshots").join(name);
            std::fs::create_dir_all(&stored).unwrap();
            std::fs::write(stored.join("state.bin"), vec![0; size]).unwrap();
        }
        assert_eq!(state_bytes(folder.path()), Some(3 << 20));
        assert!(for_a_snapshot(folder.path()).is_ok());
        assert!(enough(6 << 20, 3 << 20).is_ok());
        let told = enough((6 << 20) - 1, 3 << 20).unwrap_err().to_string();
        assert!(
            told.starts_with("the data disk has 5 MiB left, and a snapshot of the 3 MiB"),
            "{told}"
        );
    }

    #[test]
    fn a_disk_is_told_of_before_it_is_full() {
        let room = |free: u64| Room { total_bytes: 32 << 30, free_bytes: free << 20 };
        assert_eq!(room(32 << 10).want(), None);
        assert_eq!(room(4916).want(), None, "15 percent");
        let told = room(4800).want().unwrap();
        assert!(
            told.contains("14 % left of its 32 GiB") && told.contains("data_disk_gib"),
            "{told}"
        );
        assert!(room(0).want().unwrap().contains("0 % left"));
        // What has no size tells nothing.
        assert_eq!(Room { total_bytes: 0, free_bytes: 0 }.want(), None);
    }

    #[test]
    fn a_folder_has_the_room_of_its_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::of(folder.path()).unwrap();
        assert!(room.total_bytes >= room.free_bytes && room.total_bytes > 0);
        assert!(Room::of(&folder.path().join("absent")).is_err());
    }
}
