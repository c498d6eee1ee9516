//! Of what kind the servers' disks are, and with whose key they are encrypted.
//!
//! Facts: Microsoft's pages on types of managed disks, on encryption at host and on disk encryption sets.

use serde::{Deserialize, Serialize};

/// Kind of the data disk; the words are Azure's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataDiskType {
    /// Premium SSD, whose speed grows with its size.
    #[default]
    #[serde(rename = "Premium_LRS")]
    PremiumLrs,
    /// Premium SSD v2, 3,000 operations a second at each size; in a region with zones for machines in a zone only.
    #[serde(rename = "PremiumV2_LRS")]
    PremiumV2Lrs,
    /// Standard SSD, for clusters that nobody waits for.
    #[serde(rename = "StandardSSD_LRS")]
    StandardSsdLrs,
}

impl DataDiskType {
    /// Every word that a configuration may have.
    pub const ALL: [Self; 3] = [Self::PremiumLrs, Self::PremiumV2Lrs, Self::StandardSsdLrs];

    /// The word in configurations, and Azure's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PremiumLrs => "Premium_LRS",
            Self::PremiumV2Lrs => "PremiumV2_LRS",
            Self::StandardSsdLrs => "StandardSSD_LRS",
        }
    }
}

/// What a host does with what it keeps of a machine: temporary disks, and caches of disks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "bool", into = "bool")]
pub enum HostEncryption {
    /// It keeps that as it is.
    #[default]
    Off,
    /// It encrypts that.
    On,
}

impl From<bool> for HostEncryption {
    fn from(is_on: bool) -> Self {
        if is_on { Self::On } else { Self::Off }
    }
}

impl From<HostEncryption> for bool {
    fn from(encryption: HostEncryption) -> Self {
        encryption == HostEncryption::On
    }
}
