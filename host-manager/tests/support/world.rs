//! A cluster's account as the provider would have filled it, and its servers.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::net::IpAddr;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hcs_engine::clock::SystemClock;
use hcs_host_manager::artifact::hex;
use hcs_host_manager::consul::client::ConsulClient;
use hcs_host_manager::consul::served;
use hcs_host_manager::documents::Stores;
use hcs_host_manager::host::Host;
use hcs_host_manager::leaf::{self, Leaf};
use hcs_host_manager::memory::Memory;
use hcs_host_manager::metadata::Instance;
use hcs_host_manager::own_program::OwnProgram;
use hcs_host_manager::paths::Paths;
use hcs_host_manager::releases::Keys;
use hcs_host_manager::run;
use hcs_host_manager::secrets::Secret;
use hcs_host_manager::timing::Timing;
use hcs_planner::client_config::{ClientSecrets, client_config_with_secrets};
use hcs_planner::dataplane::{
    BootstrapConfig, ClusterDocument, ConsulArtifact, Form, ServerCertificates, ServerStatus, blob,
    container,
};
use hcs_planner::ownership::{FixedInputs, RunRecord};
use hcs_planner::rotation::{Phase, Rotated, Rotations, RotationsDocument, declared, turn};
use hcs_planner::snapshots::place::PolicyPlace;
use hcs_planner::spec::ClusterSpec;
use hcs_planner::upgrade::Maintenance;
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use super::blobs::{Account, BACKUPS, BACKUPS_ID};
use super::systemctl::Systemctl;

pub const DATACENTER: &str = "dc1";
pub const GOSSIP_KEY: &str = "c2VjcmV0LWdvc3NpcC1rZXktb2YtMzItYnl0ZXMhISE=";
pub const MANAGEMENT: &str = "5e3e78e0-1111-4222-8333-444455556666";

static WORLDS: AtomicU8 = AtomicU8::new(0);

pub struct World {
    pub account: Account,
    /// Somebody's, with one container.
    pub elsewhere: Account,
    pub folder: tempfile::TempDir,
    /// What a client must trust: all CAs so far.
    pub ca_pem: String,
    pub version: semver::Version,
    artifact: ConsulArtifact,
    certificates: ServerCertificates,
    /// What is declared of it.
    pub maintenance: Maintenance,
    /// What the user adds to the servers' configuration.
    pub server_config: serde_json::Map<String, serde_json::Value>,
    /// What the document names as the one before.
    pub consul_before: Option<Box<ConsulArtifact>>,
    /// Whose releases are believed.
    pub release_keys: Keys,
    rotations: Rotations,
    generation: AtomicU64,
    signing_ca: String,
    /// Key and certificate of the CA that signs next.
    next_ca: Option<(String, String)>,
    /// Third byte of the servers' addresses.
    net: u8,
    /// Keeps that byte from every other world on this machine, whatever process has it.
    _claim: TcpListener,
}

/// A third byte that no world has, and what keeps it so.
fn free_net() -> (u8, TcpListener) {
    // Each process begins somewhere else, so that one seldom waits for a port that another has just left.
    let start = u8::try_from(std::process::id() % 250).unwrap();
    let nets = (0..250).map(|offset| (start.wrapping_add(offset)) % 250 + 1);
    let claim = |net: u8| Some((net, TcpListener::bind(format!("127.77.{net}.254:7777")).ok()?));
    nets.into_iter().find_map(claim).expect("250 worlds are there already")
}

const OWN_ENDPOINT: &str = "https://127.0.0.1:1/account/";

/// Where a policy keeps its snapshots that names somebody's container.
pub fn elsewhere(since: Timestamp) -> PolicyPlace {
    PolicyPlace {
        container_id: BACKUPS_ID.to_owned(),
        blob_endpoint: "https://127.0.0.1:1/acct/".to_owned(),
        folder: "demo-0a1b2c3d".to_owned(),
        since: since.to_string(),
    }
}

