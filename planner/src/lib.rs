//! Pure planning of Consul clusters on Azure: spec -> desired -> diff with observed -> plan.
//!
//! No I/O, no clock, no randomness: the same input gives the same bytes.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod adoption;
pub mod arm;
pub mod assumed;
pub mod client_config;
pub mod cloud_init;
pub mod cost;
pub mod customer_key;
pub mod dataplane;
pub mod desired;
pub mod diff;
pub mod disks;
pub mod effect;
pub mod estimate;
pub mod fingerprint;
pub mod given_group;
pub mod helm_values;
pub mod jobs;
pub mod maintenance;
pub mod names;
pub mod observed;
pub mod ownership;
pub mod peers;
pub mod placement;
pub mod plan;
pub mod portal;
pub mod reach;
mod read_only;
pub mod reference;
pub mod releases;
pub mod render;
pub mod requests;
pub mod restore;
pub mod rights;
pub mod roles;
pub mod rotation;
pub mod rules;
pub mod server_config;
pub mod shared_zone;
pub mod snapshots;
pub mod spec;
pub mod tags;
pub mod upgrade;
