//! A small world for the host manager: blobs in memory, a service manager that starts real
//! processes, a cluster's PKI, and the real Consul.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod blobs;
pub mod client;
pub mod releases;
pub mod systemctl;
pub mod world;
pub mod writer;

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Finds the real Consul.
pub fn consul_binary() -> PathBuf {
    if let Some(named) = std::env::var_os("HCS_CONSUL_BIN") {
        return PathBuf::from(named);
    }
    let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/consul");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("consul"));
    std::iter::once(PathBuf::from(tools)).chain(on_path).find(|file| file.is_file()).expect(
        "no Consul found: `cargo xtask test` fetches one, or set HCS_CONSUL_BIN to a consul program",
    )
}

/// Polls until the check gives something; fails with what it waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut check: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check().await {
            eprintln!("{what}: after {:.1} s", start.elapsed().as_secs_f32());
            return found;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
