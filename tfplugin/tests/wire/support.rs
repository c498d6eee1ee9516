//! Starts the example provider the way Terraform does, and talks to it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hyper_util::rt::TokioIo;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tfplugin_proto::plugin::Empty;
use tfplugin_proto::plugin::grpc_controller_client::GrpcControllerClient;
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

const COOKIE: (&str, &str) =
    ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2");

/// The example provider's program, which is built together with the tests.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    let program = profile.join("examples/terraform-provider-example");
    assert!(program.exists(), "{} is missing; build the examples first", program.display());
    program
}

/// A client's key and certificate.
pub(crate) struct Identity {
    certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
}

impl Identity {
    /// Like the one that Terraform makes: an authority of its own, for client and server alike.
    pub(crate) fn new(algorithm: &'static rcgen::SignatureAlgorithm) -> Self {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

/// A running provider. It is killed when dropped.
pub(crate) struct Plugin {
    child: Child,
    socket: PathBuf,
    certificate: Option<CertificateDer<'static>>,
    _folder: tempfile::TempDir,
}

impl Plugin {
    /// Starts the provider; with mutual TLS if there is an identity to pin.
    pub(crate) fn start(pinned: Option<&Identity>) -> Self {
        Self::start_by(Command::new(program()), pinned)
    }

    /// Starts the provider as the child of a shell, which is what can be killed then.
    pub(crate) fn start_by_shell() -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "\"$0\" & wait"]).arg(program());
        Self::start_by(shell, None)
    }

    fn start_by(mut command: Command, pinned: Option<&Identity>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        command
            .env(COOKIE.0, COOKIE.1)
            .env("PLUGIN_PROTOCOL_VERSIONS", "5,6")
            .env("PLUGIN_UNIX_SOCKET_DIR", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(identity) = pinned {
            command.env("PLUGIN_CLIENT_CERT", identity.certificate.pem());
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let parts: Vec<&str> = line.trim_end().split('|').collect();
        let ["1", "6", "unix", socket, "grpc", certificate] = parts.as_slice() else {
            panic!("not a handshake: {line:?}");
        };
        assert_eq!(Path::new(socket).parent(), Some(folder.path()));
        let certificate = (!certificate.is_empty())
            .then(|| CertificateDer::from(STANDARD_NO_PAD.decode(certificate).unwrap()));
        Self { child, socket: PathBuf::from(socket), certificate, _folder: folder }
    }

    /// Connects; with a client certificate if there is an identity.
    pub(crate) async fn connect(&self, identity: Option<&Identity>) -> Result<Channel, String> {
        let tls = self.certificate.clone().map(|pinned| tls(pinned, identity));
        let socket = self.socket.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let (socket, tls) = (socket.clone(), tls.clone());
            async move {
                let plain = UnixStream::connect(socket).await?;
                let stream: Box<dyn Stream> = match tls {
                    Some(tls) => {
                        let name = ServerName::try_from("localhost").unwrap();
                        Box::new(TlsConnector::from(tls).connect(name, plain).await?)
                    }
                    None => Box::new(plain),
                };
                std::io::Result::Ok(TokioIo::new(stream))
            }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        endpoint.connect_with_connector(connector).await.map_err(|error| format!("{error:?}"))
    }

    /// Opens a connection and says nothing.
    pub(crate) async fn open_silently(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }

    /// Asks the provider to go, and returns whether it went well.
    pub(crate) async fn shut_down(mut self, channel: Channel) -> bool {
        GrpcControllerClient::new(channel).shutdown(Empty {}).await.unwrap();
        for _ in 0..500 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success() && !self.socket.exists();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    /// Kills what was started, and returns whether the provider goes by itself.
    pub(crate) async fn goes_without_its_parent(mut self) -> bool {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        for _ in 0..1000 {
            // The socket is the last thing to go.
            if !self.socket.exists() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    /// Sends the interrupt that Ctrl-C sends to the whole process group.
    pub(crate) fn interrupt(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for T {}

fn tls(pinned: CertificateDer<'static>, identity: Option<&Identity>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(pinned).unwrap();
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => builder
            .with_client_auth_cert(vec![identity.certificate.der().clone()], identity.key())
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}
