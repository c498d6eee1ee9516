//! `hcs_cluster` as its users see it: each attribute once, with its type, its words, its default and its rule.

use std::collections::BTreeMap;

use hcs_planner::dataplane::own_version;
use hcs_planner::disks::DataDiskType;
use hcs_planner::maintenance::{self, Scope};
use hcs_planner::reach::{OutboundType, StorageAccess, StorageZone};
use hcs_planner::roles::RoleAssignmentMode;
use hcs_planner::rules;
use hcs_planner::server_config;
use hcs_planner::spec::{ImageChannel, ImageReference, LockLevel, ZoneFallback, defaults};
use hcs_planner::upgrade::{Channel, RELEASE_INDEX};
use tfplugin::plan::equality::{by_duration, ignoring_case};
use tfplugin::typed::Content as _;
use tfplugin::validate::{each, text_rule};
use tfplugin::{Attr, Model, Value};

use super::validate::{
    at_most, data_disk_type, exact_version, exclusion_scope, image_channel, lock, number_rule,
    outbound_type, role_assignment_mode, same_json, same_location, same_subnets,
    server_certificate_ttl, storage_access, upgrade_channel, version, window_duration,
    zone_fallback, zone_list, zone_subnets,
};
use crate::snapshots::{container_id, snapshot_id};
use crate::tagging;

