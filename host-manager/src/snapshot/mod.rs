//! Snapshots: when one is due, how it gets into the account whole or not at all, whether it can be restored, and which ones
//! go away.

mod drill;
pub mod on_demand;
pub mod run;
pub mod save;
pub mod trial;
