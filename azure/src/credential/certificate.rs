//! A client assertion signed with the application's own certificate.

use std::fmt;
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::{digest, rsa, signature};
use azure_core::Error;
use azure_core::error::ErrorKind;
use azure_core::http::ClientMethodOptions;
use azure_core::time::OffsetDateTime;
use azure_identity::ClientAssertion;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

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

impl SignedAssertion {
    /// Reads a PEM file that holds the certificate and its RSA key.
    pub(super) fn load(
        path: &Path,
        has_password: bool,
        client_id: String,
        token_endpoint: String,
    ) -> Result<Self, String> {
        let shown = path.display();
        let bytes = std::fs::read(path).map_err(|e| format!("{shown} cannot be read: {e}"))?;
        if !bytes.windows(10).any(|w| w == b"-----BEGIN") {
            return Err(format!(
                "{shown} is no PEM file; a PKCS#12 archive (PFX) is not read, convert it with \
                 `openssl pkcs12 -in FILE -nodes -out FILE.pem`"
            ));
        }
        let encrypted = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"];
        if encrypted.iter().any(|mark| bytes.windows(mark.len()).any(|w| w == *mark)) {
            let hint = if has_password { "; client_certificate_password is not used" } else { "" };
            return Err(format!(
                "the private key in {shown} is encrypted, which is not read{hint}; decrypt it with \
                 `openssl pkcs8 -in FILE -out FILE.pem`"
            ));
        }
        let certificate = CertificateDer::from_pem_slice(&bytes)
            .map_err(|_| format!("{shown} holds no certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&bytes)
            .map_err(|_| format!("{shown} holds no private key"))?;
        let key = match &key {
            PrivateKeyDer::Pkcs8(der) => rsa::KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => rsa::KeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err(format!("the private key in {shown} is no RSA key")),
        };
        let key = key.map_err(|_| format!("the private key in {shown} is no usable RSA key"))?;
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
        SignedAssertion::load(&path, true, "client".into(), "https://login/token".into())
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
            (b"\x30\x82\x01\x00pfx".to_vec(), "openssl pkcs12"),
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
