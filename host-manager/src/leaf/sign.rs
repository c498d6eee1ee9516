//! Makes a key and has the cluster's CA sign for it.

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use super::{BACKDATE, Leaf, LeafError, Wanted};
use crate::secrets::Secret;

/// A new key with a certificate. Of the authorities the one signs whose key this is.
pub fn sign(
    wanted: &Wanted,
    authorities: &[CertificateDer<'_>],
    authority_key: &Secret,
    now_unix_s: i64,
) -> Result<Leaf, LeafError> {
    for authority in authorities {
        // The cause is not kept: it could show a part of the key.
        let issuer_key = KeyPair::from_pem(authority_key.expose())
            .map_err(|_| LeafError::UnreadableKey { which: "CA" })?;
        let issuer = Issuer::from_ca_cert_der(authority, issuer_key).map_err(refused)?;
        let leaf = signed_by(wanted, &issuer, now_unix_s)?;
        // Not believed but looked at: any key signs for any name of an issuer.
        if leaf.is_signed_by(std::slice::from_ref(authority), &wanted.server_name) {
            return Ok(leaf);
        }
    }
    Err(LeafError::NoIssuer)
}

fn signed_by(
    wanted: &Wanted,
    issuer: &Issuer<'_, KeyPair>,
    now_unix_s: i64,
) -> Result<Leaf, LeafError> {
    let key = KeyPair::generate().map_err(refused)?;
    let names: Vec<String> = wanted.names.iter().cloned().collect();
    let mut params = CertificateParams::new(names).map_err(refused)?;
    params.subject_alt_names.extend(wanted.addresses.iter().map(|one| SanType::IpAddress(*one)));
    params.distinguished_name.push(DnType::CommonName, wanted.server_name.clone());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let now = OffsetDateTime::from_unix_timestamp(now_unix_s).map_err(refused)?;
    let ttl_s = i64::try_from(wanted.ttl_seconds).map_err(refused)?;
    params.not_before = now - BACKDATE;
    params.not_after = now.checked_add(time::Duration::seconds(ttl_s)).unwrap_or(now);
    let certificate = params.signed_by(&key, issuer).map_err(refused)?;
    Leaf::new(certificate.pem(), Secret::new(key.serialize_pem()))
}

fn refused<E: std::fmt::Display>(error: E) -> LeafError {
    LeafError::Sign(error.to_string())
}
