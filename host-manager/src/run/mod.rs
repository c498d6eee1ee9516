//! The loop: look at documents, disk and Consul, do what is missing, look again.
//!
//! Every round starts from what is there, so a round may fail or be cut off anywhere.

mod adoption;
mod certificate;
mod member;
mod offline;
mod own_program;
mod process;
mod requests;
mod rotation;
mod upgrade;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use hcs_engine::blob::BlobError;
use hcs_planner::dataplane::{ClusterDocument, ConsulArtifact, ServerStatus};
use hcs_planner::rotation::{RotationsDocument, SecretVersion};
use hcs_planner::upgrade::{Upgrade, in_force};
use tokio_util::sync::CancellationToken;

use crate::artifact::ArtifactError;
use crate::certificate::InstallError;
use crate::clock;
use crate::consul::client::{ConsulClient, ConsulError};
use crate::consul::config::ConfigError;
use crate::converge::{InvalidConfig, RenderError, StartError};
use crate::documents::{DocumentError, ServerSecrets};
use crate::endpoint::{self, Endpoint};
use crate::files::FileError;
use crate::host::Host;
use crate::last_known::LastKnownError;
use crate::leaf::{self, Leaf, LeafError};
use crate::membership::{self, Introductions};
use crate::memory::{Memory, MemoryError};
use crate::metrics::Metrics;
use crate::reader::ReaderError;
use crate::readiness::serve::Ready;
use crate::report::chain;
use crate::secrets::Secret;
use crate::service::{ServiceError, Verb};
use crate::snapshot;
use crate::status::{self, Board};
use crate::support;
use upgrade::Upgrades;

const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

