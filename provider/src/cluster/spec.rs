//! Between a cluster's inputs and the planner's spec: there and back, attribute by attribute.

use std::collections::BTreeMap;

use hcs_planner::arm::ArmId;
use hcs_planner::disks::{DataDiskType, HostEncryption};
use hcs_planner::reach::{OutboundType, StorageAccess, StorageZone};
use hcs_planner::roles::RoleAssignmentMode;
use hcs_planner::rules;
use hcs_planner::spec::{
    ClusterSpec, ExternalEndpoint, ImageChannel, ImageReference, ZoneFallback, defaults,
};
use hcs_planner::upgrade::{Channel, Maintenance, RELEASE_INDEX};
use ipnet::Ipv4Net;
use semver::Version;
use tfplugin::typed::Model as _;
use tfplugin::{Attr, Schema, Value, parse_duration};

use super::model::{self, Cluster};
use crate::tagging::Tagging;

mod parts;

pub(super) use parts::image;
pub(crate) use parts::timeouts;
use parts::{
    artifact_source, customer_managed_key, exclusion, identities, image_plan, lock,
    rotation_triggers, window,
};

/// The block that every resource has beside its attributes.
pub(super) const TIMEOUTS: &str = "timeouts";

/// Names of the inputs: what a configuration may set.
pub(super) fn inputs(schema: &Schema) -> impl Iterator<Item = &str> {
    let attributes = schema.block.attributes.iter();
    attributes.filter(|one| one.required || one.optional).map(|one| one.name.as_str())
}

/// Reads the spec that a state was made of: its tags are those that it had then, whatever the provider gives now.
pub(crate) fn stored_spec_of(
    state: &Value,
    subscription_id: &str,
    tagging: &Tagging,
) -> Result<ClusterSpec, String> {
    let all = texts_by_key(state.get(Cluster::TAGS_ALL));
    let tags = match all {
        Some(all) => all,
        None => tagging.of_cluster(state.get(Cluster::TAGS))?,
    };
    spec_with(state, subscription_id, tags, tagging)
}

/// Reads a spec from a plan whose inputs are known; the error names the input that is not.
pub(crate) fn spec_of(
    value: &Value,
    subscription_id: &str,
    tagging: &Tagging,
) -> Result<ClusterSpec, String> {
    let tags = tagging.of_cluster(value.get(Cluster::TAGS))?;
    spec_with(value, subscription_id, tags, tagging)
}

fn spec_with(
    value: &Value,
    subscription_id: &str,
    tags: BTreeMap<String, String>,
    tagging: &Tagging,
) -> Result<ClusterSpec, String> {
    let cluster = Cluster::from_value(value).map_err(|error| error.path.to_string())?;
    let timeouts = match value.get(TIMEOUTS) {
        none if none.is_null() => None,
        block => Some(tag_map(block).ok_or(TIMEOUTS)?),
    };
    Ok(ClusterSpec {
        subscription_id: subscription_id.to_owned(),
        tags,
        ignored_tags: tagging.ignored.clone(),
        timeouts,
        ..cluster.to_spec()?
    })
}

/// The value that a word names; the first of a kind where the word is left out.
fn word<T: Copy + Default>(
    attr: &Attr<String>,
    name: &str,
    all: impl IntoIterator<Item = T>,
    as_str: fn(T) -> &'static str,
) -> Result<T, String> {
    let word = set(attr, name)?;
    let mut all = all.into_iter();
    Ok(all.find(|one| word.as_deref() == Some(as_str(*one))).unwrap_or_default())
}

/// A duration as it is written in configurations.
pub(super) fn hours(seconds: u64) -> String {
    match seconds {
        whole if whole.is_multiple_of(3600) => format!("{}h", whole / 3600),
        whole if whole.is_multiple_of(60) => format!("{}m", whole / 60),
        odd => format!("{odd}s"),
    }
}