/// A highly available Consul cluster in your own subscription: one server a zone in turn, TLS and ACLs on from the
/// first second.
#[derive(Debug, Clone, Default, Model)]
#[tf(version = 1)]
pub(crate) struct Cluster {
    /// Name of the cluster: 3 to 32 lower-case letters, digits and hyphens. Changing it makes another cluster.
    #[tf(required, replaces, validate = text_rule("a cluster's name", rules::cluster_name))]
    pub(crate) name: Attr<String>,
    /// Your resource group, to which the cluster belongs. The infrastructure lives in a group of its own, see
    /// `managed_resource_group_name`.
    #[tf(required, replaces, validate = text_rule("a resource group's name", rules::resource_group), equal_if = ignoring_case)]
    pub(crate) resource_group_name: Attr<String>,
    /// Azure region; default: that of the resource group. Set it where the group is made in the same run.
    #[tf(optional, computed, replaces, equal_if = same_location)]
    pub(crate) location: Attr<String>,
    /// Group that holds the infrastructure; default `<resource_group_name>-mrg-<name>`.
    #[tf(optional, computed, replaces, validate = text_rule("a resource group's name", rules::resource_group), equal_if = ignoring_case)]
    pub(crate) managed_resource_group_name: Attr<String>,
    /// Consul datacenter; default: `name`.
    #[tf(optional, computed, replaces, validate = text_rule("a datacenter's name", rules::datacenter))]
    pub(crate) consul_datacenter: Attr<String>,
    /// Number of servers: 1, 3 (default), 5 or 7. Can be changed in place.
    #[tf(default = defaults::SERVER_COUNT, validate = number_rule(rules::server_count))]
    pub(crate) server_count: Attr<u32>,
    /// Zones in the order of placement: server `i` lives in `zones[i mod length]`. Default: all that offer the size.
    /// A server whose zone changes is made anew.
    #[tf(optional, computed, validate = zone_list())]
    pub(crate) zones: Attr<Vec<String>>,
    /// Public SSH key of servers that are made from now on; default: a key whose private half nobody has. Ed25519, or
    /// RSA of 2048 bits and more: Azure takes no other.
    #[tf(validate = text_rule("a public SSH key", rules::ssh_public_key))]
    pub(crate) ssh_public_key: Attr<String>,
    /// Private IPv4 ranges from which SSH reaches the servers; default: none, and `az vmss run-command invoke` is the
    /// way in. Needs `ssh_public_key`. Ranges of the internet are refused: the servers have no public addresses.
    #[tf(default = Value::list([]), validate = each(text_rule("a private IPv4 range", rules::ssh_allowed_cidr)))]
    pub(crate) ssh_allowed_cidrs: Attr<Vec<String>>,
    /// Where Consul's archive comes from; default: HashiCorp's releases. Once set it is remembered.
    #[tf(optional, computed)]
    pub(crate) artifact_source: Attr<ArtifactSource>,
    /// Exact Consul version; default: the newest at creation that was run with hcs, and later whatever the cluster went to
    /// by `consul_upgrade_channel`. A newer one is rolled out after a snapshot, one server at a time, the leader last.
    /// Consul does not go back, but for an upgrade that stopped before any server led with the new version: `hcs upgrade
    /// take-back`.
    #[tf(optional, computed, validate = text_rule("an exact version", version))]
    pub(crate) consul_version: Attr<String>,
    /// The oldest Consul version that will do, where `consul_version` names none exactly. A cluster that is newer stays as it
    /// is; an older one is upgraded by an apply.
    #[tf(validate = text_rule("an exact version", version))]
    pub(crate) min_consul_version: Attr<String>,
    /// Which releases of Consul the servers take by themselves, with Terraform away: `none` (default), `patch` (fixes of
    /// the series that runs), `minor` (later series with the same first number, too) or `major` (all). Each is verified by
    /// its maker's signature, comes in a maintenance window after a snapshot, one server at a time, and stops at the first
    /// server that does not come back well. Not with an exact `consul_version`.
    #[tf(default = Channel::None.as_str(), validate = text_rule("a channel", upgrade_channel))]
    pub(crate) consul_upgrade_channel: Attr<String>,
    /// Where the servers look for releases of Consul, while there is a channel: the base URL of HashiCorp's (default) or
    /// of a mirror that has the same files, `index.json` among them, or `none`.
    #[tf(default = RELEASE_INDEX, validate = text_rule("a release index", rules::release_index))]
    pub(crate) consul_release_index: Attr<String>,
    /// When the servers may do by themselves what can be felt; default: at any time. An apply that upgrades Consul is
    /// refused outside of them, see `ignore_maintenance_windows_for`.
    #[tf(default = Value::list([]), validate = at_most(maintenance::MAX))]
    pub(crate) maintenance_windows: Attr<Vec<MaintenanceWindow>>,
    /// Times in which maintenance does not happen, window or not, such as the end of the year.
    #[tf(default = Value::list([]), validate = at_most(maintenance::MAX))]
    pub(crate) maintenance_exclusions: Attr<Vec<MaintenanceExclusion>>,
    /// The Consul version to which an apply may upgrade outside of the maintenance windows, such as one that mends an
    /// incident: it holds for that version alone, so it can stay in the configuration.
    #[tf(validate = text_rule("an exact version", version))]
    pub(crate) ignore_maintenance_windows_for: Attr<String>,
    /// What is added to the configuration of the servers' Consul: a JSON object, such as `jsonencode({ log_level = "DEBUG" })`.
    /// The servers take it one after the other after the apply, each when its Consul calls it valid; one that is refused is
    /// told as a warning of the next plan, and what ran goes on. What hcs sets, what lets somebody in and secrets are
    /// refused while planning.
    #[tf(equal_if = same_json, validate = text_rule("a JSON object", |text| server_config::parse(text).map(drop)))]
    pub(crate) consul_server_config: Attr<String>,
    /// Lock on the managed group, as Azure Verified Modules have it; default: one that keeps all in it from being deleted.
    /// An apply that has to delete something takes it away first and puts it back last.
    #[tf(default = Lock::default_value())]
    pub(crate) lock: Attr<Lock>,
    /// Whether a destroy takes along what others put into the managed group, such as a policy, backup or Defender;
    /// default false: it names them and stops. What the state says counts, so set and apply it before the destroy. A
    /// group that was there before the cluster keeps what others put there in any case.
    #[tf(default = false)]
    pub(crate) force_destroy: Attr<bool>,
    /// ARM id of a container into which a destroy, or the destroy of a replacement, puts a last snapshot: the cluster's own
    /// account goes with it. In an account of yours on which the caller holds *Storage Blob Data Contributor*. What the
    /// state says counts, so set and apply it before the destroy.
    #[tf(equal_if = ignoring_case, validate = text_rule("the id of a storage container", container_id))]
    pub(crate) final_snapshot_storage_container_id: Attr<String>,
    /// Whether a destroy takes no last snapshot, wherever one could go; default false. For a cluster that has lost its
    /// quorum, whose last snapshot cannot be taken any more. What the state says counts.
    #[tf(default = false)]
    pub(crate) skip_final_snapshot: Attr<bool>,
    /// Id of a snapshot, of this or another cluster, in whatever account and region: the cluster begins with its state, and is
    /// not ready before. The caller reads it and brings it; it needs *Storage Blob Data Reader* on its container. The cluster
    /// keeps its own CA, gossip key and tokens of servers; every token that the snapshot holds opens it. Counts only when a
    /// cluster is made: for one that exists use `hcs_snapshot_restore`.
    #[tf(validate = text_rule("the id of a snapshot", snapshot_id))]
    pub(crate) restore_from_snapshot_id: Attr<String>,
    /// Whether a destroy or a replacement is refused; default false. What counts is what the state says: set it to
    /// false and apply before you destroy.
    #[tf(default = false)]
    pub(crate) deletion_protection: Attr<bool>,
    /// Tags of the cluster's objects. A null value takes a key away.
    #[tf(default = Value::Map(BTreeMap::new()), validate = tagging::rules())]
    pub(crate) tags: Attr<BTreeMap<String, Attr<String>>>,
    /// What happens to a new server whose zone has no capacity: `strict` (default) stops the apply, `prefer` tries
    /// `vm_size_fallbacks` and then the other zones, `best_effort` at last goes outside of any zone. With a fallback
    /// the zones of new servers are known after the apply.
    #[tf(default = ZoneFallback::Strict.as_str(), validate = text_rule("a zone_fallback", zone_fallback))]
    pub(crate) zone_fallback: Attr<String>,
    /// VM size of the servers; default `Standard_D2s_v5`. Changing it restarts one server after the other, the leader
    /// last.
    #[tf(default = defaults::VM_SIZE)]
    pub(crate) vm_size: Attr<String>,
    /// Sizes to try in this order where `vm_size` has no capacity; only with a `zone_fallback`.
    #[tf(default = Value::list([]))]
    pub(crate) vm_size_fallbacks: Attr<Vec<String>>,
    /// Marketplace image of the servers; default Ubuntu 24.04 LTS. Changing it makes one server after the other anew,
    /// beside a helper that joins first.
    #[tf(default = super::spec::image(&ImageReference::default()).write())]
    pub(crate) image: Attr<Image>,
    /// Id of a version of an image in an Azure Compute Gallery of yours, instead of `image`: Ubuntu 24.04 or what is made of
    /// it, for x64, generation 2 and machines that start securely. It has to be replicated to the cluster's region, and the caller needs Reader on it.
    /// Changing it makes one server after the other anew, beside a helper that joins first.
    #[tf(validate = text_rule("the id of a version in an image gallery", rules::source_image_id), equal_if = ignoring_case)]
    pub(crate) source_image_id: Attr<String>,
    /// What was bought with the image, for one of the marketplace that costs something or a gallery's that was made of such.
    /// The subscription accepts its terms first (`az vm image terms accept`). Changing it makes the servers anew.
    pub(crate) image_plan: Attr<ImagePlan>,
    /// Id of a capacity reservation group of yours, in whose reservations for `vm_size` the servers run: one in each zone with a server, and in that of the next one; only
    /// with `zone_fallback` `strict`. A server that is made anew stands beside a helper, for which Azure takes what is free
    /// where nothing more is reserved. Changing it makes the servers anew.
    #[tf(validate = text_rule("the id of a capacity reservation group", rules::capacity_reservation_group_id), equal_if = ignoring_case)]
    pub(crate) capacity_reservation_group_id: Attr<String>,
    /// Which images the servers take after their birth: `none` (default), or `latest`: a plan while a maintenance window is
    /// open makes servers anew that are older than the newest, one after the other; outside of one it leaves them. The
    /// servers cannot do it by themselves, so run an apply in the window, by a pipeline say. Not with an exact image.
    #[tf(default = ImageChannel::None.as_str(), validate = text_rule("a channel", image_channel))]
    pub(crate) image_upgrade_channel: Attr<String>,
    /// OS disk of a server in GiB; default 64. Changing it makes the servers anew.
    #[tf(default = defaults::OS_DISK_GIB, validate = number_rule(|gib| rules::disk_gib(Cluster::OS_DISK_GIB, &rules::OS_DISK_GIB, gib)))]
    pub(crate) os_disk_gib: Attr<u32>,
    /// Data disk of a server in GiB, which holds Consul's data; default 32. Changing it makes the servers anew.
    #[tf(default = defaults::DATA_DISK_GIB, validate = number_rule(|gib| rules::disk_gib(Cluster::DATA_DISK_GIB, &rules::DATA_DISK_GIB, gib)))]
    pub(crate) data_disk_gib: Attr<u32>,
    /// Kind of the data disk: `Premium_LRS` (default), whose speed grows with its size; `PremiumV2_LRS`, 3,000 operations a
    /// second at each size, where the region has it; or `StandardSSD_LRS` for clusters that nobody waits for. Changing it
    /// makes the servers anew.
    #[tf(default = DataDiskType::default().as_str(), validate = text_rule("a kind of disk", data_disk_type))]
    pub(crate) data_disk_type: Attr<String>,
    /// Id of a disk encryption set of yours, in the cluster's subscription and region, with whose key all disks of the servers
    /// are encrypted; default: with Azure's. The caller needs Reader on it, and its own identity the key. Changing it makes
    /// the servers anew.
    #[tf(validate = text_rule("the id of a disk encryption set", rules::disk_encryption_set_id), equal_if = ignoring_case)]
    pub(crate) disk_encryption_set_id: Attr<String>,
    /// Whether the servers' temporary disks and the caches of their disks are encrypted on the host, too; default false.
    /// Needs the subscription's feature `Microsoft.Compute/EncryptionAtHost`. Changing it makes the servers anew.
    #[tf(default = false)]
    pub(crate) encryption_at_host_enabled: Attr<bool>,
    /// How long a server's certificate is good for, from `1h` to `8760h`; default `168h`. Each server makes its own,
    /// renews it when half of that is over, and Consul reads it without a restart. The storage account may be away for
    /// about half of it.
    #[tf(default = super::spec::hours(defaults::SERVER_CERTIFICATE_TTL_SECONDS), equal_if = by_duration, validate = text_rule("a duration", server_certificate_ttl))]
    pub(crate) server_certificate_ttl: Attr<String>,
    /// Version of the program that looks after each server; default: the one that belongs to the provider, so that
    /// another provider brings another one. Servers take it one after the other while Consul goes on, and put a bad one
    /// back by themselves. Set it to stay at what runs, or to go back to the one before.
    #[tf(default = own_version().to_string(), validate = text_rule("a version", exact_version))]
    pub(crate) host_manager_version: Attr<String>,
    /// Rotation of the cluster's secrets: a word for each, such as a month. When it changes, the servers bring another
    /// version of that secret into use by themselves, after the apply and over days where clients need time. Taking a word
    /// away rotates nothing. `hcs status` tells how far they are.
    #[tf(default = RotationTriggers::default().write())]
    pub(crate) rotation_triggers: Attr<RotationTriggers>,
    /// Address space of the cluster's network, /27 or larger; default `172.25.16.0/24`.
    #[tf(optional, computed, replaces, validate = text_rule("a network", |cidr| rules::vnet_cidr(cidr).map(|_| ())))]
    pub(crate) vnet_cidr: Attr<String>,
    /// Your own subnet for the servers, instead of a network of the cluster's: /27 or larger, in the cluster's
    /// region, with a way out. Its security group is yours to keep. Changing it makes another cluster.
    #[tf(replaces, validate = text_rule("the id of a subnet", rules::subnet_id), equal_if = ignoring_case)]
    pub(crate) subnet_id: Attr<String>,
    /// Subnets of yours by zone (`{ "1" = ... }`), in the network of `subnet_id`, each /28 or larger: a server lives in that
    /// of its zone, such as behind a NAT gateway of that zone, and in `subnet_id` where its zone has none. The load balancer
    /// and the private endpoint stay in `subnet_id`. A null value is none. Changing it makes the servers of that zone anew,
    /// one after the other.
    #[tf(default = Value::Map(BTreeMap::new()), validate = zone_subnets(), equal_if = same_subnets)]
    pub(crate) zone_subnet_ids: Attr<BTreeMap<String, Attr<String>>>,
    /// How the servers reach what is outside of their network (`required_outbound`): `nat_gateway` (default), a NAT gateway
    /// with a public address (in subnets of your own, those that you attached there); `user_defined_routing`, the route
    /// tables of your own subnets, to a firewall say; or `none`. With the last two hcs makes no public address.
    #[tf(default = OutboundType::default().as_str(), validate = text_rule("a way out", outbound_type))]
    pub(crate) outbound_type: Attr<String>,
    /// Where the cluster's storage account answers: `public_endpoint` (default), where roles decide who gets in; or
    /// `private_endpoint`: at an address in the servers' network and nowhere else. Whoever runs Terraform needs a route to
    /// that address then, and its name resolved there.
    #[tf(default = StorageAccess::default().as_str(), validate = text_rule("a kind of access", storage_access))]
    pub(crate) storage_access: Attr<String>,
    /// Who tells the private endpoint's address: `System` (default), a zone of the cluster's own that answers in the
    /// servers' network; the id of a zone `privatelink.blob.core.windows.net`, such as a hub's; or `None`: somebody else,
    /// such as a policy. The words are AKS's.
    #[tf(default = StorageZone::SYSTEM, validate = text_rule("a zone", rules::storage_private_dns_zone_id), equal_if = ignoring_case)]
    pub(crate) storage_private_dns_zone_id: Attr<String>,
    /// Key of yours with which the storage account is encrypted, as Azure Verified Modules have it; default: Azure's. Can be
    /// set, changed and taken away on a cluster that runs.
    pub(crate) customer_managed_key: Attr<CustomerManagedKey>,
    /// Who assigns the servers' roles: `managed` (default), the apply, to identities that it makes; or `external`, somebody
    /// else, to `identities`, as `required_role_assignments` says, before the cluster is made. Then its apply assigns nothing,
    /// and whoever applies needs no right to. Changing it makes another cluster.
    #[tf(default = RoleAssignmentMode::default().as_str(), replaces, validate = text_rule("a mode", role_assignment_mode))]
    pub(crate) role_assignment_mode: Attr<String>,
    /// Identities that somebody else made and gives their roles; only with `role_assignment_mode` `external`.
    pub(crate) identities: Attr<Identities>,
    /// Ids of virtual networks to peer with, both ways; not with `subnet_id`.
    #[tf(default = Value::list([]), validate = each(text_rule("the id of a virtual network", rules::vnet_id)), equal_if = ignoring_case)]
    pub(crate) peer_vnet_ids: Attr<Vec<String>>,
    /// Id of a private DNS zone of yours, such as a hub's, in which the servers have their names
    /// (`consul.<name>.<zone>`), instead of a zone of the cluster's own. Many clusters fit into one zone; where it
    /// answers is yours to link. Changing it makes another cluster.
    #[tf(replaces, validate = text_rule("the id of a private DNS zone", rules::private_dns_zone_id), equal_if = ignoring_case)]
    pub(crate) private_dns_zone_id: Attr<String>,
    /// Whether Consul's HTTPS API can be reached from outside, by
    /// `consul_external_endpoint_allowed_cidrs` only; default false.
    #[tf(default = false)]
    pub(crate) consul_external_endpoint: Attr<bool>,
    /// IPv4 ranges that may call the external endpoint; needed with it.
    #[tf(default = Value::list([]), validate = each(text_rule("an IPv4 range", rules::allowed_cidr)))]
    pub(crate) consul_external_endpoint_allowed_cidrs: Attr<Vec<String>>,
    /// ARM id of the managed resource group: a scope for roles and locks.
    #[tf(computed, identity)]
    pub(crate) id: Attr<String>,
    /// Which cluster of its id this is. A create begins a new one; a state that holds an earlier one can neither
    /// change nor destroy it.
    #[tf(computed)]
    pub(crate) incarnation_id: Attr<String>,
    /// `running`, `degraded` (servers report a problem) or `converging` (a change is under way or was interrupted;
    /// apply again).
    #[tf(computed)]
    pub(crate) state: Attr<String>,
    /// `tags` with the provider's `default_tags`.
    #[tf(computed)]
    pub(crate) tags_all: Attr<BTreeMap<String, String>>,
    /// The servers by slot.
    #[tf(computed)]
    pub(crate) servers: Attr<Vec<Server>>,
    /// What the cluster survives.
    #[tf(computed)]
    pub(crate) quorum: Attr<Quorum>,
    /// Every Azure object of the cluster: as read in the state, as it will be in the plan.
    #[tf(computed)]
    pub(crate) azure_resources: Attr<BTreeMap<String, AzureResource>>,
    /// What was changed outside of Terraform, and which server is lost, in sentences; empty when planned.
    #[tf(computed)]
    pub(crate) drift: Attr<Vec<String>>,
    /// Virtual network.
    #[tf(computed)]
    pub(crate) vnet_id: Attr<String>,
    /// Its name.
    #[tf(computed)]
    pub(crate) vnet_name: Attr<String>,
    /// Its group.
    #[tf(computed)]
    pub(crate) vnet_resource_group_name: Attr<String>,
    /// Subnet of the load balancer and of the servers outside of `zone_subnet_ids`: yours where `subnet_id` names one.
    #[tf(computed)]
    pub(crate) server_subnet_id: Attr<String>,
    /// Network security group of the cluster's own subnet; null in a subnet of yours.
    #[tf(computed)]
    pub(crate) network_security_group_id: Attr<String>,
    /// Internal load balancer.
    #[tf(computed)]
    pub(crate) load_balancer_id: Attr<String>,
    /// Address from which the servers come to the outside, by the NAT gateway of the cluster's own network; null with another
    /// way out. For firewalls of others: it stays as long as the cluster.
    #[tf(computed)]
    pub(crate) outbound_public_ip_address: Attr<String>,
    /// Storage account, such as for diagnostic settings.
    #[tf(computed)]
    pub(crate) storage_account_id: Attr<String>,
    /// What has to be assigned where `role_assignment_mode` is `external`, each with the condition that keeps it to the
    /// containers that it is for; empty otherwise. Whoever applies needs Storage Blob Data Contributor on the managed group
    /// beside them.
    #[tf(computed)]
    pub(crate) required_role_assignments: Attr<Vec<RoleAssignment>>,
    /// What the servers must reach outside of their subnet: names and TCP ports for the rules of a firewall, or for a
    /// private zone. What a machine reaches of Azure itself (169.254.169.254, 168.63.129.16) passes no firewall.
    #[tf(computed)]
    pub(crate) required_outbound: Attr<Vec<Destination>>,
    /// Address of the storage account's private endpoint; null without one.
    #[tf(computed)]
    pub(crate) storage_private_endpoint_ip_address: Attr<String>,
    /// Storage account of configuration and snapshots.
    #[tf(computed)]
    pub(crate) storage_account_name: Attr<String>,
    /// Container of the snapshots.
    #[tf(computed)]
    pub(crate) blob_container_name: Attr<String>,
    /// The CA certificate, PEM in base64.
    #[tf(computed)]
    pub(crate) consul_ca_file: Attr<String>,
    /// Configuration of a client agent for this version of Consul, JSON in base64; expects `consul_ca_file` at
    /// `/etc/consul.d/ca.pem`. Holds no secret: gossip key and token come from the ephemeral
    /// `hcs_cluster_client_config`.
    #[tf(computed)]
    pub(crate) consul_config_file: Attr<String>,
    /// What clients join: a private DNS name that lists all servers.
    #[tf(computed)]
    pub(crate) retry_join: Attr<Vec<String>>,
    /// Consul's HTTPS API inside the network.
    #[tf(computed)]
    pub(crate) consul_private_endpoint_url: Attr<String>,
    /// Consul's HTTPS API from outside; null without an external endpoint.
    #[tf(computed)]
    pub(crate) consul_external_endpoint_url: Attr<String>,
    /// When the first server certificate expires, as last read.
    #[tf(computed)]
    pub(crate) certificates_expire_at: Attr<String>,
    /// When the cluster's CA ends, as last read.
    #[tf(computed)]
    pub(crate) ca_certificate_expires_at: Attr<String>,
    /// Address of the internal balancer of Consul's HTTPS API.
    #[tf(computed)]
    pub(crate) consul_private_endpoint_ip_address: Attr<String>,
    /// Version of the image that the servers were made with, as last read; the oldest where they differ. With
    /// `latest` each server is made with the newest of its day and keeps it, unless `image_upgrade_channel` brings another.
    #[tf(computed)]
    pub(crate) image_version: Attr<String>,
    /// Version of the image that an apply brings, as last read: the newest, where `image_upgrade_channel` is `latest`, a
    /// maintenance window is open and a server is older; null otherwise.
    #[tf(computed)]
    pub(crate) next_image_version: Attr<String>,
    /// When the maintenance window opens next, or opened that is open now, as last read; null without windows.
    #[tf(computed)]
    pub(crate) next_maintenance_at: Attr<String>,
}

