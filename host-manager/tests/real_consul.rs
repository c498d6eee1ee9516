//! The host manager against real Consul servers on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use hcs_engine::snapshot::archive;
use hcs_host_manager::consul::client::ConsulError;
use hcs_host_manager::consul::store::{LogStore, RaftData};
use hcs_host_manager::leaf;
use hcs_host_manager::paths::tls_file;
use hcs_planner::dataplane::{ServerPhase, ServerStatus, blob, container, port};
use hcs_planner::requests::{Request, RequestAction};
use hcs_planner::snapshots::policy::SnapshotPolicyDocument;
use hcs_planner::snapshots::retention::Retention;
use support::client::ClientAgent;
use support::world::{GOSSIP_KEY, MANAGEMENT, Server, World, agent_token};
use support::{consul_binary, eventually};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

const SOON: Duration = Duration::from_mins(1);

fn is_well(status: &ServerStatus, servers: usize) -> bool {
    let consul = status.consul.as_ref();
    status.phase == ServerPhase::Running
        && consul.is_some_and(|c| c.healthy && c.acl_ready && c.voters.len() == servers)
}

async fn all_well(world: &World, slots: &[u32]) {
    eventually(&format!("servers {slots:?} are healthy voters"), SOON, || async {
        let well = |&slot: &u32| world.status(slot).is_some_and(|s| is_well(&s, slots.len()));
        slots.iter().all(well).then_some(())
    })
    .await;
}

/// All that the host managers log, down to the HTTP client, for a look for secrets.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logs() {
    let keep = "debug,hcs_host_manager=trace,reqwest=trace,hyper_util=trace";
    let shown = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned());
    let _ = tracing_subscriber::registry()
        .with(fmt::layer().with_writer(|| Log).with_filter(EnvFilter::new(keep)))
        .with(fmt::layer().with_writer(std::io::stderr).with_filter(EnvFilter::new(shown)))
        .try_init();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_form_a_secured_cluster_and_live_with_it() {
    logs();
    let mut world = World::new(&consul_binary(), 3);
    let mut servers: Vec<Server> = (0..3).map(|slot| world.server(slot)).collect();
    for server in &mut servers {
        server.start_manager();
    }
    all_well(&world, &[0, 1, 2]).await;

    configuration_is_valid(&servers[0]).await;
    strangers_see_nothing(&world).await;
    agents_may_do_little(&world).await;
    autopilot_is_configured(&world).await;
    manager_comes_and_goes(&world, &mut servers).await;
    certificate_and_ca_change_without_a_restart(&mut world, &servers).await;
    snapshots_are_taken_verified_and_pruned(&world).await;
    a_client_joins_with_what_is_handed_out(&world, &mut servers).await;
    another_gossip_key_restarts_nobody(&world, &servers).await;
    all_servers_reboot_while_the_storage_is_away(&world, &mut servers).await;
    lost_data_is_no_reason_to_found(&world, &mut servers[2]).await;
    a_power_cut_leaves_no_server_behind(&world, &mut servers[1]).await;
    secrets_stay_where_they_belong(&world, &servers);
    the_leader_leaves(&world, &mut servers).await;
}

async fn configuration_is_valid(server: &Server) {
    let paths = &server.host.paths;
    let program = paths.consul_dir(&consul_version()).join("consul");
    let files = [paths.server_config(), paths.join_config(), paths.secret_config()];
    let output =
        tokio::process::Command::new(program).arg("validate").args(files).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "consul validate: {said}");
}

fn consul_version() -> semver::Version {
    let said = Command::new(consul_binary()).arg("version").output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    said.split_whitespace().nth(1).unwrap().trim_start_matches('v').parse().unwrap()
}

async fn strangers_see_nothing(world: &World) {
    let stranger = world.client(0, "");
    refused("the voters, to a stranger", || stranger.raft_configuration(false)).await;
    assert!(stranger.members().await.unwrap().is_empty(), "anonymous sees no members");
    refused("a snapshot, to a stranger", || stranger.snapshot()).await;
    let plain = tokio::net::TcpStream::connect((world.address(0), 8500)).await;
    assert!(plain.is_err(), "plain HTTP is closed");
}

