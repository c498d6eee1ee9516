//! The server's certificate with its key: made here, signed with the cluster's CA, renewed when half of it is over.
//!
//! The key never leaves the server. Pure but for [`store`]: what is there, what is wanted and the time decide.

mod sign;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hcs_planner::dataplane::{BootstrapConfig, ClusterDocument};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use hcs_engine::secrets::BACKDATE_MINUTES;

use crate::artifact::hex;
use crate::secrets::Secret;

pub use sign::sign;
pub use store::{keep, load};

/// Clocks of other servers and of clients may run behind ours by this much.
pub const BACKDATE: Duration = Duration::from_mins(BACKDATE_MINUTES as u64);

/// Why there is no usable certificate.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    /// No certificate in the PEM text.
    #[error("the {which} certificate cannot be read")]
    Unreadable {
        /// `CA` or `server`.
        which: &'static str,
    },
    /// No key in the PEM text. The cause is not kept: it could show a part of the key.
    #[error("the {which}'s private key cannot be read")]
    UnreadableKey {
        /// `CA` or `server`.
        which: &'static str,
    },
    /// Written by halves, or mixed up by somebody.
    #[error("the server's certificate and private key do not belong together")]
    Mismatch,
    /// The provider is between two writes, or somebody changed one of two blobs.
    #[error(
        "the CA's private key in secrets-shared/ca-key.pem belongs to no certificate in certificates/ca.pem"
    )]
    NoIssuer,
    /// The library refused.
    #[error("no certificate can be made: {0}")]
    Sign(String),
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The certificate, PEM; public.
    pub certificate_pem: String,
    /// Its private key, PEM.
    pub key_pem: Secret,
    /// What it says.
    pub facts: Facts,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Serial number, lower-case hex.
    pub serial: String,
    /// `NotBefore`, seconds since the Unix epoch.
    pub starts_unix_s: i64,
    /// `NotAfter`, seconds since the Unix epoch.
    pub expires_unix_s: i64,
    /// Names, lower case.
    pub names: BTreeSet<String>,
    /// Addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// The certificate itself.
    pub der: Vec<u8>,
}

/// What a server's certificate shall say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The name by which the servers know each other.
    pub server_name: String,
    /// All names, lower case.
    pub names: BTreeSet<String>,
    /// All addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// How long it is good for.
    pub ttl_seconds: u64,
}

/// Why a certificate is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is none.
    Absent,
    /// Half of its life is over.
    Due,
    /// It says other names or addresses than it should.
    Names,
    /// Not the CA that signs now has signed it.
    Authority,
    /// It is good for longer than it should be.
    Lifetime,
    /// Somebody asked for another one.
    Asked,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "there is none",
            Self::Due => "half of its life is over",
            Self::Names => "names or addresses are others now",
            Self::Authority => "another CA signs now",
            Self::Lifetime => "server_certificate_ttl is shorter now",
            Self::Asked => "somebody asked for another one",
        })
    }
}

impl Leaf {
    /// Reads certificate and key, and checks that they belong together.
    pub fn new(certificate_pem: String, key_pem: Secret) -> Result<Self, LeafError> {
        let unreadable = || LeafError::Unreadable { which: "server" };
        let der =
            CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|_| unreadable())?;
        let facts = Facts::of_der(&der).ok_or_else(unreadable)?;
        let unreadable_key = || LeafError::UnreadableKey { which: "server" };
        let key = PrivateKeyDer::from_pem_slice(key_pem.expose().as_bytes())
            .map_err(|_| unreadable_key())?;
        let signer = aws_lc_rs::sign::any_supported_type(&key).map_err(|_| unreadable_key())?;
        rustls::sign::CertifiedKey::new(vec![der], signer)
            .keys_match()
            .map_err(|_| LeafError::Mismatch)?;
        Ok(Self { certificate_pem, key_pem, facts })
    }

    /// Whether one of these CAs has signed it for this name; its dates do not count.
    pub fn is_signed_by(&self, authorities: &[CertificateDer<'_>], server_name: &str) -> bool {
        authorities
            .iter()
            .any(|authority| self.facts.is_signed_by(authority, server_name) == Some(true))
    }

    /// Seconds that are left of it; negative when it is over.
    pub fn left_s(&self, now_unix_s: i64) -> i64 {
        self.facts.expires_unix_s.saturating_sub(now_unix_s)
    }

    /// Whether so little is left of it that its renewal must have failed for long.
    pub fn is_short(&self, now_unix_s: i64) -> bool {
        self.left_s(now_unix_s) < self.facts.life_s() / 3
    }
}

