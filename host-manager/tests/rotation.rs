//! Each secret of a cluster is rotated under load, with a real Consul and a real client agent.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryStreamExt as _;
use hcs_host_manager::consul::client::{ConsulClient, ConsulError};
use hcs_host_manager::secrets::Secret;
use hcs_host_manager::service::{Service as _, Verb};
use hcs_planner::dataplane::{ServerPhase, blob, container};
use hcs_planner::rotation::{Phase, Rotated};
use serde_json::Value;
use support::client::ClientAgent;
use support::world::{DATACENTER, GOSSIP_KEY, MANAGEMENT, Server, World, agent_token};
use support::{consul_binary, eventually};

const SOON: Duration = Duration::from_mins(2);
/// A day is less than a second, a week are six.
const SPEED: f64 = 100_000.0;

struct Cluster {
    world: World,
    servers: Vec<Server>,
    client: Arc<ClientAgent>,
    /// The management token that counts now.
    management: String,
}

impl Cluster {
    async fn start() -> Self {
        let world = World::new(&consul_binary(), 3);
        let mut servers: Vec<Server> = (0..3).map(|slot| world.server(slot)).collect();
        for server in &mut servers {
            server.host.timing.scale = SPEED;
            server.start_manager();
        }
        all_well(&world).await;
        let config =
            eventually("the clients' token", SOON, || async { world.client_config() }).await;
        let client = client_agent(&world, 1, config);
        eventually("the client serves", SOON, || async { read(&client, MANAGEMENT).ok() }).await;
        Self { world, servers, client, management: MANAGEMENT.to_owned() }
    }

    fn processes(&self) -> Vec<(Option<u32>, u32)> {
        self.servers.iter().map(|server| server.service.process()).collect()
    }

    async fn reaches(&self, what: Rotated, phase: Phase) {
        let reached = || async { (self.world.phase(what) >= Some(phase)).then_some(()) };
        eventually(&format!("{} is {phase:?}", what.as_str()), SOON, reached).await;
    }

    /// As somebody with this token, at the server of a slot.
    async fn ask(&self, slot: u32, token: &str, path: &str) -> Result<Value, ConsulError> {
        self.world.client(slot, token).get(path).await
    }

    async fn is_refused(&self, token: &str) -> bool {
        self.ask(0, token, "acl/token/self").await.err().and_then(|error| error.status())
            == Some(403)
    }
}

fn client_agent(world: &World, number: u8, config: Value) -> Arc<ClientAgent> {
    let join: Vec<_> = (0..3).map(|slot| world.address(slot)).collect();
    let folder = world.folder.path().join(format!("client-{number}"));
    let address = world.address(200 + u32::from(number));
    Arc::new(ClientAgent::start(
        &consul_binary(),
        "app-1",
        &folder,
        address,
        &join,
        &world.ca_pem,
        config,
    ))
}

async fn all_well(world: &World) {
    eventually("three healthy servers", SOON, || async {
        let well = |slot: u32| {
            world.status(slot).is_some_and(|status| {
                let consul = status.consul.as_ref();
                status.phase == ServerPhase::Running
                    && consul.is_some_and(|c| c.healthy && c.acl_ready && c.voters.len() == 3)
            })
        };
        (0..3).all(well).then_some(())
    })
    .await;
}

