//! All tests of the engine but those beside its sources: one program, which is linked once.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod arm;
mod exclusion;
mod lease;
mod lists;
mod support;