/// Why a round could not do all of its work. The next one tries again.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum RoundError {
    /// Documents and secrets.
    Document(#[from] DocumentError),
    /// The Consul program.
    Artifact(#[from] ArtifactError),
    /// Certificate and key.
    Leaf(#[from] LeafError),
    /// Their way to Consul.
    Install(#[from] InstallError),
    /// A version that we do not know.
    Version(#[from] ConfigError),
    /// A configuration that Consul refuses.
    Invalid(#[from] InvalidConfig),
    /// The disk.
    File(#[from] FileError),
    /// What the disk holds for a start without the storage account.
    LastKnown(#[from] LastKnownError),
    /// Consul's user.
    Reader(#[from] ReaderError),
    /// Our memory.
    Memory(#[from] MemoryError),
    /// The service manager.
    Service(#[from] ServiceError),
    /// Consul cannot be started.
    Start(#[from] StartError),
    /// Consul.
    Consul(#[from] ConsulError),
    /// The storage account.
    Blob(#[from] BlobError),
}

impl From<RenderError> for RoundError {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Config(error) => Self::Version(error),
            RenderError::File(error) => Self::File(error),
        }
    }
}

impl RoundError {
    /// Whether the next round meets it again unless what the server was given changes.
    fn is_final(&self) -> bool {
        match self {
            Self::Artifact(error) => error.is_final(),
            Self::Version(_) | Self::Invalid(_) => true,
            _ => false,
        }
    }
}

/// What the blobs say, as last read.
struct Documents {
    /// As it is written.
    declared: ClusterDocument,
    /// The same with the Consul that this server is to run now.
    cluster: ClusterDocument,
    /// The last way to another Consul, and the etag to write it again.
    upgrade: Option<Upgrade>,
    upgrade_etag: Option<String>,
    secrets: ServerSecrets,
    /// How far the servers are with rotations, and the etag to write it again.
    decisions: RotationsDocument,
    decisions_etag: Option<String>,
    leaf: Leaf,
    client: ConsulClient,
}

impl Documents {
    /// Whether the authority that signs now has signed this server's certificate.
    fn is_signed_by_the_first(&self) -> bool {
        let name = leaf::server_name(&self.cluster.datacenter);
        leaf::authorities(&self.secrets.ca_pem)
            .is_ok_and(|all| self.leaf.is_signed_by(all.get(..1).unwrap_or_default(), &name))
    }
}

struct Manager {
    host: Arc<Host>,
    board: Arc<Board>,
    memory: Memory,
    documents: Option<Documents>,
    installed: Option<(ConsulArtifact, PathBuf)>,
    /// A program that failed a check, and why: until then (Unix milliseconds) it is not fetched again.
    refused: Option<(ConsulArtifact, String, u64)>,
    /// A host manager that was put back or failed its test; until then (Unix milliseconds) it is not tried again.
    refused_own: Option<(String, u64)>,
    /// Ends this program, so that it starts again.
    stop: CancellationToken,
    introductions: Introductions,
    marked_formed: bool,
    /// Servers of before that this one waits to be let in by.
    waits_for_before: Vec<std::net::IpAddr>,
    /// Rounds in a row in which Consul knew no leader.
    rounds_alone: u32,
    /// Rounds in a row in which Consul did not know the management token.
    rounds_locked_out: u32,
    /// The version of the agent token that works, and before which none does.
    agent_version: Option<SecretVersion>,
    /// The token of client agents, once this server as the leader has seen that it works.
    client_token: Option<Secret>,
    /// The request that is being carried out beside the rounds.
    serves: Option<tokio::task::JoinHandle<()>>,
    /// The request for a certificate that no port was seen to serve yet, and the certificate, DER.
    renewal_asked: Option<(String, Vec<u8>)>,
    /// Rounds in a row in which this server was to restart and served nobody.
    rounds_of_no_use: u32,
    /// Why the last restart was put off; logged when it changes.
    waits_for: Option<&'static str>,
    /// What the leading server knows of releases.
    upgrades: Upgrades,
    /// CA, certificate or key changed on disk since Consul last read them.
    reload_due: bool,
    /// The certificate, DER, that every port of Consul was last seen to serve.
    served: Option<Vec<u8>>,
    round: u32,
    /// The last round failed.
    is_troubled: bool,
}

/// Manages one server until stopped. Consul goes on running then.
pub async fn run(host: Host, stop: CancellationToken) -> Result<(), MemoryError> {
    let host = Arc::new(host);
    let board = Arc::new(Board::default());
    let memory = Memory::load(&host.paths)?;
    for id in &memory.done_requests {
        board.done(id);
    }
    for result in &memory.results {
        board.add_result(result.clone());
    }
    board.led_with(memory.led_with.clone());
    offline::show_what_the_disk_holds(&host, &board);
    let publisher = tokio::spawn(status::run(host.clone(), board.clone(), stop.clone()));
    let endpoints: [Arc<dyn Endpoint>; 2] = [
        Arc::new(Ready::new(host.clone(), board.clone())),
        Arc::new(Metrics::new(host.clone(), board.clone())),
    ];
    let endpoints = endpoints
        .map(|one| tokio::spawn(endpoint::run(one, host.clone(), board.clone(), stop.clone())));
    let support = tokio::spawn(support::run(host.clone(), board.clone(), stop.clone()));
    let snapshots = tokio::spawn({
        let (host, board, stop) = (host.clone(), board.clone(), stop.clone());
        async move {
            // A snapshot that is cut off here leaves its lock to the TTL.
            let work = snapshot::run::run(host, board, stop.clone());
            tokio::select! { () = work => {} () = stop.cancelled() => {} }
        }
    });
    let mut manager = Manager {
        host: host.clone(),
        board,
        memory,
        documents: None,
        installed: None,
        refused: None,
        refused_own: None,
        stop: stop.clone(),
        introductions: Introductions::default(),
        marked_formed: false,
        waits_for_before: Vec::new(),
        rounds_alone: 0,
        rounds_locked_out: 0,
        agent_version: None,
        client_token: None,
        serves: None,
        renewal_asked: None,
        rounds_of_no_use: 0,
        waits_for: None,
        upgrades: Upgrades::default(),
        reload_due: false,
        served: None,
        round: 0,
        is_troubled: false,
    };
    tokio::select! { () = manager.rounds() => {} () = stop.cancelled() => {} }
    // A last status is welcome, but a storage account that hangs must not hold up a shutdown.
    let ended = async { tokio::join!(publisher, snapshots, join_all(endpoints), support) };
    if tokio::time::timeout(SHUTDOWN_MAX, ended).await.is_err() {
        tracing::warn!("the last status may not have been written");
    }
    Ok(())
}

impl Manager {
    async fn rounds(&mut self) {
        let mut failures = 0;
        loop {
            let wait = match self.one_round().await {
                Ok(()) => {
                    failures = 0;
                    self.is_troubled = false;
                    self.board.solved("server");
                    self.end_the_trial();
                    self.host.timing.tick
                }
                Err(error) => {
                    failures += 1;
                    self.is_troubled = true;
                    if error.is_final() {
                        self.board.hopeless("server", chain(&error));
                    } else {
                        self.board.problem("server", chain(&error));
                    }
                    self.host.timing.backoff(failures)
                }
            };
            self.round = self.round.wrapping_add(1);
            self.host.clock.sleep(wait).await;
        }
    }

    async fn one_round(&mut self) -> Result<(), RoundError> {
        if self.memory.has_left() {
            return self.stay_out().await;
        }
        self.refresh().await?;
        let Some(mut documents) = self.documents.take() else { return Ok(()) };
        let result = self.work(&mut documents).await;
        self.documents = Some(documents);
        result
    }

    /// Left means left: whoever started Consul again was wrong.
    async fn stay_out(&mut self) -> Result<(), RoundError> {
        self.board.left();
        if self.host.service.is_active().await? {
            self.host.service.tell(Verb::Stop).await?;
        }
        Ok(())
    }

    /// Reads the documents again when it is time. Old ones serve while the storage is away.
    async fn refresh(&mut self) -> Result<(), RoundError> {
        // Whoever is in trouble may have been given something better by now.
        // So may whoever waits for a declared Consul to be begun with.
        let is_time = self.is_troubled
            || self.round.is_multiple_of(self.host.timing.rounds_per_refresh)
            || self.upgrades.is_due()
            || self.documents.as_ref().is_some_and(awaits_a_note);
        if self.documents.is_some() && !is_time {
            return Ok(());
        }
        match self.read_or_start_without().await {
            Ok(documents) => {
                self.board.solved("documents");
                self.documents = Some(documents);
                Ok(())
            }
            Err(error) if self.documents.is_some() => {
                self.board.problem("documents", chain(&error));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn read(&mut self) -> Result<Documents, RoundError> {
        let cluster = self.host.stores.cluster().await?;
        if !cluster.form.is_understood() {
            return self.leave_to_a_newer_one(&cluster).await;
        }
        let (decisions, decisions_etag) = self.host.stores.decisions(&cluster).await?;
        let (upgrade, upgrade_etag) = self.host.stores.upgrade().await?;
        let declared = cluster;
        let consul = in_force(&declared, upgrade.as_ref()).clone();
        let cluster = ClusterDocument { consul, ..declared.clone() };
        self.board.set_upgrade(declared.generation, upgrade.clone());
        let slot = self.host.bootstrap.slot;
        let secrets = self.host.stores.secrets(slot, &cluster, &decisions).await?;
        let leaf = self.ensure_leaf(&cluster, &decisions, &secrets, false).await?;
        self.board.set_leaf(&leaf);
        let token = secrets.strongest_token();
        let address = self.host.instance.address;
        let client = ConsulClient::new(address, &cluster.datacenter, &secrets.ca_pem, token)?
            .with_local_token(secrets.local_token());
        Ok(Documents {
            declared,
            cluster,
            upgrade,
            upgrade_etag,
            secrets,
            decisions,
            decisions_etag,
            leaf,
            client,
        })
    }

    async fn work(&mut self, documents: &mut Documents) -> Result<(), RoundError> {
        // First, as a full disk may be why nothing else works.
        if self.round.is_multiple_of(self.host.timing.rounds_per_refresh) {
            self.sweep_temporary();
            self.look_at_the_room();
            clock::look(&self.host, &self.board).await;
        }
        let own = self.host.bootstrap.slot;
        let peers = membership::peers(&self.host.stores, own, &documents.cluster).await;
        let is_active = self.host.service.is_active().await?;
        if is_active {
            self.board.started(documents.client.clone());
        }
        self.remember_what_led();
        documents.cluster.consul = self.runs_now(documents, &peers, is_active).await;
        self.renew_own_program(&documents.cluster, &peers).await;
        let converged = match self.memory.leave {
            None => self.converge(documents, &peers).await,
            Some(_) => Ok(()),
        };
        // A running Consul is looked after even if, say, a new program cannot be fetched.
        if self.leave(documents, &peers).await {
            return Ok(());
        }
        self.be_a_member(documents, &peers).await?;
        converged
    }

    /// What all servers say, this one among them.
    fn with_own(&self, peers: &[ServerStatus]) -> Vec<ServerStatus> {
        let mut statuses = peers.to_vec();
        statuses.push(self.board.status(&self.host, 0));
        statuses
    }
}

/// Whether another Consul is declared and the leading server has not begun with it: it is about to. A window that is
/// closed, or a stop, may last for days.
fn awaits_a_note(documents: &Documents) -> bool {
    let wanted = in_force(&documents.declared, documents.upgrade.as_ref());
    let is_noted = documents.upgrade.as_ref().and_then(Upgrade::decided) == Some(wanted);
    !is_noted && documents.cluster.consul != *wanted
}
