//! Reads `/etc/hcs/bootstrap.json`: all that a server knows before it reads a blob.

use std::path::PathBuf;

use hcs_planner::dataplane::BootstrapConfig;

use crate::files::{self, FileError};
use crate::paths::Paths;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// cloud-init did not write it.
    #[error(
        "{} is missing; cloud-init writes it, see /var/log/cloud-init-output.log",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not what this version understands.
    #[error("{} is not a bootstrap document of this version", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads the file.
pub fn load(paths: &Paths) -> Result<BootstrapConfig, BootstrapError> {
    let path = paths.bootstrap();
    let Some(bytes) = files::read(&path)? else {
        return Err(BootstrapError::Missing { path });
    };
    serde_json::from_slice(&bytes).map_err(|source| BootstrapError::Malformed { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_says_who_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = load(&Paths::new(folder.path())).unwrap_err();
        assert!(error.to_string().contains("cloud-init writes it"), "{error}");
    }
}
