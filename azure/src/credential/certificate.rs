//! A client assertion signed with the application's own certificate.

use std::fmt;
use std::path::PathBuf;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::{digest, rsa, signature};
use azure_core::Error;
use azure_core::error::ErrorKind;
use azure_core::http::ClientMethodOptions;
use azure_core::time::OffsetDateTime;
use azure_identity::ClientAssertion;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use p12_keystore::{KeyStore, KeyStoreEntry};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use zeroize::Zeroizing;

use crate::secret::Secret;

const LIFETIME_SECONDS: i64 = 600;

/// Proves possession of the private key behind a certificate that Entra knows.
pub(super) struct SignedAssertion {
    key: rsa::KeyPair,
    thumbprint: String,
    client_id: String,
    token_endpoint: String,
}

impl fmt::Debug for SignedAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedAssertion")
            .field("thumbprint", &self.thumbprint)
            .finish_non_exhaustive()
    }
}

/// Where the certificate and its key are: PEM, or the PKCS#12 archive that azurerm's users have.
#[derive(Clone)]
pub(super) enum CertificateSource {
    File(PathBuf),
    Base64(Secret),
}

impl fmt::Display for CertificateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Base64(_) => f.write_str("client_certificate"),
        }
    }
}

type Pair = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl CertificateSource {
    fn read(&self, password: Option<&Secret>) -> Result<Pair, String> {
        let bytes = Zeroizing::new(match self {
            Self::File(path) => {
                std::fs::read(path).map_err(|e| format!("{self} cannot be read: {e}"))?
            }
            Self::Base64(text) => {
                let text: String = text.expose().split_whitespace().collect();
                let text = Zeroizing::new(text);
                STANDARD.decode(text.as_bytes()).map_err(|_| {
                    format!("{self} is no base64 text; `base64 -w0 FILE.pfx` writes it")
                })?
            }
        });
        if bytes.windows(10).any(|w| w == b"-----BEGIN") {
            self.read_pem(&bytes, password.is_some())
        } else {
            self.read_pkcs12(&bytes, password)
        }
    }

    fn read_pem(&self, bytes: &[u8], has_password: bool) -> Result<Pair, String> {
        let encrypted = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"];
        if encrypted.iter().any(|mark| bytes.windows(mark.len()).any(|w| w == *mark)) {
            let hint = if has_password {
                "; client_certificate_password opens PKCS#12 archives only"
            } else {
                ""
            };
            return Err(format!(
                "the private key in {self} is encrypted, which is not read{hint}; decrypt it with \
                 `openssl pkcs8 -in FILE -out FILE.pem`"
            ));
        }
        let certificate = CertificateDer::from_pem_slice(bytes)
            .map_err(|_| format!("{self} holds no certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(bytes)
            .map_err(|_| format!("{self} holds no private key"))?;
        Ok((certificate, key))
    }

    fn read_pkcs12(&self, bytes: &[u8], password: Option<&Secret>) -> Result<Pair, String> {
        let told = |reason: &str| format!("{self} {reason}");
        let store = KeyStore::from_pkcs12(bytes, password.map_or("", |p| p.expose()));
        let store = store.map_err(|error| match (error, password) {
            (p12_keystore::error::Error::MacError(_), Some(_)) => {
                told("is not opened by client_certificate_password")
            }
            (p12_keystore::error::Error::MacError(_), None) => {
                told("has a password, and client_certificate_password is not set")
            }
            (error, _) => told(&format!("is neither PEM nor a PKCS#12 archive (PFX): {error}")),
        })?;
        let mut keys = store.entries().filter_map(|(_, entry)| match entry {
            KeyStoreEntry::PrivateKeyChain(chain) => Some(chain),
            KeyStoreEntry::Certificate(_) => None,
        });
        let chain = keys.next().ok_or_else(|| told("holds no private key with a certificate"))?;
        if keys.next().is_some() {
            return Err(told("holds more than one private key"));
        }
        let certificate = chain.chain().first().ok_or_else(|| told("holds no certificate"))?;
        let certificate = CertificateDer::from(certificate.as_der().to_vec());
        let key = PrivateKeyDer::try_from(chain.key().to_vec())
            .map_err(|_| told("holds a private key of an unknown form"))?;
        Ok((certificate, key))
    }
}

impl SignedAssertion {
    /// Signs as `client_id`, with the certificate and its RSA key from `source`.
    pub(super) fn load(
        source: &CertificateSource,
        password: Option<&Secret>,
        client_id: String,
        token_endpoint: String,
    ) -> Result<Self, String> {
        let (certificate, key) = source.read(password)?;
        let key = match &key {
            PrivateKeyDer::Pkcs8(der) => rsa::KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => rsa::KeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err(format!("the private key in {source} is no RSA key")),
        };
        let key = key.map_err(|_| format!("the private key in {source} is no usable RSA key"))?;
        let thumbprint =
            URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, certificate.as_ref()));
        Ok(Self { key, thumbprint, client_id, token_endpoint })
    }

    fn sign(&self, now_unix_seconds: i64) -> Result<String, String> {
        let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint});
        let claims = json!({
            "aud": self.token_endpoint,
            "iss": self.client_id,
            "sub": self.client_id,
            "jti": uuid::Uuid::new_v4().to_string(),
            "iat": now_unix_seconds,
            "nbf": now_unix_seconds,
            "exp": now_unix_seconds + LIFETIME_SECONDS,
        });
        let part = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mut bytes = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&signature::RSA_PSS_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut bytes)
            .map_err(|_| "the private key does not sign".to_owned())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes)))
    }
}

