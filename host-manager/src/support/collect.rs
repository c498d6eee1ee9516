//! What goes into a bundle: each part by itself, so that what is broken leaves a sentence and the rest comes.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures::future::join_all;
use hcs_engine::redact;
use hcs_planner::cloud_init::{SERVER_SETUP_UNIT, UNIT};
use serde_json::{Value, json};

use crate::host::Host;
use crate::paths::Paths;
use crate::report::chain;
use crate::room::Room;
use crate::service::CONSUL_UNIT;
use crate::status::{self, Board};

/// Of a journal, the end.
const JOURNAL_LINES: u32 = 5000;
/// A journal that hangs is given up.
const JOURNAL_MAX: Duration = Duration::from_secs(30);
/// No part is larger: its end counts.
const PART_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Of the data folder, so deep, and so many names.
const DEPTH_MAX: usize = 4;
const NAMES_MAX: usize = 5000;

/// What is asked of Consul, and the name that the answer gets.
const QUESTIONS: [(&str, &str); 9] = [
    ("agent/self", "agent.json"),
    ("agent/members", "members.json"),
    ("agent/metrics", "metrics.json"),
    ("status/leader", "leader.json"),
    ("operator/raft/configuration?stale", "raft.json"),
    ("operator/autopilot/configuration?stale", "autopilot.json"),
    ("operator/autopilot/health", "health.json"),
    ("operator/keyring?local-only=true", "keyring.json"),
    ("health/state/critical?stale", "critical.json"),
];

/// What is read of the kernel.
const KERNEL: [&str; 5] =
    ["/proc/meminfo", "/proc/loadavg", "/proc/uptime", "/proc/mounts", "/proc/pressure/io"];

/// What others are asked for: name and content.
pub(super) async fn asked(host: &Host, board: &Board) -> Vec<(String, String)> {
    let mut files = vec![("server.json".to_owned(), pretty(&server(host, board)))];
    for unit in [UNIT, CONSUL_UNIT, SERVER_SETUP_UNIT] {
        let journal = host.service.journal(unit, JOURNAL_LINES);
        let text = match tokio::time::timeout(JOURNAL_MAX, journal).await {
            Ok(journal) => journal.unwrap_or_else(|error| chain(&error)),
            Err(_) => "the journal does not answer\n".to_owned(),
        };
        files.push((format!("journal/{}.log", unit.trim_end_matches(".service")), text));
    }
    files.extend(consul(board).await);
    files
}

/// The same with what the disk says, and without secrets.
pub(super) fn with_disk(mut files: Vec<(String, String)>, paths: &Paths) -> Vec<(String, String)> {
    let read = [
        ("configuration/server.json", paths.server_config()),
        ("configuration/join.json", paths.join_config()),
        ("configuration/consul.service", paths.consul_unit()),
        ("configuration/bootstrap.json", paths.bootstrap()),
        ("memory.json", paths.state_dir().join("memory.json")),
    ];
    for (name, path) in read {
        files.push((name.to_owned(), text_of(&path)));
    }
    for path in KERNEL {
        let name = path.trim_start_matches("/proc/").replace('/', "-");
        files.push((format!("kernel/{name}"), text_of(Path::new(path))));
    }
    files.push(("room.json".to_owned(), pretty(&room(&paths.data_disk()))));
    files.push(("disk.txt".to_owned(), disk(&paths.data_disk())));
    files.into_iter().map(|(name, text)| (name, redact::text(end_of(&text)))).collect()
}

/// One archive, gzip.
pub(super) fn packed(files: Vec<(String, String)>, modified_s: u64) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(modified_s);
        archive.append_data(&mut header, name, text.as_bytes())?;
    }
    archive.into_inner()?.finish()
}

fn server(host: &Host, board: &Board) -> Value {
    json!({
        "collected_at": status::written_at(host.clock.now_unix_ms()),
        "instance": host.instance,
        "status": board.status(host, 0),
    })
}

fn room(disk: &Path) -> Value {
    match Room::of(disk) {
        Ok(room) => json!({ "total_bytes": room.total_bytes, "free_bytes": room.free_bytes }),
        Err(error) => json!(error.to_string()),
    }
}

async fn consul(board: &Board) -> Vec<(String, String)> {
    let Some(client) = board.client() else {
        return vec![(
            "consul.txt".to_owned(),
            "Consul was not started by this host manager yet".to_owned(),
        )];
    };
    let ask = |(path, name): (&'static str, &'static str)| {
        let client = client.clone();
        async move {
            let text = match client.get::<Value>(path).await {
                Ok(answer) => pretty(&told(name, answer)),
                Err(error) => chain(&error),
            };
            (format!("consul/{name}"), text)
        }
    };
    join_all(QUESTIONS.map(ask)).await
}

/// Without what is a secret by its nature (keys of the keyring) or somebody else's words (outputs of checks).
fn told(name: &str, mut answer: Value) -> Value {
    for row in answer.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        match name {
            "keyring.json" => {
                for keys in ["Keys", "PrimaryKeys"] {
                    let count = row.get(keys).and_then(Value::as_object).map(serde_json::Map::len);
                    row.insert(keys.to_owned(), json!(count));
                }
            }
            "critical.json" => {
                row.retain(|key, _| {
                    ["Node", "CheckID", "Status", "ServiceName"].contains(&key.as_str())
                });
            }
            _ => {}
        }
    }
    answer
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn text_of(path: &Path) -> String {
    match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("{}: {error}\n", path.display()),
    }
}

fn end_of(text: &str) -> &str {
    let mut from = text.len().saturating_sub(PART_BYTES_MAX);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

/// Names, sizes and ages of what lies on the data disk; nothing of what is in it.
fn disk(root: &Path) -> String {
    let mut text = String::new();
    let mut open = vec![(root.to_owned(), 0)];
    let mut names = 0;
    while let Some((folder, depth)) = open.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                let _ = writeln!(text, "{}: {error}", folder.display());
                continue;
            }
        };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            names += 1;
            if names > NAMES_MAX {
                let _ = writeln!(text, "more than {NAMES_MAX} names");
                return text;
            }
            let Ok(facts) = entry.metadata() else { continue };
            let age = facts.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_default();
            let path = entry.path();
            let shown = path.strip_prefix(root).unwrap_or(&path).display();
            let kind = if facts.is_dir() { "/" } else { "" };
            let _ = writeln!(
                text,
                "{:>14} bytes {:>10} s old  {shown}{kind}",
                facts.len(),
                age.as_secs()
            );
            if facts.is_dir() && depth < DEPTH_MAX {
                open.push((path, depth + 1));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn what_is_packed_is_found_again() {
        let files = vec![("a/b.txt".to_owned(), "x".to_owned()), ("c".to_owned(), String::new())];
        let packed = packed(files.clone(), 7).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
        let found: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                (entry.path().unwrap().display().to_string(), text)
            })
            .collect();
        assert_eq!(found, files);
    }

    #[test]
    fn a_disk_is_listed_by_names_and_sizes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("consul/raft")).unwrap();
        std::fs::write(folder.path().join("consul/raft/raft.db"), "12345").unwrap();
        let text = disk(folder.path());
        assert!(text.contains("5 bytes") && text.contains("consul/raft/raft.db"), "{text}");
        assert!(disk(&folder.path().join("gone")).contains("gone: "));
    }

    #[test]
    fn of_a_long_text_the_end_counts() {
        let long = "ü".repeat(PART_BYTES_MAX);
        let end = end_of(&long);
        assert!(end.len() <= PART_BYTES_MAX && end.len() + 2 > PART_BYTES_MAX);
        assert_eq!(end_of("short"), "short");
    }
}
