//! Drives the real terraform binary against `azure-emulator` and looks at the real Consul behind it.
//!
//! A library for the tests beside it and for `cargo xtask demo`. Nothing in the product depends on it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod before;
pub mod bins;
pub mod blobs;
pub mod canary;
pub mod client;
pub mod collector;
pub mod consul;
pub mod curl;
pub mod docs;
pub mod emulator;
pub mod error;
pub mod kill;
pub mod life;
pub mod load;
pub mod network;
pub mod packages;
pub mod scenario;
pub mod support;
pub mod terraform;
pub mod tools;
pub mod waiting;

pub use emulator::Emulator;
pub use error::HarnessError;
pub use scenario::Scenario;
pub use terraform::{Workspace, copy_tree};
pub use waiting::wait;
