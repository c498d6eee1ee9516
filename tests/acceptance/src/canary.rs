//! Where secrets could have got to on a machine that runs Terraform, and what must not be found there.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

use crate::{HarnessError, Scenario, blobs};

pub use hcs_judge::canary::{SPELLINGS, Secret, Sink, leaks};

/// Every secret of a cluster with so many servers.
pub fn secrets(
    scenario: &Scenario,
    account: &str,
    servers: u32,
) -> Result<Vec<Secret>, HarnessError> {
    let shared = ["gossip-key", "management-token", "ca-key.pem"];
    let mut places: Vec<(String, &str)> =
        shared.iter().map(|name| ("secrets-shared".to_owned(), *name)).collect();
    places.push(("secrets-client".to_owned(), "client-token"));
    for slot in 0..servers {
        places.push((format!("secrets-{slot}"), "agent-token"));
    }
    let mut found = Vec::new();
    for (container, name) in places {
        if let Some(content) = blobs::get(&scenario.azure, account, &container, name)? {
            let text = String::from_utf8_lossy(&content).trim().to_owned();
            found.push(Secret { name: format!("{container}/{name}"), text });
        }
    }
    // Servers make their keys themselves: they are on the servers' disks and nowhere else.
    walk(&scenario.azure.dir, &mut |path| {
        if !path.ends_with("leaf.pem") {
            return;
        }
        let text = fs::read_to_string(path).unwrap_or_default();
        if let Some(at) = text.find("-----BEGIN PRIVATE") {
            found.push(Secret { name: path.display().to_string(), text: text[at..].to_owned() });
        }
    });
    let secret = scenario.azure.variable("ARM_CLIENT_SECRET").to_owned();
    found.push(Secret { name: "ARM_CLIENT_SECRET".to_owned(), text: secret });
    Ok(found)
}

/// A file as a sink; one that is not there holds nothing.
pub fn file(name: &str, path: &Path) -> Sink {
    Sink { name: name.to_owned(), bytes: fs::read(path).unwrap_or_default() }
}

/// Every file below a folder.
fn walk(folder: &Path, look: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), look),
            Ok(kind) if kind.is_file() => look(&entry.path()),
            _ => {}
        }
    }
}

/// All files below a folder whose path `wanted` likes, as one sink.
pub fn files(name: &str, folder: &Path, wanted: impl Fn(&Path) -> bool) -> Sink {
    let mut bytes = Vec::new();
    walk(folder, &mut |path| {
        if wanted(path) {
            bytes.extend(fs::read(path).unwrap_or_default());
        }
    });
    Sink { name: name.to_owned(), bytes }
}

/// Command lines of all processes of this machine.
pub fn command_lines() -> Sink {
    let mut bytes = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        bytes.extend(fs::read(entry.path().join("cmdline")).unwrap_or_default());
        bytes.push(b'\n');
    }
    Sink { name: "process list".to_owned(), bytes }
}

/// Environments of the processes whose command line holds `word`.
pub fn environments(name: &str, word: &str) -> Sink {
    let mut bytes = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if memmem::find(&command, word.as_bytes()).is_some() {
            bytes.extend(fs::read(entry.path().join("environ")).unwrap_or_default());
        }
    }
    Sink { name: name.to_owned(), bytes }
}

/// Every base64 text of a JSON document, decoded: what a VM is given travels so.
pub fn decoded(name: &str, document: &serde_json::Value) -> Sink {
    fn walk(value: &serde_json::Value, bytes: &mut Vec<u8>) {
        match value {
            serde_json::Value::String(text) if text.len() > 40 => {
                bytes.extend(STANDARD.decode(text).unwrap_or_default());
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, bytes)),
            serde_json::Value::Object(fields) => {
                fields.values().for_each(|field| walk(field, bytes));
            }
            _ => {}
        }
    }
    let mut bytes = Vec::new();
    walk(document, &mut bytes);
    Sink { name: name.to_owned(), bytes }
}
