//! The running provider, asked by a client of our own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod handshake;
mod later;
mod support;
