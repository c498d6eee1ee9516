//! The Terraform provider `hcs`: Consul clusters on Azure.
//!
//! Thin: configuration <-> spec, and the engine does the rest. No logic of planning or execution lives here.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod advice;
mod artifacts;
mod client;
mod cluster;
mod cluster_data;
mod cluster_list;
mod clusters_data;
mod diagnostics;
mod durations;
mod ephemeral;
mod functions;
mod health_data;
mod helm_data;
mod leg;
mod listing;
mod policy;
mod provider;
mod retired;
mod snapshots;
mod tagging;
#[cfg(test)]
mod testing;
mod traces;
mod versions_data;
mod zones_data;

use std::process::ExitCode;

/// Thousands of plans in one process, as no provider makes them; see decision 0009.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Sends what is left when the plugin ends.
    let _traces = traces::begin();
    tfplugin::serve(provider::HcsProvider)
}
