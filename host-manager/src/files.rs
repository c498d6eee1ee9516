//! Files that are either whole or absent: temporary file, fsync, rename.
//!
//! The only module that writes files. Never logs what it writes.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, fchown, symlink,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl FileError {
    pub(crate) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self { action, path: path.to_owned(), source }
    }
}

/// Mode of a file that only root may read.
pub const SECRET_MODE: u32 = 0o600;
/// Mode of a file that anyone may read.
pub const PUBLIC_MODE: u32 = 0o644;
/// Mode of a program.
pub const PROGRAM_MODE: u32 = 0o755;

/// Who may do what with a file or folder; a plain mode leaves the group as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    mode: u32,
    group: Option<u32>,
}

impl Access {
    /// A mode that means something for the members of a group.
    pub fn for_group(mode: u32, group: u32) -> Self {
        Self { mode, group: Some(group) }
    }

    fn is_of(self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| {
            found.permissions().mode() & 0o7777 == self.mode
                && self.group.is_none_or(|group| group == found.gid())
        })
    }
}

impl From<u32> for Access {
    fn from(mode: u32) -> Self {
        Self { mode, group: None }
    }
}

/// Reads a file; `None` when it does not exist.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::new("read", path, error)),
    }
}

/// Makes a folder and its parents; the last one gets `access` in any case, and new parents let everybody through, whatever
/// the mask of this process.
pub fn make_dir(path: &Path, access: impl Into<Access>) -> Result<(), FileError> {
    let Access { mode, group } = access.into();
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    for folder in missing.into_iter().rev() {
        fs::create_dir(folder)
            .or_else(|error| if folder.is_dir() { Ok(()) } else { Err(error) })
            .and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o755)))
            .map_err(|error| FileError::new("create folder", folder, error))?;
    }
    if group.is_some() {
        chown(path, None, group)
            .map_err(|error| FileError::new("set the group of", path, error))?;
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|error| FileError::new("set the mode of", path, error))
}

/// Writes a file in one piece with the given access; a reader sees the old or the new content.
pub fn write(path: &Path, bytes: &[u8], access: impl Into<Access>) -> Result<(), FileError> {
    let temporary = beside(path);
    let written = write_new(&temporary, bytes, access.into())
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync_parent(path));
    written.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        FileError::new("write", path, error)
    })
}

/// Writes a file unless it already has this content and access; says whether it wrote.
pub fn write_if_changed(
    path: &Path,
    bytes: &[u8],
    access: impl Into<Access>,
) -> Result<bool, FileError> {
    let access = access.into();
    let same = read(path)?.is_some_and(|old| old == bytes) && access.is_of(path);
    if !same {
        write(path, bytes, access)?;
    }
    Ok(!same)
}

/// Points the link `path` at `target` in one step.
pub fn switch_link(path: &Path, target: &Path) -> Result<(), FileError> {
    let temporary = beside(path);
    let _ = fs::remove_file(&temporary);
    symlink(target, &temporary)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync_parent(path))
        .map_err(|error| FileError::new("switch link", path, error))
}

/// Where a link points; `None` when there is none.
pub fn link_target(path: &Path) -> Option<PathBuf> {
    fs::read_link(path).ok()
}

/// How many bytes a file has; `None` when it does not exist.
pub fn len(path: &Path) -> Result<Option<u64>, FileError> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::new("look at", path, error)),
    }
}

/// Whether a folder holds anything; an absent one does not.
pub fn has_entries(path: &Path) -> Result<bool, FileError> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(FileError::new("look into", path, error)),
    }
}

/// Removes the files of a folder that nobody has written to for so long; says how many there were. What goes meanwhile
/// is gone.
pub fn sweep(path: &Path, idle: Duration) -> Result<usize, FileError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(FileError::new("look into", path, error)),
    };
    let mut swept = 0;
    for entry in entries.flatten() {
        let written =
            entry.metadata().ok().filter(fs::Metadata::is_file).and_then(|m| m.modified().ok());
        let is_idle = written.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > idle);
        if is_idle {
            remove(&entry.path())?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// Removes everything in a folder; an absent one is fine.
pub fn clear_dir(path: &Path) -> Result<(), FileError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(FileError::new("look into", path, error)),
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_dir(&entry.path())?;
        } else {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file; an absent one is fine.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::new("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Gives a file or folder another name, durably.
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to)
        .and_then(|()| sync_parent(to))
        .map_err(|error| FileError::new("rename", from, error))
}

