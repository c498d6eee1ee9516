//! What a host manager takes of its machine, and how soon a cluster whose machines all begin again has a leader.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use hcs_acceptance::bins::{HOST_MANAGER, target};
use hcs_acceptance::{Emulator, Scenario};

use super::figures::{Figure, count};
use crate::shell::{Failure, build_binaries};

/// How long nothing happens but what always does.
const IDLE: Duration = Duration::from_mins(1);
/// A cluster that has just begun has more to do.
const SETTLED: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_mins(2);
/// `sysconf(_SC_CLK_TCK)` of every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Three servers of the quickstart, with the released host manager and its real periods.
pub(crate) fn measure() -> Result<Vec<Figure>, Failure> {
    build_binaries()?;
    let program = target().join("release/hcs-host-manager");
    let mut scenario = Scenario::start("bench-keeper", "quickstart", 60)?;
    scenario.terraform.set(HOST_MANAGER, &program.display().to_string());
    scenario.terraform.init()?;
    scenario.terraform.apply(&[])?;
    let world = scenario.dir.join("azure");
    // Servers know where their account is.
    let port = scenario.azure.url.rsplit(':').next().unwrap_or_default().to_owned();
    scenario.azure.stop();
    // All machines begin again, and time passes as it does.
    let began = Instant::now();
    scenario.azure = Emulator::start(&world, &["--time-scale", "1", "--port", &port])?;
    let leader_seconds = loop {
        if scenario.consul().and_then(|consul| consul.leader(0)).is_ok_and(|own| !own.is_empty()) {
            break began.elapsed().as_secs_f64();
        }
        if began.elapsed() > PATIENCE {
            return Err("no leader after all machines began again".into());
        }
        thread::sleep(Duration::from_millis(100));
    };
    thread::sleep(SETTLED);
    let keepers = keepers(&world)?;
    if keepers.len() != 3 {
        return Err(format!("{} host managers run in {}", keepers.len(), world.display()).into());
    }
    let before: f64 = keepers.iter().map(|pid| ticks(*pid)).sum::<Result<f64, Failure>>()?;
    thread::sleep(IDLE);
    let after: f64 = keepers.iter().map(|pid| ticks(*pid)).sum::<Result<f64, Failure>>()?;
    let idle_percent = (after - before) / TICKS_PER_SECOND / IDLE.as_secs_f64() / 3.0 * 100.0;
    let mut resident_mib: f64 = 0.0;
    for pid in keepers {
        resident_mib = resident_mib.max(resident(pid)?);
    }
    let megabytes = count(fs::metadata(&program)?.len()) / 1e6;
    Ok(vec![
        Figure::new("size of hcs-host-manager, release", megabytes, "MB", Some(12.0)),
        Figure::new("host manager, resident", resident_mib, "MiB", Some(15.0)),
        Figure::new("host manager, idle, of a core", idle_percent, "%", Some(0.5)),
        Figure::new("leader after all machines begin again", leader_seconds, "s", Some(10.0)),
    ])
}

/// Process ids of the host managers of an emulated Azure: what runs from its folder.
fn keepers(world: &Path) -> Result<Vec<u32>, Failure> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(program) = fs::read_link(entry.path().join("exe")) else { continue };
        if program.starts_with(world) && program.to_string_lossy().contains("host-manager") {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Processor time so far, in ticks, all threads.
fn ticks(pid: u32) -> Result<f64, Failure> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(')').ok_or("no name in /proc/…/stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Ok(count(field(11) + field(12)))
}

/// Memory that the process holds, in MiB.
fn resident(pid: u32) -> Result<f64, Failure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(count(kib.ok_or("no VmRSS")?) / 1024.0)
}