/// A time each week in which the servers may do by themselves what can be felt.
#[derive(Debug, Clone, Default, Model)]
pub(crate) struct MaintenanceWindow {
    /// Days on which it begins, such as `Saturday`; default: each.
    #[tf(default = Value::list([]), validate = each(text_rule("a day", maintenance::day)))]
    pub(crate) days: Attr<Vec<String>>,
    /// When it begins on the clock of `time_zone`, such as `02:30`.
    #[tf(required, validate = text_rule("a time of day", |text| maintenance::clock_time(text).map(drop)))]
    pub(crate) start: Attr<String>,
    /// How long it lasts on that clock, from `30m` to `24h`: `6h` from midnight end at six, whether the clock is changed in
    /// that night or not.
    #[tf(required, equal_if = by_duration, validate = text_rule("a duration", window_duration))]
    pub(crate) duration: Attr<String>,
    /// IANA name of the time zone, such as `Europe/Berlin`; default `UTC`.
    #[tf(default = "UTC", validate = text_rule("a time zone", |text| maintenance::zone(text).map(drop)))]
    pub(crate) time_zone: Attr<String>,
}

/// A time in which maintenance does not happen.
#[derive(Debug, Clone, Default, Model)]
pub(crate) struct MaintenanceExclusion {
    /// When it begins, RFC 3339.
    #[tf(required, validate = text_rule("a moment", |text| maintenance::moment(text).map(drop)))]
    pub(crate) start: Attr<String>,
    /// When it ends, RFC 3339.
    #[tf(required, validate = text_rule("a moment", |text| maintenance::moment(text).map(drop)))]
    pub(crate) end: Attr<String>,
    /// What does not happen: `all` (default), `minor` (versions of Consul of another series; fixes come) or `os` (images).
    #[tf(default = Scope::All.as_str(), validate = text_rule("a scope", exclusion_scope))]
    pub(crate) scope: Attr<String>,
}

