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

#[cfg(test)]
mod tests {
    use super::*;

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
