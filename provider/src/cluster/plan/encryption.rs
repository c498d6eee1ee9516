//! Keys of somebody and hosts that encrypt: what they need, looked at while planning.

use hcs_engine::regions;
use hcs_planner::arm::Kind;
use hcs_planner::disks::{DataDiskType, HostEncryption};
use hcs_planner::rules;
use hcs_planner::spec::ClusterSpec;
use serde_json::Value;
use tfplugin::Path;

use super::Planner;
use crate::cluster::model::{Cluster, CustomerManagedKey, KeyUser};

/// As pinned for disk encryption sets.
const SETS_API_VERSION: &str = "2022-07-02";
/// As pinned for key vaults.
const VAULTS_API_VERSION: &str = "2023-07-01";

impl Planner {
    /// Of disks, of the storage account, and of hosts.
    pub(super) async fn check_encryption(&mut self, spec: &ClusterSpec, is_new: bool) {
        if is_new || !self.same(Cluster::CUSTOMER_MANAGED_KEY) {
            self.check_key(spec).await;
        }
        if is_new || !self.same(Cluster::DISK_ENCRYPTION_SET_ID) {
            self.check_encryption_set(spec).await;
        }
        if is_new || !self.same(Cluster::DATA_DISK_TYPE) || !self.same(Cluster::ZONES) {
            self.check_disk_kind(spec);
        }
        let asks = !self.same(Cluster::ENCRYPTION_AT_HOST_ENABLED)
            || !self.same(Cluster::VM_SIZE)
            || !self.same(Cluster::VM_SIZE_FALLBACKS);
        if spec.host_encryption == HostEncryption::On && (is_new || asks) {
            self.check_hosts(spec).await;
        }
    }

    /// The vault must keep what is deleted, and the identity be there; what the identity may do in the vault Azure tells.
    async fn check_key(&mut self, spec: &ClusterSpec) {
        let Some(key) = &spec.customer_managed_key else { return };
        let attribute = Cluster::CUSTOMER_MANAGED_KEY;
        let own = |name: &str| Path::root(attribute).attr(name);
        let identity = &key.user.identity_id;
        match self.arm.get(identity, Kind::Identity).await {
            Ok(Some(_)) => {}
            Ok(None) => {
                let detail =
                    format!("{identity} is not there. That is fine when this run makes it.");
                let path =
                    own(CustomerManagedKey::USER_ASSIGNED_IDENTITY).attr(KeyUser::RESOURCE_ID);
                self.warn(path, "Identity does not exist yet", detail);
            }
            Err(error) => self.unread(&format!("the identity {identity}"), &error),
        }
        // A managed HSM keeps what is deleted by itself.
        if key.is_in_hsm() {
            return;
        }
        let vault = &key.key_vault_id;
        let path = own(CustomerManagedKey::KEY_VAULT_RESOURCE_ID);
        match self.arm.get_path(&format!("{vault}?api-version={VAULTS_API_VERSION}")).await {
            Ok(Some(body)) => {
                let is_kept = body.pointer("/properties/enablePurgeProtection");
                if is_kept.and_then(Value::as_bool) != Some(true) {
                    let detail = format!(
                        "Azure encrypts no storage account with a key that can be lost: {} has no purge protection. Switch it \
                         on (az keyvault update --name {} --enable-purge-protection true), or name another vault.",
                        vault.name(),
                        vault.name()
                    );
                    self.error(path, "Key vault has no purge protection", detail);
                }
            }
            Ok(None) => {
                let detail = format!("{vault} is not there. That is fine when this run makes it.");
                self.warn(path, "Key vault does not exist yet", detail);
            }
            Err(error) => self.unread(&format!("the key vault {vault}"), &error),
        }
    }