/// Marketplace image of the servers; default Ubuntu 24.04 LTS. Changing it makes one server after the other anew,
/// beside a helper that joins first.
#[derive(Debug, Clone, Default, Model)]
pub(crate) struct Image {
    /// e.g. `Canonical`.
    #[tf(required)]
    pub(crate) publisher: Attr<String>,
    /// e.g. `ubuntu-24_04-lts`.
    #[tf(required)]
    pub(crate) offer: Attr<String>,
    /// e.g. `server`.
    #[tf(required)]
    pub(crate) sku: Attr<String>,
    /// An exact version or `latest`.
    #[tf(required)]
    pub(crate) version: Attr<String>,
}

/// What was bought with the image, for one of the marketplace that costs something or a gallery's that was made of such.
#[derive(Debug, Clone, Default, Model)]
pub(crate) struct ImagePlan {
    /// e.g. `center-for-internet-security-inc`; with `image` the same as its `publisher`.
    #[tf(required)]
    pub(crate) publisher: Attr<String>,
    /// e.g. `cis-ubuntu`; with `image` the same as its `offer`.
    #[tf(required)]
    pub(crate) product: Attr<String>,
    /// e.g. `cis-ubuntulinux2404-l1-gen2`; with `image` the same as its `sku`.
    #[tf(required)]
    pub(crate) name: Attr<String>,
}

