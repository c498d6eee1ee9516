//! Machines that really run: a folder, an address, an environment, services.

pub(crate) mod cloud_init;
pub(crate) mod external;
pub(crate) mod imds;
pub(crate) mod processes;
pub(crate) mod supervisor;
pub(crate) mod systemctl;
pub(crate) mod unit;

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::external::External;
use self::supervisor::Supervisor;
use super::state::Shared;
use super::{FrontError, file_error, make_dir, write_atomically};
use crate::world::events::Machine;
use crate::world::ids;

/// Every machine's metadata service listens here, on the machine's own address. Holding this port
/// is what makes an address the machine's, also against other emulators on this computer.
const METADATA_PORT: u16 = 9169;

/// What is remembered of a machine over restarts of the emulator.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Place {
    folder: String,
    address: Ipv4Addr,
}

/// A machine with power.
pub(crate) struct Running {
    pub(crate) machine: Machine,
    pub(crate) root: PathBuf,
    /// Where its metadata service listens, and its programs unless they have an address of their own.
    pub(crate) address: Ipv4Addr,
    /// Where its programs listen.
    pub(crate) own_address: Ipv4Addr,
    pub(crate) supervisor: Arc<Supervisor>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// All machines of an emulator.
pub(crate) struct Machines {
    dir: PathBuf,
    /// Whether machines have the addresses that Azure says.
    pub(crate) own_addresses: bool,
    /// Where somebody else runs them.
    external: Option<External>,
    running: Mutex<BTreeMap<String, Arc<Running>>>,
    places: Mutex<BTreeMap<String, Place>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Machines {
    pub(crate) fn open(dir: &Path) -> Result<Self, FrontError> {
        make_dir(&dir.join("vms"))?;
        let path = dir.join("machines.json");
        let places = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|source| FrontError::Format { path, source })?,
            Err(_) => BTreeMap::new(),
        };
        Ok(Self {
            dir: dir.to_owned(),
            own_addresses: false,
            external: None,
            running: Mutex::default(),
            places: Mutex::new(places),
        })
    }

    /// From now on somebody else runs them.
    pub(crate) fn are_external(&mut self) {
        self.external = Some(External::default());
    }

    /// Those that somebody else runs.
    pub(crate) fn external(&self) -> Option<&External> {
        self.external.as_ref()
    }

    fn save_places(&self) {
        let text = serde_json::to_vec_pretty(&*lock(&self.places)).unwrap_or_default();
        if let Err(error) = write_atomically(&self.dir.join("machines.json"), &text) {
            tracing::error!(%error, "the table of machines could not be saved");
        }
    }

    fn root_of(&self, place: &Place) -> PathBuf {
        self.dir.join("vms").join(&place.folder)
    }

    /// Rows for the inspection API.
    pub(crate) fn rows(&self) -> Vec<Value> {
        if let Some(external) = &self.external {
            return external.rows();
        }
        lock(&self.running)
            .values()
            .map(|vm| {
                json!({
                    "id": vm.machine.id,
                    "name": vm.root.file_name().map(|n| n.to_string_lossy().into_owned()),
                    "scaleSet": vm.machine.scale_set,
                    "instanceId": vm.machine.instance_id,
                    "resourceGroup": vm.machine.group,
                    "zone": vm.machine.zone,
                    "address": vm.own_address,
                    "privateIp": vm.machine.private_ip,
                    "metadata": metadata_url(vm.address),
                    "folder": vm.root,
                    "pids": processes::of_machine(&vm.root),
                })
            })
            .collect()
    }

    /// Takes the power from a machine. `gone`: its folder too.
    pub(crate) async fn power_off(&self, id: &str, gone: bool) {
        if let Some(external) = &self.external {
            external.stop(id, gone);
            return;
        }
        let key = ids::key(id);
        let vm = lock(&self.running).remove(&key);
        let place = lock(&self.places).get(&key).cloned();
        if let Some(vm) = vm {
            for task in lock(&vm.tasks).drain(..) {
                task.abort();
            }
            vm.supervisor.forget_all();
            if vm.own_address != vm.address {
                change_loopback("del", vm.own_address).await;
            }
        }
        let Some(place) = place else { return };
        let root = self.root_of(&place);
        processes::end_all(&root).await;
        if gone {
            let _ = fs::remove_dir_all(&root);
            lock(&self.places).remove(&key);
            self.save_places();
        }
    }

