//! This program's own versions: what lies on the disk, whose turn it is to change, and how one is tried.
//!
//! The new one is not trusted to put itself back: `start-host-manager.sh` counts its starts and returns to the one before.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hcs_engine::blob::BlobError;
use hcs_planner::cloud_init::{HOST_MANAGERS_PATH, STATE_PATH};
use hcs_planner::dataplane::{ClusterDocument, HostManagerArtifact, ServerStatus, blob, container};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use crate::artifact::hex;
use crate::documents::Stores;
use crate::files::{self, FileError, PROGRAM_MODE, SECRET_MODE};
use crate::paths::Paths;

/// Set by the script that starts a program on trial.
pub const ON_TRIAL: &str = "HCS_ON_TRIAL";
const SELF_TEST_MAX: Duration = Duration::from_mins(1);
/// A status that is older is no word of a server that works.
const FRESH_SECONDS: i64 = 120;
/// So many statuses since its start show that a server's host manager goes on.
const SETTLED_SEQUENCE: u64 = 3;

/// The running program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnProgram {
    /// Its SHA-256, lower-case hex.
    pub sha256: String,
    /// Whether it has yet to show that it works.
    pub is_on_trial: bool,
}

/// Why another program is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The blob cannot be read.
    #[error("host manager {version} cannot be read")]
    Blob {
        /// Its version.
        version: semver::Version,
        /// Why.
        #[source]
        source: BlobError,
    },
    /// The blob does not exist.
    #[error("host manager {version} is not in the account")]
    Missing {
        /// Its version.
        version: semver::Version,
    },
    /// The content is not what the cluster document promises.
    #[error("host manager {version} has SHA-256 {found}; it is not used")]
    WrongHash {
        /// Its version.
        version: semver::Version,
        /// Hash of what was read.
        found: String,
    },
    /// It does not like what this server has, or is something else.
    #[error("host manager {version} fails its self-test: {reason}")]
    SelfTest {
        /// Its version.
        version: semver::Version,
        /// Its words, or what it did.
        reason: String,
    },
    /// It was tried before.
    #[error(
        "host manager {version} was put back: started on trial, it did not come to work; its journal (unit \
         hcs-host-manager) says why"
    )]
    PutBack {
        /// Its version.
        version: semver::Version,
    },
    /// The disk.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What a program says of itself when it is asked for a self-test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfTest {
    /// Its version.
    pub version: String,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing is to change here.
    Done,
    /// Another server comes first.
    Waits(u32),
    /// This server takes the new program.
    Ours,
}

/// Whether this server changes its program now. Servers come by their slot, each when all before it work with the new one:
/// so a bad one never reaches a second server. Needs no Consul, as a new program may be what heals it. Pure.
pub fn turn(
    cluster: &ClusterDocument,
    slot: u32,
    own: &OwnProgram,
    peers: &[ServerStatus],
    now: Timestamp,
) -> Turn {
    let Some(wanted) = &cluster.host_manager else { return Turn::Done };
    if own.sha256 == wanted.sha256 {
        return Turn::Done;
    }
    let works = |other: u32| {
        peers.iter().any(|peer| {
            let age = peer.written_at.parse().map(|at: Timestamp| now.as_second() - at.as_second());
            peer.slot == other
                && peer.host_manager_sha256 == wanted.sha256
                && peer.sequence >= SETTLED_SEQUENCE
                && age.is_ok_and(|age_s| age_s <= FRESH_SECONDS)
        })
    };
    let mut before = cluster.slots.iter().copied().filter(|other| *other < slot);
    before.find(|other| !works(*other)).map_or(Turn::Ours, Turn::Waits)
}

/// The places of programs and of what is noted about them.
struct Places {
    programs: PathBuf,
    state: PathBuf,
}

impl Places {
    fn of(paths: &Paths) -> Self {
        let at = |path: &str| paths.root().join(path.trim_start_matches('/'));
        Self { programs: at(HOST_MANAGERS_PATH), state: at(STATE_PATH) }
    }

    fn program(&self, sha256: &str) -> PathBuf {
        self.programs.join(sha256).join("hcs-host-manager")
    }
}

