//! Snapshots that somebody wants by name, and the way back to one.

mod action;
mod ask;
mod data;
mod id;
mod resource;
mod restore;

pub(crate) use action::{RestoreAction, SnapshotAction};
pub(crate) use data::SnapshotsDataSource;
pub(crate) use resource::SnapshotResource;
pub(crate) use restore::RestoreResource;
