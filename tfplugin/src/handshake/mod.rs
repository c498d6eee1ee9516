//! How Terraform and a plugin meet: what the environment demands, and the line that answers it.
//!
//! Nothing here opens a socket or a file.

mod environment;
mod reattach;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rustls_pki_types::CertificateDer;

pub(crate) use environment::{Environment, HandshakeError};
pub(crate) use reattach::Reattach;

/// Where the plugin listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// `unix` or `tcp`.
    pub(crate) network: &'static str,
    /// A path or `host:port`.
    pub(crate) address: String,
}

/// The one line on standard output by which Terraform finds the plugin.
pub(crate) struct Announcement<'a> {
    pub(crate) address: &'a Address,
    /// Our certificate, where Terraform asked for mutual TLS.
    pub(crate) certificate: Option<&'a CertificateDer<'static>>,
}

impl fmt::Display for Announcement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { network, address } = self.address;
        let certificate =
            self.certificate.map(|der| STANDARD_NO_PAD.encode(der)).unwrap_or_default();
        write!(f, "1|6|{network}|{address}|grpc|{certificate}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_address_and_certificate() {
        let address = Address { network: "unix", address: "/run/plugin.sock".to_owned() };
        let line = |certificate| Announcement { address: &address, certificate }.to_string();
        assert_eq!(line(None), "1|6|unix|/run/plugin.sock|grpc|");
        let certificate = CertificateDer::from(vec![0xff, 0x00]);
        assert_eq!(line(Some(&certificate)), "1|6|unix|/run/plugin.sock|grpc|/wA");
    }
}
