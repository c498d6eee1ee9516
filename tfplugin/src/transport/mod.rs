//! The way from a socket to a connection that may carry requests.

mod connection;
mod listener;
#[cfg(any(not(unix), test))]
mod tcp;
mod tls;
#[cfg(unix)]
mod unix;

pub(crate) use connection::Connection;
pub(crate) use listener::{Listener, accept};
pub(crate) use tls::{TlsError, mutual_tls};
