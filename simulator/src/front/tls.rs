//! The emulator's own certificate authority and the certificate that it serves with.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::FrontError;

fn wrong(what: &'static str) -> impl Fn(rcgen::Error) -> FrontError {
    move |source| FrontError::Certificate { what, source: Box::new(source) }
}

/// Reads the authority from the folder, or makes it there; returns its key's issuer.
fn authority(dir: &Path) -> Result<Issuer<'static, KeyPair>, FrontError> {
    let (cert_path, key_path) = (dir.join("ca.pem"), dir.join("ca-key.pem"));
    if let (Ok(cert), Ok(key)) = (fs::read_to_string(&cert_path), fs::read_to_string(&key_path)) {
        let key = KeyPair::from_pem(&key).map_err(wrong("read the CA key"))?;
        return Issuer::from_ca_cert_pem(&cert, key).map_err(wrong("read the CA"));
    }
    let key = KeyPair::generate().map_err(wrong("make the CA key"))?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "azure-emulator CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let cert = params.self_signed(&key).map_err(wrong("sign the CA"))?;
    super::write_private(&key_path, key.serialize_pem().as_bytes())?;
    super::write_file(&cert_path, cert.pem().as_bytes())?;
    Ok(Issuer::new(params, key))
}

/// A server configuration whose certificate is good for 127.0.0.1, localhost and where the emulator listens.
pub(super) fn server_config(
    dir: &Path,
    host: Ipv4Addr,
    storage_suffix: Option<&str>,
) -> Result<Arc<ServerConfig>, FrontError> {
    let issuer = authority(dir)?;
    let key = KeyPair::generate().map_err(wrong("make the server key"))?;
    let accounts = storage_suffix.map(|suffix| format!("*.blob.{suffix}"));
    let names: Vec<String> = ["localhost".to_owned()].into_iter().chain(accounts).collect();
    let mut params = CertificateParams::new(names).map_err(wrong("name the server"))?;
    params.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
    params.subject_alt_names.push(SanType::IpAddress(host.into()));
    params.distinguished_name.push(DnType::CommonName, "azure-emulator");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let cert = params.signed_by(&key, &issuer).map_err(wrong("sign the server"))?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = |source: rustls::Error| FrontError::Certificate {
        what: "configure TLS",
        source: Box::new(source),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], private)
        .map_err(tls)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
