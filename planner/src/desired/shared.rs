//! What of an object was declared here, where somebody else may set the same: a key, a set, a host that encrypts, a
//! reservation.
//!
//! What somebody else set stays. What was declared is told by words of a tag on the object itself, written with it, and by
//! the declaration that is stored where a policy took the tag away: only that is taken away again, by whoever comes next,
//! however the run before ended.

use serde_json::{Value, json};

use super::Builder;
use crate::arm::{ArmId, Kind};
use crate::diff::gone;
use crate::disks::HostEncryption;
use crate::names::DECLARED_TAG;
use crate::spec::ClusterSpec;

const PROFILE: &str = "/properties/virtualMachineProfile";

/// A property that is not ours alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shared {
    /// With whose key the account is encrypted.
    AccountKey,
    /// The set by which a server's disks are encrypted.
    DiskSet,
    /// Whether a server's host encrypts.
    HostEncryption,
    /// From which reservation a server takes its room.
    Reservation,
}

impl Shared {
    const ALL: [Self; 4] =
        [Self::AccountKey, Self::DiskSet, Self::HostEncryption, Self::Reservation];

    /// What the tag says of it.
    fn word(self) -> &'static str {
        match self {
            Self::AccountKey => "account-key",
            Self::DiskSet => "disk-encryption-set",
            Self::HostEncryption => "encryption-at-host",
            Self::Reservation => "capacity-reservation",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::AccountKey => Kind::StorageAccount,
            Self::DiskSet | Self::HostEncryption | Self::Reservation => Kind::ScaleSet,
        }
    }

    fn is_in(self, spec: &ClusterSpec) -> bool {
        match self {
            Self::AccountKey => spec.customer_managed_key.is_some(),
            Self::DiskSet => spec.disk_encryption_set_id.is_some(),
            Self::HostEncryption => spec.host_encryption == HostEncryption::On,
            Self::Reservation => spec.capacity_reservation_group_id.is_some(),
        }
    }

    /// Whether the object has it just as this declaration says.
    fn is_as_in(self, spec: &ClusterSpec, body: &Value) -> bool {
        let profile = body.pointer(PROFILE).unwrap_or(&Value::Null);
        let id = |pointer: &str| profile.pointer(pointer).and_then(Value::as_str).map(ArmId::new);
        match self {
            Self::AccountKey => spec.customer_managed_key.as_ref().is_some_and(|key| {
                let own = &body["properties"]["encryption"]["keyvaultproperties"];
                let is = |name: &str, text: &str| {
                    own[name].as_str().is_some_and(|own| own.eq_ignore_ascii_case(text))
                };
                is("keyname", &key.key_name) && is("keyvaulturi", &key.vault_uri(&spec.location))
            }),
            Self::DiskSet => {
                let set = id("/storageProfile/osDisk/managedDisk/diskEncryptionSet/id");
                set.is_some() && set == spec.disk_encryption_set_id
            }
            Self::HostEncryption => {
                self.is_in(spec) && profile["securityProfile"]["encryptionAtHost"] == true
            }
            Self::Reservation => {
                let group = id("/capacityReservation/capacityReservationGroup/id");
                group.is_some() && group == spec.capacity_reservation_group_id
            }
        }
    }
}

/// Whether what this object has of it was declared here.
pub(super) fn was_declared(builder: &Builder<'_>, id: &ArmId, what: Shared) -> bool {
    let Some(body) = builder.observed.object(id) else { return false };
    let words = tag_of(body).unwrap_or_default();
    let stored = builder.observed.stored_spec.as_ref();
    words.split(' ').any(|word| word == what.word())
        || stored.is_some_and(|spec| what.is_as_in(spec, body))
}

fn tag_of(body: &Value) -> Option<&str> {
    body.get("tags")?.get(DECLARED_TAG)?.as_str()
}

/// Writes down what is declared, beside it.
pub(super) fn tag(builder: &mut Builder<'_>, name: &str) {
    let Some(object) = builder.objects.get(name) else { return };
    let is_declared = |one: &Shared| one.kind() == object.kind && one.is_in(builder.spec);
    let words: Vec<&str> = Shared::ALL.into_iter().filter(is_declared).map(Shared::word).collect();
    let is_tagged = builder.observed.object(&object.id).is_some_and(|it| tag_of(it).is_some());
    let tag = if words.is_empty() { gone() } else { json!(words.join(" ")) };
    if let (true, Some(object)) = (is_tagged || !words.is_empty(), builder.objects.get_mut(name)) {
        object.body["tags"][DECLARED_TAG] = tag;
    }
}
