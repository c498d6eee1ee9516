//! Certificates through many lives, under load, with the real clock and a real Consul.
//!
//! `HCS_LIVES` says how many; without it a few, of 16 seconds each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hcs_host_manager::consul::client::ConsulClient;
use hcs_planner::dataplane::{ServerPhase, port};
use support::world::{MANAGEMENT, Server, World};
use support::{consul_binary, eventually};
use tokio_util::sync::CancellationToken;

const TTL_SECONDS: u64 = 16;
const SOON: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_renew_themselves_and_no_client_notices() {
    let lives: usize = std::env::var("HCS_LIVES").map_or(3, |text| text.parse().unwrap());
    let mut world = World::new(&consul_binary(), 3);
    world.set_certificate_ttl(TTL_SECONDS, 3);
    let mut servers: Vec<Server> = (0..3).map(|slot| world.server(slot)).collect();
    for server in &mut servers {
        server.start_manager();
    }
    let is_up = |slot: u32| {
        world.status(slot).is_some_and(|status| {
            status.phase == ServerPhase::Running && status.consul.is_some_and(|c| c.healthy)
        })
    };
    eventually("three healthy servers", SOON, || async { (0..3).all(is_up).then_some(()) }).await;
    let before: Vec<_> = servers.iter().map(|server| server.service.process()).collect();
    let stop = CancellationToken::new();
    let load = Load::start(&world, &stop);
    let mut serials = vec![Vec::<String>::new(); 3];
    let end = Instant::now() + Duration::from_secs(TTL_SECONDS) * u32::try_from(lives + 2).unwrap();
    while serials.iter().any(|seen| seen.len() <= lives) {
        assert!(Instant::now() < end, "they were renewed {serials:?}");
        for (server, seen) in servers.iter().zip(&mut serials) {
            let serial = server.leaf().facts.serial;
            if seen.last() != Some(&serial) {
                seen.push(serial);
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for server in &servers {
        eventually("every port serves the last one", SOON, || async {
            let grpc = port::has_grpc_tls(&world.version).then_some(port::GRPC_TLS);
            let mut is_served = true;
            for port in [port::HTTPS, port::RPC].into_iter().chain(grpc) {
                is_served &= server.serves_its_leaf(port).await;
            }
            is_served.then_some(())
        })
        .await;
    }
    stop.cancel();
    let told = load.end().await;
    let after: Vec<_> = servers.iter().map(|server| server.service.process()).collect();
    assert_eq!(after, before, "Consul was restarted");
    println!("{lives} lives of {TTL_SECONDS} s on 3 servers: {told}");
    who_was_away_for_longer_heals(&world, &mut servers).await;
}

/// Its certificate ends while its manager is away: nobody believes this server any more, its own manager neither.
async fn who_was_away_for_longer_heals(world: &World, servers: &mut [Server]) {
    servers[2].stop_manager().await;
    let process = servers[2].service.process();
    tokio::time::sleep(Duration::from_secs(TTL_SECONDS + 1)).await;
    let client = world.client(2, MANAGEMENT);
    assert!(client.leader().await.is_err(), "a certificate that has ended is refused");
    servers[2].start_manager();
    eventually("it serves a new one", SOON, || async { client.leader().await.ok()? }).await;
    assert_eq!(servers[2].service.process(), process, "without a restart");
}

/// What clients do meanwhile: new connections all the time, one connection that stays, and a watch on it.
struct Load {
    asked: Arc<AtomicU32>,
    failed: Arc<std::sync::Mutex<Vec<String>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(world: &World, stop: &CancellationToken) -> Self {
        let (asked, failed) = (Arc::<AtomicU32>::default(), Arc::default());
        let mut load = Self { asked, failed, tasks: Vec::new() };
        for slot in 0..3 {
            let steady = world.client(slot, MANAGEMENT);
            let (ca, address) = (world.ca_pem.clone(), world.address(slot));
            let fresh = move || {
                let token = hcs_host_manager::secrets::Secret::new(MANAGEMENT);
                ConsulClient::new(address, support::world::DATACENTER, &ca, token).unwrap()
            };
            let every = Duration::from_millis(30);
            load.repeat(stop, every, move || {
                let client = fresh();
                async move { ask(&client).await }
            });
            let kept = steady.clone();
            load.repeat(stop, every, move || {
                let client = kept.clone();
                async move { ask(&client).await }
            });
            load.repeat(stop, Duration::ZERO, move || {
                let client = steady.clone();
                async move { watch(&client).await }
            });
        }
        load
    }

    fn repeat<F>(
        &mut self,
        stop: &CancellationToken,
        every: Duration,
        call: impl Fn() -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), String>> + Send,
    {
        let (asked, failed, stop) =
            (Arc::clone(&self.asked), Arc::clone(&self.failed), stop.clone());
        self.tasks.push(tokio::spawn(async move {
            while !stop.is_cancelled() {
                asked.fetch_add(1, Ordering::Relaxed);
                if let Err(error) = call().await {
                    failed.lock().unwrap().push(error);
                }
                tokio::time::sleep(every).await;
            }
        }));
    }

    /// Nothing failed.
    async fn end(self) -> String {
        for task in self.tasks {
            task.await.unwrap();
        }
        let (asked, failed) =
            (self.asked.load(Ordering::Relaxed), self.failed.lock().unwrap().clone());
        assert!(failed.is_empty(), "{} of {asked} failed: {:?}", failed.len(), failed.first());
        format!("0 of {asked} requests failed")
    }
}

async fn ask(client: &ConsulClient) -> Result<(), String> {
    match client.leader().await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("no leader".to_owned()),
        Err(error) => Err(format!("{error:?}")),
    }
}

/// A blocking query of two seconds.
async fn watch(client: &ConsulClient) -> Result<(), String> {
    let path = "catalog/nodes?index=1000000&wait=2s";
    let nodes =
        client.get::<serde_json::Value>(path).await.map_err(|error| format!("{error:?}"))?;
    if nodes.as_array().is_some_and(|nodes| nodes.len() == 3) {
        Ok(())
    } else {
        Err(format!("{nodes}"))
    }
}