pub fn agent_token(slot: u32) -> String {
    format!("a6e27000-0000-4000-8000-00000000000{slot}")
}

/// A CA's key and certificate, PEM.
fn new_ca() -> (String, String) {
    let number = WORLDS.fetch_add(3, Ordering::Relaxed);
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, format!("hcs test CA {number}"));
    let key = KeyPair::generate().unwrap();
    (key.serialize_pem(), params.self_signed(&key).unwrap().pem())
}

impl World {
    /// Fills an account for `server_count` servers.
    pub fn new(consul: &Path, server_count: u32) -> Self {
        let account = Account::default();
        for name in [
            container::CONFIG,
            container::REQUESTS,
            container::SNAPSHOTS,
            container::ARTIFACTS,
            container::SECRETS_CLIENT,
            container::DECISIONS,
            container::RELEASES,
        ] {
            account.make_container(name);
        }
        let elsewhere = Account::default();
        elsewhere.make_container(BACKUPS);
        let (ca_key, ca_pem) = new_ca();
        let program = std::fs::read(consul).unwrap();
        let said = std::process::Command::new(consul).arg("version").output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        let version = said.split_whitespace().nth(1).unwrap().trim_start_matches('v');
        let version = semver::Version::parse(version).unwrap();
        let sha256 = hex(&Sha256::digest(&program));
        let artifact =
            ConsulArtifact { version: version.clone(), sha256, file_name: "consul".to_owned() };
        let name = blob::consul_artifact(&artifact.sha256, &artifact.file_name);
        account.write(container::ARTIFACTS, &name, program);
        account.write(container::CERTIFICATES, blob::CA_CERTIFICATE, ca_pem.clone());
        account.write(container::SECRETS_SHARED, blob::CA_KEY, ca_key);
        account.write(container::SECRETS_SHARED, blob::GOSSIP_KEY, GOSSIP_KEY);
        account.write(container::SECRETS_SHARED, blob::MANAGEMENT_TOKEN, MANAGEMENT);
        let (net, claim) = free_net();
        let folder = tempfile::tempdir().unwrap();
        let certificates = ServerCertificates {
            ttl_seconds: 3600,
            domain: "demo.example".to_owned(),
            names: vec!["consul.demo.example".to_owned()],
            addresses: vec!["198.51.100.7".to_owned()],
        };
        let signing_ca = ca_pem.clone();
        let next_ca = None;
        let world = Self {
            account,
            elsewhere,
            folder,
            ca_pem,
            version,
            artifact,
            certificates,
            maintenance: Maintenance::default(),
            server_config: serde_json::Map::new(),
            consul_before: None,
            release_keys: Keys::of_hashicorp().unwrap(),
            rotations: Rotations::new(),
            generation: AtomicU64::new(1),
            signing_ca,
            next_ca,
            net,
            _claim: claim,
        };
        world.set_server_count(server_count);
        world
    }

    /// What the provider does on a change of `server_count`.
    pub fn set_server_count(&self, server_count: u32) {
        for slot in 0..server_count {
            self.account.make_container(&container::status(slot));
            self.account.make_container(&container::secrets(slot));
            let token = agent_token(slot);
            self.account.write(&container::secrets(slot), blob::AGENT_TOKEN, token);
            // A newcomer has a token of the version that counts, too.
            if let Some(rotation) = self.rotations.get(Rotated::AgentTokens.as_str()) {
                let (secrets, name) =
                    (container::secrets(slot), rotation.version.blob(blob::AGENT_TOKEN));
                if self.account.read(&secrets, &name).is_none() {
                    self.account.write(&secrets, &name, uuid::Uuid::new_v4().to_string());
                }
            }
        }
        let document = ClusterDocument {
            generation: self.generation.fetch_add(1, Ordering::Relaxed),
            datacenter: DATACENTER.to_owned(),
            server_count,
            slots: (0..server_count).collect(),
            others: vec![],
            consul: self.artifact.clone(),
            consul_before: self.consul_before.clone(),
            consul_declared_at: 0,
            consul_server_config: self.server_config.clone(),
            maintenance: self.maintenance.clone(),
            host_manager: None,
            host_manager_before: None,
            form: Form::default(),
            certificates: self.certificates.clone(),
            rotations: self.rotations.clone(),
        };
        let text = serde_json::to_vec(&document).unwrap();
        self.account.write(container::CONFIG, blob::CLUSTER, text);
    }

