//! What a user may write where a snapshot or its place is named.

use hcs_planner::snapshots::id::{SnapshotId, parse_container};

/// Longest name that somebody may give a snapshot.
const NAME_MAX: usize = 60;

/// Whether it is the ARM id of a container.
pub(crate) fn container_id(text: &str) -> Result<(), String> {
    parse_container(text).map(drop)
}

/// Whether it is the id of a snapshot.
pub(crate) fn snapshot_id(text: &str) -> Result<(), String> {
    SnapshotId::parse(text).map(drop)
}

/// Whether somebody may give a snapshot this name.
pub(super) fn snapshot_name(name: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(format!(
        "name is {name:?}; a snapshot's name has 1 to {NAME_MAX} letters, digits, '-' and '_', e.g. \"before-migration\"."
    ))
}
