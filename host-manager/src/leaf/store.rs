//! Certificate and key on this server's disk, in one file, so that both change at once and survive a reboot without the
//! storage account.

use zeroize::Zeroizing;

use super::{Leaf, LeafError};
use crate::files::{self, FileError, SECRET_MODE};
use crate::paths::Paths;
use crate::secrets::Secret;

const KEY_BEGINS: &str = "-----BEGIN PRIVATE KEY-----";

/// What lies on the disk; `None` where nothing does.
pub fn load(paths: &Paths) -> Result<Option<Result<Leaf, LeafError>>, FileError> {
    let Some(bytes) = files::read(&paths.leaf())?.map(Zeroizing::new) else { return Ok(None) };
    Ok(Some(read(&bytes)))
}

fn read(bytes: &[u8]) -> Result<Leaf, LeafError> {
    let unreadable = LeafError::Unreadable { which: "server" };
    let Ok(text) = std::str::from_utf8(bytes) else { return Err(unreadable) };
    let Some(at) = text.find(KEY_BEGINS) else {
        return Err(LeafError::UnreadableKey { which: "server" });
    };
    let (certificate, key) = text.split_at(at);
    Leaf::new(certificate.to_owned(), Secret::new(key))
}

/// Writes it, durably.
pub fn keep(paths: &Paths, leaf: &Leaf) -> Result<(), FileError> {
    files::make_dir(&paths.state_dir(), 0o700)?;
    let text = Zeroizing::new(format!("{}{}", leaf.certificate_pem, leaf.key_pem.expose()));
    files::write(&paths.leaf(), text.as_bytes(), SECRET_MODE)
}
