//! Runs plans: schedule, retry, poll, cancel, resume. Sees Azure only through the traits
//! [`cloud::Cloud`], [`blob::BlobStore`] and [`clock::Clock`].

pub mod blob;
pub mod clock;
pub mod cloud;
