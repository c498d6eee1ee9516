//! Providers of the examples under the real Terraform.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod corner;
mod example;
mod notes;
mod workspace;