/// Fetches a program, checks it and asks it for its self-test; it is not used yet.
pub async fn fetch(
    stores: &Stores,
    paths: &Paths,
    wanted: &HostManagerArtifact,
) -> Result<(), ProgramError> {
    let version = || wanted.version.clone();
    let name = blob::host_manager_artifact(&wanted.sha256);
    let read = stores.shared.get(container::ARTIFACTS, &name).await;
    let read = read.map_err(|source| ProgramError::Blob { version: version(), source })?;
    let Some(content) = read else { return Err(ProgramError::Missing { version: version() }) };
    let found = hex(&Sha256::digest(&content.bytes));
    if !found.eq_ignore_ascii_case(&wanted.sha256) {
        return Err(ProgramError::WrongHash { version: version(), found });
    }
    let program = Places::of(paths).program(&wanted.sha256);
    files::make_dir(program.parent().unwrap_or(paths.root()), 0o755)?;
    files::write(&program, &content.bytes, PROGRAM_MODE)?;
    self_test(&program, wanted).await
}

async fn self_test(program: &Path, wanted: &HostManagerArtifact) -> Result<(), ProgramError> {
    let failed =
        |reason: String| ProgramError::SelfTest { version: wanted.version.clone(), reason };
    let mut command = Command::new(program);
    command.arg("self-test").kill_on_drop(true);
    let output = match tokio::time::timeout(SELF_TEST_MAX, command.output()).await {
        Err(_) => return Err(failed("it does not end".to_owned())),
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let last: String = crate::secrets::scrub(last).chars().take(200).collect();
        return Err(failed(format!("{} ({last})", output.status)));
    }
    match serde_json::from_slice::<SelfTest>(&output.stdout) {
        Ok(said) if said.version == wanted.version.to_string() => Ok(()),
        Ok(said) => Err(failed(format!("it is version {:.40}", said.version))),
        Err(_) => Err(failed("it answers something else".to_owned())),
    }
}

/// From the next start on, this program is on trial.
pub fn switch_to(paths: &Paths, sha256: &str) -> Result<(), FileError> {
    let places = Places::of(paths);
    let (current, previous) = (places.programs.join("current"), places.programs.join("previous"));
    if let Some(now) = files::link_target(&current).filter(|now| now.as_os_str() != sha256) {
        files::switch_link(&previous, &now)?;
    }
    for note in ["starts", "put-back"] {
        files::remove(&places.state.join(note))?;
    }
    files::switch_link(&current, Path::new(sha256))
}

/// The running program works: it is not on trial any more. What is neither current nor the one before goes.
pub fn confirm(paths: &Paths, own: &OwnProgram) -> Result<(), FileError> {
    let places = Places::of(paths);
    files::make_dir(&places.state, 0o700)?;
    let text = format!("{}\n", own.sha256);
    files::write(&places.state.join("confirmed"), text.as_bytes(), SECRET_MODE)?;
    let kept: Vec<PathBuf> = ["current", "previous"]
        .iter()
        .filter_map(|link| files::link_target(&places.programs.join(link)))
        .collect();
    let entries = std::fs::read_dir(&places.programs).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        if !kept.iter().any(|kept| kept.as_os_str() == entry.file_name()) {
            files::remove_dir(&entry.path())?;
        }
    }
    Ok(())
}

/// The program that was tried last and did not come to work.
pub fn put_back(paths: &Paths) -> Result<Option<String>, FileError> {
    let note = files::read(&Places::of(paths).state.join("put-back"))?;
    Ok(note.and_then(|bytes| String::from_utf8(bytes).ok()).map(|text| text.trim().to_owned()))
}

/// SHA-256 of the program that runs.
pub fn own_sha256() -> std::io::Result<String> {
    Ok(hex(&Sha256::digest(std::fs::read("/proc/self/exe")?)))
}

#[cfg(test)]
mod tests {
    use semver::Version;

    use super::*;
    use crate::samples;

    const NOW: &str = "2026-11-28T10:00:00Z";

    fn cluster(wanted: Option<&str>) -> ClusterDocument {
        let host_manager = wanted.map(|sha256| HostManagerArtifact {
            version: Version::new(2, 0, 0),
            sha256: sha256.to_owned(),
        });
        ClusterDocument { host_manager, ..samples::cluster(3) }
    }

