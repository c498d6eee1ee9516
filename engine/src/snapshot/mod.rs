//! Snapshots of Consul's state: whether an archive is whole and can be restored, and its way into another account.

pub mod archive;
pub mod bring;
pub mod listing;
pub mod records;
pub mod save;