impl Cluster {
    /// What the inputs declare; the error names the first that is not known, or not usable. Tags and timeouts are not
    /// theirs alone.
    fn to_spec(&self) -> Result<ClusterSpec, String> {
        let lock = known(&self.lock, Self::LOCK)?.to_spec()?;
        Ok(ClusterSpec {
            name: known(&self.name, Self::NAME)?,
            resource_group_name: known(&self.resource_group_name, Self::RESOURCE_GROUP_NAME)?,
            location: rules::location(&known(&self.location, Self::LOCATION)?),
            managed_resource_group_name: known(
                &self.managed_resource_group_name,
                Self::MANAGED_RESOURCE_GROUP_NAME,
            )?,
            consul_datacenter: known(&self.consul_datacenter, Self::CONSUL_DATACENTER)?,
            server_count: known(&self.server_count, Self::SERVER_COUNT)?,
            zones: known(&self.zones, Self::ZONES)?,
            zone_fallback: word(
                &self.zone_fallback,
                Self::ZONE_FALLBACK,
                ZoneFallback::ALL,
                ZoneFallback::as_str,
            )?,
            vm_size: known(&self.vm_size, Self::VM_SIZE)?,
            vm_size_fallbacks: some(&self.vm_size_fallbacks, Self::VM_SIZE_FALLBACKS)?,
            image: set(&self.image, Self::IMAGE)?
                .map_or_else(|| Ok(ImageReference::default()), |image| image.to_spec())?,
            source_image_id: set(&self.source_image_id, Self::SOURCE_IMAGE_ID)?.map(ArmId::new),
            image_plan: set(&self.image_plan, Self::IMAGE_PLAN)?
                .map(|plan| plan.to_spec().map(Box::new))
                .transpose()?,
            capacity_reservation_group_id: set(
                &self.capacity_reservation_group_id,
                Self::CAPACITY_RESERVATION_GROUP_ID,
            )?
            .map(ArmId::new),
            image_upgrade_channel: word(
                &self.image_upgrade_channel,
                Self::IMAGE_UPGRADE_CHANNEL,
                ImageChannel::ALL,
                ImageChannel::as_str,
            )?,
            os_disk_gib: known(&self.os_disk_gib, Self::OS_DISK_GIB)?,
            data_disk_gib: known(&self.data_disk_gib, Self::DATA_DISK_GIB)?,
            data_disk_type: word(
                &self.data_disk_type,
                Self::DATA_DISK_TYPE,
                DataDiskType::ALL,
                DataDiskType::as_str,
            )?,
            disk_encryption_set_id: set(
                &self.disk_encryption_set_id,
                Self::DISK_ENCRYPTION_SET_ID,
            )?
            .map(ArmId::new),
            host_encryption: set(
                &self.encryption_at_host_enabled,
                Self::ENCRYPTION_AT_HOST_ENABLED,
            )?
            .map_or(HostEncryption::Off, HostEncryption::from),
            server_certificate_ttl_seconds: match set(
                &self.server_certificate_ttl,
                Self::SERVER_CERTIFICATE_TTL,
            )? {
                None => defaults::SERVER_CERTIFICATE_TTL_SECONDS,
                Some(text) => parse_duration(&text)
                    .map_err(|_| Self::SERVER_CERTIFICATE_TTL.to_owned())?
                    .as_secs(),
            },
            host_manager_version: version(&self.host_manager_version, Self::HOST_MANAGER_VERSION)?,
            rotation_triggers: set(&self.rotation_triggers, Self::ROTATION_TRIGGERS)?
                .map(|triggers| triggers.to_spec())
                .transpose()?
                .unwrap_or_default(),
            ssh_public_key: set(&self.ssh_public_key, Self::SSH_PUBLIC_KEY)?,
            ssh_allowed_cidrs: cidrs(&self.ssh_allowed_cidrs, Self::SSH_ALLOWED_CIDRS)?,
            artifact_source: set(&self.artifact_source, Self::ARTIFACT_SOURCE)?
                .map(|source| source.to_spec())
                .transpose()?,
            consul_version: known(&self.consul_version, Self::CONSUL_VERSION)?
                .parse()
                .map_err(|_| Self::CONSUL_VERSION)?,
            min_consul_version: version(&self.min_consul_version, Self::MIN_CONSUL_VERSION)?,
            maintenance: self.maintenance()?,
            consul_server_config: set(&self.consul_server_config, Self::CONSUL_SERVER_CONFIG)?,
            ignore_maintenance_windows_for: version(
                &self.ignore_maintenance_windows_for,
                Self::IGNORE_MAINTENANCE_WINDOWS_FOR,
            )?,
            needs_format: 1,
            lock: lock.0,
            lock_name: lock.1,
            deletion_protection: self.deletion_protection.known().copied().unwrap_or(false),
            force_destroy: self.force_destroy.known().copied().unwrap_or(false),
            final_snapshot_storage_container_id: self
                .final_snapshot_storage_container_id
                .known()
                .cloned(),
            skip_final_snapshot: self.skip_final_snapshot.known().copied().unwrap_or(false),
            restore_from_snapshot_id: self.restore_from_snapshot_id.known().cloned(),
            ..self.network()?
        })
    }

