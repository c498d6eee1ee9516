//! How CA, certificate and key reach Consul: together, in a folder behind a link that is switched.

use sha2::{Digest as _, Sha256};

use crate::artifact::hex;
use crate::files::{self, FileError};
use crate::leaf::Leaf;
use crate::paths::{Paths, tls_file};
use crate::reader::{Reader, ReaderError};

/// Why certificate and key are not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The files cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Consul's user.
    #[error(transparent)]
    Reader(#[from] ReaderError),
}

/// Writes CA, certificate and key into a new folder and switches the link to it.
/// Says whether anything changed.
pub fn install(paths: &Paths, ca_pem: &str, leaf: &Leaf) -> Result<bool, InstallError> {
    let mut digest = Sha256::new();
    for part in [ca_pem, &leaf.certificate_pem] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    let name = format!("tls-{}", hex(&digest.finalize()).get(..16).unwrap_or_default());
    let folder = paths.secret_dir().join(&name);
    let reader = Reader::of(paths)?;
    files::make_dir(&paths.secret_dir(), reader.folder())?;
    files::make_dir(&folder, reader.folder())?;
    let mut changed = false;
    for (file, text) in [
        (tls_file::AUTHORITIES, ca_pem),
        (tls_file::CERTIFICATE, &leaf.certificate_pem),
        (tls_file::KEY, leaf.key_pem.expose()),
    ] {
        let path = folder.join(file);
        changed |= files::write_if_changed(&path, text.as_bytes(), reader.file())?;
    }
    let previous = files::link_target(&paths.tls_dir());
    if previous.as_deref() != Some(name.as_ref()) {
        files::switch_link(&paths.tls_dir(), name.as_ref())?;
        changed = true;
        if let Some(previous) = previous {
            files::remove_dir(&paths.secret_dir().join(previous))?;
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Secret;

    fn leaf() -> Leaf {
        let made = rcgen::generate_simple_self_signed(["server.dc1.consul".to_owned()]).unwrap();
        Leaf::new(made.cert.pem(), Secret::new(made.signing_key.serialize_pem())).unwrap()
    }

    #[test]
    fn the_three_files_change_together_and_the_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path());
        let (first, second) = (leaf(), leaf());
        assert!(install(&paths, "ca", &first).unwrap());
        assert!(!install(&paths, "ca", &first).unwrap());
        let old = paths.secret_dir().join(files::link_target(&paths.tls_dir()).unwrap());
        assert!(install(&paths, "ca", &second).unwrap());
        assert!(!old.exists());
        let installed = files::read(&paths.tls_dir().join(tls_file::KEY)).unwrap().unwrap();
        assert_eq!(installed, second.key_pem.expose().as_bytes());
    }
}
