//! Snapshots: when one is due, how it gets into the account whole or not at all, whether it can be restored, and which ones
//! go away.

/// Under which snapshots ask for somebody's attention.
pub const AREA: &str = "snapshots";

pub mod attempt;
mod drill;
pub mod folder;
pub mod on_demand;
pub mod run;
pub mod save;
pub mod trial;
