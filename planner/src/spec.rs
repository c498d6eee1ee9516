//! The spec: what the user declared, with every default resolved.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::arm::ArmId;
use crate::customer_key::CustomerManagedKey;
use crate::disks::{DataDiskType, HostEncryption};
use crate::names::default_managed_group;
use crate::reach::{OutboundType, StorageAccess, StorageZone};
use crate::releases::default_version;
use crate::roles::{Identities, RoleAssignmentMode};
use crate::rotation::Rotated;
use crate::tags::IgnoredTags;
use crate::upgrade::Maintenance;

/// What an input is when it is left out.
pub mod defaults {
    /// Servers.
    pub const SERVER_COUNT: u32 = 3;
    /// 2 cores and 8 GiB, which Consul's reference architecture calls small.
    pub const VM_SIZE: &str = "Standard_D2s_v5";
    /// OS disk.
    pub const OS_DISK_GIB: u32 = 64;
    /// Data disk.
    pub const DATA_DISK_GIB: u32 = 32;
    /// Network of the cluster's own, as the retired provider had it.
    pub const VNET_CIDR: &str = "172.25.16.0/24";
    /// Certificates of servers: a week.
    pub const SERVER_CERTIFICATE_TTL_SECONDS: u64 = 168 * 3600;
    /// Lock on the managed group.
    pub const LOCK_NAME: &str = "hcs-cannot-delete";

    pub(super) fn server_certificate_ttl_seconds() -> u64 {
        SERVER_CERTIFICATE_TTL_SECONDS
    }

