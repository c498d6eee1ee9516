//! Snapshots that somebody wants by name, and the way back to one.

mod action;
mod ask;
mod data;
mod last;
mod names;
mod resource;
mod restore;

pub(crate) use action::{RestoreAction, SnapshotAction};
pub(crate) use data::SnapshotsDataSource;
pub(crate) use last::Last;
pub(crate) use names::{container_id, snapshot_id};
pub(crate) use resource::SnapshotResource;
pub(crate) use restore::RestoreResource;
