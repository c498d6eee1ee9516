//! What is done to machines, and what has to be true afterwards. One line of the matrix each.

use std::time::{Duration, Instant};

use hcs_acceptance::blobs;
use hcs_acceptance::consul::Consul;
use serde_json::Value;

use super::vm::Vm;
use super::{Stage, network};
use crate::shell::Failure;

/// A boot takes one or two minutes without KVM, three at once three.
const SOON: Duration = Duration::from_mins(10);
/// The server that single cells are about.
const SLOT: usize = 2;
const EXPOSURE_MAX: f64 = 3.0;

/// Does it, and says how it went.
type Run = Box<dyn Fn(&Stage) -> Result<String, Failure>>;

/// Something that is done to machines.
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) run: Run,
}

fn cell(
    name: impl Into<String>,
    run: impl Fn(&Stage) -> Result<String, Failure> + 'static,
) -> Cell {
    Cell { name: name.into(), run: Box::new(run) }
}

/// Where a first boot is cut off: what the console says last. systemd shortens names.
const FIRST_BOOT: [&str; 8] = [
    "Starting systemd-udevd",
    "Starting cloud-init-local",
    "Starting cloud-init.serv",
    "Starting hcs-data-disk",
    "Starting hcs-server-setup",
    "Starting cloud-config",
    "Starting consul",
    "Starting cloud-final",
];

/// All of them, in an order in which each leaves a healthy cluster to the next.
pub(crate) fn all() -> Vec<Cell> {
    let mut cells = vec![
        cell("exposure of the units", exposure),
        cell("who may do what", users),
        cell("kill -9 of Consul", |stage| killed(stage, "consul")),
        cell("kill -9 of the host manager", |stage| killed(stage, "hcs-host-manager")),
        cell("reboot of one", |stage| {
            stage.estate.with(SLOT, |vm| vm.shell("systemctl reboot --no-block").map(drop))?;
            stage.healthy_again()
        }),
        cell("power cut of one", |stage| stage.started_again(|_| Ok(()))),
        cell("power cut of all", |stage| {
            stage.cut_power_of_all()?;
            stage.healthy_again()
        }),
        cell("power cut of all while the storage account is away", without_storage),
        cell("fresh OS disk with old data", |stage| stage.started_again(Vm::new_os_disk)),
        cell("data disk is late", late_disk),
        cell("data disk is full", full_disk),
        cell("data disk is blank", |stage| stage.started_again(Vm::new_data_disk)),
    ];
    cells.extend(FIRST_BOOT.map(|word| {
        cell(format!("first boot cut at \"{word}\""), move |stage| first_boot_cut(stage, word))
    }));
    cells
}

/// New disks, the power goes at a word, and comes back.
fn first_boot_cut(stage: &Stage, word: &str) -> Result<String, Failure> {
    let reached = stage.estate.with(SLOT, |vm| {
        vm.cut_power();
        vm.new_os_disk()?;
        vm.new_data_disk()?;
        vm.start()?;
        let reached = vm.cut_power_at(word, SOON);
        vm.start()?;
        Ok(reached)
    })?;
    if !reached {
        return Err("the console never said it".into());
    }
    stage.healthy_again()
}

fn exposure(stage: &Stage) -> Result<String, Failure> {
    let mut found = Vec::new();
    for unit in ["consul", "hcs-host-manager"] {
        let line = format!("systemd-analyze security --no-pager {unit}.service | tail -1");
        let said = stage.shell(&line)?;
        let figure = said.split_whitespace().find_map(|word| word.parse::<f64>().ok());
        let figure = figure.ok_or_else(|| format!("no figure in {said:?}"))?;
        if figure >= EXPOSURE_MAX {
            return Err(format!("{unit} is at {figure}").into());
        }
        found.push(format!("{unit} {figure}"));
    }
    Ok(found.join(", "))
}

