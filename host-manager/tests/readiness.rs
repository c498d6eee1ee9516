//! What balancers are told of a server, with real Consuls: out as soon as it cannot serve, and back when it can.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use hcs_host_manager::service::{Service as _, Verb};
use hcs_planner::dataplane::{blob, container, port};
use hcs_planner::requests::{Request, RequestAction, RequestOutcome};
use serde_json::{Value, json};
use support::world::{MANAGEMENT, Server, World};
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
    let raft: Value = world.client(0, MANAGEMENT).get("operator/raft/configuration").await.unwrap();
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

fn signal(server: &Server, signal: &str) {
    let process = server.service.process().0.unwrap().to_string();
    assert!(
        std::process::Command::new("kill").args([signal, &process]).status().unwrap().success()
    );
}

/// As a collector asks.
async fn scraped(world: &World, token: Option<&str>) -> (u16, String) {
    let client = reqwest::Client::builder()
        .danger_accept_invalid_certs(true)
        // A collector's, and it refuses what says no type.
        .timeout(Duration::from_secs(8))
        .build()
        .unwrap();
    let url = format!("https://{}:{}/metrics", world.address(0), port::METRICS);
    let mut request = client.get(url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    match request.send().await {
        Ok(answer) => {
            assert!(answer.headers()["content-type"].to_str().unwrap().contains("version=0.0.4"));
            (answer.status().as_u16(), answer.text().await.unwrap())
        }
        // Its port is not open yet.
        Err(error) => (0, error.to_string()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_for_whoever_holds_a_token_that_reads_agents() {
    let world = World::new(&consul_binary(), 1);
    let mut server = world.server(0);
    server.start_manager();
    says(&world, 0, 200, "ready").await;
    let client = world.client(0, MANAGEMENT);
    let token = async |name: &str, rules: &str| -> String {
        let policy = json!({ "Name": name, "Rules": rules });
        // ACLs take a moment longer than the lead.
        eventually("a policy is taken", SOON, || async {
            client.put_json::<_, Value>("acl/policy", &policy).await.ok()
        })
        .await;
        let token = json!({ "Policies": [{ "Name": name }] });
        let made: Value = client.put_json("acl/token", &token).await.unwrap();
        made["SecretID"].as_str().unwrap().to_owned()
    };
    let collector = token("collector", "agent_prefix \"\" { policy = \"read\" }").await;
    let other = token("other", "key_prefix \"\" { policy = \"read\" }").await;

    let text = eventually("it tells that it leads", SOON, || async {
        let (status, text) = scraped(&world, Some(&collector)).await;
        (status == 200 && text.contains("hcs_leader 1")).then_some(text)
    })
    .await;
    for words in
        ["hcs_consul_up 1", "hcs_ready 1", "hcs_leader 1", "hcs_voters 1", "consul_runtime_"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains(&collector));
    for stranger in [other.as_str(), "00000000-0000-0000-0000-000000000001", "x"] {
        let (status, text) = scraped(&world, Some(stranger)).await;
        assert_eq!((status, text.contains("hcs_")), (403, false), "{text}");
    }
    assert_eq!(scraped(&world, None).await.0, 401);

    // While Consul does not answer, whoever was let in before sees that.
    server.stop_manager().await;
    server.start_manager();
    eventually("its port is open again", SOON, || async {
        (scraped(&world, Some(&collector)).await.0 == 200).then_some(())
    })
    .await;
    signal(&server, "-STOP");
    let (status, text) = scraped(&world, Some(&collector)).await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("hcs_consul_up 0") && !text.contains("consul_runtime_"), "{text}");
    assert_eq!(scraped(&world, Some(&other)).await.0, 503);
    signal(&server, "-CONT");
    server.stop_manager().await;
}
