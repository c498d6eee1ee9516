//! Requests to a server or to whichever leads, with a real Consul: done once, whoever restarts, and told in the status.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use hcs_engine::snapshot::archive;
use hcs_host_manager::artifact::hex;
use hcs_planner::dataplane::{blob, container};
use hcs_planner::requests::{Request, RequestAction, RequestOutcome, RequestResult, argument};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use support::world::{MANAGEMENT, World};
use support::{consul_binary, eventually};

const SOON: Duration = Duration::from_mins(1);
const NAME: &str = "~on-demand/20261128T101500Z-0a1b2c3d.snap";

fn asks(world: &World, request: &Request) {
    let text = serde_json::to_string(request).unwrap();
    world.account.write(container::REQUESTS, &blob::request(request.slot), text);
}

fn told(world: &World, id: &str) -> Option<RequestResult> {
    world.status(0)?.results.into_iter().find(|result| result.id == id)
}

async fn answer(world: &World, id: &str) -> RequestResult {
    eventually(&format!("an answer to {id}"), SOON, || async { told(world, id) }).await
}

fn snapshot(id: &str, name: &str) -> Request {
    let mut request = Request::new(id.to_owned(), None, RequestAction::Snapshot);
    request.arguments = BTreeMap::from([(argument::SNAPSHOT.to_owned(), json!(name))]);
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_is_asked_for_is_done_once_and_told() {
    let world = World::new(&consul_binary(), 1);
    world.account.make_container(container::REQUESTS);
    let mut server = world.server(0);
    server.start_manager();
    eventually("it serves", SOON, || async {
        world.status(0)?.consul.filter(|consul| consul.acl_ready)
    })
    .await;
    let client = world.client(0, MANAGEMENT);
    client.put_only("kv/asked", &json!("kept")).await.unwrap();

    asks(&world, &snapshot("s-1", NAME));
    let taken = answer(&world, "s-1").await;
    assert_eq!(taken.outcome, RequestOutcome::Done, "{taken:?}");
    let kept = world.account.read(container::SNAPSHOTS, NAME).unwrap();
    let facts = archive::verify(kept.as_ref()).unwrap();
    assert_eq!(taken.values[argument::SHA256], hex(&Sha256::digest(&kept)));
    assert_eq!(taken.values[argument::SIZE_BYTES], kept.len());
    assert_eq!(taken.values[argument::RAFT_INDEX], facts.index);

    // A host manager that begins anew finds the same request, and knows what came of it, even if its disk is another.
    server.stop_manager().await;
    world.account.write(container::SNAPSHOTS, NAME, "somebody's");
    server.start_manager();
    let renewal = Request::new("c-1".to_owned(), Some(0), RequestAction::RenewCertificate);
    let before = world.status(0).unwrap().certificate_expires_at;
    asks(&world, &renewal);
    let renewed = answer(&world, "c-1").await;
    assert_eq!(renewed.outcome, RequestOutcome::Done, "{renewed:?}");
    assert_ne!(renewed.values[argument::EXPIRES_AT], json!(before));
    assert_eq!(told(&world, "s-1"), Some(taken), "what was told stays");
    assert_eq!(world.account.read(container::SNAPSHOTS, NAME).unwrap(), "somebody's");

    // What was written before the answer was noted is found, and has to be a snapshot.
    asks(&world, &snapshot("s-2", NAME));
    let failed = answer(&world, "s-2").await;
    assert_eq!(failed.outcome, RequestOutcome::Failed);
    assert!(failed.reason.unwrap().contains("archive"));
    world.account.write(container::SNAPSHOTS, NAME, kept.clone());
    asks(&world, &snapshot("s-3", NAME));
    assert_eq!(answer(&world, "s-3").await.values[argument::RAFT_INDEX], facts.index);

    let late = Request { expires_unix_s: Some(1), ..snapshot("s-4", "~on-demand/late.snap") };
    let strange: Request =
        serde_json::from_value(json!({ "id": "x-1", "action": "paint", "colour": "blue" }))
            .unwrap();
    let cases = [
        (late, "expired"),
        (snapshot("s-5", "hourly/20261128T100000Z.snap"), "cannot be kept as"),
        (strange, "does not know what it asks for"),
        (Request::new("l-1".to_owned(), None, RequestAction::Leave), "by an apply alone"),
        (
            Request::new("t-1".to_owned(), None, RequestAction::TransferLeadership),
            "the server that leads has to be named",
        ),
    ];
    for (request, words) in cases {
        asks(&world, &request);
        let refused = answer(&world, &request.id).await;
        assert_eq!(refused.outcome, RequestOutcome::Refused, "{refused:?}");
        assert!(refused.reason.as_ref().unwrap().contains(words), "{refused:?}");
    }
    assert!(world.account.read(container::SNAPSHOTS, "~on-demand/late.snap").is_none());
    server.stop_manager().await;
}
