//! Pure planning of Consul clusters on Azure: spec -> desired -> diff with observed -> plan.
//!
//! No I/O, no clock, no randomness: the same input gives the same bytes.

pub mod dataplane;
pub mod spec;
