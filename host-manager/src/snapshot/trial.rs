//! A snapshot is tried before it is needed, or before it is restored: a Consul of the same version, thrown away afterwards,
//! restores it, and what it holds then is counted.
//!
//! That server meets nobody: it listens on this machine alone, in a network of its own where the service manager can make
//! one, joins nobody, and takes no more memory than is free. Its API is a socket that the host manager alone opens, as it
//! asks nobody for a token.

pub(crate) mod server;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use hcs_engine::snapshot::archive::SnapshotFacts;
use hcs_engine::snapshot::records::{self, Counts, kind};
use hcs_planner::observed::is_same_consul;
use semver::Version;
use tokio::sync::Mutex;

use super::save::{self, Place, SaveError, Saved};
use crate::consul::client::{ConsulClient, ConsulError};
use crate::files::FileError;
use crate::host::Host;
use crate::reader::ReaderError;
use crate::report::chain;
use crate::service::ServiceError;

/// One at a time on this machine: unit and folder are the same for all.
static ONE: Mutex<()> = Mutex::const_new(());

/// A state is some times as large in the memory of a server as in its archive.
const MEMORY_FACTOR: u64 = 4;
/// The archive, what is unpacked of it, and the snapshot that Consul makes of it at once.
const DISK_FACTOR: u64 = 4;
/// All of it, and the wait for another one.
const TRIAL_MAX: Duration = Duration::from_mins(15);
/// What a server without a state takes, and some more.
const SPARE_BYTES: u64 = 256 << 20;

/// Why it is not known to be good.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// This server cannot try it; that says nothing of the snapshot.
    #[error("it cannot be tried here: {0}")]
    NoPlace(String),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Consul's user is not known.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// The service manager refused.
    #[error("no server could be started to try it in")]
    Service(#[from] ServiceError),
    /// It cannot be called.
    #[error("the server to try it in cannot be called")]
    Client(#[source] ConsulError),
    /// It came up and did not serve.
    #[error("the server to try it in did not serve within {} s", .0.as_secs())]
    NotServing(Duration),
    /// The snapshot could not be read.
    #[error("it could not be read while it was tried")]
    Read(#[source] ConsulError),
    /// What was restored could not be looked at.
    #[error("what was restored could not be counted")]
    Count(#[source] Box<SaveError>),
    /// Consul does not restore it.
    #[error("a Consul {version} that was started to try it in did not restore it")]
    NotRestored {
        /// Of Consul.
        version: String,
        /// Why.
        #[source]
        source: ConsulError,
    },
    /// Consul ended over it.
    #[error(
        "a Consul {version} that was started to try it in ended over it (`hcs snapshots restore --without-trial` does not try)"
    )]
    Ended {
        /// Of Consul.
        version: String,
        /// What was seen of it.
        #[source]
        source: ConsulError,
    },
    /// Consul restored it, and not all of it is there.
    #[error("a Consul that was started to try it in restored it, and {0}")]
    Lost(String),
}

impl TrialError {
    /// Whether Consul does not take the snapshot. Of what it takes, and of what it could not be asked, the count is told.
    pub fn is_no_snapshot(&self) -> bool {
        matches!(self, Self::NotRestored { .. } | Self::Ended { .. })
    }

    /// Whether it speaks of the snapshot or of this server, and not of a moment.
    pub fn lasts(&self) -> bool {
        self.is_no_snapshot() || matches!(self, Self::Lost(_) | Self::NoPlace(_))
    }
}

/// Restores the version `etag` of a snapshot, that was verified as `saved`, into a throw-away server of the version that
/// runs here; says how long it took.
///
/// Cancel safety: what is left behind is swept within a round of snapshots, see [`sweep`]; its unit ends within half an hour
/// in any case.
pub async fn try_out(
    host: &Host,
    version: &str,
    place: Place<'_>,
    saved: &Saved,
    etag: String,
) -> Result<Duration, TrialError> {
    let trial = async {
        let began = Instant::now();
        room(host, saved.facts.state_bytes)?;
        let (known_as, program) = program(host, version)?;
        let _one = ONE.lock().await;
        server::end(host).await?;
        let tried = async {
            let client = server::start(host, &known_as, &program).await?;
            restored(host, &client, version, place, etag).await?;
            counted(&client).await
        };
        let tried = tried.await;
        if let Err(error) = server::end(host).await {
            tracing::warn!(error = %chain(&error), "what a trial has left behind is there still");
        }
        let facts = tried?;
        match missing(&saved.facts.records, &facts.records) {
            None => Ok(began.elapsed()),
            Some(missing) => Err(TrialError::Lost(missing)),
        }
    };
    tokio::time::timeout(TRIAL_MAX, trial).await.unwrap_or_else(|_| {
        let minutes = TRIAL_MAX.as_secs() / 60;
        Err(TrialError::NoPlace(format!("it was not done after {minutes} minutes")))
    })
}

/// Ends what a trial that was cut off has left behind: a server, and the state on the disk.
pub async fn sweep(host: &Host) -> Result<(), TrialError> {
    if !host.paths.trial_dir().exists() {
        return Ok(());
    }
    // One goes on.
    let Ok(_one) = ONE.try_lock() else { return Ok(()) };
    server::end(host).await
}

/// The program that runs here, whatever exactly it is called.
fn program(host: &Host, version: &str) -> Result<(Version, PathBuf), TrialError> {
    let folders = std::fs::read_dir(host.paths.consul_dirs()).into_iter().flatten().flatten();
    let names = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<Version>().ok());
    let mut same: Vec<Version> = names.filter(|name| is_same_consul(version, name)).collect();
    same.sort();
    let program = same.pop().map(|found| {
        let program = host.paths.consul_dir(&found).join("consul");
        (found, program)
    });
    program
        .filter(|(_, program)| program.is_file())
        .ok_or_else(|| TrialError::NoPlace(format!("the program of Consul {version} is not here")))
}

