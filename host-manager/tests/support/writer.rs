//! Somebody who writes all the time, to whichever server answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hcs_host_manager::consul::client::ConsulClient;
use serde_json::json;
use tokio::task::JoinHandle;

use super::world::{MANAGEMENT, World};

/// Between two writes.
const PAUSE: Duration = Duration::from_millis(50);
/// A server that hangs is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

pub struct Writer {
    is_over: Arc<AtomicBool>,
    work: JoinHandle<Written>,
}

/// What was acknowledged.
pub struct Written {
    pub keys: Vec<String>,
    /// From one acknowledged write to the next, at most: an election and what goes with it.
    pub longest_gap: Duration,
}

impl Writer {
    /// Begins to write to these servers.
    pub fn start(world: &World, servers: u32) -> Self {
        let clients: Vec<ConsulClient> =
            (0..servers).map(|slot| world.client(slot, MANAGEMENT)).collect();
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let work = tokio::spawn(async move {
            let mut written = Written { keys: Vec::new(), longest_gap: Duration::ZERO };
            let mut last = Instant::now();
            let mut turn = 0;
            while !ends.load(Ordering::Relaxed) {
                let key = format!("written/{}", written.keys.len());
                let (path, body) = (format!("kv/{key}"), json!(key));
                let put = clients[turn % clients.len()].put_only(&path, &body);
                if matches!(tokio::time::timeout(PATIENCE, put).await, Ok(Ok(()))) {
                    written.longest_gap = written.longest_gap.max(last.elapsed());
                    last = Instant::now();
                    written.keys.push(key);
                } else {
                    turn += 1;
                }
                tokio::time::sleep(PAUSE).await;
            }
            written
        });
        Self { is_over, work }
    }

    pub async fn stop(self) -> Written {
        self.is_over.store(true, Ordering::Relaxed);
        self.work.await.unwrap()
    }
}
