//! What happens in the world that its front must carry out: machines and data.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::World;
use super::ids;
use super::resource::{Resource, State, list};
use crate::providers::compute::instances::INSTANCE;
use crate::providers::compute::machine::MACHINE;

/// A virtual machine, as the front needs it to run one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// ARM id of the instance.
    pub id: String,
    /// Name of the scale set.
    pub scale_set: String,
    /// Instance id inside the scale set.
    pub instance_id: String,
    /// Resource group.
    pub group: String,
    /// Name of the host.
    #[serde(default)]
    pub computer_name: String,
    /// Location.
    pub location: String,
    /// Logical zone.
    pub zone: Option<String>,
    /// Size.
    pub size: String,
    /// Address in the subnet.
    pub private_ip: String,
    /// Base64 of cloud-init's user data.
    pub custom_data: String,
    /// ARM ids of the identities that are attached.
    pub identities: Vec<String>,
}

/// Something that the front carries out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A machine has power. `fresh`: its disk is new.
    VmStarted {
        /// The machine.
        machine: Box<Machine>,
        /// Whether cloud-init runs.
        fresh: bool,
    },
    /// A machine lost power. `gone`: its disk too.
    VmStopped {
        /// ARM id of the instance.
        id: String,
        /// Whether its disk is gone.
        gone: bool,
    },
    /// A storage account was deleted with its blobs.
    AccountDeleted {
        /// Account.
        account: String,
    },
    /// A container was deleted with its blobs.
    ContainerDeleted {
        /// Account.
        account: String,
        /// Container.
        container: String,
    },
}

/// Row of [`World::objects`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectRow {
    /// ARM id.
    pub id: String,
    /// Canonical type.
    #[serde(rename = "type")]
    pub rtype: String,
    /// Provisioning state.
    #[serde(rename = "provisioningState")]
    pub state: String,
}

/// A machine of no scale set.
fn alone(machine: &Resource) -> Machine {
    let secret = |name: &str| machine.secret[name].as_str().unwrap_or_default().to_owned();
    let identities = machine.body.pointer("/identity/userAssignedIdentities");
    Machine {
        id: machine.id.clone(),
        scale_set: machine.name().to_owned(),
        instance_id: "alone".to_owned(),
        group: ids::group_of(&machine.id).unwrap_or_default().to_owned(),
        computer_name: machine.text("/properties/osProfile/computerName").to_owned(),
        location: machine.location().to_owned(),
        zone: list(&machine.body, "/zones").first().and_then(Value::as_str).map(str::to_owned),
        size: machine.text("/properties/hardwareProfile/vmSize").to_owned(),
        private_ip: secret("privateIp"),
        custom_data: secret("customData"),
        identities: identities
            .and_then(Value::as_object)
            .map(|map| map.keys().cloned().collect())
            .unwrap_or_default(),
    }
}

impl World {
    /// The machine of an instance, if both it and its scale set are there.
    pub fn machine(&self, instance_id: &str) -> Option<Machine> {
        let instance = self.resources.get(&ids::key(instance_id))?;
        if instance.rtype == MACHINE.rtype {
            return Some(alone(instance));
        }
        let set_id = instance.id.rsplitn(3, '/').nth(2)?;
        let set = self.resources.get(&ids::key(set_id))?;
        let identities = set.body.pointer("/identity/userAssignedIdentities");
        Some(Machine {
            id: instance.id.clone(),
            scale_set: set.name().to_owned(),
            instance_id: instance.name().to_owned(),
            group: ids::group_of(&instance.id).unwrap_or_default().to_owned(),
            computer_name: instance.text("/properties/osProfile/computerName").to_owned(),
            location: instance.location().to_owned(),
            zone: list(&instance.body, "/zones").first().and_then(Value::as_str).map(str::to_owned),
            size: instance.text("/sku/name").to_owned(),
            private_ip: instance.secret["privateIp"].as_str().unwrap_or_default().to_owned(),
            custom_data: instance.secret["customData"].as_str().unwrap_or_default().to_owned(),
            identities: identities
                .and_then(Value::as_object)
                .map(|map| map.keys().cloned().collect())
                .unwrap_or_default(),
        })
    }

    /// Machines that have power now.
    pub fn running_machines(&self) -> Vec<Machine> {
        self.resources
            .values()
            .filter(|r| [INSTANCE.rtype, MACHINE.rtype].contains(&r.rtype.as_str()))
            .filter(|r| r.state == State::Succeeded && r.secret["power"] == "running")
            .filter_map(|r| self.machine(&r.id))
            .collect()
    }

    /// Names of the scale sets with a machine that has power now.
    pub(crate) fn powered_scale_sets(&self, account: &str) -> std::collections::BTreeSet<String> {
        // The group of the account, as long as it is there.
        let group = self.account(account).and_then(|r| r.id.split("/providers/").next());
        let group = group.map(|group| format!("{}/", ids::key(group)));
        self.resources
            .values()
            .filter(|r| r.rtype == INSTANCE.rtype && r.state == State::Succeeded)
            .filter(|r| r.secret["power"] == "running")
            .filter(|r| group.as_ref().is_none_or(|group| r.key().starts_with(group)))
            .filter_map(|r| r.id.rsplit('/').nth(2).map(str::to_owned))
            .collect()
    }

    /// Every object with its state, sorted by id.
    pub fn objects(&self) -> Vec<ObjectRow> {
        self.resources
            .values()
            .map(|r| ObjectRow {
                id: r.id.clone(),
                rtype: r.rtype.clone(),
                state: r.state.as_str().to_owned(),
            })
            .collect()
    }

    /// The whole truth about one object, write-only parts left out; for tests.
    pub fn inspect(&self, id: &str) -> Option<Value> {
        let resource = self.resources.get(&ids::key(id))?;
        let mut body = self.render(resource);
        body["emulator"] = json!({"createdMs": resource.created_ms, "hidden": resource.hidden});
        Some(body)
    }
}