/// A value through the client agent.
fn read(client: &ClientAgent, token: &str) -> Result<(), String> {
    match client.ask("GET", "kv/nothing?consistent", token, "") {
        Some((200 | 404, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Reads through the client agent all the time; how many failed, and the longest time without an answer.
struct Load {
    ends: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
    thread: std::thread::JoinHandle<(Vec<String>, Duration)>,
}

impl Load {
    fn start(client: &Arc<ClientAgent>, token: &str) -> Self {
        let (ends, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let (over, count) = (Arc::clone(&ends), Arc::clone(&asked));
        let (client, token) = (Arc::clone(client), token.to_owned());
        let thread = std::thread::spawn(move || {
            let (mut failed, mut longest, mut good) = (Vec::new(), Duration::ZERO, Instant::now());
            while !over.load(Ordering::Relaxed) {
                count.fetch_add(1, Ordering::Relaxed);
                match read(&client, &token) {
                    Ok(()) => {
                        longest = longest.max(good.elapsed());
                        good = Instant::now();
                    }
                    Err(error) => failed.push(error),
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            (failed, longest)
        });
        Self { ends, asked, thread }
    }

    fn end(self, what: &str) -> Vec<String> {
        self.ends.store(true, Ordering::Relaxed);
        let (failed, longest) = self.thread.join().unwrap();
        let asked = self.asked.load(Ordering::Relaxed);
        println!(
            "{what}: {} of {asked} reads failed, {longest:?} without one at most",
            failed.len()
        );
        failed
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gossip_key_is_rotated_and_who_was_away_comes_back() {
    let mut cluster = Cluster::start().await;
    let key = gossip_key(&mut cluster).await;
    a_key_of_somebody_elses_is_adopted(&mut cluster, &key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_and_the_authority_are_rotated_and_clients_go_on() {
    let mut cluster = Cluster::start().await;
    let before = cluster.processes();
    agent_tokens(&mut cluster).await;
    client_token(&mut cluster).await;
    authority(&mut cluster).await;
    assert_eq!(cluster.processes(), before, "no Consul was restarted so far");
    let snapshot = cluster.world.client(0, MANAGEMENT).snapshot().await.unwrap();
    let snapshot: Vec<Bytes> = snapshot.try_collect().await.unwrap();
    let snapshot = snapshot.concat();
    management_token(&mut cluster).await;
    what_a_restored_snapshot_brings_back_goes_again(&cluster, &snapshot).await;
    a_management_token_that_is_lost_comes_back(&cluster).await;
}

/// Somebody rotated by hand: nobody fights it, new servers and clients are given the new key, until one of ours is in use
/// again.
async fn a_key_of_somebody_elses_is_adopted(cluster: &mut Cluster, ours: &str) {
    let theirs = "dGhlaXJzLWdvc3NpcC1rZXktb2YtMzItYnl0ZXMhISE=";
    let client = cluster.world.client(0, MANAGEMENT);
    let body = serde_json::json!({ "Key": theirs });
    client.post_only("operator/keyring", &body).await.unwrap();
    client.put_only("operator/keyring", &body).await.unwrap();
    let adopted = || {
        let blob = cluster.world.account.read(container::SECRETS_CLIENT, blob::ADOPTED_GOSSIP_KEY);
        blob.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    };
    let found = eventually("it is adopted", SOON, || async { adopted() }).await;
    assert_eq!(found, theirs);
    let known = cluster.ask(0, MANAGEMENT, "operator/keyring").await.unwrap();
    assert!(known[0]["Keys"].get(theirs).is_some(), "{known}");
    all_well(&cluster.world).await;
    let body = serde_json::json!({ "Key": ours });
    client.put_only("operator/keyring", &body).await.unwrap();
    eventually("it is forgotten", SOON, || async { adopted().is_none().then_some(()) }).await;
}

/// Only the new key is known in the end, and nobody was lost; a server that was away for all of it, with a keyring that
/// nobody shares any more, comes back.
async fn gossip_key(cluster: &mut Cluster) -> String {
    take_away(cluster, 2).await;
    let load = Load::start(&cluster.client, MANAGEMENT);
    let key = cluster.world.rotate(Rotated::GossipKey, 3);
    cluster.reaches(Rotated::GossipKey, Phase::Done).await;
    let pools = cluster.ask(0, MANAGEMENT, "operator/keyring").await.unwrap();
    for pool in pools.as_array().unwrap() {
        let known: Vec<&String> = pool["Keys"].as_object().unwrap().keys().collect();
        assert_eq!(known, [&key], "in {pool}");
    }
    assert_eq!(load.end("gossip key"), [""; 0]);
    cluster.servers[2].start_manager();
    all_are_members(cluster).await;
    // The same while Consul runs: it was started without its manager, and finds nobody.
    take_away(cluster, 2).await;
    let away = &mut cluster.servers[2];
    for name in ["serf/local.keyring", "serf/remote.keyring"] {
        let path = away.host.paths.data_dir().join(name);
        std::fs::write(path, format!("[{GOSSIP_KEY:?}]")).unwrap();
    }
    away.service.tell(Verb::Start).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (process, _) = away.service.process();
    assert_eq!(living(cluster).await, Some(3), "nobody shares its key");
    cluster.servers[2].start_manager();
    all_are_members(cluster).await;
    assert_ne!(cluster.servers[2].service.process().0, process, "it was begun anew");
    key
}

/// Stops a server; the others know that it is away, and have a leader.
async fn take_away(cluster: &mut Cluster, slot: usize) {
    cluster.servers[slot].stop_manager().await;
    cluster.servers[slot].service.tell(Verb::Stop).await.unwrap();
    eventually("the others have a leader, and know", SOON, || async {
        read(&cluster.client, MANAGEMENT).ok()?;
        (living(cluster).await? == 3).then_some(())
    })
    .await;
}

/// Servers and the client that are alive, as the first server knows them.
async fn living(cluster: &Cluster) -> Option<usize> {
    let members = cluster.ask(0, MANAGEMENT, "agent/members").await.ok()?;
    Some(members.as_array()?.iter().filter(|member| member["Status"] == 1).count())
}

async fn all_are_members(cluster: &Cluster) {
    eventually("all are members again", SOON, || async {
        (living(cluster).await? == 4).then_some(())
    })
    .await;
    all_well(&cluster.world).await;
}

/// Each server takes its own over by itself, and the old one is worth nothing.
async fn agent_tokens(cluster: &mut Cluster) {
    let load = Load::start(&cluster.client, MANAGEMENT);
    let last = cluster.world.rotate(Rotated::AgentTokens, 3);
    cluster.reaches(Rotated::AgentTokens, Phase::Done).await;
    for slot in 0..3 {
        assert!(cluster.is_refused(&agent_token(slot)).await, "of server {slot}");
    }
    assert!(cluster.ask(2, &last, "acl/token/self").await.is_ok());
    assert_eq!(load.end("agent tokens"), [""; 0]);
    all_well(&cluster.world).await;
}

/// Both work until clients have had time to change.
async fn client_token(cluster: &mut Cluster) {
    let old = cluster.world.client_token().unwrap();
    cluster.world.rotate(Rotated::ClientToken, 3);
    cluster.reaches(Rotated::ClientToken, Phase::InUse).await;
    let new = cluster.world.client_token().unwrap();
    assert_ne!(new, old);
    for token in [&old, &new] {
        assert!(cluster.ask(0, token, "acl/token/self").await.is_ok(), "both work for a while");
    }
    // What its user does with another configuration.
    let body = format!("{{\"Token\": {new:?}}}");
    let told = cluster.client.ask("PUT", "agent/token/agent", MANAGEMENT, &body);
    assert_eq!(told.map(|(status, _)| status), Some(200));
    cluster.reaches(Rotated::ClientToken, Phase::Done).await;
    assert!(cluster.is_refused(&old).await);
    assert!(cluster.ask(0, &new, "acl/token/self").await.is_ok());
}

/// Trusted by all, then it signs, then the old one is forgotten: no connection of a client that knows both fails.
async fn authority(cluster: &mut Cluster) {
    let old = cluster.world.ca_pem.clone();
    let load = Load::start(&cluster.client, MANAGEMENT);
    let new = cluster.world.rotate(Rotated::CertificateAuthority, 3);
    cluster.reaches(Rotated::CertificateAuthority, Phase::Known).await;
    let trusts = |pem: &str| {
        let token = Secret::new(MANAGEMENT);
        ConsulClient::new(cluster.world.address(0), DATACENTER, pem, token).unwrap()
    };
    assert!(trusts(&old).leader().await.is_ok() && trusts(&new).leader().await.is_err());
    cluster.reaches(Rotated::CertificateAuthority, Phase::InUse).await;
    eventually("the new one has signed", SOON, || async { trusts(&new).leader().await.ok() }).await;
    cluster.reaches(Rotated::CertificateAuthority, Phase::Done).await;
    for slot in 0..3 {
        let path = cluster.servers[slot].host.paths.tls_dir().join("ca.pem");
        eventually("only the new one is trusted", SOON, || async {
            let trusted = std::fs::read_to_string(&path).ok()?;
            (trusted.matches("BEGIN").count() == 1 && trusted.contains(new.trim())).then_some(())
        })
        .await;
    }
    assert!(trusts(&old).leader().await.is_err());
    cluster.world.ca_pem = new;
    assert_eq!(load.end("certificate authority"), [""; 0]);
}

/// Every server is restarted once, and the old token does not come back whoever leads.
async fn management_token(cluster: &mut Cluster) {
    let before = cluster.processes();
    // The client's own token: what it reads is answered for the whole time.
    let load = Load::start(&cluster.client, &cluster.management);
    cluster.world.set_apply_works(true);
    // Together with the agents' tokens: their local tokens change under a Consul that has not been restarted yet.
    cluster.world.rotate(Rotated::AgentTokens, 3);
    let new = cluster.world.rotate(Rotated::ManagementToken, 3);
    cluster.reaches(Rotated::ManagementToken, Phase::InUse).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(cluster.processes(), before, "nobody restarts while an apply works");
    cluster.world.set_apply_works(false);
    let failed = load.end("management token, until it is in use");
    assert!(failed.len() < 10, "{failed:?}");
    cluster.reaches(Rotated::ManagementToken, Phase::Done).await;
    cluster.reaches(Rotated::AgentTokens, Phase::Done).await;
    cluster.management.clone_from(&new);
    assert!(cluster.is_refused(MANAGEMENT).await);
    let after = cluster.processes();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(after.1, before.1 + 1, "started once more each: {after:?}");
    }
    // Each may lead: none of them makes the old one again.
    for server in &cluster.servers {
        server.service.kill();
        tokio::time::sleep(Duration::from_secs(2)).await;
        all_well(&cluster.world).await;
    }
    assert!(cluster.is_refused(MANAGEMENT).await, "it was made again");
    assert!(cluster.ask(0, &new, "acl/token/self").await.is_ok());
    let kept = cluster.world.account.read(container::SECRETS_SHARED, blob::GOSSIP_KEY).unwrap();
    assert_eq!(kept, GOSSIP_KEY, "what was there before a rotation is never written over");
}

/// A snapshot of before the rotation knows the old token, and not the new one.
async fn what_a_restored_snapshot_brings_back_goes_again(cluster: &Cluster, snapshot: &[u8]) {
    let file = cluster.world.folder.path().join("before.snap");
    std::fs::write(&file, snapshot).unwrap();
    let ca = cluster.world.folder.path().join("restore-ca.pem");
    std::fs::write(&ca, &cluster.world.ca_pem).unwrap();
    let status = std::process::Command::new(consul_binary())
        .args(["snapshot", "restore"])
        .arg(format!("-http-addr=https://{}:8501", cluster.world.address(0)))
        .arg(format!("-ca-file={}", ca.display()))
        .arg(format!("-tls-server-name=server.{DATACENTER}.consul"))
        .arg(format!("-token={}", cluster.management))
        .arg(&file)
        .output()
        .unwrap();
    println!("restored: {}", String::from_utf8_lossy(&status.stdout));
    assert!(cluster.ask(0, MANAGEMENT, "acl/token/self").await.is_ok(), "the old one is back");
    eventually("the new one works again and the old one does not", SOON, || async {
        let is_new = cluster.ask(0, &cluster.management, "acl/token/self").await.is_ok();
        (is_new && cluster.is_refused(MANAGEMENT).await).then_some(())
    })
    .await;
    all_well(&cluster.world).await;
}

/// Somebody deleted it, or restored a table without it: the keepers let themselves in again.
async fn a_management_token_that_is_lost_comes_back(cluster: &Cluster) {
    let token = &cluster.management;
    let own = cluster.ask(0, token, "acl/token/self").await.unwrap();
    let accessor = own["AccessorID"].as_str().unwrap();
    // Nobody can delete the token that they use.
    let another = "d00dd00d-1111-4222-8333-444455556666";
    let policy = serde_json::json!([{ "ID": "00000000-0000-0000-0000-000000000001" }]);
    let body = serde_json::json!({ "SecretID": another, "Policies": policy });
    cluster.world.client(0, token).put_only("acl/token", &body).await.unwrap();
    let client = cluster.world.client(0, another);
    client.delete(&format!("acl/token/{accessor}")).await.unwrap();
    assert!(cluster.is_refused(token).await);
    eventually("it is there again", SOON, || async {
        cluster.ask(0, token, "acl/token/self").await.ok()
    })
    .await;
    all_well(&cluster.world).await;
}