    /// The part that says where the servers are and what leads there and out; all else is empty.
    fn network(&self) -> Result<ClusterSpec, String> {
        Ok(ClusterSpec {
            vnet_cidr: set(&self.vnet_cidr, Self::VNET_CIDR)?
                .map(|cidr| cidr.parse().map_err(|_| Self::VNET_CIDR))
                .transpose()?,
            subnet_id: set(&self.subnet_id, Self::SUBNET_ID)?.map(ArmId::new),
            zone_subnet_ids: {
                let ids = set(&self.zone_subnet_ids, Self::ZONE_SUBNET_IDS)?.unwrap_or_default();
                let own = |(zone, id): (String, Attr<String>)| {
                    let id = set(&id, Self::ZONE_SUBNET_IDS).transpose()?;
                    Some(id.map(|id| (zone, ArmId::new(id))))
                };
                ids.into_iter().filter_map(own).collect::<Result<_, _>>()?
            },
            outbound_type: word(
                &self.outbound_type,
                Self::OUTBOUND_TYPE,
                OutboundType::ALL,
                OutboundType::as_str,
            )?,
            storage_access: word(
                &self.storage_access,
                Self::STORAGE_ACCESS,
                StorageAccess::ALL,
                StorageAccess::as_str,
            )?,
            storage_zone: {
                let zone =
                    set(&self.storage_private_dns_zone_id, Self::STORAGE_PRIVATE_DNS_ZONE_ID)?;
                zone.map_or_else(StorageZone::default, |text| StorageZone::of(&text))
            },
            customer_managed_key: set(&self.customer_managed_key, Self::CUSTOMER_MANAGED_KEY)?
                .map(|key| key.to_spec().map(Box::new))
                .transpose()?,
            role_assignment_mode: word(
                &self.role_assignment_mode,
                Self::ROLE_ASSIGNMENT_MODE,
                RoleAssignmentMode::ALL,
                RoleAssignmentMode::as_str,
            )?,
            identities: set(&self.identities, Self::IDENTITIES)?
                .map(|identities| identities.to_spec())
                .transpose()?,
            peer_vnet_ids: {
                let ids = some(&self.peer_vnet_ids, Self::PEER_VNET_IDS)?;
                ids.into_iter().map(ArmId::new).collect()
            },
            private_dns_zone_id: set(&self.private_dns_zone_id, Self::PRIVATE_DNS_ZONE_ID)?
                .map(ArmId::new),
            external_endpoint: {
                let wanted = set(&self.consul_external_endpoint, Self::CONSUL_EXTERNAL_ENDPOINT)?;
                let (callers, at) = (
                    &self.consul_external_endpoint_allowed_cidrs,
                    Self::CONSUL_EXTERNAL_ENDPOINT_ALLOWED_CIDRS,
                );
                let callers = || cidrs(callers, at);
                (wanted == Some(true))
                    .then(callers)
                    .transpose()?
                    .map(|allowed_cidrs| ExternalEndpoint { allowed_cidrs })
            },
            ..ClusterSpec::new("", "", "", "")
        })
    }

