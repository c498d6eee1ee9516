//! A Unix socket that only its owner can reach.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use crate::handshake::Address;

/// Tries at a folder name that nobody has taken.
const FOLDER_TRIES: u32 = 64;

/// A bound socket; its file, and its folder if that is ours, go with it.
pub(crate) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    own_folder: Option<PathBuf>,
}

impl UnixSocket {
    /// Binds a socket in the given folder, or in a new one that is closed to others.
    pub(crate) fn bind(folder: Option<&Path>) -> io::Result<Self> {
        let own_folder = if folder.is_none() { Some(closed_folder()?) } else { None };
        let folder = folder.or(own_folder.as_deref()).unwrap_or(Path::new("."));
        let path = folder.join(format!("plugin-{}.sock", std::process::id()));
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path, own_folder })
    }

    pub(crate) fn address(&self) -> io::Result<Address> {
        let address = self.path.to_str().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the folder of the socket is not UTF-8")
        })?;
        Ok(Address { network: "unix", address: address.to_owned() })
    }

    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        if let Some(folder) = &self.own_folder {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn closed_folder() -> io::Result<PathBuf> {
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for attempt in 0..FOLDER_TRIES {
        let name = format!("tfplugin-{}-{attempt}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        // Creation fails on a folder that exists, so nobody can prepare one for us.
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_owner_reaches_the_socket_and_nothing_is_left_behind() {
        let socket = UnixSocket::bind(None).unwrap();
        let path = PathBuf::from(socket.address().unwrap().address);
        let folder = path.parent().unwrap().to_owned();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
        drop(socket);
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn a_given_folder_stays() {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixSocket::bind(Some(folder.path())).unwrap();
        let path = PathBuf::from(socket.address().unwrap().address);
        assert_eq!(path.parent(), Some(folder.path()));
        drop(socket);
        assert!(!path.exists() && folder.path().exists());
    }
}
