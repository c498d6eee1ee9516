//! Units and scripts of this server as this version knows them: cloud-init wrote those of the version that the server was
//! born with, and never writes them again.

use std::path::Path;

use hcs_planner::cloud_init::{UNIT, machine_files};

use crate::files::{self, FileError};
use crate::paths::Paths;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// Anything: systemd has to read its units again.
    pub any: bool,
    /// The unit under which this very program runs: it counts from the next start on.
    pub own_unit: bool,
}

/// Writes what differs.
pub fn renew(paths: &Paths) -> Result<Renewed, FileError> {
    let mut renewed = Renewed::default();
    for file in machine_files() {
        let path = paths.root().join(file.path.trim_start_matches('/'));
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            files::make_dir(folder, 0o755)?;
        }
        if files::write_if_changed(&path, file.text.as_bytes(), file.mode)? {
            renewed.any = true;
            renewed.own_unit |= Path::new(&file.path).ends_with(UNIT);
        }
    }
    Ok(renewed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_an_earlier_version_gets_the_units_of_this_one_once() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(root.path());
        let unit = paths.unit_dir().join(UNIT);
        files::make_dir(&paths.unit_dir(), 0o755).unwrap();
        files::write(&unit, b"[Service]\nExecStart=/opt/hcs/bin/hcs-host-manager run\n", 0o644)
            .unwrap();
        assert_eq!(renew(&paths).unwrap(), Renewed { any: true, own_unit: true });
        for file in machine_files() {
            let path = root.path().join(file.path.trim_start_matches('/'));
            assert_eq!(std::fs::read_to_string(path).unwrap(), file.text, "{}", file.path);
        }
        assert_eq!(renew(&paths).unwrap(), Renewed::default());
        // A script alone asks for no new start.
        files::remove(&root.path().join("opt/hcs/set-up-server.sh")).unwrap();
        assert_eq!(renew(&paths).unwrap(), Renewed { any: true, own_unit: false });
    }
}