/// Nothing of the server that serves is taken for one that is thrown away.
fn room(host: &Host, state_bytes: u64) -> Result<(), TrialError> {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let (memory, disk) = (needed(state_bytes, MEMORY_FACTOR), needed(state_bytes, DISK_FACTOR));
    if let Some(free) = server::free_memory_bytes().filter(|free| *free < memory) {
        let (free, memory) = (mib(free), mib(memory));
        let told = format!("{free} MiB of memory are free, and it may take {memory}");
        return Err(TrialError::NoPlace(told));
    }
    match server::free_disk_bytes(host) {
        Some(free) if free < disk => {
            let (free, disk) = (mib(free), mib(disk));
            let told = format!("{free} MiB of the data disk are free, and it may take {disk}");
            Err(TrialError::NoPlace(told))
        }
        _ => Ok(()),
    }
}

fn needed(state_bytes: u64, factor: u64) -> u64 {
    state_bytes.saturating_mul(factor).saturating_add(SPARE_BYTES)
}

async fn restored(
    host: &Host,
    client: &ConsulClient,
    version: &str,
    place: Place<'_>,
    etag: String,
) -> Result<(), TrialError> {
    let Place { store, container, name } = place;
    let was_cut = Arc::new(AtomicBool::new(false));
    let cut = Arc::clone(&was_cut);
    let archive = save::read(Arc::clone(store), container.to_owned(), name.to_owned(), Some(etag));
    let archive = archive.inspect_err(move |_| cut.store(true, Ordering::Relaxed));
    let Err(source) = client.restore(archive).await else { return Ok(()) };
    if was_cut.load(Ordering::Relaxed) {
        return Err(TrialError::Read(source));
    }
    let version = version.to_owned();
    if !matches!(source, ConsulError::Unreachable { .. }) {
        return Err(TrialError::NotRestored { version, source });
    }
    // systemd's words for what the machine did to it, and not the snapshot.
    match host.service.trial_result().await?.as_str() {
        "oom-kill" => Err(TrialError::NoPlace("it took more memory than it may have".to_owned())),
        "timeout" => Err(TrialError::NoPlace("it took longer than its unit lives".to_owned())),
        _ => Err(TrialError::Ended { version, source }),
    }
}

async fn counted(client: &ConsulClient) -> Result<SnapshotFacts, TrialError> {
    let failed = |error| TrialError::Count(Box::new(error));
    let stream =
        client.snapshot().await.map_err(|error| failed(SaveError::Source(error.into())))?;
    save::verify(stream).await.map_err(failed)
}

/// Kinds that go with a session: a leader ends those of nodes that gossip does not know, within a minute.
const OF_SESSIONS: [u8; 2] = [kind::KVS, kind::PREPARED_QUERY];

/// Kinds of which a server that has restored holds no fewer, however long it leads: it takes none of them away by itself,
/// as it does nodes that are not there, sessions and tombstones.
const LASTING: [u8; 10] = [
    kind::KVS,
    kind::PREPARED_QUERY,
    kind::ACL_TOKEN,
    kind::ACL_POLICY,
    kind::ACL_ROLE,
    kind::ACL_BINDING_RULE,
    kind::ACL_AUTH_METHOD,
    kind::CONFIG_ENTRY,
    kind::PEERING,
    kind::PEERING_TRUST_BUNDLE,
];

/// What is not there after all, in words.
fn missing(archive: &Counts, restored: &Counts) -> Option<String> {
    let count = |of: &Counts, kind: u8| of.get(&kind).copied().unwrap_or(0);
    let mut told = String::new();
    for kind in LASTING {
        let (there, whole) = (count(restored, kind), count(archive, kind));
        let ended = count(archive, kind::SESSION).saturating_sub(count(restored, kind::SESSION));
        let may_go = if OF_SESSIONS.contains(&kind) { ended } else { 0 };
        if there + may_go < whole {
            let separator = if told.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(told, "{separator}{there} of {whole} records {}", records::name(kind));
        }
    }
    (!told.is_empty()).then(|| format!("held {told} afterwards"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_drops_by_itself_is_not_missing() {
        let archive = Counts::from([(0, 5), (2, 7), (3, 4), (5, 9), (17, 2)]);
        assert_eq!(missing(&archive, &archive), None);
        let without = |kind: u8, count: u64| {
            let mut restored = archive.clone();
            restored.insert(kind, count);
            missing(&archive, &restored)
        };
        for kind in [0, 3, 5] {
            assert_eq!(without(kind, 0), None, "{kind}");
        }
        // Two sessions have ended, with a lock each.
        let without_locks = Counts::from([(0, 5), (2, 5), (3, 2), (17, 2)]);
        assert_eq!(missing(&archive, &without_locks), None);
        let without_more = Counts::from([(0, 5), (2, 4), (3, 2), (17, 2)]);
        assert_eq!(missing(&archive, &without_more).unwrap(), "held 4 of 7 records KVS afterwards");
        assert_eq!(without(2, 8), None, "more is not missing");
        assert_eq!(without(2, 6).unwrap(), "held 6 of 7 records KVS afterwards");
        let told = missing(&archive, &Counts::new()).unwrap();
        assert_eq!(told, "held 0 of 7 records KVS, 0 of 2 records ACLToken afterwards");
    }

    #[test]
    fn an_absurd_size_needs_more_than_there_is() {
        assert_eq!(needed(u64::MAX, MEMORY_FACTOR), u64::MAX);
        assert_eq!(needed(0, DISK_FACTOR), SPARE_BYTES);
    }
}
