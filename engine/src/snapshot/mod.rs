//! Snapshots of Consul's state: whether an archive is whole and can be restored.

pub mod archive;
pub mod records;