    pub(super) fn needs_format() -> u32 {
        1
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
    pub(super) fn is_first(format: &u32) -> bool {
        *format == 1
    }

    pub(super) fn lock_name() -> String {
        LOCK_NAME.to_owned()
    }
}

/// What the user declared for one cluster. It is stored beside the cluster, so that an import restores it exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Subscription of everything.
    pub subscription_id: String,
    /// Name of the cluster; prefix of its objects.
    pub name: String,
    /// The user's group, to which the cluster belongs.
    pub resource_group_name: String,
    /// The group that holds the infrastructure.
    pub managed_resource_group_name: String,
    /// Azure region, in ARM's normal form (`westeurope`).
    pub location: String,
    /// Consul datacenter.
    pub consul_datacenter: String,
    /// Number of servers: 1, 3, 5 or 7.
    pub server_count: u32,
    /// Zones in the order of placement; empty where the region has none.
    pub zones: Vec<String>,
    /// What happens to a new server whose zone has no capacity.
    #[serde(default)]
    pub zone_fallback: ZoneFallback,
    /// VM size of the servers.
    pub vm_size: String,
    /// Sizes to try in this order where [`Self::vm_size`] has no capacity; only with a fallback.
    #[serde(default)]
    pub vm_size_fallbacks: Vec<String>,
    /// Image of the servers, where [`Self::source_image_id`] names none.
    pub image: ImageReference,
    /// A version of an image in a gallery of somebody, instead of one of the marketplace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_image_id: Option<ArmId>,
    /// What was bought with the image; absent: it costs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_plan: Option<Box<ImagePlan>>,
    /// Reservations from whose room the servers take theirs; absent: from what is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_reservation_group_id: Option<ArmId>,
    /// Size of the OS disk.
    pub os_disk_gib: u32,
    /// Size of the data disk, which holds Consul's data.
    pub data_disk_gib: u32,
    /// Kind of the data disk.
    #[serde(default)]
    pub data_disk_type: DataDiskType,
    /// With whose key the disks are encrypted; absent: with Azure's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_encryption_set_id: Option<ArmId>,
    /// Whether temporary disks and caches are encrypted on the host, too.
    #[serde(default, rename = "encryption_at_host_enabled")]
    pub host_encryption: HostEncryption,
    /// Public SSH key for new servers; absent: a key whose private half nobody has.
    pub ssh_public_key: Option<String>,
    /// Private ranges from which SSH reaches the servers; none: from nowhere.
    #[serde(default)]
    pub ssh_allowed_cidrs: Vec<Ipv4Net>,
    /// Address space of the cluster's own network; absent when the servers live in a subnet of the user's.
    pub vnet_cidr: Option<Ipv4Net>,
    /// The user's subnet in which the servers live; absent when the cluster has a network of its own.
    #[serde(default)]
    pub subnet_id: Option<ArmId>,
    /// Subnets of the user's by zone, in the network of [`Self::subnet_id`]: a server lives in that of its zone, and in
    /// `subnet_id` where its zone has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub zone_subnet_ids: BTreeMap<String, ArmId>,
    /// The servers' way out.
    #[serde(default)]
    pub outbound_type: OutboundType,
    /// Where the storage account answers.
    #[serde(default)]
    pub storage_access: StorageAccess,
    /// Who tells the address of the account's private endpoint, where it has one.
    #[serde(default, rename = "storage_private_dns_zone_id")]
    pub storage_zone: StorageZone,
    /// With whose key the account is encrypted; absent: with Azure's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_managed_key: Option<Box<CustomerManagedKey>>,
    /// Who assigns the servers' roles.
    #[serde(default)]
    pub role_assignment_mode: RoleAssignmentMode,
    /// Identities of somebody else, where that one assigns the roles.
    #[serde(default)]
    pub identities: Option<Identities>,
    /// Networks to peer with, both ways.
    pub peer_vnet_ids: Vec<ArmId>,
    /// The private DNS zone of somebody else in which the servers have their names; absent: one of the cluster's own.
    #[serde(default)]
    pub private_dns_zone_id: Option<ArmId>,
    /// Reaching Consul's HTTPS API from outside; absent: from inside only.
    #[serde(default)]
    pub external_endpoint: Option<ExternalEndpoint>,
    /// Consul version of the cluster.
    pub consul_version: semver::Version,
    /// The oldest version that will do, where none is declared exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_consul_version: Option<semver::Version>,
    /// What the servers may do by themselves, and when.
    #[serde(default, skip_serializing_if = "Maintenance::is_none")]
    pub maintenance: Maintenance,
    /// The version to which an apply may upgrade at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_maintenance_windows_for: Option<semver::Version>,
    /// What is added to the servers' configuration, JSON as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consul_server_config: Option<String>,
    /// Where Consul's archive comes from; absent: releases of its maker.
    pub artifact_source: Option<ArtifactSource>,
    /// How long a server's certificate is good for; servers renew theirs when half of it is over.
    #[serde(default = "defaults::server_certificate_ttl_seconds")]
    pub server_certificate_ttl_seconds: u64,
    /// The host manager that looks after the servers; absent: the one that belongs to the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_manager_version: Option<semver::Version>,
    /// What the declaration says of each secret that can be rotated: another word asks for another version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rotation_triggers: BTreeMap<Rotated, String>,
    /// Lock on the managed group.
    pub lock: LockLevel,
    /// Name of that lock.
    #[serde(default = "defaults::lock_name")]
    pub lock_name: String,
    /// Whether a destroy is refused at plan time.
    pub deletion_protection: bool,
    /// Whether a destroy takes along what others put into the managed group.
    #[serde(default)]
    pub force_destroy: bool,
    /// ARM id of the container into which a destroy puts a last snapshot, in an account that does not go with the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_snapshot_storage_container_id: Option<String>,
    /// Whether a destroy takes none, wherever one could go.
    #[serde(default)]
    pub skip_final_snapshot: bool,
    /// Id of the snapshot with whose state the cluster begins. It counts until the cluster is ready for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_from_snapshot_id: Option<String>,
    /// How long operations may take, as the user wrote it, by operation: kept so that an import gives it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<BTreeMap<String, String>>,
    /// The user's tags, default tags included and ignored ones left out.
    pub tags: BTreeMap<String, String>,
    /// The oldest form of documents that a program must know to change this cluster, see [`crate::dataplane::FORMAT`].
    #[serde(default = "defaults::needs_format", skip_serializing_if = "defaults::is_first")]
    pub needs_format: u32,
    /// Tags that others look after.
    #[serde(default, skip_serializing_if = "IgnoredTags::is_empty")]
    pub ignored_tags: IgnoredTags,
    /// Whether the servers go to the newest image by themselves, which takes [`ImageReference::is_latest`].
    #[serde(default)]
    pub image_upgrade_channel: ImageChannel,
    /// Of one change alone: servers with an older image are made anew, with this one.
    #[serde(skip)]
    pub image_at_least: Option<String>,
}