async fn agents_may_do_little(world: &World) {
    let agent = world.client(1, &agent_token(1));
    assert!(!agent.members().await.unwrap().is_empty(), "the agent token sees its own node");
    refused("a snapshot, to an agent", || agent.snapshot()).await;
    refused("a write, to an agent", || agent.put_json::<_, bool>("kv/x", &1)).await;
}

/// It is refused with 403, and never given. A server that cannot ask the leader at the moment answers 500 and is asked
/// again.
async fn refused<T, F>(what: &str, ask: impl Fn() -> F)
where
    F: Future<Output = Result<T, ConsulError>>,
{
    eventually(what, SOON, || async {
        match ask().await {
            Ok(_) => panic!("{what}: given"),
            Err(error) if error.status().is_some_and(|status| status >= 500) => None,
            Err(error) => {
                assert_eq!(error.status(), Some(403), "{what}: {error}");
                Some(())
            }
        }
    })
    .await;
}

async fn autopilot_is_configured(world: &World) {
    let client = world.client(0, MANAGEMENT);
    eventually("Autopilot keeps a quorum of two", SOON, || async {
        let found = client.autopilot_configuration().await.ok()?;
        (found.cleanup_dead_servers && found.min_quorum == 2).then_some(())
    })
    .await;
}

async fn manager_comes_and_goes(world: &World, servers: &mut [Server]) {
    let before = servers[0].service.process();
    servers[0].stop_manager().await;
    assert_eq!(servers[0].service.process(), before, "Consul outlives its manager");
    servers[0].start_manager();
    eventually("the new manager reports", SOON, || async {
        world.status(0).filter(|status| status.sequence < 5 && is_well(status, 3))
    })
    .await;
    assert_eq!(servers[0].service.process(), before, "an unchanged Consul is left alone");

    world.account.set_away(true);
    eventually("the storage account is missed", SOON, || async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Some(())
    })
    .await;
    assert_eq!(servers[0].service.process(), before, "Consul serves without the storage");
    assert!(world.client(0, MANAGEMENT).leader().await.unwrap().is_some());
    world.account.set_away(false);
}

/// By overlap: all trust both, the new one signs, the old one goes. Nobody is restarted, and a client that asks all the
/// time is never refused.
async fn certificate_and_ca_change_without_a_restart(world: &mut World, servers: &[Server]) {
    let starts = |server: &Server| server.service.process();
    let before: Vec<_> = servers.iter().map(starts).collect();
    let old = servers[1].leaf();
    assert!(old.facts.names.contains("server-1.demo.example"), "{:?}", old.facts.names);
    assert!(old.facts.addresses.contains(&world.address(1)), "{:?}", old.facts.addresses);
    world.add_ca();
    let trusts = |pem: &str| {
        let is_file = |server: &Server| {
            let file = server.host.paths.tls_dir().join(tls_file::AUTHORITIES);
            std::fs::read_to_string(file).is_ok_and(|found| found == pem)
        };
        servers.iter().all(is_file)
    };
    let both = world.ca_pem.clone();
    eventually("all servers trust both CAs", SOON, || async { trusts(&both).then_some(()) }).await;
    assert_eq!(servers[1].leaf(), old, "a CA that does not sign changes no certificate");
    let client = world.client(1, MANAGEMENT);
    world.turn_to_the_new_ca();
    for server in servers {
        eventually("a certificate of the new CA is served on every port", SOON, || async {
            assert!(client.leader().await.unwrap().is_some(), "served meanwhile");
            let is_new = server.leaf().facts.serial != old.facts.serial;
            let ports = [port::HTTPS, port::RPC];
            let mut is_served = is_new;
            for port in ports {
                is_served &= server.serves_its_leaf(port).await;
            }
            let authorities = leaf::authorities(&world.ca_pem).unwrap();
            let is_of_new = server.leaf().is_signed_by(&authorities[..1], "server.dc1.consul");
            (is_served && is_of_new).then_some(())
        })
        .await;
    }
    world.drop_the_old_ca();
    let new = world.ca_pem.clone();
    eventually("all servers trust the new CA alone", SOON, || async { trusts(&new).then_some(()) })
        .await;
    let after: Vec<_> = servers.iter().map(starts).collect();
    assert_eq!(after, before, "reloads, and no restart");
    assert!(world.client(1, MANAGEMENT).leader().await.unwrap().is_some());
    all_well(world, &[0, 1, 2]).await;
}