    /// What the provider does when another version of a secret is asked for. Returns what was made, and for the CA its
    /// certificate.
    pub fn rotate(&mut self, what: Rotated, server_count: u32) -> String {
        let asked = [(what, format!("{}", WORLDS.fetch_add(3, Ordering::Relaxed)))].into();
        self.rotations = declared(Some(&self.rotations), &BTreeMap::new(), &asked, "cluster");
        let version = self.rotations[what.as_str()].version.clone();
        let uuid = || uuid::Uuid::new_v4().to_string();
        let write = |container: &str, name: &str, text: String| {
            self.account.write(container, &version.blob(name), text.clone());
            text
        };
        let made = match what {
            Rotated::GossipKey => {
                let key = Sha256::digest(uuid().as_bytes());
                write(container::SECRETS_SHARED, blob::GOSSIP_KEY, STANDARD.encode(key))
            }
            Rotated::ManagementToken => {
                write(container::SECRETS_SHARED, blob::MANAGEMENT_TOKEN, uuid())
            }
            Rotated::AgentTokens => {
                let made = (0..server_count)
                    .map(|slot| write(&container::secrets(slot), blob::AGENT_TOKEN, uuid()));
                made.collect::<Vec<_>>().pop().unwrap()
            }
            // The servers make it.
            Rotated::ClientToken => String::new(),
            Rotated::CertificateAuthority => {
                let (key, pem) = new_ca();
                write(container::SECRETS_SHARED, blob::CA_KEY, key);
                write(container::CERTIFICATES, blob::CA_CERTIFICATE, pem)
            }
        };
        self.set_server_count(server_count);
        made
    }

    /// What a run of the provider notes while it works, and when it ends.
    pub fn set_apply_works(&self, works: bool) {
        let record = serde_json::json!({
            "format": 1, "incarnation_id": "i", "generation": 1, "run_id": "r", "operation": "update",
            "holder": "somebody", "started_at": "2026-11-28T10:00:00Z",
            "phase": if works { "open" } else { "closed" },
            "outcome": if works { None } else { Some("done") }, "step": null, "beats": 1,
            "fixed": FixedInputs::of(&ClusterSpec::new("s", "demo", "rg", "westeurope")),
        });
        serde_json::from_value::<RunRecord>(record.clone()).expect("a run record");
        self.account.write(container::CONFIG, blob::RUN, record.to_string());
    }

    /// How far the servers are with a rotation of what was asked for last.
    pub fn phase(&self, what: Rotated) -> Option<Phase> {
        let bytes = self.account.read(container::DECISIONS, blob::ROTATIONS);
        let decisions: RotationsDocument =
            bytes.map(|bytes| serde_json::from_slice(&bytes).unwrap()).unwrap_or_default();
        turn(&self.rotations, &decisions, what).phase
    }

    /// The version of the clients' token that is made for the rotation that was asked for last.
    pub fn client_token(&self) -> Option<String> {
        let version = self.rotations.get(Rotated::ClientToken.as_str());
        let version = version.map(|rotation| rotation.version.clone()).unwrap_or_default();
        let name = version.blob(blob::CLIENT_TOKEN);
        let token = self.account.read(container::SECRETS_CLIENT, &name)?;
        Some(String::from_utf8(token.to_vec()).unwrap())
    }

