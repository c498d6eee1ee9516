//! What breaks around a server: each is told, harms nothing that works, and ends by itself once its cause is gone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hcs_engine::clock::{Clock, SystemClock};
use hcs_host_manager::service::{Service as _, Verb};
use hcs_planner::dataplane::{ServerStatus, blob, container, port};
use serde_json::json;
use support::world::{MANAGEMENT, Server, World};
use support::{consul_binary, eventually};

const SOON: Duration = Duration::from_mins(1);

/// This machine's clock, and so many seconds more.
struct Shifted(i64);

#[async_trait]
impl Clock for Shifted {
    fn now_unix_ms(&self) -> u64 {
        SystemClock.now_unix_ms().checked_add_signed(self.0 * 1000).unwrap()
    }

    fn monotonic_ms(&self) -> u64 {
        SystemClock.monotonic_ms()
    }

    async fn sleep(&self, duration: Duration) {
        SystemClock.sleep(duration).await;
    }
}

fn is_well(status: &ServerStatus, voters: usize) -> bool {
    let consul = status.consul.as_ref();
    consul.is_some_and(|one| one.healthy && one.acl_ready && one.voters.len() == voters)
}

async fn all_well(world: &World, servers: u32) {
    eventually("all are well", SOON, || async {
        let voters = usize::try_from(servers).unwrap();
        let is_well = |slot| {
            world.status(slot).is_some_and(|one| is_well(&one, voters) && one.last_error.is_none())
        };
        (0..servers).all(is_well).then_some(())
    })
    .await;
}

/// What a server says is wrong, in these words.
async fn tells(world: &World, slot: u32, words: &str) -> String {
    eventually(&format!("server {slot} tells of {words}"), SOON, || async {
        let status = world.status(slot)?;
        let told = status.last_error.into_iter().chain(status.attention);
        told.into_iter().find(|told| told.contains(words))
    })
    .await
}

async fn serves(world: &World, servers: u32) {
    for slot in 0..servers {
        let client = world.client(slot, MANAGEMENT);
        eventually("a write is taken", SOON, || async {
            client.put_only("kv/kept", &json!("yes")).await.ok()
        })
        .await;
    }
}

async fn cluster(world: &World, servers: u32) -> Vec<Server> {
    let mut all: Vec<Server> = (0..servers).map(|slot| world.server(slot)).collect();
    all.iter_mut().for_each(Server::start_manager);
    all_well(world, servers).await;
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_cannot_be_read_is_told_and_what_runs_goes_on() {
    let world = World::new(&consul_binary(), 1);
    let mut servers = cluster(&world, 1).await;
    let before = servers[0].service.process();
    for (place, name) in [(container::CONFIG, blob::CLUSTER), (container::DECISIONS, blob::UPGRADE)]
    {
        let good = world.account.read(place, name);
        world.account.write(place, name, "{ \"torn");
        tells(&world, 0, name).await;
        serves(&world, 1).await;
        // A host manager that begins anew knows what the disk says, and no more.
        servers[0].stop_manager().await;
        servers[0].start_manager();
        tokio::time::sleep(Duration::from_secs(2)).await;
        tells(&world, 0, name).await;
        serves(&world, 1).await;
        match good {
            Some(good) => world.account.write(place, name, good),
            None => drop(world.account.remove(place, name)),
        }
        all_well(&world, 1).await;
    }
    assert_eq!(servers[0].service.process(), before, "Consul ran all the time");
    servers[0].stop_manager().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ_by_twenty_minutes_are_told_and_harm_nobody() {
    let world = World::new(&consul_binary(), 3);
    let mut servers: Vec<Server> = (0..3).map(|slot| world.server(slot)).collect();
    servers[1].host.clock = Arc::new(Shifted(600));
    servers[2].host.clock = Arc::new(Shifted(-600));
    servers.iter_mut().for_each(Server::start_manager);
    all_well(&world, 3).await;
    tells(&world, 1, "s ahead of Azure's").await;
    tells(&world, 2, "s behind Azure's").await;
    assert_eq!(world.status(0).unwrap().attention, [""; 0]);
    serves(&world, 3).await;
    for mut server in servers {
        server.stop_manager().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consul_that_ends_again_and_again_is_told_and_comes_back() {
    let world = World::new(&consul_binary(), 3);
    let mut servers = cluster(&world, 3).await;
    servers[2].stop_manager().await;
    servers[2].service.tell(Verb::Stop).await.unwrap();
    // Somebody else has its port.
    let taken = TcpListener::bind((world.address(2), port::RPC)).unwrap();
    servers[2].start_manager();
    tells(&world, 2, "did not answer").await;
    eventually("since when is told", SOON, || async {
        let status = world.status(2)?;
        (status.consul.is_none() && status.consul_silent_seconds > 0).then_some(())
    })
    .await;
    serves(&world, 2).await;
    drop(taken);
    all_well(&world, 3).await;
    for mut server in servers {
        server.stop_manager().await;
    }
}