async fn snapshots_are_taken_verified_and_pruned(world: &World) {
    let policy = SnapshotPolicyDocument {
        // One snapshot every two seconds at the test's scale.
        interval_seconds: Some(200),
        retention: Retention { count: Some(2), ..Retention::default() },
        ..SnapshotPolicyDocument::named("hourly")
    };
    let name = blob::snapshot_policy(&policy.name);
    world.account.write(container::CONFIG, &name, serde_json::to_vec(&policy).unwrap());
    let first = eventually("a first snapshot", SOON, || async {
        world.account.names(container::SNAPSHOTS).first().cloned()
    })
    .await;
    let bytes = world.account.read(container::SNAPSHOTS, &first).unwrap();
    let facts = archive::verify(bytes.as_ref()).unwrap();
    assert!(facts.index > 0 && facts.state_bytes > 0);
    eventually("the first snapshot is pruned", SOON, || async {
        let names = world.account.names(container::SNAPSHOTS);
        assert!(names.len() <= 3, "{names:?}");
        (!names.contains(&first) && names.len() == 2).then_some(())
    })
    .await;
    let disabled = SnapshotPolicyDocument { enabled: false, ..policy };
    world.account.write(container::CONFIG, &name, serde_json::to_vec(&disabled).unwrap());
}

fn secrets_stay_where_they_belong(world: &World, servers: &[Server]) {
    let second_line = |pem: &str| pem.lines().nth(1).unwrap().to_owned();
    let key = second_line(servers[0].leaf().key_pem.expose());
    let authority = world.account.read(container::SECRETS_SHARED, blob::CA_KEY).unwrap();
    let authority = second_line(&String::from_utf8_lossy(&authority));
    let secrets = [GOSSIP_KEY.to_owned(), MANAGEMENT.to_owned(), agent_token(0), key, authority];
    for (name, bytes) in world.account.all() {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains(&secrets[3]), "the key of server 0 left it: {name}");
        if name.starts_with("status-") {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            assert!(!secrets.iter().any(|secret| text.contains(secret)), "{name}: {text}");
        }
    }
    let own_log = String::from_utf8_lossy(&LOG.lock().unwrap()).into_owned();
    assert!(own_log.contains("snapshot saved"), "the log is kept");
    assert!(!secrets.iter().any(|secret| own_log.contains(secret)), "a secret is in our log");
    for server in servers {
        let log = server.log();
        assert!(!secrets.iter().any(|secret| log.contains(secret)), "a secret is in Consul's log");
        let process = server.service.process().0.unwrap();
        for file in ["cmdline", "environ"] {
            let text = std::fs::read(format!("/proc/{process}/{file}")).unwrap();
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(!secrets.iter().any(|secret| text.contains(secret)), "{file}: {text}");
        }
        let public = std::fs::read_to_string(server.host.paths.server_config()).unwrap();
        assert!(!secrets.iter().any(|secret| public.contains(secret)), "{public}");
    }
}

