//! All tests of the planner but those beside its sources: one program, which is linked once.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines
)]

mod bugs;
mod client_config;
mod formats;
mod foundation;
mod golden;
mod guides;
mod host_manager;
mod laws;
mod lost;
mod properties;
mod support;
mod tags;
mod upgrade;
