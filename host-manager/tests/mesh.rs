//! The mesh: two services on two client agents meet where an intention lets them, and nowhere else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use semver::Version;
use serde_json::{Value, json};
use support::client::ClientAgent;
use support::world::{MANAGEMENT, World};
use support::{consul_binary, eventually};

const SOON: Duration = Duration::from_mins(1);
/// Of the service that is called.
const DATABASE: u16 = 9000;
/// Of its proxy.
const SIDECAR: u16 = 21_000;
/// Where the callers' proxies listen on their own machine.
const OF_WEB: u16 = 9191;
const OF_OTHER: u16 = 9192;

/// Consul's own proxy of one service.
struct Proxy(Child);

impl Proxy {
    fn start(service: &str, agent: IpAddr, folder: &Path) -> Self {
        let log = std::fs::File::create(folder.join(format!("{service}.log"))).unwrap();
        let child = Command::new(consul_binary())
            .args(["connect", "proxy", "-sidecar-for", service, "-log-level", "debug"])
            .env("CONSUL_HTTP_ADDR", format!("http://{agent}:8500"))
            .env("CONSUL_HTTP_TOKEN", MANAGEMENT)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A service that says back what it hears.
fn echo(address: IpAddr) {
    let listener = TcpListener::bind((address, DATABASE)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                let mut bytes = [0; 64];
                while let Ok(read @ 1..) = stream.read(&mut bytes) {
                    let _ = stream.write_all(&bytes[..read]);
                }
            });
        }
    });
}

/// Whether the database answers through this proxy.
fn answers(address: IpAddr, port: u16) -> bool {
    let say = || {
        let address = SocketAddr::new(address, port);
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"hello")?;
        let mut heard = [0; 5];
        stream.read_exact(&mut heard)?;
        Ok::<_, std::io::Error>(heard == *b"hello")
    };
    say().unwrap_or(false)
}

fn register(agent: &ClientAgent, service: &Value) {
    let told = agent.ask("PUT", "agent/service/register", MANAGEMENT, &service.to_string());
    assert_eq!(told.as_ref().map(|(status, _)| *status), Some(200), "{told:?}");
}

/// A service that calls the database through its proxy.
fn caller(name: &str, address: IpAddr, port: u16) -> Value {
    let upstream = json!({
        "DestinationName": "database", "LocalBindAddress": address, "LocalBindPort": port,
    });
    let proxy = json!({ "Upstreams": [upstream], "Config": { "bind_address": address } });
    json!({
        "Name": name, "Address": address, "Port": port + 100,
        "Connect": { "SidecarService": { "Proxy": proxy } },
    })
}

/// Lets web call the database, in the words of the version.
fn allow(agent: &ClientAgent, version: &Version) {
    let told = if *version < Version::new(1, 9, 0) {
        let intention =
            json!({ "SourceName": "web", "DestinationName": "database", "Action": "allow" });
        agent.ask("POST", "connect/intentions", MANAGEMENT, &intention.to_string())
    } else {
        let sources = [json!({ "Name": "web", "Action": "allow" })];
        let entry = json!({ "Kind": "service-intentions", "Name": "database", "Sources": sources });
        agent.ask("PUT", "config", MANAGEMENT, &entry.to_string())
    };
    assert_eq!(told.as_ref().map(|(status, _)| *status), Some(200), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_services_meet_where_an_intention_lets_them() {
    let world = World::new(&consul_binary(), 1);
    let mut server = world.server(0);
    server.start_manager();
    let config =
        eventually("the clients' token is there", SOON, || async { world.client_config() }).await;
    let join = [world.address(0)];
    let [first, second] = [98, 99].map(|slot| {
        let (own, folder) = (world.address(slot), world.folder.path().join(format!("app-{slot}")));
        let node = format!("app-{slot}");
        let (program, config) = (consul_binary(), config.clone());
        (own, ClientAgent::start(&program, &node, &folder, own, &join, &world.ca_pem, config))
    });
    for (_, agent) in [&first, &second] {
        eventually("a client is in the catalog", SOON, || async {
            let (_, nodes) = agent.ask("GET", "catalog/nodes", MANAGEMENT, "")?;
            (nodes.contains("app-98") && nodes.contains("app-99")).then_some(())
        })
        .await;
    }
    echo(first.0);
    let proxy = json!({ "LocalServiceAddress": first.0, "Config": { "bind_address": first.0 } });
    // Without a word of its own its health is asked for on 127.0.0.1.
    let check = json!({ "TCP": format!("{}:{SIDECAR}", first.0), "Interval": "1s" });
    let sidecar = json!({ "Port": SIDECAR, "Check": check, "Proxy": proxy });
    let database = json!({
        "Name": "database", "Address": first.0, "Port": DATABASE,
        "Connect": { "SidecarService": sidecar },
    });
    register(&first.1, &database);
    register(&second.1, &caller("web", second.0, OF_WEB));
    register(&second.1, &caller("other", second.0, OF_OTHER));
    let _proxies = [("database", first.0), ("web", second.0), ("other", second.0)]
        .map(|(service, agent)| Proxy::start(service, agent, world.folder.path()));
    eventually("the callers' proxies listen", SOON, || async {
        let listens = |port| TcpStream::connect((second.0, port)).is_ok();
        (listens(OF_WEB) && listens(OF_OTHER)).then_some(())
    })
    .await;

    assert!(!answers(second.0, OF_WEB), "without an intention nobody is let through");
    allow(&second.1, &world.version);
    eventually("web is let through", SOON, || async { answers(second.0, OF_WEB).then_some(()) })
        .await;
    for _ in 0..3 {
        assert!(!answers(second.0, OF_OTHER), "the other is not");
    }
    server.stop_manager().await;
}