/// Removes a folder with its content; an absent one is fine.
pub fn remove_dir(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::new("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// A hidden neighbour: same file system, so that the rename is atomic.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

fn write_new(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // create_new, and nobody's but ours until the group is right: the content is never readable under a wider mode.
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(access.mode & 0o700).open(path)?;
    if access.group.is_some() {
        fchown(&file, None, access.group)?;
    }
    file.set_permissions(Permissions::from_mode(access.mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_file_is_0600_in_a_0700_folder() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("run/hcs");
        make_dir(&dir, 0o700).unwrap();
        let file = dir.join("key");
        write(&file, b"k", SECRET_MODE).unwrap();
        assert!(Access::from(0o700).is_of(&dir));
        assert!(Access::from(0o600).is_of(&file));
    }

    /// Consul's program lies in such a folder, and runs as another user.
    #[test]
    fn new_parents_let_everybody_through_whatever_the_mask() {
        let folder = tempfile::tempdir().unwrap();
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let made = make_dir(&folder.path().join("opt/hcs/consul/1.22.2"), 0o755);
        rustix::process::umask(before);
        made.unwrap();
        for path in ["opt", "opt/hcs", "opt/hcs/consul", "opt/hcs/consul/1.22.2"] {
            assert!(Access::from(0o755).is_of(&folder.path().join(path)), "{path}");
        }
    }

    #[test]
    fn a_folder_is_cleared_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        clear_dir(&folder.path().join("absent")).unwrap();
        make_dir(&folder.path().join("a/b"), 0o755).unwrap();
        write(&folder.path().join("f"), b"f", PUBLIC_MODE).unwrap();
        clear_dir(folder.path()).unwrap();
        assert!(folder.path().exists() && !has_entries(folder.path()).unwrap());
    }

    #[test]
    fn what_a_group_may_read_is_nobody_elses_at_any_time() {
        let folder = tempfile::tempdir().unwrap();
        let group = fs::metadata(folder.path()).unwrap().gid();
        let (dir, file) = (folder.path().join("hcs"), folder.path().join("hcs/key"));
        make_dir(&dir, Access::for_group(0o750, group)).unwrap();
        write(&file, b"k", SECRET_MODE).unwrap();
        let access = Access::for_group(0o640, group);
        assert!(write_if_changed(&file, b"k", access).unwrap(), "the group is let in");
        assert!(!write_if_changed(&file, b"k", access).unwrap());
        assert!(access.is_of(&file) && Access::for_group(0o750, group).is_of(&dir));
        assert!(!Access::for_group(0o640, group + 1).is_of(&file));
    }

    #[test]
    fn equal_content_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        assert!(write_if_changed(&file, b"a", PUBLIC_MODE).unwrap());
        assert!(!write_if_changed(&file, b"a", PUBLIC_MODE).unwrap());
        assert!(write_if_changed(&file, b"b", PUBLIC_MODE).unwrap());
        assert!(write_if_changed(&file, b"b", SECRET_MODE).unwrap(), "a wrong mode is mended");
    }

    #[test]
    fn a_leftover_of_a_killed_write_does_not_disturb() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        fs::write(beside(&file), b"half").unwrap();
        write(&file, b"whole", PUBLIC_MODE).unwrap();
        assert_eq!(read(&file).unwrap().unwrap(), b"whole");
        assert!(!beside(&file).exists());
    }

    #[test]
    fn a_sweep_takes_what_is_idle_and_leaves_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let hour = Duration::from_hours(1);
        assert_eq!(sweep(&folder.path().join("absent"), hour).unwrap(), 0);
        let (old, new) = (folder.path().join("snapshot-1"), folder.path().join("snapshot-2"));
        fs::write(&old, b"spooled").unwrap();
        fs::write(&new, b"spooling").unwrap();
        fs::create_dir(folder.path().join("kept")).unwrap();
        let before = std::time::SystemTime::now() - 2 * hour;
        File::options().append(true).open(&old).unwrap().set_modified(before).unwrap();
        assert_eq!(sweep(folder.path(), hour).unwrap(), 1);
        assert!(!old.exists() && new.exists() && folder.path().join("kept").exists());
    }

    #[test]
    fn a_link_switches_from_one_folder_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("tls");
        switch_link(&link, Path::new("tls-1")).unwrap();
        switch_link(&link, Path::new("tls-2")).unwrap();
        assert_eq!(link_target(&link), Some(PathBuf::from("tls-2")));
    }
}
