//! Listens, and encrypts what it accepts.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use super::Connection;
use crate::handshake::{Address, Environment};

/// How long a client may take to prove itself.
const TLS_HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A bound socket. What it leaves in the file system goes with it.
pub(crate) enum Listener {
    #[cfg(unix)]
    Unix(super::unix::UnixSocket),
    #[cfg(not(unix))]
    Tcp(super::tcp::TcpSocket),
}

impl Listener {
    /// Binds a Unix socket where there are such, and a local TCP port elsewhere.
    pub(crate) fn bind(environment: &Environment) -> io::Result<Self> {
        #[cfg(unix)]
        return super::unix::UnixSocket::bind(environment.socket_folder.as_deref()).map(Self::Unix);
        #[cfg(not(unix))]
        return super::tcp::TcpSocket::bind(environment.ports.clone()).map(Self::Tcp);
    }

    /// Where clients find it.
    pub(crate) fn address(&self) -> io::Result<Address> {
        match self {
            #[cfg(unix)]
            Self::Unix(socket) => socket.address(),
            #[cfg(not(unix))]
            Self::Tcp(socket) => socket.address(),
        }
    }

    async fn next(&self) -> io::Result<Connection> {
        match self {
            #[cfg(unix)]
            Self::Unix(socket) => socket.accept().await.map(Connection::new),
            #[cfg(not(unix))]
            Self::Tcp(socket) => socket.accept().await.map(Connection::new),
        }
    }
}

/// Accepts connections for as long as the stream is read, encrypted if a configuration is given.
///
/// Each client proves itself in a task of its own, so that a silent one keeps nobody waiting.
pub(crate) fn accept(
    listener: Listener,
    tls: Option<Arc<ServerConfig>>,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, accepted) = mpsc::channel(1);
    tokio::spawn(async move {
        let acceptor = tls.map(TlsAcceptor::from);
        loop {
            let connection = tokio::select! {
                connection = listener.next() => connection,
                () = sender.closed() => return,
            };
            match (connection, &acceptor) {
                (Ok(plain), Some(acceptor)) => {
                    tokio::spawn(encrypt(acceptor.clone(), plain, sender.clone()));
                }
                // An error belongs to one client, or passes when descriptors are free again.
                (Err(error), _) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                (plain, None) => {
                    let _ = sender.send(plain).await;
                }
            }
        }
    });
    ReceiverStream::new(accepted)
}

async fn encrypt(
    acceptor: TlsAcceptor,
    plain: Connection,
    sender: mpsc::Sender<io::Result<Connection>>,
) {
    match tokio::time::timeout(TLS_HANDSHAKE_LIMIT, acceptor.accept(plain)).await {
        Ok(Ok(encrypted)) => {
            let _ = sender.send(Ok(Connection::new(encrypted))).await;
        }
        Ok(Err(error)) => tracing::warn!(%error, "a client did not prove itself"),
        Err(_) => tracing::warn!("a client took too long to prove itself"),
    }
}