/// Where Consul's archive comes from; default: HashiCorp's releases. Once set it is remembered.
#[derive(Debug, Clone, Default, Model)]
pub(crate) struct ArtifactSource {
    /// Folder, file or `https://` URL of Consul's Linux archive.
    #[tf(required)]
    pub(crate) location: Attr<String>,
    /// Its SHA-256; needed for a URL of a release that is not known.
    pub(crate) sha256: Attr<String>,
}

/// Lock on the managed group.
#[derive(Debug, Clone, Default, Model)]
pub(crate) struct Lock {
    /// `CanNotDelete` (default) or `None`. `ReadOnly` would stop the servers' own upkeep.
    #[tf(default = LockLevel::CanNotDelete.as_str(), validate = text_rule("a kind of lock", lock))]
    pub(crate) kind: Attr<String>,
    /// Its name; default `hcs-cannot-delete`.
    #[tf(default = defaults::LOCK_NAME, validate = text_rule("a lock's name", rules::lock_name))]
    pub(crate) name: Attr<String>,
}

/// Words that ask for other versions of secrets. They are no secrets themselves.
#[derive(Debug, Clone, Default, Model)]
pub(crate) struct RotationTriggers {
    /// The key of the gossip. All members learn the new one at once; it comes into use a day later, so that who was away
    /// has time to come back, and the old one is forgotten a week after that.
    #[tf(validate = text_rule("a trigger", rules::rotation_trigger))]
    pub(crate) gossip_key: Attr<String>,
    /// The tokens of the servers' own agents, each at once.
    #[tf(validate = text_rule("a trigger", rules::rotation_trigger))]
    pub(crate) agent_tokens: Attr<String>,
    /// The management token: the new one can be used within a minute, all servers are restarted one after the other, the
    /// leader last, and then the old one is taken away.
    #[tf(validate = text_rule("a trigger", rules::rotation_trigger))]
    pub(crate) management_token: Attr<String>,
    /// The token of client agents: the new one can be used within a minute, and the old one goes a week later. Give the new
    /// one to your agents before that.
    #[tf(validate = text_rule("a trigger", rules::rotation_trigger))]
    pub(crate) client_token: Attr<String>,
    /// The CA. All servers trust the new one within minutes, and so does `consul_ca_file`, which then holds both: give it
    /// to clients within a week. Then the new one signs, and a week later the old one is forgotten.
    #[tf(validate = text_rule("a trigger", rules::rotation_trigger))]
    pub(crate) certificate_authority: Attr<String>,
}

