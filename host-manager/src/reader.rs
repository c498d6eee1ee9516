//! Who reads the secrets that are put down for Consul: the group of Consul's user.
//!
//! Consul may read them and not write them: they stay root's. In a folder that stands for a machine everything is one
//! user's.

use std::path::Path;

use hcs_planner::cloud_init::{CONSUL_USER, SERVER_SETUP_UNIT};

use crate::files::{self, Access, FileError, SECRET_MODE};
use crate::paths::Paths;

/// Why nothing can be put down for Consul.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// The file of groups.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nobody has made it.
    #[error(
        "the group {CONSUL_USER} does not exist yet; see `systemctl status {SERVER_SETUP_UNIT}`"
    )]
    NoGroup,
}

/// How secrets for Consul are put down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    group: Option<u32>,
}

impl Reader {
    /// Looks up the group of Consul's user.
    pub fn of(paths: &Paths) -> Result<Self, ReaderError> {
        if !paths.is_whole_machine() {
            return Ok(Self { group: None });
        }
        let groups = files::read(Path::new("/etc/group"))?.unwrap_or_default();
        let group = group_id(&String::from_utf8_lossy(&groups), CONSUL_USER);
        Ok(Self { group: Some(group.ok_or(ReaderError::NoGroup)?) })
    }

    /// Of a folder with secrets.
    pub fn folder(self) -> Access {
        self.group.map_or(Access::from(0o700), |group| Access::for_group(0o750, group))
    }

    /// Of a secret.
    pub fn file(self) -> Access {
        self.group.map_or(Access::from(SECRET_MODE), |group| Access::for_group(0o640, group))
    }
}

/// In the form of `/etc/group`: `name:password:id:members`. The user is the machine's own, so no other directory is asked.
fn group_id(groups: &str, name: &str) -> Option<u32> {
    let mut rows = groups.lines().map(|line| line.split(':'));
    rows.find_map(|mut row| (row.next() == Some(name)).then(|| row.nth(1)?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let groups = "root:x:0:\nhcs-consul-x:x:7:\nhcs-consul:x:996:\nbroken\n";
        assert_eq!(group_id(groups, CONSUL_USER), Some(996));
        assert_eq!(group_id(groups, "consul"), None);
        assert_eq!(group_id("hcs-consul:x:\n", CONSUL_USER), None);
    }

    #[test]
    fn in_a_folder_everything_is_one_users() {
        let reader = Reader::of(&Paths::new("/srv/vm-1")).unwrap();
        assert_eq!(reader.folder(), 0o700.into());
        assert_eq!(reader.file(), SECRET_MODE.into());
    }
}
