//! Whom a host manager starts while the storage account is away: a member whose data are there, and nobody else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use hcs_host_manager::artifact;
use hcs_host_manager::formation::Formation;
use hcs_host_manager::host::Host;
use hcs_host_manager::last_known::LastKnown;
use hcs_host_manager::leaf;
use hcs_host_manager::memory::{Leave, Memory};
use hcs_planner::rotation::{RotationsDocument, SecretVersion};
use support::world::{Server, World};

/// What happened to a server while it was off.
type Spoil = fn(&Server);

/// A program that calls itself Consul, likes every configuration, and runs.
const CONSUL: &str = "#!/bin/sh\ncase $1 in version) echo 'Consul v1.22.2';; validate) ;; *) exec sleep 600;; esac\n";

fn consul(folder: &std::path::Path) -> PathBuf {
    let program = folder.join("consul");
    std::fs::write(&program, CONSUL).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

/// A server that was a member of a healthy cluster when it was switched off.
async fn member(world: &World) -> Server {
    let mut server = world.server(0);
    server.host.timing.storage_patience = Duration::from_millis(300);
    let (paths, stores) = (&server.host.paths, &server.host.stores);
    let cluster = stores.cluster().await.unwrap();
    let secrets = stores.secrets(0, &cluster, &RotationsDocument::default()).await.unwrap();
    let folder = paths.consul_dir(&cluster.consul.version);
    artifact::install(&*stores.shared, &server.host.release_keys, &cluster.consul, &folder)
        .await
        .unwrap();
    let now_unix_s = jiff::Timestamp::now().as_second();
    keep_leaf(&server, now_unix_s).await;
    let paths = &server.host.paths;
    let management_version = SecretVersion::default();
    LastKnown { cluster, secrets, management_version }.keep(paths).unwrap();
    let formation = Some(Formation::Found { expect: 3 });
    Memory { formation, member: true, ..Memory::default() }.save(paths).unwrap();
    std::fs::create_dir_all(paths.data_dir().join("raft")).unwrap();
    std::fs::write(paths.data_dir().join("raft/raft.db"), "data").unwrap();
    server
}

/// The certificate that the server made for itself at this time.
async fn keep_leaf(server: &Server, made_unix_s: i64) {
    let Host { bootstrap, instance, paths, stores, .. } = &server.host;
    let cluster = stores.cluster().await.unwrap();
    let secrets = stores.secrets(0, &cluster, &RotationsDocument::default()).await.unwrap();
    let wanted = leaf::Wanted::new(&cluster, bootstrap, instance.address);
    let authorities = leaf::authorities(&secrets.ca_pem).unwrap();
    let key = stores.authority_key(&SecretVersion::default()).await.unwrap();
    leaf::keep(paths, &leaf::sign(&wanted, &authorities, &key, made_unix_s).unwrap()).unwrap();
}

/// Looks for as long as a start may take, and a good while where none is expected.
async fn is_started(world: &World, server: &mut Server, tenths: u32) -> bool {
    world.account.set_silent(true);
    server.start_manager();
    for _ in 0..tenths {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if server.service.process().0.is_some() {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_member_whose_data_are_there_is_started_without_the_storage() {
    let folder = tempfile::tempdir().unwrap();
    let program = consul(folder.path());
    let cases: [(&str, bool, Spoil); 9] = [
        ("a member", true, |_| {}),
        ("one without a certificate", false, |server| {
            std::fs::remove_file(server.host.paths.leaf()).unwrap();
        }),
        ("one with half a certificate", false, |server| {
            let text = std::fs::read_to_string(server.host.paths.leaf()).unwrap();
            std::fs::write(server.host.paths.leaf(), &text[..text.len() / 2]).unwrap();
        }),
        ("no member", false, |server| {
            let memory = Memory::load(&server.host.paths).unwrap();
            Memory { member: false, ..memory }.save(&server.host.paths).unwrap();
        }),
        ("one that leaves", false, |server| {
            let leave = Some(Leave { request_id: "r".into(), finished: false });
            let memory = Memory::load(&server.host.paths).unwrap();
            Memory { leave, ..memory }.save(&server.host.paths).unwrap();
        }),
        ("one without data", false, |server| {
            std::fs::remove_dir_all(server.host.paths.data_dir()).unwrap();
        }),
        ("one with a torn log", false, |server| {
            std::fs::write(server.host.paths.data_dir().join("raft/raft.db"), "").unwrap();
        }),
        ("one whose program was changed", false, |server| {
            let folder = server.host.paths.consul_dir(&"1.22.2".parse().unwrap());
            std::fs::write(folder.join("consul"), "#!/bin/sh\nsleep 600\n").unwrap();
        }),
        ("one that cannot read what it knew", false, |server| {
            std::fs::write(server.host.paths.last_known(), "{}").unwrap();
        }),
    ];
    for (name, expected, spoil) in cases {
        let world = World::new(&program, 3);
        let mut server = member(&world).await;
        spoil(&server);
        let tenths = if expected { 200 } else { 15 };
        assert_eq!(is_started(&world, &mut server, tenths).await, expected, "{name}");
    }
    // Better alone than down: others talk to it again when it has renewed its certificate.
    let world = World::new(&program, 3);
    let mut server = member(&world).await;
    keep_leaf(&server, jiff::Timestamp::now().as_second() - 7200).await;
    assert!(is_started(&world, &mut server, 200).await, "one whose certificate has ended");
}