impl ClusterSpec {
    /// A cluster of which nothing else is declared: all else is as when it is left out, and the region has three zones.
    pub fn new(
        subscription_id: &str,
        name: &str,
        resource_group_name: &str,
        location: &str,
    ) -> Self {
        Self {
            subscription_id: subscription_id.to_owned(),
            name: name.to_owned(),
            resource_group_name: resource_group_name.to_owned(),
            managed_resource_group_name: default_managed_group(resource_group_name, name),
            location: location.to_owned(),
            consul_datacenter: name.to_owned(),
            server_count: defaults::SERVER_COUNT,
            zones: ["1", "2", "3"].map(str::to_owned).to_vec(),
            zone_fallback: ZoneFallback::default(),
            vm_size: defaults::VM_SIZE.to_owned(),
            vm_size_fallbacks: vec![],
            image: ImageReference::default(),
            source_image_id: None,
            image_plan: None,
            capacity_reservation_group_id: None,
            os_disk_gib: defaults::OS_DISK_GIB,
            data_disk_gib: defaults::DATA_DISK_GIB,
            data_disk_type: DataDiskType::default(),
            disk_encryption_set_id: None,
            host_encryption: HostEncryption::Off,
            ssh_public_key: None,
            ssh_allowed_cidrs: vec![],
            vnet_cidr: defaults::VNET_CIDR.parse().ok(),
            subnet_id: None,
            zone_subnet_ids: BTreeMap::new(),
            outbound_type: OutboundType::default(),
            storage_access: StorageAccess::default(),
            storage_zone: StorageZone::default(),
            customer_managed_key: None,
            role_assignment_mode: RoleAssignmentMode::default(),
            identities: None,
            peer_vnet_ids: vec![],
            private_dns_zone_id: None,
            external_endpoint: None,
            consul_version: default_version(),
            min_consul_version: None,
            maintenance: Maintenance::default(),
            ignore_maintenance_windows_for: None,
            consul_server_config: None,
            artifact_source: None,
            server_certificate_ttl_seconds: defaults::SERVER_CERTIFICATE_TTL_SECONDS,
            host_manager_version: None,
            rotation_triggers: BTreeMap::new(),
            lock: LockLevel::CanNotDelete,
            lock_name: defaults::lock_name(),
            deletion_protection: false,
            force_destroy: false,
            final_snapshot_storage_container_id: None,
            skip_final_snapshot: false,
            restore_from_snapshot_id: None,
            timeouts: None,
            tags: BTreeMap::new(),
            needs_format: 1,
            ignored_tags: IgnoredTags::default(),
            image_upgrade_channel: ImageChannel::None,
            image_at_least: None,
        }
    }
}

impl ClusterSpec {
    /// Whether the servers come to the outside by a NAT gateway of the cluster's own.
    pub fn has_own_way_out(&self) -> bool {
        self.subnet_id.is_none() && self.outbound_type == OutboundType::NatGateway
    }

    /// Subnets of the user's in which a server may be made, each once.
    pub fn subnets_of_servers(&self) -> Vec<&ArmId> {
        let in_zones = self.zones.iter().map(|zone| self.zone_subnet_ids.get(zone));
        let is_elsewhere = self.zones.is_empty() || self.zone_fallback == ZoneFallback::BestEffort;
        let mut found: Vec<&ArmId> = Vec::new();
        for own in in_zones.chain(is_elsewhere.then_some(None)) {
            found.extend(own.or(self.subnet_id.as_ref()).filter(|id| !found.contains(id)));
        }
        found
    }