    /// First step of a change of the CA: all trust the new one, which does not sign yet.
    pub fn add_ca(&mut self) {
        let (key, pem) = new_ca();
        self.next_ca = Some((key, pem.clone()));
        self.write_cas(&[&self.signing_ca.clone(), &pem]);
    }

    /// Second step: the new one signs, and the old one is trusted still.
    pub fn turn_to_the_new_ca(&mut self) {
        let (key, pem) = self.next_ca.take().unwrap();
        self.account.write(container::SECRETS_SHARED, blob::CA_KEY, key);
        let old = std::mem::replace(&mut self.signing_ca, pem.clone());
        self.write_cas(&[&pem, &old]);
    }

    /// Last step: the old one is trusted no more.
    pub fn drop_the_old_ca(&mut self) {
        self.write_cas(&[&self.signing_ca.clone()]);
    }

    fn write_cas(&mut self, all: &[&str]) {
        self.ca_pem = all.concat();
        self.account.write(container::CERTIFICATES, blob::CA_CERTIFICATE, self.ca_pem.clone());
    }

    /// The provider uploads the same Consul in another wrapping: a new artifact to roll out.
    pub fn publish_archive(&mut self, server_count: u32) {
        let old = blob::consul_artifact(&self.artifact.sha256, &self.artifact.file_name);
        let program = self.account.read(container::ARTIFACTS, &old).unwrap();
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        writer.start_file("consul", stored).unwrap();
        writer.write_all(&program).unwrap();
        let archive = writer.finish().unwrap().into_inner();
        self.artifact.sha256 = hex(&Sha256::digest(&archive));
        self.artifact.file_name = format!("consul_{}_linux_amd64.zip", self.version);
        let name = blob::consul_artifact(&self.artifact.sha256, &self.artifact.file_name);
        self.account.write(container::ARTIFACTS, &name, archive);
        self.set_server_count(server_count);
    }

    /// The provider uploads another version.
    pub fn bring(&mut self, version: &semver::Version, program: &[u8], server_count: u32) {
        let sha256 = hex(&Sha256::digest(program));
        let (version, file_name) = (version.clone(), "consul".to_owned());
        self.artifact = ConsulArtifact { version, sha256, file_name };
        let name = blob::consul_artifact(&self.artifact.sha256, &self.artifact.file_name);
        self.account.write(container::ARTIFACTS, &name, program.to_vec());
        self.set_server_count(server_count);
    }

    /// What a change of `server_certificate_ttl` writes.
    pub fn set_certificate_ttl(&mut self, ttl_seconds: u64, server_count: u32) {
        self.certificates.ttl_seconds = ttl_seconds;
        self.set_server_count(server_count);
    }

    pub fn address(&self, slot: u32) -> IpAddr {
        format!("127.77.{}.{}", self.net, slot + 1).parse().unwrap()
    }

    /// What a user of Terraform gets for a client agent.
    pub fn client_config(&self) -> Option<serde_json::Value> {
        let token = self.account.read(container::SECRETS_CLIENT, blob::CLIENT_TOKEN)?;
        let token = String::from_utf8(token.to_vec()).unwrap();
        let secrets = ClientSecrets { gossip_key: GOSSIP_KEY, client_token: &token };
        let spec = ClusterSpec {
            consul_datacenter: DATACENTER.into(),
            consul_version: self.version.clone(),
            ..ClusterSpec::new("00000000-0000-0000-0000-000000000001", "demo", "rg", "westeurope")
        };
        Some(client_config_with_secrets(&spec, secrets))
    }