    /// The inputs as an import restores them. What is empty is empty, never null: a configuration that leaves it out and
    /// one that writes it empty both plan nothing then.
    pub(crate) fn of_spec(spec: &ClusterSpec, default_tags: &Value) -> Self {
        let own_tags = spec
            .tags
            .iter()
            .filter(|(key, value)| default_tags.get(key).as_str() != Some(value.as_str()))
            .map(|(key, value)| (key.clone(), value.clone().into()));
        let maintenance = &spec.maintenance;
        let index = maintenance.release_index.as_deref();
        let exclusions = maintenance.exclusions.iter().map(exclusion);
        let callers = spec.external_endpoint.iter().flat_map(|endpoint| &endpoint.allowed_cidrs);
        Self {
            name: spec.name.clone().into(),
            resource_group_name: spec.resource_group_name.clone().into(),
            location: spec.location.clone().into(),
            managed_resource_group_name: spec.managed_resource_group_name.clone().into(),
            consul_datacenter: spec.consul_datacenter.clone().into(),
            server_count: spec.server_count.into(),
            zones: spec.zones.clone().into(),
            zone_fallback: spec.zone_fallback.as_str().into(),
            vm_size: spec.vm_size.clone().into(),
            vm_size_fallbacks: spec.vm_size_fallbacks.clone().into(),
            image: spec.source_image_id.is_none().then(|| image(&spec.image)).into(),
            source_image_id: spec.source_image_id.as_ref().map(ToString::to_string).into(),
            image_plan: spec.image_plan.as_deref().map(image_plan).into(),
            capacity_reservation_group_id: spec
                .capacity_reservation_group_id
                .as_ref()
                .map(ToString::to_string)
                .into(),
            os_disk_gib: spec.os_disk_gib.into(),
            data_disk_gib: spec.data_disk_gib.into(),
            data_disk_type: spec.data_disk_type.as_str().into(),
            disk_encryption_set_id: spec
                .disk_encryption_set_id
                .as_ref()
                .map(ToString::to_string)
                .into(),
            encryption_at_host_enabled: bool::from(spec.host_encryption).into(),
            server_certificate_ttl: hours(spec.server_certificate_ttl_seconds).into(),
            host_manager_version: spec
                .host_manager_version
                .as_ref()
                .map(ToString::to_string)
                .into(),
            rotation_triggers: rotation_triggers(spec).into(),
            ssh_public_key: spec.ssh_public_key.clone().into(),
            ssh_allowed_cidrs: written(&spec.ssh_allowed_cidrs).into(),
            artifact_source: spec.artifact_source.as_ref().map(artifact_source).into(),
            vnet_cidr: spec.vnet_cidr.map(|cidr| cidr.to_string()).into(),
            subnet_id: spec.subnet_id.as_ref().map(ToString::to_string).into(),
            zone_subnet_ids: spec
                .zone_subnet_ids
                .iter()
                .map(|(zone, id)| (zone.clone(), id.to_string().into()))
                .collect::<BTreeMap<_, _>>()
                .into(),
            outbound_type: spec.outbound_type.as_str().into(),
            storage_access: spec.storage_access.as_str().into(),
            storage_private_dns_zone_id: spec.storage_zone.as_str().into(),
            customer_managed_key: spec
                .customer_managed_key
                .as_deref()
                .map(customer_managed_key)
                .into(),
            role_assignment_mode: spec.role_assignment_mode.as_str().into(),
            identities: spec.identities.as_ref().map(identities).into(),
            peer_vnet_ids: written(&spec.peer_vnet_ids).into(),
            private_dns_zone_id: spec.private_dns_zone_id.as_ref().map(ToString::to_string).into(),
            consul_external_endpoint: spec.external_endpoint.is_some().into(),
            consul_external_endpoint_allowed_cidrs: written(callers).into(),
            consul_version: spec.consul_version.to_string().into(),
            min_consul_version: spec.min_consul_version.as_ref().map(ToString::to_string).into(),
            consul_server_config: spec.consul_server_config.clone().into(),
            image_upgrade_channel: spec.image_upgrade_channel.as_str().into(),
            consul_upgrade_channel: maintenance.channel.as_str().into(),
            consul_release_index: index.unwrap_or(RELEASE_INDEX).into(),
            maintenance_windows: maintenance.windows.iter().map(window).collect::<Vec<_>>().into(),
            maintenance_exclusions: exclusions.collect::<Vec<_>>().into(),
            ignore_maintenance_windows_for: spec
                .ignore_maintenance_windows_for
                .as_ref()
                .map(ToString::to_string)
                .into(),
            lock: lock(spec.lock, &spec.lock_name).into(),
            deletion_protection: spec.deletion_protection.into(),
            force_destroy: spec.force_destroy.into(),
            final_snapshot_storage_container_id: spec
                .final_snapshot_storage_container_id
                .clone()
                .into(),
            skip_final_snapshot: spec.skip_final_snapshot.into(),
            restore_from_snapshot_id: spec.restore_from_snapshot_id.clone().into(),
            tags: own_tags.collect::<BTreeMap<_, _>>().into(),
            ..Self::default()
        }
    }
}

