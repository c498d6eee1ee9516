//! The server's certificate: what it says, whether its key fits, and how the three files reach the
//! disk together.

use hcs_planner::dataplane::blob;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use crate::artifact::hex;
use crate::documents::ServerSecrets;
use crate::files::{self, FileError};
use crate::paths::Paths;
use crate::reader::{Reader, ReaderError};

/// Why certificate and key are not installed.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// No certificate in the PEM text.
    #[error("the {which} certificate cannot be read")]
    Unreadable {
        /// `CA` or `server`.
        which: &'static str,
    },
    /// No key in the PEM text. The cause is not kept: it could show a part of the key.
    #[error("the server's private key cannot be read")]
    UnreadableKey,
    /// The provider is between two writes, or made a mistake.
    #[error("the server's certificate and private key do not belong together")]
    Mismatch,
    /// The files cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Consul's user.
    #[error(transparent)]
    Reader(#[from] ReaderError),
}

/// What matters of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Serial number, lower-case hex.
    pub serial: String,
    /// `NotAfter`, seconds since the Unix epoch.
    pub expires_unix_s: i64,
}

impl CertificateFacts {
    /// Reads one certificate in DER.
    pub fn of_der(der: &[u8]) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
        Some(Self {
            serial: hex(parsed.raw_serial()),
            expires_unix_s: parsed.validity().not_after.timestamp(),
        })
    }

    /// `NotAfter` as RFC 3339.
    pub fn expires_at(&self) -> Option<String> {
        jiff::Timestamp::from_second(self.expires_unix_s).ok().map(|time| time.to_string())
    }
}

/// Checks certificate, key and CA; returns the facts of the server's certificate.
pub fn check(secrets: &ServerSecrets) -> Result<CertificateFacts, CertificateError> {
    let unreadable = |which| CertificateError::Unreadable { which };
    CertificateDer::from_pem_slice(secrets.ca_pem.as_bytes()).map_err(|_| unreadable("CA"))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(secrets.certificate_pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| unreadable("server"))?;
    let leaf = chain.first().ok_or_else(|| unreadable("server"))?;
    let facts = CertificateFacts::of_der(leaf).ok_or_else(|| unreadable("server"))?;
    let key = PrivateKeyDer::from_pem_slice(secrets.key_pem.expose().as_bytes())
        .map_err(|_| CertificateError::UnreadableKey)?;
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)
        .map_err(|_| CertificateError::UnreadableKey)?;
    // Two blobs cannot be written in one step: a pair that does not match is never installed.
    rustls::sign::CertifiedKey::new(chain, signer)
        .keys_match()
        .map_err(|_| CertificateError::Mismatch)?;
    Ok(facts)
}

/// Writes CA, certificate and key into a new folder and switches the link to it.
/// Says whether anything changed.
pub fn install(paths: &Paths, secrets: &ServerSecrets) -> Result<bool, CertificateError> {
    let mut digest = Sha256::new();
    for part in [&secrets.ca_pem, &secrets.certificate_pem] {
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
        (blob::CA_CERTIFICATE, secrets.ca_pem.as_str()),
        (blob::SERVER_CERTIFICATE, &secrets.certificate_pem),
        (blob::SERVER_KEY, secrets.key_pem.expose()),
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

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["server.dc1.consul".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn secrets(certificate: &str, key: &str) -> ServerSecrets {
        ServerSecrets {
            ca_pem: certificate.to_owned(),
            certificate_pem: certificate.to_owned(),
            key_pem: Secret::new(key),
            agent_token: Secret::new(""),
            gossip_key: Secret::new(""),
            management_token: None,
        }
    }

    #[test]
    fn a_certificate_with_anothers_key_is_refused() {
        let (first, second) = (pair(), pair());
        assert!(check(&secrets(&first.0, &first.1)).is_ok());
        let error = check(&secrets(&first.0, &second.1)).unwrap_err();
        assert!(matches!(error, CertificateError::Mismatch), "{error}");
    }

    #[test]
    fn a_broken_key_is_not_repeated_in_the_error() {
        let (certificate, _) = pair();
        let error = check(&secrets(&certificate, "-----BEGIN hunter2")).unwrap_err();
        assert_eq!(error.to_string(), "the server's private key cannot be read");
        assert!(std::error::Error::source(&error).is_none());
    }

    #[test]
    fn the_three_files_change_together_and_the_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path());
        let (first, second) = (pair(), pair());
        assert!(install(&paths, &secrets(&first.0, &first.1)).unwrap());
        assert!(!install(&paths, &secrets(&first.0, &first.1)).unwrap());
        let old = paths.secret_dir().join(files::link_target(&paths.tls_dir()).unwrap());
        assert!(install(&paths, &secrets(&second.0, &second.1)).unwrap());
        assert!(!old.exists());
        let installed = files::read(&paths.tls_dir().join(blob::SERVER_KEY)).unwrap().unwrap();
        assert_eq!(installed, second.1.as_bytes());
    }
}
