//! Units and scripts of this server as this version knows them: cloud-init wrote those of the version that the server was
//! born with, and never writes them again.

use std::path::Path;

use hcs_planner::cloud_init::{UNIT, machine_files};
use hcs_planner::dataplane::BootstrapConfig;

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
pub fn renew(paths: &Paths, bootstrap: &BootstrapConfig) -> Result<Renewed, FileError> {
    let mut renewed = Renewed::default();
    for file in machine_files(bootstrap) {
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
pub(crate) mod tests {
    use super::*;

    /// Of some server.
    pub(crate) fn bootstrap() -> BootstrapConfig {
        BootstrapConfig {
            cluster_id: "/subscriptions/s/resourceGroups/g".into(),
            slot: 1,
            node_name: "demo-server-1".into(),
            zone: None,
            blob_endpoint: "https://acct.blob.core.windows.net/".into(),
            shared_identity_id: "/shared".into(),
            server_identity_id: "/own".into(),
            host_manager_sha256: "ab".repeat(32),
        }
    }

    /// A server that was born with one script of another name, and a unit that runs the program itself.
    #[test]
    fn a_server_of_an_earlier_version_gets_the_units_of_this_one_once() {
        let root = tempfile::tempdir().unwrap();
        let (paths, bootstrap) = (Paths::new(root.path()), bootstrap());
        let unit = paths.unit_dir().join(UNIT);
        files::make_dir(&paths.unit_dir(), 0o755).unwrap();
        let old = b"[Service]\nExecStart=/opt/hcs/bin/hcs-host-manager run\n";
        files::write(&unit, old, 0o644).unwrap();
        assert_eq!(renew(&paths, &bootstrap).unwrap(), Renewed { any: true, own_unit: true });
        for file in machine_files(&bootstrap) {
            let path = root.path().join(file.path.trim_start_matches('/'));
            assert_eq!(std::fs::read_to_string(path).unwrap(), file.text, "{}", file.path);
        }
        // Whatever a unit starts is there, but the program, which the script fetches.
        for file in machine_files(&bootstrap).iter().filter(|file| file.path.ends_with(".service"))
        {
            let starts = file.text.lines().filter(|line| line.starts_with("ExecStart="));
            let words = starts.flat_map(|line| line.split(['"', ' ', '\''])).filter_map(|word| {
                word.strip_prefix("$${HCS_ROOT}").filter(|path| !path.contains("/bin/"))
            });
            for path in words {
                assert!(root.path().join(&path[1..]).exists(), "{}: {path}", file.path);
            }
        }
        assert_eq!(renew(&paths, &bootstrap).unwrap(), Renewed::default());
        // A script alone asks for no new start.
        files::remove(&root.path().join("opt/hcs/set-up-server.sh")).unwrap();
        assert_eq!(renew(&paths, &bootstrap).unwrap(), Renewed { any: true, own_unit: false });
    }
}