    fn status(slot: u32, sha256: &str, sequence: u64, written_at: &str) -> ServerStatus {
        ServerStatus {
            written_at: written_at.to_owned(),
            sequence,
            host_manager_version: "2.0.0".to_owned(),
            host_manager_sha256: sha256.to_owned(),
            ..samples::status(slot)
        }
    }

    fn turn_of(slot: u32, own: &str, wanted: Option<&str>, peers: &[ServerStatus]) -> Turn {
        let own = OwnProgram { sha256: own.to_owned(), is_on_trial: false };
        turn(&cluster(wanted), slot, &own, peers, NOW.parse().unwrap())
    }

    #[test]
    fn servers_come_by_their_slot_and_a_bad_program_stops_at_the_first() {
        let works = |slot| status(slot, "new", 9, NOW);
        assert_eq!(turn_of(0, "old", None, &[]), Turn::Done);
        assert_eq!(turn_of(0, "new", Some("new"), &[]), Turn::Done);
        assert_eq!(turn_of(0, "old", Some("new"), &[]), Turn::Ours);
        assert_eq!(turn_of(1, "old", Some("new"), &[works(0)]), Turn::Ours);
        assert_eq!(turn_of(2, "old", Some("new"), &[works(0), works(1)]), Turn::Ours);
        assert_eq!(turn_of(2, "old", Some("new"), &[works(0)]), Turn::Waits(1));
        let not_working = [
            status(0, "old", 9, NOW),
            status(0, "", 9, NOW),
            status(0, "new", 2, NOW),
            status(0, "new", 9, "2026-11-28T09:57:00Z"),
            status(0, "new", 9, "yesterday"),
        ];
        for peer in not_working {
            assert_eq!(
                turn_of(1, "old", Some("new"), std::slice::from_ref(&peer)),
                Turn::Waits(0),
                "{peer:?}"
            );
        }
    }

    #[test]
    fn a_program_is_switched_to_confirmed_and_the_ones_before_the_last_go() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(root.path());
        let places = Places::of(&paths);
        files::make_dir(&places.state, 0o700).unwrap();
        for (at, sha256) in ["aa", "bb", "cc"].into_iter().enumerate() {
            files::make_dir(&places.programs.join(sha256), 0o755).unwrap();
            files::write(&places.program(sha256), sha256.as_bytes(), PROGRAM_MODE).unwrap();
            std::fs::write(places.state.join("starts"), "aa 3").unwrap();
            switch_to(&paths, sha256).unwrap();
            switch_to(&paths, sha256).unwrap();
            assert!(!places.state.join("starts").exists(), "a new trial begins");
            confirm(&paths, &OwnProgram { sha256: sha256.to_owned(), is_on_trial: true }).unwrap();
            let left = std::fs::read_dir(&places.programs).unwrap().count();
            assert_eq!(left, [2, 4, 4][at], "links and programs");
        }
        assert_eq!(files::link_target(&places.programs.join("previous")).unwrap(), Path::new("bb"));
        assert!(!places.programs.join("aa").exists());
    }

    #[tokio::test]
    async fn a_program_that_is_something_else_fails_its_self_test() {
        let root = tempfile::tempdir().unwrap();
        let wanted = HostManagerArtifact { version: Version::new(2, 0, 0), sha256: String::new() };
        for (text, reason) in [
            ("echo '{\"version\":\"2.0.0\",\"newer\":1}'", None),
            ("echo '{\"version\":\"1.0.0\"}'", Some("it is version 1.0.0")),
            ("echo hello", Some("it answers something else")),
            ("echo 'no format 9' >&2; exit 3", Some("exit status: 3 (no format 9)")),
            ("kill -9 $$", Some("signal: 9")),
        ] {
            let program = root.path().join("program");
            files::write(&program, format!("#!/bin/sh\n{text}\n").as_bytes(), PROGRAM_MODE)
                .unwrap();
            let told = self_test(&program, &wanted).await.err().map(|error| error.to_string());
            match reason {
                None => assert_eq!(told, None),
                Some(reason) => assert!(told.as_ref().unwrap().contains(reason), "{told:?}"),
            }
        }
    }
}