    async fn check_encryption_set(&mut self, spec: &ClusterSpec) {
        let Some(set) = &spec.disk_encryption_set_id else { return };
        let attribute = Cluster::DISK_ENCRYPTION_SET_ID;
        let theirs = set.segment("subscriptions").unwrap_or_default();
        if !theirs.eq_ignore_ascii_case(&spec.subscription_id) {
            let detail = format!(
                "It is in subscription {theirs}, the cluster in {}. Azure encrypts disks with sets of their own subscription \
                 only: make one here, which may use a key vault elsewhere.",
                spec.subscription_id
            );
            self.error(attribute, "Disk encryption set is in another subscription", detail);
            return;
        }
        match self.arm.get_path(&format!("{set}?api-version={SETS_API_VERSION}")).await {
            Ok(Some(body)) => {
                let location =
                    body.pointer("/location").and_then(Value::as_str).unwrap_or_default();
                if rules::location(location) != spec.location {
                    let detail = format!(
                        "{} is in {location}, the cluster in {}. Azure encrypts disks with sets of their own region only: \
                         name one there, or set location = {location:?}.",
                        set.name(),
                        spec.location
                    );
                    self.error(attribute, "Disk encryption set is in another region", detail);
                }
                self.check_set_kind(spec, set.name(), &body);
            }
            Ok(None) => {
                let detail = format!("{set} is not there. That is fine when this run makes it.");
                self.warn(attribute, "Disk encryption set does not exist yet", detail);
            }
            Err(error) => self.unread(&format!("the disk encryption set {set}"), &error),
        }
    }

    /// Of the three kinds of sets one is for confidential machines, and one goes with no Premium SSD v2.
    fn check_set_kind(&mut self, spec: &ClusterSpec, name: &str, set: &Value) {
        let kind = set.pointer("/properties/encryptionType").and_then(Value::as_str);
        let kind = kind.unwrap_or_default();
        let is_double = kind == "EncryptionAtRestWithPlatformAndCustomerKeys";
        let why = if kind.starts_with("ConfidentialVm") {
            "it is for confidential machines, and the servers are none"
        } else if is_double && spec.data_disk_type == DataDiskType::PremiumV2Lrs {
            "it encrypts twice, which Azure does not do with a Premium SSD v2"
        } else {
            return;
        };
        let detail = format!(
            "{name} is of the kind {kind}: {why}. Name a set of the kind EncryptionAtRestWithCustomerKey, or another \
             data_disk_type."
        );
        self.error(Cluster::DISK_ENCRYPTION_SET_ID, "Disk encryption set does not fit", detail);
    }

    /// In a region with zones a Premium SSD v2 goes into machines of a zone only.
    fn check_disk_kind(&mut self, spec: &ClusterSpec) {
        let has_zones = self.region.as_ref().is_some_and(|region| region.has_zones());
        let is_v2 = spec.data_disk_type == DataDiskType::PremiumV2Lrs;
        if is_v2 && has_zones && spec.zones.is_empty() {
            let summary = "data_disk_type = \"PremiumV2_LRS\" needs zones";
            self.error(Cluster::DATA_DISK_TYPE, summary, rules::PREMIUM_V2_NEEDS_A_ZONE);
        }
    }

    async fn check_hosts(&mut self, spec: &ClusterSpec) {
        let attribute = Cluster::ENCRYPTION_AT_HOST_ENABLED;
        if let Some(region) = &self.region {
            let sizes = std::iter::once(&spec.vm_size).chain(&spec.vm_size_fallbacks);
            let without: Vec<&str> =
                sizes.filter(|size| !region.encrypts_at_host(size)).map(String::as_str).collect();
            if !without.is_empty() {
                let detail = format!(
                    "Hosts of {} do not encrypt. Choose other sizes, or leave encryption_at_host_enabled out.",
                    without.join(", ")
                );
                self.error(attribute, "VM size knows no encryption at host", detail);
            }
        }
        match regions::may_encrypt_at_host(&self.arm, &spec.subscription_id).await {
            Ok(Some(false)) => {
                let detail = format!(
                    "The feature Microsoft.Compute/EncryptionAtHost is not registered in subscription {}, and without it Azure \
                     takes no such machine. Once for the subscription, by its owner:\n\n  \
                     az feature register --namespace Microsoft.Compute --name EncryptionAtHost\n  \
                     az feature show --namespace Microsoft.Compute --name EncryptionAtHost --query properties.state\n  \
                     az provider register --namespace Microsoft.Compute\n\nThe second says \"Registered\" after some minutes; \
                     then the third.",
                    spec.subscription_id
                );
                self.error(attribute, "Encryption at host is not enabled", detail);
            }
            Ok(_) => {}
            Err(error) => self.unread("the features of the subscription", &error),
        }
    }
}