/// The hardest one leaves: the leader, and its manager is stopped in the middle.
async fn the_leader_leaves(world: &World, servers: &mut [Server]) {
    let leading = |slot: &u32| world.status(*slot).unwrap().consul.unwrap().is_leader;
    let slot = (0..3).find(leading).unwrap();
    let others: Vec<u32> = (0..3).filter(|&other| other != slot).collect();
    let leaver = &mut servers[usize::try_from(slot).unwrap()];
    let starts = leaver.service.process().1;
    let request = Request::new("leave-1".to_owned(), Some(slot), RequestAction::Leave);
    let text = serde_json::to_vec(&request).unwrap();
    world.account.write(container::REQUESTS, &blob::leave_request(slot), text);
    let memory = leaver.host.paths.state_dir().join("memory.json");
    eventually("the server has begun to leave", SOON, || async {
        std::fs::read_to_string(&memory).unwrap().contains("leave-1").then_some(())
    })
    .await;
    leaver.stop_manager().await;
    leaver.start_manager();
    eventually("the server reports that it left", SOON, || async {
        let status = world.status(slot)?;
        let done = status.done_requests.contains(&request.id);
        (done && status.phase == ServerPhase::Left && status.consul.is_none()).then_some(())
    })
    .await;
    assert_eq!(leaver.service.process(), (None, starts), "Consul is stopped and stays so");
    let raft = world.client(others[0], MANAGEMENT).raft_configuration(false).await.unwrap();
    assert_eq!(raft.servers.len(), 2);
    eventually("the others have dropped the peer", SOON, || async {
        let names: Vec<_> = others.iter().map(|slot| format!("demo-server-{slot}")).collect();
        (world.status(others[0])?.consul?.peers == names).then_some(())
    })
    .await;

    leaver.stop_manager().await;
    leaver.start_manager();
    eventually("a restarted manager still says that it left", SOON, || async {
        let status = world.status(slot)?;
        (status.phase == ServerPhase::Left && status.sequence >= 2).then_some(())
    })
    .await;
    assert_eq!(leaver.service.process(), (None, starts), "and starts nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_and_rolls_without_founding_a_second_one() {
    logs();
    let mut world = World::new(&consul_binary(), 1);
    let mut servers = vec![world.server(0)];
    servers[0].start_manager();
    all_well(&world, &[0]).await;
    let client = world.client(0, MANAGEMENT);
    let written: bool = client.put_json("kv/kept", &"yes").await.unwrap();
    assert!(written);
    let first = servers[0].service.process();

    // The new servers start while the host manager of the only old one is away.
    servers[0].stop_manager().await;
    world.set_server_count(3);
    for slot in [1, 2] {
        let mut server = world.server(slot);
        server.start_manager();
        servers.push(server);
    }
    eventually("the new servers have joined", SOON, || async {
        let raft = client.raft_configuration(false).await.ok()?;
        (raft.servers.len() == 3).then_some(())
    })
    .await;
    servers[0].start_manager();
    all_well(&world, &[0, 1, 2]).await;
    assert_eq!(servers[0].service.process(), first, "the old server was not restarted");
    for slot in [1, 2] {
        let config = std::fs::read_to_string(servers[slot].host.paths.server_config()).unwrap();
        assert!(!config.contains("bootstrap_expect"), "a new server can only join");
        let slot = u32::try_from(slot).unwrap();
        let kept = world.client(slot, MANAGEMENT).get::<serde_json::Value>("kv/kept?raw").await;
        assert_eq!(kept.unwrap(), "yes", "one cluster, one state");
    }
    a_new_artifact_rolls(&mut world, &servers).await;
    a_replaced_vm_takes_its_place_again(&world, &mut servers).await;
}

/// CA, gossip key and the clients' token are all that it takes: the client gets its certificate from the servers, registers
/// itself, serves KV and DNS, and goes on when servers are restarted.
async fn a_client_joins_with_what_is_handed_out(world: &World, servers: &mut [Server]) {
    let config =
        eventually("the clients' token is there", SOON, || async { world.client_config() }).await;
    let token = config["acl"]["tokens"]["agent"].as_str().unwrap().to_owned();
    let join: Vec<_> = (0..3).map(|slot| world.address(slot)).collect();
    let folder = world.folder.path().join("client");
    let own = world.address(99);
    let client =
        ClientAgent::start(&consul_binary(), "app-1", &folder, own, &join, &world.ca_pem, config);
    let log = || std::fs::read_to_string(folder.join("consul.log")).unwrap_or_default();
    eventually("the client is in the catalog", SOON, || async {
        let (_, nodes) = client.ask("GET", "catalog/nodes", MANAGEMENT, "")?;
        nodes.contains("\"app-1\"").then_some(())
    })
    .await;
    let kept = client.ask("PUT", "kv/by-client", MANAGEMENT, "yes");
    assert_eq!(kept.map(|(status, _)| status), Some(200), "{}", log());
    let read = client.ask("GET", "kv/by-client?raw", MANAGEMENT, "");
    assert_eq!(read, Some((200, "yes".to_owned())));
    let refused = client.ask("PUT", "kv/by-client", &token, "no");
    assert_eq!(refused.map(|(status, _)| status), Some(403), "no right on KV");
    let stranger = client.ask("GET", "catalog/nodes", "", "");
    assert_eq!(stranger, Some((200, "[]".to_owned())), "nothing for who has no token");
    // From 1.17 on DNS has a token of its own; before, it stays silent until its user gives one.
    let knows_dns_token = world.version >= semver::Version::new(1, 17, 0);
    let found = usize::from(knows_dns_token);
    eventually("DNS knows the client's node", SOON, || async {
        (client.resolve("app-1.node.consul") == found).then_some(())
    })
    .await;

    for server in servers.iter_mut() {
        server.stop_manager().await;
        server.service.kill();
        server.start_manager();
        // What the others say of it is some seconds old.
        eventually("it runs again", SOON, || async { server.service.process().0 }).await;
        all_well(world, &[0, 1, 2]).await;
    }
    eventually("the client still serves", SOON, || async {
        (client.ask("GET", "kv/by-client?raw", MANAGEMENT, "")?.1 == "yes").then_some(())
    })
    .await;
}

/// Consul reads a gossip key once; after that its keyring counts, and a restart would change nothing.
async fn another_gossip_key_restarts_nobody(world: &World, servers: &[Server]) {
    let before: Vec<_> = servers.iter().map(|server| server.service.process()).collect();
    let other = "b3RoZXItZ29zc2lwLWtleS1vZi0zMi1ieXRlcyEhISE=";
    world.account.write(container::SECRETS_SHARED, blob::GOSSIP_KEY, other);
    eventually("the new key is on the disk for the next start", SOON, || async {
        let has_it = |server: &Server| {
            let file = server.host.paths.secret_config();
            std::fs::read_to_string(file).is_ok_and(|text| text.contains(other))
        };
        servers.iter().all(has_it).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after: Vec<_> = servers.iter().map(|server| server.service.process()).collect();
    assert_eq!(after, before, "nobody was restarted");
    world.account.write(container::SECRETS_SHARED, blob::GOSSIP_KEY, GOSSIP_KEY);
    all_well(world, &[0, 1, 2]).await;
}

/// Files as a power cut leaves them: empty or half written, with which Consul itself does not start.
async fn a_power_cut_leaves_no_server_behind(world: &World, server: &mut Server) {
    server.stop_manager().await;
    server.service.kill();
    let data_dir = server.host.paths.data_dir();
    let store = RaftData::look(&data_dir).unwrap().store.unwrap();
    let log = match store {
        LogStore::BoltDb => "raft/raft.db",
        LogStore::Wal => "raft/wal/wal-meta.db",
    };
    for (file, left) in [("serf/local.keyring", "[\"c2Vj"), ("node-id", ""), (log, "")] {
        assert!(data_dir.join(file).exists(), "{file}");
        std::fs::write(data_dir.join(file), left).unwrap();
    }
    server.start_manager();
    eventually("what is left of Raft's data is set aside", SOON, || async {
        data_dir.join("raft.torn").exists().then_some(())
    })
    .await;
    all_well(world, &[0, 1, 2]).await;
    let config = std::fs::read_to_string(server.host.paths.server_config()).unwrap();
    assert!(!config.contains("bootstrap_expect"), "it was let in again");
}

/// Memory is empty, Entra and the account do not answer: the cluster serves with what the disks hold, and nobody restarts
/// it when they are back.
async fn all_servers_reboot_while_the_storage_is_away(world: &World, servers: &mut [Server]) {
    let kv = "kv/before-the-reboot";
    let written: bool = world.client(0, MANAGEMENT).put_json(kv, &"yes").await.unwrap();
    assert!(written);
    world.account.set_away(true);
    for server in servers.iter_mut() {
        server.stop_manager().await;
        server.service.kill();
        std::fs::remove_dir_all(server.host.paths.secret_dir()).unwrap();
    }
    let starts: Vec<u32> = servers.iter().map(|server| server.service.process().1).collect();
    for server in servers.iter_mut() {
        server.start_manager();
    }
    eventually("the cluster serves without the storage", SOON, || async {
        let read = world.client(1, MANAGEMENT).get::<String>(&format!("{kv}?raw")).await;
        read.is_ok_and(|value| value == "yes").then_some(())
    })
    .await;
    let started: Vec<u32> = servers.iter().map(|server| server.service.process().1).collect();
    assert_eq!(started, starts.iter().map(|starts| starts + 1).collect::<Vec<_>>());
    for server in servers.iter() {
        let paths = &server.host.paths;
        let mode = std::fs::metadata(paths.last_known()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for folder in ["etc", "opt/hcs", "run"] {
            let mut grep = Command::new("grep");
            let found = grep.args(["-rl", MANAGEMENT]).arg(paths.root().join(folder)).output();
            let found = found.unwrap().stdout;
            assert_eq!(String::from_utf8_lossy(&found), "", "the management token is on a disk");
        }
    }
    world.account.set_away(false);
    eventually("in memory the management token is there again", SOON, || async {
        let is_there = |server: &Server| {
            let secrets = std::fs::read_to_string(server.host.paths.secret_config());
            secrets.is_ok_and(|text| text.contains(MANAGEMENT))
        };
        servers.iter().all(is_there).then_some(())
    })
    .await;
    all_well(world, &[0, 1, 2]).await;
    let after: Vec<u32> = servers.iter().map(|server| server.service.process().1).collect();
    assert_eq!(after, started, "nobody is restarted when the storage is back");
}

/// A data disk that was not mounted: the server must be let in again, not found anew.
async fn lost_data_is_no_reason_to_found(world: &World, server: &mut Server) {
    let config = server.host.paths.server_config();
    server.stop_manager().await;
    server.service.kill();
    let data = RaftData::look(&server.host.paths.data_dir()).unwrap();
    assert!(data.exists(), "{data:?}");
    std::fs::remove_dir_all(server.host.paths.data_dir()).unwrap();
    assert!(std::fs::read_to_string(&config).unwrap().contains("bootstrap_expect"));
    server.start_manager();
    eventually("the server with an empty disk only joins", SOON, || async {
        let text = std::fs::read_to_string(&config).unwrap();
        (!text.contains("bootstrap_expect")).then_some(())
    })
    .await;
    all_well(world, &[0, 1, 2]).await;
}

async fn a_replaced_vm_takes_its_place_again(world: &World, servers: &mut Vec<Server>) {
    let mut old = servers.remove(2);
    old.stop_manager().await;
    old.service.kill();
    std::fs::remove_dir_all(old.host.paths.root()).unwrap();
    drop(old);
    let mut new = world.server(2);
    new.start_manager();
    servers.push(new);
    eventually("the cluster counts the old server as lost", SOON, || async {
        let consul = world.status(0)?.consul?;
        (!consul.healthy || consul.peers.len() != 3).then_some(())
    })
    .await;
    all_well(world, &[0, 1, 2]).await;
    let config = std::fs::read_to_string(servers[2].host.paths.server_config()).unwrap();
    assert!(!config.contains("bootstrap_expect"), "a replaced server can only join");
}

async fn a_new_artifact_rolls(world: &mut World, servers: &[Server]) {
    let starts = |servers: &[Server]| -> Vec<u32> {
        servers.iter().map(|server| server.service.process().1).collect()
    };
    let before = starts(servers);
    let wanted: Vec<u32> = before.iter().map(|count| count + 1).collect();
    world.publish_archive(3);
    let world = &*world;
    let mut fewest = usize::MAX;
    let deadline = std::time::Instant::now() + SOON;
    while starts(servers) != wanted {
        assert!(std::time::Instant::now() < deadline, "{:?}", starts(servers));
        let mut answering = 0;
        for slot in 0..3 {
            let client = world.client(slot, MANAGEMENT);
            let answer = tokio::time::timeout(Duration::from_secs(2), client.leader()).await;
            answering += usize::from(answer.is_ok_and(|answer| answer.is_ok()));
        }
        fewest = fewest.min(answering);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(fewest >= 2, "never more than one server out, but {fewest} answered");
    eventually("the last restarted server is back", SOON, || async {
        let health = world.client(0, MANAGEMENT).autopilot_health().await.ok()?;
        let leader = world.client(1, MANAGEMENT).leader().await.ok()??;
        let others = world.client(2, MANAGEMENT).leader().await.ok()??;
        (health.healthy && leader == others).then_some(())
    })
    .await;
    all_well(world, &[0, 1, 2]).await;
    assert_eq!(starts(servers), wanted, "each server was restarted once");
}
