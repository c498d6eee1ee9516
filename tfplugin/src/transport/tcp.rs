//! A local TCP port, for systems without Unix sockets.

use std::io;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::ops::RangeInclusive;

use tokio::net::{TcpListener, TcpStream};

use crate::handshake::Address;

pub(crate) struct TcpSocket(TcpListener);

impl TcpSocket {
    /// Binds the first free port of the range on the loopback address.
    pub(crate) fn bind(ports: RangeInclusive<u16>) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for port in ports {
            match StdListener::bind((Ipv4Addr::LOCALHOST, port)) {
                Ok(listener) => {
                    listener.set_nonblocking(true)?;
                    return TcpListener::from_std(listener).map(Self);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(crate) fn address(&self) -> io::Result<Address> {
        let address = self.0.local_addr()?.to_string();
        Ok(Address { network: "tcp", address })
    }

    pub(crate) async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.0.accept().await?;
        // Requests are small and answered at once: waiting for more data costs 40 ms each.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tcp_connection_does_not_wait_for_more_data() {
        let socket = TcpSocket::bind(0..=0).unwrap();
        let address = socket.address().unwrap();
        assert_eq!(address.network, "tcp");
        let (client, server) = tokio::join!(TcpStream::connect(&address.address), socket.accept());
        client.unwrap();
        assert!(server.unwrap().nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_taken_port_is_passed_over() {
        let taken = TcpSocket::bind(0..=0).unwrap();
        let port = taken.0.local_addr().unwrap().port();
        assert!(TcpSocket::bind(port..=port).is_err());
    }
}
