//! Processes of machines: started in groups of their own, found again, ended for good.
//!
//! Must never end a process that is not a machine's: a process counts as one only when its own
//! environment names the machine's folder as `HCS_ROOT`.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal};

/// Reads a signal's name; SIGTERM when it is unknown.
pub(crate) fn signal(name: &str) -> Signal {
    match name.trim_start_matches("SIG") {
        "HUP" | "1" => Signal::HUP,
        "INT" | "2" => Signal::INT,
        "QUIT" | "3" => Signal::QUIT,
        "KILL" | "9" => Signal::KILL,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        _ => Signal::TERM,
    }
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// Sends a signal to the group that a process leads.
pub(crate) fn signal_group(leader: u32, signal: Signal) {
    if let Some(pid) = pid(leader) {
        // The group may be gone already; that is what was wanted.
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

/// Sends a signal to one process.
pub(crate) fn signal_one(number: u32, signal: Signal) {
    if let Some(pid) = pid(number) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn belongs(number: u32, root: &Path) -> bool {
    let wanted = format!("HCS_ROOT={}", root.display());
    fs::read(format!("/proc/{number}/environ"))
        .is_ok_and(|env| env.split(|b| *b == 0).any(|entry| entry == wanted.as_bytes()))
}

/// Living processes of a machine.
pub(crate) fn of_machine(root: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| belongs(*number, root))
        .collect();
    found.sort_unstable();
    found
}

/// Ends every process of a machine, also those that left their group.
pub(crate) async fn end_all(root: &Path) {
    for _ in 0..200 {
        let found = of_machine(root);
        if found.is_empty() {
            return;
        }
        for number in found {
            signal_one(number, Signal::KILL);
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    tracing::error!(root = %root.display(), "processes of a machine cannot be ended");
}