/// Consul's user, who reads its secrets, and who gets a token of the machine's identities.
fn users(stage: &Stage) -> Result<String, Failure> {
    let token = "curl -s -m 5 -o /dev/null -w '%{http_code}' -H Metadata:true \
                 'http://169.254.169.254/metadata/instance?api-version=2021-02-01'";
    let as_user = |user: &str, line: &str| {
        format!("setpriv --reuid={user} --regid={user} --clear-groups sh -c \"{line}\"")
    };
    let checks = [
        (
            "Consul's user",
            "stat -c %U /proc/$(systemctl show -P MainPID consul)".to_owned(),
            "hcs-consul",
        ),
        ("root asks for metadata", token.to_owned(), "200"),
        ("Consul asks for metadata", as_user("hcs-consul", token), "000"),
        ("a user asks for metadata", as_user("games", token), "000"),
        (
            "Consul reads its secrets",
            as_user("hcs-consul", "cat /run/hcs/secrets.json >/dev/null && echo yes"),
            "yes",
        ),
        (
            "Consul writes its secrets",
            as_user("hcs-consul", "touch /run/hcs/secrets.json 2>/dev/null || echo no"),
            "no",
        ),
        (
            "a user reads its secrets",
            as_user("games", "cat /run/hcs/secrets.json 2>/dev/null || echo no"),
            "no",
        ),
        (
            "who reads what is kept",
            "stat -c %a:%U /opt/hcs/state/last-known.json".to_owned(),
            "600:root",
        ),
        (
            "what systemd failed to do",
            "systemctl list-units --failed --plain --no-legend 'hcs-*' consul.service".to_owned(),
            "",
        ),
    ];
    for (what, line, expected) in &checks {
        let said = stage.shell(line)?;
        if said.trim() != *expected {
            return Err(format!("{what}: {said:?}, not {expected:?}").into());
        }
    }
    Ok(format!("{} checks", checks.len()))
}

/// It comes back, and the other one does not notice.
fn killed(stage: &Stage, unit: &str) -> Result<String, Failure> {
    let pids = || stage.shell("systemctl show -P MainPID consul hcs-host-manager | grep .");
    let before = pids()?;
    stage.shell(&format!("systemctl kill -s KILL {unit}"))?;
    let told = stage.healthy_again()?;
    let after = pids()?;
    let moved: Vec<bool> = before.lines().zip(after.lines()).map(|(old, new)| old != new).collect();
    if moved != [unit == "consul", unit != "consul"] {
        return Err(format!("process ids before: {before:?}, after: {after:?}").into());
    }
    Ok(told)
}

/// Nobody restarts when it is back.
fn without_storage(stage: &Stage) -> Result<String, Failure> {
    let consul = stage.consul()?;
    network::cut_way_out(true)?;
    stage.cut_power_of_all()?;
    let began = Instant::now();
    let served = until(SOON, || !consul.leader(0).unwrap_or_default().is_empty());
    network::cut_way_out(false)?;
    served?;
    let told = format!("a leader in {} s without it; ", began.elapsed().as_secs());
    let told = told + &stage.healthy_again()?;
    let starts = stage.shell("journalctl -b -u consul --no-pager | grep -c 'Started consul'")?;
    if starts.trim() != "1" {
        return Err(format!("Consul was started {} times in this life", starts.trim()).into());
    }
    Ok(told)
}

/// Nothing starts on the OS disk; with the disk everything goes on.
fn late_disk(stage: &Stage) -> Result<String, Failure> {
    stage.estate.with(SLOT, |vm| {
        vm.cut_power();
        vm.has_data_disk = false;
        vm.start()
    })?;
    let waiting = "systemctl is-active hcs-data-disk";
    stage.until_said(waiting, "activating")?;
    let said = stage.shell(
        "systemctl is-active consul hcs-host-manager; mountpoint -q /opt/consul || ls -A /opt/consul",
    )?;
    if said.lines().any(|line| line != "inactive") {
        return Err(format!("without its disk: {said:?}").into());
    }
    stage.estate.with(SLOT, Vm::plug_data_disk)?;
    stage.healthy_again()
}

