//! Why no answer came back: tells what never left from what may have been carried out.

use std::error::Error;
use std::io;

use hcs_engine::cloud::TransportError;
use rustls::CertificateError;

/// Why a host gave no answer, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The server's certificate does not lead to a CA that this machine trusts.
    #[error(
        "the TLS certificate of {host} is not trusted ({reason}); set SSL_CERT_FILE to a PEM file with the CA that signed it"
    )]
    UntrustedCertificate {
        /// Host that was asked.
        host: String,
        /// The verifier's words.
        reason: String,
    },
    /// The server's certificate is trusted but wrong: another name, another time.
    #[error("the TLS certificate of {host} is not valid: {reason}")]
    InvalidCertificate {
        /// Host that was asked.
        host: String,
        /// The verifier's words.
        reason: String,
    },
    /// Server and client found no common ground.
    #[error("the TLS handshake with {host} failed: {reason}")]
    Tls {
        /// Host that was asked.
        host: String,
        /// The library's words.
        reason: String,
    },
    /// The name has no address.
    #[error("the name {host} has no address: {reason}")]
    Dns {
        /// Host that was asked.
        host: String,
        /// The resolver's words.
        reason: String,
    },
    /// No connection came about.
    #[error("no connection to {host}: {reason}")]
    Connect {
        /// Host that was asked.
        host: String,
        /// The system's words.
        reason: String,
    },
    /// The request could not be written at all.
    #[error("the request to {host} could not be built: {reason}")]
    Unsendable {
        /// Host that was asked.
        host: String,
        /// Why.
        reason: String,
    },
    /// The time for the whole request ran out.
    #[error("{host} gave no answer in time")]
    Timeout {
        /// Host that was asked.
        host: String,
    },
    /// The connection ended early.
    #[error("the connection to {host} ended early: {reason}")]
    Broken {
        /// Host that was asked.
        host: String,
        /// The library's words.
        reason: String,
    },
}

impl NoAnswer {
    /// Reads the cause out of a transport's error chain.
    pub fn of(error: &(dyn Error + 'static), host: &str) -> Self {
        let chain = chain(error);
        let host = host.to_owned();
        let deepest = chain.last().map(ToString::to_string).unwrap_or_default();
        let transport = chain.iter().find_map(|e| e.downcast_ref::<reqwest::Error>());
        if transport.is_some_and(reqwest::Error::is_builder) {
            return Self::Unsendable { host, reason: deepest };
        }
        let connecting = transport.is_some_and(reqwest::Error::is_connect);
        if !connecting {
            return if transport.is_some_and(reqwest::Error::is_timeout) {
                Self::Timeout { host }
            } else {
                Self::Broken { host, reason: deepest }
            };
        }
        if let Some(tls) = chain.iter().find_map(|e| e.downcast_ref::<rustls::Error>()) {
            return match tls {
                rustls::Error::InvalidCertificate(why) if is_unknown_issuer(why) => {
                    Self::UntrustedCertificate { host, reason: why.to_string() }
                }
                rustls::Error::InvalidCertificate(why) => {
                    Self::InvalidCertificate { host, reason: why.to_string() }
                }
                other => Self::Tls { host, reason: other.to_string() },
            };
        }
        if chain.iter().any(|e| e.to_string() == "dns error") {
            return Self::Dns { host, reason: deepest };
        }
        Self::Connect { host, reason: deepest }
    }

    /// Whether the request certainly never reached the server.
    pub fn is_not_sent(&self) -> bool {
        !matches!(self, Self::Timeout { .. } | Self::Broken { .. })
    }

    /// Whether the next try would fail in the same way.
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::UntrustedCertificate { .. }
                | Self::InvalidCertificate { .. }
                | Self::Unsendable { .. }
        )
    }

    /// The host that was asked.
    pub fn host(&self) -> &str {
        match self {
            Self::UntrustedCertificate { host, .. }
            | Self::InvalidCertificate { host, .. }
            | Self::Tls { host, .. }
            | Self::Dns { host, .. }
            | Self::Connect { host, .. }
            | Self::Unsendable { host, .. }
            | Self::Timeout { host }
            | Self::Broken { host, .. } => host,
        }
    }
}

impl From<NoAnswer> for TransportError {
    fn from(cause: NoAnswer) -> Self {
        let host = cause.host().to_owned();
        if cause.is_not_sent() {
            Self::NotSent { host, source: Box::new(cause) }
        } else {
            Self::OutcomeUnknown { host, source: Box::new(cause) }
        }
    }
}

fn is_unknown_issuer(why: &CertificateError) -> bool {
    matches!(why, CertificateError::UnknownIssuer | CertificateError::BadSignature)
}

/// All causes, outermost first. An [`io::Error`] hides what it wraps from `source()`.
pub(crate) fn chain<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut chain = vec![error];
    let mut current = error;
    loop {
        let inner = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let next: Option<&'a (dyn Error + 'static)> = match inner {
            Some(inner) => Some(inner),
            None => current.source(),
        };
        let Some(next) = next else { return chain };
        chain.push(next);
        current = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_left_is_told_from_what_may_have_happened() {
        let host = || "h".to_owned();
        let reason = || "r".to_owned();
        let table = [
            (NoAnswer::UntrustedCertificate { host: host(), reason: reason() }, true),
            (NoAnswer::Tls { host: host(), reason: reason() }, true),
            (NoAnswer::Dns { host: host(), reason: reason() }, true),
            (NoAnswer::Connect { host: host(), reason: reason() }, true),
            (NoAnswer::Unsendable { host: host(), reason: reason() }, true),
            (NoAnswer::Timeout { host: host() }, false),
            (NoAnswer::Broken { host: host(), reason: reason() }, false),
        ];
        for (cause, not_sent) in table {
            let error = TransportError::from(cause.clone());
            assert_eq!(matches!(error, TransportError::NotSent { .. }), not_sent, "{cause}");
        }
    }

    #[test]
    fn an_error_inside_an_io_error_is_found() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let outer = io::Error::other(io::Error::other(tls));
        assert!(chain(&outer).iter().any(|e| e.is::<rustls::Error>()));
    }

    #[test]
    fn an_unknown_error_counts_as_outcome_unknown() {
        let cause = NoAnswer::of(&io::Error::other("odd"), "h");
        assert_eq!(cause, NoAnswer::Broken { host: "h".into(), reason: "odd".into() });
    }
}
