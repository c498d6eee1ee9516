//! Runs plans: schedule, retry, poll, cancel, resume. Sees Azure only through the traits
//! [`cloud::Cloud`], [`blob::BlobStore`] and [`clock::Clock`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod adoption;
pub mod arm;
pub mod artifact;
pub mod authority;
pub mod blob;
pub mod clock;
pub mod cloud;
pub mod document;
pub mod entropy;
pub mod error;
pub mod execute;
pub mod image;
pub mod jobs;
pub mod lease;
pub mod observe;
pub mod permissions;
pub mod reconcile;
pub mod redact;
pub mod regions;
pub mod registration;
pub mod requests;
pub mod roles;
pub mod rotate;
pub mod secrets;
pub mod snapshot;
pub mod status;
pub mod stored_run;
pub mod versions;

/// Seconds since the Unix epoch of a moment as documents have it.
pub fn unix_s(rfc3339: &str) -> Option<i64> {
    rfc3339.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

/// A moment as documents have it, to the second.
pub fn rfc3339(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string()
}
