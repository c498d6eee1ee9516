//! Runs plans: schedule, retry, poll, cancel, resume. Sees Azure only through the traits
//! [`cloud::Cloud`], [`blob::BlobStore`] and [`clock::Clock`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod arm;
pub mod artifact;
pub mod blob;
pub mod clock;
pub mod cloud;
pub mod error;
pub mod execute;
pub mod observe;
pub mod reconcile;
pub mod secrets;