/// The key that encrypts the storage account, and who may use it.
#[derive(Debug, Clone, Default, Model)]
pub(crate) struct CustomerManagedKey {
    /// Id of the key vault or managed HSM, with soft delete and purge protection; of any subscription of the tenant.
    #[tf(required, validate = text_rule("the id of a key vault", rules::key_vault_id), equal_if = ignoring_case)]
    pub(crate) key_vault_resource_id: Attr<String>,
    /// Name of the key.
    #[tf(required, validate = text_rule("the name of a key", rules::key_name))]
    pub(crate) key_name: Attr<String>,
    /// Version of the key; default: the newest, which Azure looks for each day, so that a rotation in the vault needs no
    /// apply.
    #[tf(validate = text_rule("the version of a key", rules::key_version))]
    pub(crate) key_version: Attr<String>,
    /// Who uses the key for the account.
    #[tf(required)]
    pub(crate) user_assigned_identity: Attr<KeyUser>,
}

/// Who uses the key for the account.
#[derive(Debug, Clone, Default, Model)]
pub(crate) struct KeyUser {
    /// Id of a user-assigned identity that holds *Key Vault Crypto Service Encryption User* on the key.
    #[tf(required, validate = text_rule("the id of an identity", rules::identity_id), equal_if = ignoring_case)]
    pub(crate) resource_id: Attr<String>,
}