fn full_disk(stage: &Stage) -> Result<String, Failure> {
    stage.shell("fallocate -l $(($(df --output=avail -B1 /opt/consul | tail -1) * 9 / 10)) /opt/consul/filler")?;
    let began = Instant::now();
    let told = loop {
        let status =
            blobs::json(&stage.azure, &stage.account, &format!("status-{SLOT}"), "status.json")?;
        let told = status.and_then(|status| status["attention"][0].as_str().map(str::to_owned));
        if let Some(told) = told.filter(|told| told.contains("data_disk_gib")) {
            break told;
        }
        if began.elapsed() > SOON {
            return Err("nothing is told of it".into());
        }
        std::thread::sleep(Duration::from_secs(2));
    };
    stage.shell("rm /opt/consul/filler")?;
    stage.healthy_again()?;
    Ok(told)
}

fn until(patience: Duration, holds: impl Fn() -> bool) -> Result<(), Failure> {
    let began = Instant::now();
    while began.elapsed() < patience {
        if holds() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    Err(format!("not within {} s", patience.as_secs()).into())
}

impl Stage {
    /// The power of all goes, and comes back.
    fn cut_power_of_all(&self) -> Result<(), Failure> {
        (0..3).try_for_each(|slot| self.estate.with(slot, Vm::start))
    }

    /// The power of one goes; something happens to it before it comes back.
    fn started_again(&self, work: fn(&Vm) -> Result<(), Failure>) -> Result<String, Failure> {
        self.estate.with(SLOT, |vm| {
            vm.cut_power();
            work(vm)?;
            vm.start()
        })?;
        self.healthy_again()
    }

    /// The server of the single cells, as root.
    fn shell(&self, line: &str) -> Result<String, Failure> {
        let began = Instant::now();
        loop {
            // It may be booting.
            match self.estate.with(SLOT, |vm| vm.shell(line)) {
                Ok(said) => return Ok(said),
                Err(error) if began.elapsed() > SOON => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_secs(2)),
            }
        }
    }

    fn until_said(&self, line: &str, expected: &str) -> Result<(), Failure> {
        let began = Instant::now();
        while began.elapsed() < SOON {
            if self.shell(line)?.trim() == expected {
                return Ok(());
            }
            std::thread::sleep(Duration::from_secs(2));
        }
        Err(format!("`{line}` never said {expected:?}").into())
    }

    fn consul(&self) -> Result<Consul, Failure> {
        Ok(Consul::of_cluster(&self.azure, &self.account, &self.dir)?)
    }

    /// Three healthy voters, the one of the cells among them, and a value that was written before all cells is there.
    pub(crate) fn healthy_again(&self) -> Result<String, Failure> {
        let began = Instant::now();
        // What happened just now takes Autopilot seconds to see.
        std::thread::sleep(Duration::from_secs(15));
        let is_well = |consul: &Consul| {
            let health = consul.get(SLOT, "operator/autopilot/health").unwrap_or_default();
            let voters = health["Servers"].as_array().into_iter().flatten();
            let voters = voters.filter(|s| s["Voter"] == true && s["Healthy"] == true).count();
            health["Healthy"] == Value::Bool(true) && voters == 3
        };
        let consul = self.consul()?;
        until(SOON, || is_well(&consul)).map_err(|error| {
            let console = self.estate.with(SLOT, |vm| Ok(vm.console())).unwrap_or_default();
            let last: Vec<&str> = console.lines().rev().take(15).collect();
            format!("no three healthy voters {error}; the console ends with {last:#?}")
        })?;
        let kept = consul.ask(SLOT, "GET", "kv/kept?raw", None, true)?.text();
        if kept != super::KEPT {
            return Err(format!("what was written before is {kept:?}").into());
        }
        Ok(format!("healthy in {} s", began.elapsed().as_secs()))
    }
}