#[async_trait::async_trait]
impl ClientAssertion for SignedAssertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        self.sign(OffsetDateTime::now_utc().unix_timestamp())
            .map_err(|text| Error::with_message(ErrorKind::Credential, text))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use aws_lc_rs::signature::{KeyPair as _, UnparsedPublicKey};
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn load(text: &[u8]) -> Result<SignedAssertion, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.pem");
        fs::write(&path, text).unwrap();
        load_from(&CertificateSource::File(path), Some("swordfish"))
    }

    fn load_from(
        source: &CertificateSource,
        password: Option<&str>,
    ) -> Result<SignedAssertion, String> {
        let password = password.map(Secret::new);
        let endpoint = "https://login/token".into();
        SignedAssertion::load(source, password.as_ref(), "client".into(), endpoint)
    }

    const MODERN: &[u8] = include_bytes!("fixtures/modern.pfx");

    #[test]
    fn archives_of_openssl_windows_and_key_vaults_are_opened() {
        // `openssl x509 -fingerprint -sha256` of the certificate in all three.
        let thumbprint = "OfrLl2R6IBzJmjezKJUmjlTg_yjdhndWRrZWtKEPaI4";
        for (archive, password) in [
            (MODERN, Some("swordfish")),
            (include_bytes!("fixtures/rc2.pfx"), Some("swordfish")),
            (include_bytes!("fixtures/no-password.pfx"), None),
        ] {
            let text = STANDARD.encode(archive);
            let wrapped = text.as_bytes().chunks(76).map(String::from_utf8_lossy);
            let wrapped = wrapped.collect::<Vec<_>>().join("\n");
            for text in [text, wrapped] {
                let source = CertificateSource::Base64(Secret::from(text));
                let assertion = load_from(&source, password).unwrap();
                assert_eq!(assertion.thumbprint, thumbprint);
                assertion.sign(1_000).unwrap();
            }
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("client.pfx");
            fs::write(&path, archive).unwrap();
            let source = CertificateSource::File(path);
            assert_eq!(load_from(&source, password).unwrap().thumbprint, thumbprint);
        }
    }

    #[test]
    fn an_archive_that_does_not_open_says_what_is_missing() {
        let inline = |text: String| CertificateSource::Base64(Secret::from(text));
        let archive = STANDARD.encode(MODERN);
        let cut = STANDARD.encode(&MODERN[..MODERN.len() / 2]);
        for (text, password, wanted) in [
            (archive.clone(), Some("wrong"), "is not opened by client_certificate_password"),
            (archive, None, "has a password, and client_certificate_password is not set"),
            (cut, Some("swordfish"), "is neither PEM nor a PKCS#12 archive"),
            ("no base64!".into(), None, "is no base64 text"),
        ] {
            let error = load_from(&inline(text.clone()), password).unwrap_err();
            assert!(error.starts_with("client_certificate ") && error.contains(wanted), "{error}");
            assert!(!error.contains(&text) && !error.contains("swordfish"), "{error}");
        }
    }

    fn pem() -> (String, String) {
        let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn the_assertion_is_signed_by_the_key_and_names_the_certificate() {
        let (certificate, key) = pem();
        let assertion = load(format!("{key}{certificate}").as_bytes()).unwrap();
        let token = assertion.sign(1_000).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let json = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let header = json(parts[0]);
        assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some("PS256"), Some("JWT")));
        assert_eq!(header["x5t#S256"].as_str(), Some(assertion.thumbprint.as_str()));
        let claims = json(parts[1]);
        assert_eq!(claims["aud"], "https://login/token");
        assert_eq!(
            (claims["iss"].as_str(), claims["sub"].as_str()),
            (Some("client"), Some("client"))
        );
        assert_eq!((claims["nbf"].as_i64(), claims["exp"].as_i64()), (Some(1_000), Some(1_600)));
        let public = assertion.key.public_key().as_ref().to_vec();
        UnparsedPublicKey::new(&signature::RSA_PSS_2048_8192_SHA256, public)
            .verify(
                format!("{}.{}", parts[0], parts[1]).as_bytes(),
                &URL_SAFE_NO_PAD.decode(parts[2]).unwrap(),
            )
            .unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_mend() {
        let (certificate, key) = pem();
        let ec = KeyPair::generate().unwrap().serialize_pem();
        let locked =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for (text, wanted) in [
            (b"\x30\x82\x01\x00pfx".to_vec(), "neither PEM nor a PKCS#12 archive (PFX)"),
            (format!("{locked}{certificate}").into_bytes(), "openssl pkcs8"),
            (key.into_bytes(), "no certificate"),
            (certificate.clone().into_bytes(), "no private key"),
            (format!("{ec}{certificate}").into_bytes(), "no usable RSA key"),
        ] {
            let error = load(&text).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
