//! A client that reads and writes through its own agent all the time, and retries nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::Client;

/// A request that has no good answer by then has failed.
const PATIENCE: Duration = Duration::from_secs(10);
const BETWEEN: Duration = Duration::from_millis(250);
/// After so many requests it asks who leads.
const LEADER_EVERY: u64 = 8;

/// What the client saw while a job went on.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Requests.
    pub requests: u64,
    /// Of these, without a good answer in time: when, and what came instead.
    pub failed: Vec<String>,
    /// The same, while another server began to lead.
    pub at_transfers: Vec<String>,
    /// Longest time from one good answer to the next.
    pub longest_gap: Duration,
}

#[derive(Debug)]
struct Log {
    job: String,
    seen: BTreeMap<String, Seen>,
    order: Vec<String>,
}

/// The client, which goes on until it is stopped.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    log: Arc<Mutex<Log>>,
    thread: JoinHandle<Vec<String>>,
}

impl Watch {
    /// Starts through this agent, with the management token.
    #[must_use]
    pub fn start(client: Client, token: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let log = Log { job: "nothing".to_owned(), seen: BTreeMap::new(), order: Vec::new() };
        let log = Arc::new(Mutex::new(log));
        let thread = thread::spawn({
            let (stop, log) = (Arc::clone(&stop), Arc::clone(&log));
            move || work(&client, &token, &stop, &log)
        });
        Self { stop, log, thread }
    }

    /// What goes on from now on.
    pub fn says(&self, job: &str) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if !log.order.iter().any(|known| known == job) {
            log.order.push(job.to_owned());
        }
        job.clone_into(&mut log.job);
    }

    /// Stops it: what it saw by job, in the order in which they began, and the keys whose write was acknowledged.
    #[must_use]
    pub fn stop(self) -> (Vec<(String, Seen)>, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let kept = self.thread.join().unwrap_or_default();
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = |job: &String| (job.clone(), log.seen.get(job).cloned().unwrap_or_default());
        (log.order.iter().map(seen).collect(), kept)
    }
}

fn work(client: &Client, token: &str, stop: &AtomicBool, log: &Mutex<Log>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut leader = leads(client);
    let (started, mut last_good) = (Instant::now(), Instant::now());
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("life/{}", number / 2);
        let (begun, is_write) = (Instant::now(), number.is_multiple_of(2));
        let answer = if is_write {
            client.ask("PUT", &format!("kv/{key}"), token, Some("x"))
        } else {
            client.ask("GET", &format!("kv/{key}?raw"), token, None)
        };
        let took = begun.elapsed();
        if number.is_multiple_of(LEADER_EVERY) {
            leader = leads(client).or(leader);
        }
        // A key whose write has failed before is read as absent: a good answer.
        let is_good = answer.as_ref().is_ok_and(|(status, text)| {
            *status == 200 && (!is_write || text == "true") || !is_write && *status == 404
        });
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let job = log.job.clone();
        let seen = log.seen.entry(job).or_default();
        seen.requests += 1;
        if is_good {
            seen.longest_gap = seen.longest_gap.max(last_good.elapsed());
            last_good = Instant::now();
            if is_write {
                kept.push(key);
            }
        }
        if !is_good || took > PATIENCE {
            let at_s = started.elapsed().as_secs();
            let told = format!("after {at_s} s, in {:.1} s: {answer:?}", took.as_secs_f64());
            let now = eventually_leads(client);
            let is_transfer = now.is_some() && now != leader;
            if is_transfer { &mut seen.at_transfers } else { &mut seen.failed }.push(told);
            leader = now.or(leader);
        }
        drop(log);
        thread::sleep(BETWEEN);
    }
    kept
}

/// Who leads, as the agent says.
fn leads(client: &Client) -> Option<String> {
    let (status, text) = client.ask("GET", "status/leader", "", None).ok()?;
    (status == 200 && text.len() > 2).then_some(text)
}

/// The same, when somebody does.
fn eventually_leads(client: &Client) -> Option<String> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(leader) = leads(client) {
            return Some(leader);
        }
        thread::sleep(BETWEEN);
    }
    None
}
