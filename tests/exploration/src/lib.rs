//! Drives the engine through every fault at every call, and says whether what is left is right. What says so is the
//! judge, the watch over the voters and the count of calls: none of them asks the planner.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![allow(clippy::print_stdout)] // a report is for a person on the terminal

pub mod canary;
pub mod case;
pub mod faults;
pub mod random;
pub mod report;
pub mod run;
pub mod scenario;
pub mod snapshot;
pub mod story;

/// A failure of the exploration itself, not of what it explores.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