    pub fn server(&self, slot: u32) -> Server {
        let status = (0..9).map(container::status);
        let readable = [
            container::CONFIG,
            container::CERTIFICATES,
            container::ARTIFACTS,
            container::SECRETS_SHARED,
            container::REQUESTS,
        ];
        let readable: Vec<String> = readable.into_iter().map(str::to_owned).chain(status).collect();
        let writable = [
            container::SNAPSHOTS,
            container::SECRETS_CLIENT,
            container::DECISIONS,
            container::RELEASES,
        ];
        let shared = self.account.view(&readable, &writable.map(str::to_owned));
        let own = self.account.view(&[container::secrets(slot)], &[container::status(slot)]);
        let paths = Paths::new(self.folder.path().join(format!("vm-{slot}")));
        std::fs::create_dir_all(paths.root()).unwrap();
        let service = Arc::new(Systemctl::new(paths.clone()));
        let host = Host {
            bootstrap: BootstrapConfig {
                cluster_id: "/subscriptions/s/resourceGroups/mrg".to_owned(),
                slot,
                node_name: format!("demo-server-{slot}"),
                zone: Some((slot % 3 + 1).to_string()),
                blob_endpoint: OWN_ENDPOINT.to_owned(),
                shared_identity_id: "shared".to_owned(),
                server_identity_id: "own".to_owned(),
                host_manager_sha256: String::new(),
            },
            instance: Instance {
                address: self.address(slot),
                zone: None,
                name: format!("vm-{slot}"),
            },
            own: OwnProgram { sha256: "own".to_owned(), is_on_trial: false },
            paths,
            stores: Stores {
                shared: Arc::new(shared),
                own: Arc::new(own),
                elsewhere: Arc::new(self.elsewhere.view(&[], &[BACKUPS.to_owned()])),
                blob_endpoint: OWN_ENDPOINT.to_owned(),
            },
            service: service.clone(),
            clock: Arc::new(SystemClock),
            release_keys: self.release_keys.clone(),
            timing: Timing {
                tick: Duration::from_millis(500),
                rounds_per_refresh: 2,
                rounds_per_sweep: 8,
                ..Timing::scaled(100.0)
            },
        };
        Server { host, service, running: None }
    }

    pub fn status(&self, slot: u32) -> Option<ServerStatus> {
        let bytes = self.account.read(&container::status(slot), blob::STATUS)?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    pub fn client(&self, slot: u32, token: &str) -> ConsulClient {
        ConsulClient::new(self.address(slot), DATACENTER, &self.ca_pem, Secret::new(token)).unwrap()
    }
}

/// One VM: its service manager lives as long as this, the host manager may come and go.
pub struct Server {
    pub host: Host,
    pub service: Arc<Systemctl>,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Server {
    pub fn start_manager(&mut self) {
        let stop = CancellationToken::new();
        let (host, token) = (self.host.clone(), stop.clone());
        let task = tokio::spawn(async move { run::run(host, token).await.unwrap() });
        self.running = Some((stop, task));
    }

    pub async fn stop_manager(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.cancel();
            tokio::time::timeout(Duration::from_secs(20), task).await.unwrap().unwrap();
        }
    }

    /// The certificate that this server keeps, with its key.
    pub fn leaf(&self) -> Leaf {
        leaf::load(&self.host.paths).unwrap().unwrap().unwrap()
    }

    /// Whether this port serves the certificate that the server keeps.
    pub async fn serves_its_leaf(&self, port: u16) -> bool {
        let (address, leaf) = ((self.host.instance.address, port).into(), self.leaf());
        served::certificate(address, &leaf).await.is_ok_and(|der| der == leaf.facts.der)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.host.paths.root().join("consul.log")).unwrap_or_default()
    }
}

/// As if every host manager had been cut off between what it did and what it told of it.
pub async fn forget_answers(world: &World, servers: &mut [Server]) {
    for server in &mut *servers {
        server.stop_manager().await;
        let mut memory = Memory::load(&server.host.paths).unwrap();
        memory.results.clear();
        memory.save(&server.host.paths).unwrap();
        let slot = server.host.bootstrap.slot;
        let mut status = world.status(slot).unwrap();
        status.results.clear();
        let text = serde_json::to_string(&status).unwrap();
        world.account.write(&container::status(slot), blob::STATUS, text);
    }
    servers.iter_mut().for_each(Server::start_manager);
}