/// Identities of the servers, made by somebody else.
#[derive(Debug, Clone, Default, Model)]
pub(crate) struct Identities {
    /// Id of the user-assigned identity that all servers share.
    #[tf(required, validate = text_rule("the id of an identity", rules::identity_id), equal_if = ignoring_case)]
    pub(crate) shared_id: Attr<String>,
    /// Ids of user-assigned identities, one for each server by slot, and one more for the helper that joins while others are
    /// made anew. What a running server has stays.
    #[tf(required, validate = each(text_rule("the id of an identity", rules::identity_id)), equal_if = ignoring_case)]
    pub(crate) server_ids: Attr<Vec<String>>,
}

/// A role that somebody else assigns.
#[derive(Debug, Clone, Default, Model)]
#[tf(computed)]
pub(crate) struct RoleAssignment {
    /// Where: the managed group, which is there before the cluster.
    pub(crate) scope: Attr<String>,
    /// Name of the role.
    pub(crate) role_definition_name: Attr<String>,
    /// Object id of who needs it.
    pub(crate) principal_id: Attr<String>,
    /// Keeps it to the containers that it is for.
    pub(crate) condition: Attr<String>,
    /// Of the condition.
    pub(crate) condition_version: Attr<String>,
}

/// Something that the servers must reach.
#[derive(Debug, Clone, Default, Model)]
#[tf(computed)]
pub(crate) struct Destination {
    /// Name in DNS.
    pub(crate) name: Attr<String>,
    /// TCP port.
    pub(crate) port: Attr<u32>,
    /// What for.
    pub(crate) purpose: Attr<String>,
}

