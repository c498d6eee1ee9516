//! What the environment of the process demands.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

const COOKIE_NAME: &str = "TF_PLUGIN_MAGIC_COOKIE";
const COOKIE_VALUE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";
const PROTOCOL: &str = "6";

/// The demands of the Terraform that started this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Environment {
    /// The certificate that the client must prove to own; without one the connection is plain.
    pub(crate) client_certificate: Option<CertificateDer<'static>>,
    /// Where the Unix socket should be.
    pub(crate) socket_folder: Option<PathBuf>,
    /// Which ports a TCP listener may take.
    pub(crate) ports: RangeInclusive<u16>,
}

/// Why there is no meeting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HandshakeError {
    #[error(
        "This program is a Terraform provider: it is started by `terraform`, not by hand; see \
         https://developer.hashicorp.com/terraform/language/providers for how to use one. \
         With --debug it can be started by hand, to be debugged."
    )]
    NotStartedByTerraform,
    #[error(
        "This provider speaks plugin protocol 6, and the Terraform that started it offers only \
         {offered}; use Terraform 1.0 or newer."
    )]
    Protocol { offered: String },
    #[error("PLUGIN_CLIENT_CERT holds no certificate in PEM form.")]
    ClientCertificate,
    #[error("{variable} is {value:?}, which is no port number.")]
    Port { variable: &'static str, value: String },
}

impl Environment {
    /// What a person at a shell demands: nothing.
    pub(crate) fn by_hand() -> Self {
        Self { client_certificate: None, socket_folder: None, ports: 0..=0 }
    }

    /// Reads the demands with a lookup of environment variables.
    pub(crate) fn read(
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Self, HandshakeError> {
        let given = |name| variable(name).filter(|value| !value.is_empty());
        if given(COOKIE_NAME).as_deref() != Some(COOKIE_VALUE) {
            return Err(HandshakeError::NotStartedByTerraform);
        }
        let offered = given("PLUGIN_PROTOCOL_VERSIONS").unwrap_or_default();
        if !offered.split(',').any(|version| version.trim() == PROTOCOL) {
            let offered = if offered.is_empty() { "none".to_owned() } else { offered };
            return Err(HandshakeError::Protocol { offered });
        }
        let client_certificate = given("PLUGIN_CLIENT_CERT")
            .map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()))
            .transpose()
            .map_err(|_| HandshakeError::ClientCertificate)?;
        let port = |name, default| {
            given(name).map_or(Ok(default), |value| {
                value.parse().map_err(|_| HandshakeError::Port { variable: name, value })
            })
        };
        Ok(Self {
            client_certificate,
            socket_folder: given("PLUGIN_UNIX_SOCKET_DIR").map(PathBuf::from),
            // Port 0 lets the system choose.
            ports: port("PLUGIN_MIN_PORT", 0)?..=port("PLUGIN_MAX_PORT", 0)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, String> {
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Environment::read(|wanted| {
            let found = variables.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone())
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn a_person_at_a_shell_gets_one_sentence() {
        let sentence = read(&[]).unwrap_err();
        assert!(sentence.starts_with("This program is a Terraform provider"));
        assert_eq!(sentence.lines().count(), 1);
        assert_eq!(read(&[(COOKIE_NAME, "wrong")]).unwrap_err(), sentence);
    }

    #[test]
    fn protocol_6_must_be_on_offer() {
        let offer =
            |versions| read(&[(COOKIE_NAME, COOKIE_VALUE), ("PLUGIN_PROTOCOL_VERSIONS", versions)]);
        assert!(offer("6").is_ok());
        assert!(offer("5,6").is_ok());
        assert!(offer("4,5").unwrap_err().contains("offers only 4,5"));
        assert!(offer("16").is_err());
        assert!(offer("").unwrap_err().contains("offers only none"));
    }

    #[test]
    fn a_client_certificate_must_be_one() {
        let base = [(COOKIE_NAME, COOKIE_VALUE), ("PLUGIN_PROTOCOL_VERSIONS", "6")];
        let with = |pem| read(&[base[0], base[1], ("PLUGIN_CLIENT_CERT", pem)]);
        assert!(with("garbage").is_err());
        assert_eq!(with("").unwrap().client_certificate, None);
        let pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert_eq!(with(pem).unwrap().client_certificate.unwrap().as_ref(), b"0\0");
    }

    #[test]
    fn ports_are_numbers() {
        let base = [(COOKIE_NAME, COOKIE_VALUE), ("PLUGIN_PROTOCOL_VERSIONS", "6")];
        let with = |port| read(&[base[0], base[1], ("PLUGIN_MIN_PORT", port)]);
        assert!(with("70000").unwrap_err().contains("PLUGIN_MIN_PORT"));
        assert_eq!(read(&base).unwrap().ports, 0..=0);
    }
}