    /// Whether each server is made with the newest image of its day, and keeps that.
    pub fn takes_newest_image(&self) -> bool {
        self.source_image_id.is_none() && self.image.is_latest()
    }

    /// Whether an apply brings servers newer images.
    pub fn takes_images_by_channel(&self) -> bool {
        self.image_upgrade_channel == ImageChannel::Latest && self.takes_newest_image()
    }
}

/// What happens to a new server whose zone has no capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneFallback {
    /// The apply stops: slot `i` is in `zones[i mod Z]` or nowhere.
    #[default]
    Strict,
    /// The fallback sizes are tried, then the other zones.
    Prefer,
    /// As [`Self::Prefer`], then wherever the region has room, outside of any zone.
    BestEffort,
}

impl ZoneFallback {
    /// Every word, in the order of strictness.
    pub const ALL: [Self; 3] = [Self::Strict, Self::Prefer, Self::BestEffort];

    /// The word in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Prefer => "prefer",
            Self::BestEffort => "best_effort",
        }
    }
}

/// A way to Consul's HTTPS API from outside of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalEndpoint {
    /// Who may come in; never empty.
    pub allowed_cidrs: Vec<Ipv4Net>,
}

/// A marketplace image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageReference {
    /// e.g. `Canonical`.
    pub publisher: String,
    /// e.g. `ubuntu-24_04-lts`.
    pub offer: String,
    /// e.g. `server`.
    pub sku: String,
    /// An exact version or `latest`.
    pub version: String,
}

/// What was bought with an image of the marketplace; the names are Azure's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePlan {
    /// e.g. `center-for-internet-security-inc`.
    pub publisher: String,
    /// The offer, e.g. `cis-ubuntu`.
    pub product: String,
    /// The plan of that offer, e.g. `cis-ubuntulinux2404-l1-gen2`.
    pub name: String,
}

impl ImageReference {
    /// Whether the newest version is meant: each server is made with the newest of its day and keeps it.
    pub fn is_latest(&self) -> bool {
        self.version.eq_ignore_ascii_case("latest")
    }

    /// The least version that is newer than this one.
    pub fn newer_than(version: &str) -> String {
        format!("{version}.0")
    }

    /// The order of an image's versions: `24.04.202611050` is newer than `24.04.9`.
    pub fn version_order(version: &str) -> Vec<u64> {
        version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
    }
}

/// Which images the servers of a cluster take after their birth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageChannel {
    /// None.
    #[default]
    None,
    /// The newest, in a maintenance window.
    Latest,
}

impl ImageChannel {
    /// Every word that a configuration may have.
    pub const ALL: [Self; 2] = [Self::None, Self::Latest];

    /// The word in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Latest => "latest",
        }
    }
}

impl Default for ImageReference {
    fn default() -> Self {
        Self {
            publisher: "Canonical".into(),
            offer: "ubuntu-24_04-lts".into(),
            sku: "server".into(),
            version: "latest".into(),
        }
    }
}

/// Where the Consul archive comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactSource {
    /// A folder, a file, or an `https://` URL.
    pub location: String,
    /// Expected SHA-256, lower-case hex; absent: the known releases' sum.
    pub sha256: Option<String>,
}

/// Lock on the managed group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockLevel {
    /// Nothing in the group can be deleted.
    CanNotDelete,
    /// No lock.
    None,
}

impl LockLevel {
    /// The word in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CanNotDelete => "CanNotDelete",
            Self::None => "None",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ImageReference;

    #[test]
    fn image_versions_are_numbers_and_not_texts() {
        let newer = ImageReference::newer_than("24.04.9");
        assert!(ImageReference::version_order(&newer) > ImageReference::version_order("24.04.9"));
        assert!(ImageReference::version_order(&newer) < ImageReference::version_order("24.04.10"));
        let order = ImageReference::version_order;
        assert!(order("24.04.202611050") > order("24.04.9"));
        assert!(order("0.20261013.2258") > order("0.20260711.10000"));
    }
}
