//! Providers of the examples under the real Terraform.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod by_hand;
mod corner;
mod example;
mod legs;
mod log;
mod newer;
mod notes;
mod workspace;
