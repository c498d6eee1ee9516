//! A client that writes all the time, finding the servers as a client does: by what they publish.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::consul::Consul;
use crate::scenario::CLUSTER;
use crate::{HarnessError, Scenario};

/// Between two writes, and between two looks. An election takes seconds; each look is a process, and on a small machine
/// more of them would slow down what they look at.
const PAUSE: Duration = Duration::from_millis(200);

/// Writes keys all the time and watches for a leader.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    writer: JoinHandle<Vec<String>>,
    watcher: JoinHandle<Duration>,
}

/// What a load has seen.
#[derive(Debug)]
pub struct Seen {
    /// Keys whose write was acknowledged.
    pub acknowledged: Vec<String>,
    /// Longest time in which no server knew a leader.
    pub longest_gap: Duration,
}

/// The servers as they are published now. A server that is made anew has another address.
fn servers(scenario: &Scenario) -> Result<impl Fn() -> Option<Consul> + use<>, HarnessError> {
    let cluster = scenario.terraform.attributes(CLUSTER)?;
    let account = cluster["storage_account_name"].as_str().unwrap_or_default().to_owned();
    let (azure, dir) = (scenario.azure.handle(), scenario.dir.clone());
    Ok(move || Consul::of_cluster(&azure, &account, &dir).ok())
}

impl Load {
    /// Starts on the quickstart's cluster.
    pub fn start(scenario: &Scenario) -> Result<Self, HarnessError> {
        Ok(Self::start_on(servers(scenario)?, servers(scenario)?))
    }

    /// Starts on the servers that are found, now and again.
    #[must_use]
    pub fn start_on(
        find: impl Fn() -> Option<Consul> + Send + 'static,
        look: impl Fn() -> Option<Consul> + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (writer_stop, watcher_stop) = (Arc::clone(&stop), Arc::clone(&stop));
        let writer = thread::spawn(move || {
            let mut acknowledged = Vec::new();
            let mut consul = find();
            for number in 0_usize.. {
                if writer_stop.load(Ordering::Relaxed) {
                    break;
                }
                if number.is_multiple_of(20) {
                    consul = find().or(consul);
                }
                let Some(consul) = &consul else { continue };
                let key = format!("load/{number}");
                let slot = number % consul.addresses.len().max(1);
                let answer = consul.ask(slot, "PUT", &format!("kv/{key}"), Some("x"), true);
                if answer.is_ok_and(|answer| answer.status == 200 && answer.text().trim() == "true")
                {
                    acknowledged.push(key);
                }
                thread::sleep(PAUSE);
            }
            acknowledged
        });
        let watcher = thread::spawn(move || {
            let mut longest = Duration::ZERO;
            let mut seen = Instant::now();
            let mut consul = look();
            let mut found = Instant::now();
            while !watcher_stop.load(Ordering::Relaxed) {
                if found.elapsed() > Duration::from_secs(2) {
                    consul = look().or(consul);
                    found = Instant::now();
                }
                let has_leader = consul.as_ref().is_some_and(|consul| {
                    (0..consul.addresses.len())
                        .any(|slot| consul.leader(slot).is_ok_and(|leader| !leader.is_empty()))
                });
                longest = longest.max(seen.elapsed());
                if has_leader {
                    seen = Instant::now();
                }
                thread::sleep(PAUSE);
            }
            longest
        });
        Self { stop, writer, watcher }
    }

    /// Stops it.
    #[must_use]
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let acknowledged = self.writer.join().unwrap_or_default();
        Seen { acknowledged, longest_gap: self.watcher.join().unwrap_or(Duration::MAX) }
    }
}
