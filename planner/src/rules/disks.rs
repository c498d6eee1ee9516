//! Rules of the servers' disks.

use super::is_id_of_type;
use crate::disks::DataDiskType;
use crate::spec::{ClusterSpec, ZoneFallback};

const DISK_ENCRYPTION_SET: &str = "Microsoft.Compute/diskEncryptionSets";

/// A kind of disk that goes into no machine outside of a zone.
pub const PREMIUM_V2_NEEDS_A_ZONE: &str = "Where a region has zones Azure attaches a Premium SSD v2 to machines in a zone only, \
                                           and without zones, or with zone_fallback = \"best_effort\", a server may be \
                                           outside of any. Set zones and zone_fallback to \"strict\" or \"prefer\", or \
                                           data_disk_type = \"Premium_LRS\".";

/// Id of a disk encryption set.
pub fn disk_encryption_set_id(text: &str) -> Result<(), String> {
    if is_id_of_type(text, DISK_ENCRYPTION_SET) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not the id of a disk encryption set; it ends in {DISK_ENCRYPTION_SET}/<name>."
    ))
}

/// What of these is wrong together or alone: the attribute, and why.
pub(super) fn broken(spec: &ClusterSpec) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    if let Some(Err(told)) =
        spec.disk_encryption_set_id.as_ref().map(|id| disk_encryption_set_id(id.as_str()))
    {
        found.push(("disk_encryption_set_id", told));
    }
    if spec.data_disk_type == DataDiskType::PremiumV2Lrs
        && spec.zone_fallback == ZoneFallback::BestEffort
    {
        found.push(("data_disk_type", PREMIUM_V2_NEEDS_A_ZONE.to_owned()));
    }
    found
}
