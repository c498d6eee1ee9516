//! Snapshots: when one is due, whether it is whole, where it goes and which ones go away.

pub mod archive;
pub mod on_demand;
pub mod run;
pub mod schedule;