impl Cluster {
    /// What the servers may do by themselves.
    fn maintenance(&self) -> Result<Maintenance, String> {
        let channel = set(&self.consul_upgrade_channel, Self::CONSUL_UPGRADE_CHANNEL)?;
        let named = |(word, _): &(&str, Channel)| channel.as_deref() == Some(*word);
        let index = set(&self.consul_release_index, Self::CONSUL_RELEASE_INDEX)?;
        let windows = some(&self.maintenance_windows, Self::MAINTENANCE_WINDOWS)?;
        let exclusions = some(&self.maintenance_exclusions, Self::MAINTENANCE_EXCLUSIONS)?;
        let within = |list: &'static str| move |name: String| format!("{list}.{name}");
        Ok(Maintenance {
            channel: Channel::WORDS.into_iter().find(named).map_or(Channel::None, |(_, one)| one),
            release_index: index.filter(|index| index != RELEASE_INDEX),
            windows: windows
                .iter()
                .map(model::MaintenanceWindow::to_spec)
                .collect::<Result<_, _>>()
                .map_err(within(Self::MAINTENANCE_WINDOWS))?,
            exclusions: exclusions
                .iter()
                .map(model::MaintenanceExclusion::to_spec)
                .collect::<Result<_, _>>()
                .map_err(within(Self::MAINTENANCE_EXCLUSIONS))?,
        })
    }
}

/// A version, where there is one.
fn version(attribute: &Attr<String>, name: &str) -> Result<Option<Version>, String> {
    let text = set(attribute, name)?;
    text.map(|text| text.parse().map_err(|_| name.to_owned())).transpose()
}

/// A value that must be there.
fn known<T: Clone>(attribute: &Attr<T>, name: &str) -> Result<T, String> {
    attribute.known().cloned().ok_or_else(|| name.to_owned())
}

/// A value that may be null but not unknown.
fn set<T: Clone>(attribute: &Attr<T>, name: &str) -> Result<Option<T>, String> {
    if attribute.is_unknown() { Err(name.to_owned()) } else { Ok(attribute.known().cloned()) }
}

/// A list of which null means that it is empty.
fn some<T: Clone>(attribute: &Attr<Vec<T>>, name: &str) -> Result<Vec<T>, String> {
    Ok(set(attribute, name)?.unwrap_or_default())
}

fn cidrs(attribute: &Attr<Vec<String>>, name: &str) -> Result<Vec<Ipv4Net>, String> {
    let texts = some(attribute, name)?;
    texts.iter().map(|cidr| cidr.parse().map_err(|_| name.to_owned())).collect()
}

fn written<T: ToString>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}

/// A list of known strings.
pub(crate) fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_list()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// Texts by key: null is none, and so is a null element, by which a user takes one away. `None` where any is unknown.
pub(crate) fn tag_map(value: &Value) -> Option<BTreeMap<String, String>> {
    if value.is_null() {
        return Some(BTreeMap::new());
    }
    let present = value.as_map()?.iter().filter(|(_, item)| !item.is_null());
    present.map(|(key, item)| Some((key.clone(), item.as_str()?.to_owned()))).collect()
}

/// A map of known strings.
pub(crate) fn texts_by_key(value: &Value) -> Option<BTreeMap<String, String>> {
    let map = value.as_map()?;
    map.iter().map(|(key, item)| Some((key.clone(), item.as_str()?.to_owned()))).collect()
}
