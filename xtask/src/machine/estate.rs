//! The machines of an emulated Azure: whoever it says has power gets it, and loses it when it says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hcs_acceptance::Emulator;
use serde_json::Value;

use super::image::Image;
use super::vm::Vm;
use crate::shell::Failure;

struct Machine {
    vm: Vm,
    disks: u64,
    boots: u64,
    has_power: bool,
}

type Machines = Arc<Mutex<BTreeMap<String, Machine>>>;

/// All machines; they lose power with this value.
pub(crate) struct Estate {
    machines: Machines,
    is_over: Arc<AtomicBool>,
    follower: Option<JoinHandle<()>>,
}

fn lock(machines: &Machines) -> MutexGuard<'_, BTreeMap<String, Machine>> {
    machines.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Estate {
    /// Follows an emulator until the end of this value.
    pub(crate) fn follow(azure: Emulator, image: Image, dir: PathBuf) -> Self {
        let machines = Machines::default();
        let is_over = Arc::new(AtomicBool::new(false));
        let (theirs, over) = (machines.clone(), is_over.clone());
        let follower = std::thread::spawn(move || {
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                if let Ok(rows) = azure.vms() {
                    let followed = look(&theirs, &rows, &image, &dir, &mut number);
                    if let Err(error) = followed {
                        eprintln!("a machine cannot be run: {error}");
                    }
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        Self { machines, is_over, follower: Some(follower) }
    }

    /// Does something with the machine of a slot.
    pub(crate) fn with<T>(
        &self,
        slot: usize,
        work: impl FnOnce(&mut Vm) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut machines = lock(&self.machines);
        let end = format!("-server-{slot}");
        let found = machines.values_mut().find(|machine| machine.vm.name.ends_with(&end));
        work(&mut found.ok_or_else(|| format!("no machine has slot {slot}"))?.vm)
    }
}

impl Drop for Estate {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(follower) = self.follower.take() {
            let _ = follower.join();
        }
        lock(&self.machines).clear();
    }
}

fn look(
    machines: &Machines,
    rows: &[Value],
    image: &Image,
    dir: &Path,
    number: &mut usize,
) -> Result<(), Failure> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let mut machines = lock(machines);
    machines.retain(|id, _| rows.iter().any(|row| text(row, "id") == *id));
    for row in rows {
        let id = text(row, "id");
        let count = |key: &str| row[key].as_u64().unwrap_or_default();
        let (disks, boots) = (count("disks"), count("boots"));
        let has_power = row["power"] == Value::Bool(true);
        if machines.get(&id).is_none_or(|machine| machine.disks != disks) {
            machines.remove(&id);
            *number += 1;
            let custom_data = decode(&text(row, "customData"))?;
            let (name, address) = (text(row, "scaleSet"), text(row, "privateIp"));
            let vm = Vm::new(image, dir, *number, &name, &address, &custom_data)?;
            machines.insert(id.clone(), Machine { vm, disks, boots: 0, has_power: false });
        }
        let Some(machine) = machines.get_mut(&id) else { continue };
        if has_power && (!machine.has_power || machine.boots != boots) {
            machine.vm.start()?;
        } else if !has_power && machine.has_power {
            machine.vm.cut_power();
        }
        (machine.has_power, machine.boots) = (has_power, boots);
    }
    Ok(())
}

fn decode(custom_data: &str) -> Result<String, Failure> {
    Ok(String::from_utf8(STANDARD.decode(custom_data)?)?)
}
