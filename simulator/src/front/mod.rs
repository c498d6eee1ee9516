//! HTTPS in front of the world: Resource Manager, tokens, blobs, and machines that really run.

pub(crate) mod arm;
pub(crate) mod blob;
pub(crate) mod inspect;
pub(crate) mod serve;
pub(crate) mod state;
pub(crate) mod tls;
pub(crate) mod token;
pub(crate) mod vm;
pub(crate) mod wire;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

pub use serve::{Options, serve};
pub use vm::systemctl::client as systemctl;

/// Why the front cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// A file or folder is not accessible.
    #[error("cannot {what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the folder holds something else than the emulator wrote.
    #[error("{path} is not what this emulator writes; remove the folder to start anew")]
    Format {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// Address and port.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A certificate cannot be made.
    #[error("cannot {what}")]
    Certificate {
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
}

/// The machine's clock.
pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn file_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FrontError {
    let path = path.to_owned();
    move |source| FrontError::File { what, path, source }
}

pub(crate) fn make_dir(path: &Path) -> Result<(), FrontError> {
    fs::create_dir_all(path).map_err(file_error("create", path))
}

pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), FrontError> {
    fs::write(path, bytes).map_err(file_error("write", path))
}

/// Writes a file that only its owner reads.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FrontError> {
    use std::io::Write as _;
    let mut options = fs::OpenOptions::new();
    let open = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    open.and_then(|mut file| file.write_all(bytes)).map_err(file_error("write", path))
}

/// Writes a file so that a reader sees the old or the new one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), FrontError> {
    let part = path.with_extension("part");
    write_private(&part, bytes)?;
    fs::rename(&part, path).map_err(file_error("replace", path))
}
