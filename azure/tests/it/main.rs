//! The ports against small servers on this machine: real TLS, real SDK pipelines, no Azure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod arm;
mod blob_service;
mod blobs;
mod child;
mod connect;
mod credentials;
mod msi;
mod server;
mod tenants;
mod traced;