impl Facts {
    /// Reads one certificate in DER.
    pub fn of_der(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        let said = parsed.subject_alternative_name().ok()?;
        for name in said.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => drop(names.insert(name.to_lowercase())),
                GeneralName::IPAddress(bytes) => {
                    let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                    let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                    addresses.extend(address.ok());
                }
                _ => {}
            }
        }
        Some(Self {
            serial: hex(parsed.raw_serial()),
            starts_unix_s: parsed.validity().not_before.timestamp(),
            expires_unix_s: parsed.validity().not_after.timestamp(),
            names,
            addresses,
            der: der.to_vec(),
        })
    }

    /// `NotAfter` as RFC 3339.
    pub fn expires_at(&self) -> Option<String> {
        jiff::Timestamp::from_second(self.expires_unix_s).ok().map(|time| time.to_string())
    }

    /// Whole life in seconds, from when it was made.
    fn life_s(&self) -> i64 {
        self.expires_unix_s - self.made_unix_s()
    }

    fn made_unix_s(&self) -> i64 {
        self.starts_unix_s + i64::try_from(BACKDATE.as_secs()).unwrap_or_default()
    }

    /// When it is renewed: after half of its life, and up to a tenth of it later, so that the servers of a cluster do not
    /// all come at once.
    fn renew_at_unix_s(&self) -> i64 {
        let life_s = self.life_s();
        let spread = Sha256::digest(&self.der)[0];
        self.made_unix_s() + life_s / 2 + life_s / 10 * i64::from(spread) / 255
    }

    /// Looked at when both are good: how long a certificate lives is told elsewhere, and clocks differ.
    fn is_signed_by(&self, authority: &CertificateDer<'_>, server_name: &str) -> Option<bool> {
        let (_, parsed) = X509Certificate::from_der(authority).ok()?;
        let time_unix_s = self.starts_unix_s.max(parsed.validity().not_before.timestamp());
        let time = UnixTime::since_unix_epoch(Duration::from_secs(time_unix_s.try_into().ok()?));
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned()).ok()?;
        let provider = aws_lc_rs::default_provider().into();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build().ok()?;
        let name = ServerName::try_from(server_name.to_owned()).ok()?;
        let der = CertificateDer::from(self.der.as_slice());
        Some(verifier.verify_server_cert(&der, &[], &name, &[], time).is_ok())
    }
}

/// The name by which the servers of a datacenter know each other.
pub fn server_name(datacenter: &str) -> String {
    format!("server.{datacenter}.consul").to_lowercase()
}

impl Wanted {
    /// What the documents say of this server.
    pub fn new(cluster: &ClusterDocument, bootstrap: &BootstrapConfig, own: IpAddr) -> Self {
        let server_name = server_name(&cluster.datacenter);
        let certificates = &cluster.certificates;
        let mut names: BTreeSet<String> = certificates.names.iter().cloned().collect();
        names.extend([
            server_name.clone(),
            "localhost".to_owned(),
            format!("{}.{server_name}", bootstrap.node_name),
        ]);
        if !certificates.domain.is_empty() {
            names.insert(format!("server-{}.{}", bootstrap.slot, certificates.domain));
        }
        let balancers = certificates.addresses.iter();
        // What a newer version may write there is no reason to have no certificate.
        let mut addresses: BTreeSet<IpAddr> =
            balancers.filter_map(|one| one.parse().ok()).collect();
        addresses.extend([Ipv4Addr::LOCALHOST.into(), own]);
        Self {
            server_name,
            names: names.into_iter().map(|name| name.to_lowercase()).collect(),
            addresses,
            ttl_seconds: certificates.ttl_seconds,
        }
    }

    /// Whether a certificate has to be made, and why.
    pub fn verdict(
        &self,
        leaf: Option<&Leaf>,
        authorities: &[CertificateDer<'_>],
        now_unix_s: i64,
    ) -> Option<Reason> {
        let Some(leaf) = leaf else { return Some(Reason::Absent) };
        let facts = &leaf.facts;
        let ttl_s = i64::try_from(self.ttl_seconds).unwrap_or(i64::MAX);
        if now_unix_s >= facts.renew_at_unix_s() || now_unix_s < facts.starts_unix_s {
            return Some(Reason::Due);
        }
        if facts.names != self.names || facts.addresses != self.addresses {
            return Some(Reason::Names);
        }
        if facts.life_s() > ttl_s {
            return Some(Reason::Lifetime);
        }
        let first = authorities.get(..1).unwrap_or_default();
        (!leaf.is_signed_by(first, &self.server_name)).then_some(Reason::Authority)
    }
}

/// When a certificate ends, seconds since the Unix epoch.
pub fn ends_unix_s(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

/// All certificates in the CA's document; the first one signs.
pub fn authorities(ca_pem: &str) -> Result<Vec<CertificateDer<'static>>, LeafError> {
    let unreadable = || LeafError::Unreadable { which: "CA" };
    let all: Vec<_> = CertificateDer::pem_slice_iter(ca_pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| unreadable())?;
    let is_well = |der: &CertificateDer<'_>| {
        X509Certificate::from_der(der).is_ok_and(|(_, parsed)| parsed.is_ca())
    };
    if all.is_empty() || !all.iter().all(is_well) {
        return Err(unreadable());
    }
    Ok(all)
}
