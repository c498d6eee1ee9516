//! Machines that somebody else runs: the emulator says which there are and whether they have power, and serves the
//! metadata address to whoever asks from an address that is a machine's.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::imds;
use crate::front::FrontError;
use crate::front::state::Shared;
use crate::world::events::Machine;
use crate::world::ids;

/// A machine, as whoever runs it needs to know it.
struct Row {
    machine: Machine,
    /// How often its disks were made anew; a machine of another number begins with new ones.
    disks: u64,
    /// How often it was given power.
    boots: u64,
    has_power: bool,
    /// Its disks are gone; kept, as what comes in its place is another one.
    is_gone: bool,
}

/// All of them.
#[derive(Default)]
pub(crate) struct External {
    rows: Mutex<BTreeMap<String, Row>>,
}

impl External {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A machine gets power.
    pub(crate) fn start(&self, machine: Machine, fresh: bool) {
        let mut rows = self.lock();
        let key = ids::key(&machine.id);
        let row = rows.entry(key).or_insert_with(|| Row {
            machine: machine.clone(),
            disks: u64::from(!fresh),
            boots: 0,
            has_power: false,
            is_gone: false,
        });
        row.machine = machine;
        row.disks += u64::from(fresh);
        row.boots += u64::from(fresh || !row.has_power);
        (row.has_power, row.is_gone) = (true, false);
    }

    /// A machine loses power. `gone`: its disks, too.
    pub(crate) fn stop(&self, id: &str, gone: bool) {
        if let Some(row) = self.lock().get_mut(&ids::key(id)) {
            row.has_power = false;
            row.is_gone |= gone;
        }
    }

    /// Rows for the inspection API.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let describe = |row: &Row| {
            json!({
                "id": row.machine.id,
                "scaleSet": row.machine.scale_set,
                "instanceId": row.machine.instance_id,
                "resourceGroup": row.machine.group,
                "zone": row.machine.zone,
                "privateIp": row.machine.private_ip,
                "customData": row.machine.custom_data,
                "disks": row.disks,
                "boots": row.boots,
                "power": row.has_power,
            })
        };
        self.lock().values().filter(|row| !row.is_gone).map(describe).collect()
    }

    fn at(&self, address: IpAddr) -> Option<Machine> {
        let text = address.to_string();
        let rows = self.lock();
        rows.values()
            .find(|row| !row.is_gone && row.machine.private_ip == text)
            .map(|row| row.machine.clone())
    }
}

/// Takes the metadata address for all of them.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, FrontError> {
    TcpListener::bind(address).await.map_err(|source| FrontError::Listen { address, source })
}

/// Answers each by the address that it asks from.
pub(crate) async fn serve_metadata(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let Ok((stream, from)) = listener.accept().await else { continue };
        let machine = shared.machines.external().and_then(|machines| machines.at(from.ip()));
        let Some(machine) = machine else {
            tracing::warn!(%from, "the metadata address was asked from what is no machine's");
            continue;
        };
        let asker = imds::Asker { address: from.ip(), machine, services: None };
        tokio::spawn(imds::connection(Arc::clone(&shared), asker, stream));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            id: "/subscriptions/S/x/virtualMachines/0".into(),
            scale_set: "demo-server-0".into(),
            instance_id: "0".into(),
            group: "mrg".into(),
            computer_name: "demo-server-0000".into(),
            location: "westeurope".into(),
            zone: None,
            size: "Standard_D2s_v5".into(),
            private_ip: "10.0.0.4".into(),
            custom_data: "I2Nsb3VkLWNvbmZpZw==".into(),
            identities: vec![],
        }
    }

    #[test]
    fn a_restart_counts_a_boot_and_new_disks_count_both() {
        let machines = External::default();
        let counts = || {
            let rows = machines.rows();
            rows.first()
                .map(|row| (row["disks"].clone(), row["boots"].clone(), row["power"].clone()))
        };
        machines.start(machine(), true);
        assert_eq!(counts(), Some((json!(1), json!(1), json!(true))));
        machines.start(machine(), false);
        assert_eq!(counts(), Some((json!(1), json!(1), json!(true))), "it has power");
        machines.stop(&machine().id, false);
        assert_eq!(counts(), Some((json!(1), json!(1), json!(false))));
        machines.start(machine(), false);
        machines.start(machine(), true);
        assert_eq!(counts(), Some((json!(2), json!(3), json!(true))));
        assert_eq!(machines.at("10.0.0.4".parse().unwrap()), Some(machine()));
        assert_eq!(machines.at("10.0.0.5".parse().unwrap()), None);
        // A reimage takes the disks before it makes new ones.
        machines.stop(&machine().id.to_lowercase(), true);
        assert_eq!(counts(), None);
        machines.start(machine(), true);
        assert_eq!(counts(), Some((json!(3), json!(4), json!(true))));
    }
}
