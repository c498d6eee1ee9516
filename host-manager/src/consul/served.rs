//! What a port serves, seen from outside: one TLS handshake, without believing what is served.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hcs_planner::dataplane::port;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::leaf::Leaf;

/// First byte of a connection to the RPC port that goes on with TLS: `RPCTLS` of Consul's `agent/pool`.
const RPC_TLS: u8 = 3;
const PATIENCE: Duration = Duration::from_secs(5);

/// The certificate, DER, that this port serves. `own` is shown where the port asks for one.
pub async fn certificate(address: SocketAddr, own: &Leaf) -> io::Result<Vec<u8>> {
    let look = async {
        let mut stream = TcpStream::connect(address).await?;
        if address.port() == port::RPC {
            stream.write_all(&[RPC_TLS]).await?;
        }
        let mut config = configuration(own).map_err(io::Error::other)?;
        if address.port() == port::GRPC_TLS {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        let name = ServerName::from(address.ip());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let chain = stream.get_ref().1.peer_certificates();
        let leaf = chain.and_then(<[_]>::first).map(|der| der.to_vec());
        leaf.ok_or_else(|| io::Error::other("no certificate was served"))
    };
    let timeout = || io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| Err(timeout()))
}

fn configuration(own: &Leaf) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let unreadable = |_| Error::General("the server's own certificate cannot be used".to_owned());
    let key = PrivateKeyDer::from_pem_slice(own.key_pem.expose().as_bytes()).map_err(unreadable)?;
    let chain = vec![CertificateDer::from(own.facts.der.clone())];
    ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Onlooker(provider)))
        .with_client_auth_cert(chain, key)
}

/// Takes every certificate: nothing is sent over this connection, and whoever asked compares what was served.
#[derive(Debug)]
struct Onlooker(Arc<CryptoProvider>);

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
