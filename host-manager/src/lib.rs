//! Runs on each server of a cluster: fetches what the server needs by managed identity, keeps
//! Consul configured and running, reports its health, takes snapshots and carries out requests.
//!
//! Consul never depends on this program: it keeps serving while the host manager, the storage
//! account or Azure's control plane is away. No secret appears in arguments, environment, logs or
//! error texts.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod artifact;
pub mod bootstrap;
pub mod certificate;
pub mod clock;
pub mod consul;
pub mod converge;
pub mod documents;
pub mod endpoint;
pub mod files;
pub mod formation;
pub mod host;
pub mod instance;
pub mod last_known;
pub mod leaf;
pub mod lock;
pub mod machine_files;
pub mod membership;
pub mod memory;
pub mod metadata;
pub mod metrics;
pub mod own_program;
pub mod paths;
pub mod reader;
pub mod readiness;
pub mod releases;
pub mod report;
pub mod requests;
pub mod restore;
pub mod rollout;
pub mod room;
pub mod rotation;
pub mod run;
#[cfg(test)]
mod samples;
pub mod secrets;
pub mod service;
pub mod snapshot;
pub mod status;
pub mod support;
pub mod timing;
pub mod upgrade;
