//! What balancers are told of a server, with real Consuls: out as soon as it cannot serve, and back when it can.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use hcs_host_manager::service::{Service as _, Verb};
use hcs_planner::dataplane::{blob, container, port};
use hcs_planner::requests::{Request, RequestAction, RequestOutcome};
use support::world::World;
use support::{consul_binary, eventually};

const SOON: Duration = Duration::from_mins(1);
/// An instance is out, or back, within so long.
const IN_TIME: Duration = Duration::from_secs(15);

/// As a balancer asks: whatever certificate is served. `None` where nothing answers.
async fn asked(address: IpAddr, path: &str) -> Option<(u16, String)> {
    let client = reqwest::Client::builder()
        .danger_accept_invalid_certs(true)
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    let answer =
        client.get(format!("https://{address}:{}{path}", port::READY)).send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.text().await.ok()?))
}

async fn says(world: &World, slot: u32, status: u16, words: &str) -> Duration {
    let begun = Instant::now();
    eventually(&format!("server {slot} says {status} {words}"), SOON, || async {
        let (found, text) = asked(world.address(slot), "/ready").await?;
        (found == status && text.contains(words)).then_some(())
    })
    .await;
    begun.elapsed()
}

/// Whoever leads hands over when it is asked to, where its Consul can; all stay ready, or are again.
async fn hands_over(world: &World) {
    let leader = || {
        (0..3).find(|slot| {
            world
                .status(*slot)
                .and_then(|status| status.consul)
                .is_some_and(|consul| consul.is_leader)
        })
    };
    let before = eventually("a leader says so", SOON, || async { leader() }).await;
    let request = Request::new("t-1".to_owned(), Some(before), RequestAction::TransferLeadership);
    let text = serde_json::to_string(&request).unwrap();
    world.account.write(container::REQUESTS, &blob::request(Some(before)), text);
    let answer = eventually("it answers", SOON, || async {
        world.status(before)?.results.into_iter().find(|result| result.id == "t-1")
    })
    .await;
    if world.version >= semver::Version::new(1, 15, 0) {
        assert_eq!(answer.outcome, RequestOutcome::Done, "{answer:?}");
        eventually("another one leads", SOON, || async { leader().filter(|now| *now != before) })
            .await;
    } else {
        assert_eq!(answer.outcome, RequestOutcome::Refused, "{answer:?}");
        assert!(answer.reason.unwrap().contains("1.15 and newer"));
    }
    for slot in 0..3 {
        says(world, slot, 200, "ready").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_out_as_soon_as_it_cannot_serve_and_back_when_it_can() {
    let world = World::new(&consul_binary(), 3);
    world.account.make_container(container::REQUESTS);
    let mut servers: Vec<_> = (0..3).map(|slot| world.server(slot)).collect();
    for server in &mut servers {
        server.start_manager();
    }
    for slot in 0..3 {
        says(&world, slot, 200, "ready").await;
    }
    assert_eq!(asked(world.address(0), "/metrics").await.unwrap().0, 404);

    // One that does not run.
    servers[2].stop_manager().await;
    servers[2].service.tell(Verb::Stop).await.unwrap();
    assert!(asked(world.address(2), "/ready").await.is_none(), "nobody answers for it");
    // Another one: no quorum, so nobody can serve.
    servers[1].stop_manager().await;
    servers[1].service.tell(Verb::Stop).await.unwrap();
    let out = says(&world, 0, 503, "no leader is known").await;
    assert!(out < IN_TIME, "{out:?}");

    servers[1].start_manager();
    let back = says(&world, 0, 200, "ready").await;
    println!("out after {out:?}, back {back:?} after the other began to start");
    says(&world, 1, 200, "ready").await;

    // It has been away for long: it comes back without a vote, and is given clients when it has one.
    servers[2].start_manager();
    says(&world, 2, 200, "ready").await;
    let raft: serde_json::Value = world
        .client(0, support::world::MANAGEMENT)
        .get("operator/raft/configuration")
        .await
        .unwrap();
    let voters = raft["Servers"].as_array().unwrap().iter().filter(|s| s["Voter"] == true).count();
    assert_eq!(voters, 3, "whoever is ready has a vote");
    hands_over(&world).await;
    // A host manager that begins anew while the account is away answers for a Consul that runs on.
    servers[0].stop_manager().await;
    world.account.set_silent(true);
    servers[0].start_manager();
    let again = says(&world, 0, 200, "ready").await;
    assert!(again < IN_TIME, "{again:?}");
    world.account.set_silent(false);
    for server in &mut servers {
        server.stop_manager().await;
    }
}