/// One server.
#[derive(Debug, Clone, Default, Model)]
#[tf(computed)]
pub(crate) struct Server {
    /// Name of scale set and Consul node.
    pub(crate) name: Attr<String>,
    /// Permanent place, from 0.
    pub(crate) slot: Attr<u32>,
    /// Zone of the subscription; null in a region without zones.
    pub(crate) zone: Attr<String>,
    /// Data centre behind it, the same for every subscription.
    pub(crate) physical_zone: Attr<String>,
    /// Scale set.
    pub(crate) vmss_id: Attr<String>,
    /// Address in the cluster's network.
    pub(crate) private_ip: Attr<String>,
    /// Version that runs, as last read.
    pub(crate) consul_version: Attr<String>,
    /// Version of the host manager that looks after it, as last read.
    pub(crate) host_manager_version: Attr<String>,
}

/// What the cluster survives.
#[derive(Debug, Clone, Default, Model)]
#[tf(computed)]
pub(crate) struct Quorum {
    /// Votes needed.
    pub(crate) size: Attr<u32>,
    /// Servers it may lose.
    pub(crate) server_losses: Attr<u32>,
    /// Zones of which it may lose any single one.
    pub(crate) zone_losses: Attr<Vec<String>>,
}

/// One Azure object of the cluster.
#[derive(Debug, Clone, Default, Model)]
#[tf(computed)]
pub(crate) struct AzureResource {
    /// ARM type.
    pub(crate) r#type: Attr<String>,
    /// Name in Azure.
    pub(crate) name: Attr<String>,
    /// Of the properties that hcs owns.
    pub(crate) fingerprint: Attr<String>,
}