    /// Takes the power from all machines, at the end of the emulator.
    pub(crate) async fn power_off_all(&self) {
        let ids: Vec<String> = lock(&self.places).keys().cloned().collect();
        for id in ids {
            self.power_off(&id, false).await;
        }
    }

    /// A folder name that no other machine has.
    fn folder_for(&self, machine: &Machine) -> String {
        let places = lock(&self.places);
        let plain = format!("{}_{}", machine.scale_set, machine.instance_id);
        let taken = |name: &str| places.values().any(|p| p.folder == name);
        if !taken(&plain) {
            return plain;
        }
        (2..10_000).map(|n| format!("{plain}-{n}")).find(|name| !taken(name)).unwrap_or(plain)
    }

    /// An address whose metadata port is ours from now on.
    async fn claim_address(&self, wanted: Option<Ipv4Addr>) -> Option<(Ipv4Addr, TcpListener)> {
        // A machine that restarts keeps its address; its last listener may need a moment to go.
        if let Some(address) = wanted {
            for _ in 0..40 {
                if let Ok(listener) = TcpListener::bind((address, METADATA_PORT)).await {
                    return Some((address, listener));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        // Emulators of different folders start in different places, to meet seldom.
        let seed = self
            .dir
            .to_string_lossy()
            .bytes()
            .fold(0_u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
        let start = u32::from(Ipv4Addr::new(127, 64, 0, 0)) + ((seed % 0x3F_FFFF) & !0xFF);
        for number in 1..5000_u32 {
            let address = Ipv4Addr::from(start + number);
            let last = address.octets()[3];
            let ours = lock(&self.places).values().any(|p| p.address == address);
            if last == 0 || last == 255 || ours {
                continue;
            }
            if let Ok(listener) = TcpListener::bind((address, METADATA_PORT)).await {
                return Some((address, listener));
            }
        }
        None
    }
}

/// Gives the loopback device an address, or takes it away.
async fn change_loopback(verb: &str, address: Ipv4Addr) {
    let words = ["addr", verb, &format!("{address}/32"), "dev", "lo"];
    match tokio::process::Command::new("ip").args(words).status().await {
        Ok(status) if status.success() => {}
        other => tracing::error!(?other, %address, verb, "ip did not change the loopback device"),
    }
}

fn metadata_url(address: Ipv4Addr) -> String {
    format!("http://{address}:{METADATA_PORT}")
}

/// The journal of one unit, from the log that the supervisor keeps of it.
const JOURNALCTL: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do
  case "$1" in
    -u) unit="$2"; shift 2 ;;
    -n) lines="$2"; shift 2 ;;
    *) shift ;;
  esac
done
log="$HCS_ROOT/log/$unit.log"
[ -f "$log" ] && exec tail -n "${lines:-10}" "$log"
echo "-- No entries --"
"#;

/// Writes the `systemctl` and the `journalctl` that machines find on their PATH.
pub(crate) fn write_shims(shared: &Shared) -> Result<(), FrontError> {
    let folder = shared.dir.join("bin-shim");
    make_dir(&folder)?;
    let own = std::env::current_exe().map_err(file_error("find", Path::new("this program")))?;
    let quoted = own.display().to_string().replace('\'', r"'\''");
    let systemctl = format!("#!/bin/sh\nexec '{quoted}' systemctl \"$@\"\n");
    for (name, text) in [("systemctl", systemctl.as_str()), ("journalctl", JOURNALCTL)] {
        let path = folder.join(name);
        super::write_file(&path, text.as_bytes())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(file_error("make executable", &path))?;
    }
    Ok(())
}

fn environment(shared: &Shared, root: &Path, address: Ipv4Addr) -> BTreeMap<String, String> {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let shim = shared.dir.join("bin-shim");
    let mut env: BTreeMap<String, String> = [
        ("PATH", format!("{}:{path}", shim.display())),
        ("HCS_ROOT", root.display().to_string()),
        ("HOME", root.join("root").display().to_string()),
        ("SSL_CERT_FILE", shared.dir.join("ca.pem").display().to_string()),
        ("ARM_MSI_ENDPOINT", metadata_url(address)),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into();
    if let Some(scale) = &shared.time_scale {
        env.insert("HCS_TIME_SCALE".to_owned(), scale.clone());
    }
    if let Some(calendar) = &shared.calendar {
        env.insert("HCS_CALENDAR".to_owned(), calendar.clone());
    }
    if let Some(releases) = &shared.releases {
        env.insert("HCS_RELEASE_KEY".to_owned(), releases.join("key.asc").display().to_string());
    }
    env
}

/// Gives a machine power. `fresh`: on a new disk, with cloud-init.
pub(crate) async fn start(shared: &Arc<Shared>, machine: Machine, fresh: bool) {
    let machines = &shared.machines;
    if let Some(external) = &machines.external {
        external.start(machine, fresh);
        return;
    }
    let key = ids::key(&machine.id);
    if fresh {
        machines.power_off(&machine.id, true).await;
    } else if lock(&machines.running).contains_key(&key) {
        return;
    }
    let old = lock(&machines.places).get(&key).cloned();
    let folder = old.as_ref().map_or_else(|| machines.folder_for(&machine), |p| p.folder.clone());
    let claimed = machines.claim_address(old.as_ref().map(|p| p.address)).await;
    let Some((address, listener)) = claimed else {
        tracing::error!(machine = machine.id, "no free loopback address for a machine");
        return;
    };
    let own = machine.private_ip.parse().ok().filter(|_| machines.own_addresses);
    let own_address = own.unwrap_or(address);
    if own.is_some() {
        change_loopback("replace", own_address).await;
    }
    let place = Place { folder, address };
    let root = machines.root_of(&place);
    // What an emulator that was killed left running would disturb the new boot.
    processes::end_all(&root).await;
    let made = ["root", "log", "run", "etc/systemd/system", "opt", "var/lib", "tmp"]
        .iter()
        .try_for_each(|folder| fs::create_dir_all(root.join(folder)));
    if let Err(error) = made {
        tracing::error!(%error, root = %root.display(), "a machine has no folder");
        return;
    }
    lock(&machines.places).insert(key.clone(), place);
    machines.save_places();
    let env = environment(shared, &root, address);
    let supervisor = Supervisor::new(&root, env.clone());
    let vm = Arc::new(Running {
        machine: machine.clone(),
        root: root.clone(),
        address,
        own_address,
        supervisor: Arc::clone(&supervisor),
        tasks: Mutex::default(),
    });
    lock(&machines.running).insert(key, Arc::clone(&vm));
    let metadata = tokio::spawn(imds::serve(Arc::clone(shared), Arc::clone(&vm), listener));
    let boot = tokio::spawn(async move {
        cloud_init::run(&root, &env, &machine.custom_data).await;
        supervisor.boot().await;
    });
    lock(&vm.tasks).extend([metadata, boot]);
}

/// After a start of the emulator: the machines of its world have power again.
pub(crate) async fn resume(shared: &Arc<Shared>) {
    let machines = shared.world().running_machines();
    // Deleted machines that a killed emulator could not clear away any more.
    let known: Vec<String> = lock(&shared.machines.places).keys().cloned().collect();
    for id in known {
        let gone = shared.world().machine(&id).is_none();
        if gone {
            shared.machines.power_off(&id, true).await;
        }
    }
    for account in shared.blobs.accounts().await {
        let gone = !shared.world().account_serves(&account);
        if gone {
            shared.blobs.drop_account(&account).await;
        }
    }
    for machine in machines {
        start(shared, machine, false).await;
    }
}
