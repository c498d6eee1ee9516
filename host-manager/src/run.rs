//! The loop: look at documents, disk and Consul, do what is missing, look again.
//!
//! Every round starts from what is there, so a round may fail or be cut off anywhere.

use std::path::PathBuf;
use std::sync::Arc;

use hcs_engine::blob::BlobError;
use hcs_planner::dataplane::{ClusterDocument, ConsulArtifact, ServerStatus};
use tokio_util::sync::CancellationToken;

use crate::artifact::{self, ArtifactError};
use crate::certificate::{self, CertificateError, CertificateFacts};
use crate::consul::acl::{self, AgentIdentity};
use crate::consul::client::{ConsulClient, ConsulError};
use crate::consul::config::UnknownFamily;
use crate::consul::health::raft_address;
use crate::converge::{self, InvalidConfig, Wanted};
use crate::documents::{DocumentError, ServerSecrets};
use crate::files::FileError;
use crate::formation::{self, Formation};
use crate::host::Host;
use crate::membership::{self, Introductions};
use crate::memory::{Memory, MemoryError};
use crate::report::chain;
use crate::requests::{self, LeaveError, Leaving};
use crate::rollout::{self, RolloutError};
use crate::service::{ServiceError, Verb};
use crate::snapshot;
use crate::status::{self, Board};

/// Why a round could not do all of its work. The next one tries again.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum RoundError {
    /// Documents and secrets.
    Document(#[from] DocumentError),
    /// The Consul program.
    Artifact(#[from] ArtifactError),
    /// Certificate and key.
    Certificate(#[from] CertificateError),
    /// A version that we do not know.
    Version(#[from] UnknownFamily),
    /// A configuration that Consul refuses.
    Invalid(#[from] InvalidConfig),
    /// The disk.
    File(#[from] FileError),
    /// Our memory.
    Memory(#[from] MemoryError),
    /// The service manager.
    Service(#[from] ServiceError),
    /// Consul.
    Consul(#[from] ConsulError),
    /// The storage account.
    Blob(#[from] BlobError),
}

/// What the blobs say, as last read.
struct Documents {
    cluster: ClusterDocument,
    secrets: ServerSecrets,
    certificate: CertificateFacts,
    client: ConsulClient,
}

struct Manager {
    host: Arc<Host>,
    board: Arc<Board>,
    memory: Memory,
    documents: Option<Documents>,
    installed: Option<(ConsulArtifact, PathBuf)>,
    introductions: Introductions,
    marked_formed: bool,
    /// Why the last restart was put off; logged when it changes.
    waits_for: Option<&'static str>,
    /// The certificate that Consul was last seen to serve.
    served: Option<CertificateFacts>,
    round: u32,
}

/// Manages one server until stopped. Consul goes on running then.
pub async fn run(host: Host, stop: CancellationToken) -> Result<(), MemoryError> {
    let host = Arc::new(host);
    let board = Arc::new(Board::default());
    let memory = Memory::load(&host.paths)?;
    for id in &memory.done_requests {
        board.done(id);
    }
    let publisher = tokio::spawn(status::run(host.clone(), board.clone(), stop.clone()));
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
        introductions: Introductions::default(),
        marked_formed: false,
        waits_for: None,
        served: None,
        round: 0,
    };
    tokio::select! { () = manager.rounds() => {} () = stop.cancelled() => {} }
    let _ = tokio::join!(publisher, snapshots);
    Ok(())
}

impl Manager {
    async fn rounds(&mut self) {
        let mut failures = 0;
        loop {
            let wait = match self.one_round().await {
                Ok(()) => {
                    failures = 0;
                    self.board.solved("server");
                    self.host.timing.tick
                }
                Err(error) => {
                    failures += 1;
                    self.board.problem("server", chain(&error));
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
        let Some(documents) = self.documents.take() else { return Ok(()) };
        let result = self.work(&documents).await;
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
        let is_time = self.round.is_multiple_of(self.host.timing.rounds_per_refresh);
        if self.documents.is_some() && !is_time {
            return Ok(());
        }
        match self.read().await {
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

    async fn read(&self) -> Result<Documents, RoundError> {
        let cluster = self.host.stores.cluster().await?;
        let secrets = self.host.stores.secrets(self.host.bootstrap.slot).await?;
        let certificate = certificate::check(&secrets)?;
        let token = secrets.management_token.clone();
        let address = self.host.instance.address;
        let client = ConsulClient::new(address, &cluster.datacenter, &secrets.ca_pem, token)?
            .with_local_token(secrets.local_token());
        Ok(Documents { cluster, secrets, certificate, client })
    }

    async fn work(&mut self, documents: &Documents) -> Result<(), RoundError> {
        let own = self.host.bootstrap.slot;
        let peers = membership::peers(&self.host.stores, own, &documents.cluster).await;
        if self.host.service.is_active().await? {
            self.board.started(documents.client.clone());
        }
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

    /// Files, program and process.
    async fn converge(
        &mut self,
        documents: &Documents,
        peers: &[ServerStatus],
    ) -> Result<(), RoundError> {
        let (host, cluster) = (self.host.clone(), &documents.cluster);
        let program = self.install(&cluster.consul).await?;
        if !self.memory.member {
            let evidence = membership::evidence(&host, cluster).await?;
            let decided = formation::decide(
                host.bootstrap.slot,
                self.memory.formation,
                self.memory.member,
                cluster,
                &evidence,
            );
            if self.memory.formation != Some(decided) {
                tracing::info!(?decided, "how this server comes into the cluster");
                self.memory.formation = Some(decided);
                self.memory.save(&host.paths)?;
            }
        }
        let formation = self.memory.formation.unwrap_or(Formation::Join);
        let wanted = Wanted::render(&host, cluster, &documents.secrets, program, formation)?;
        converge::write_join(&host, &peers.iter().map(|peer| peer.address).collect::<Vec<_>>())?;
        let certificate_changed = certificate::install(&host.paths, &documents.secrets)?;
        self.board.set_certificate_expires_at(documents.certificate.expires_at());
        let is_current = self.memory.started_with.as_ref() == Some(&wanted.fingerprint);
        let is_active = host.service.is_active().await?;
        if !is_active || (!is_current && !self.memory.member) {
            wanted.validate(&host).await?;
            wanted.write(&host)?;
            self.memory.started_with = Some(wanted.fingerprint.clone());
            self.memory.save(&host.paths)?;
            tracing::info!(program = %wanted.program.display(), "starting Consul");
            converge::start(&host, if is_active { Verb::Restart } else { Verb::Start }).await?;
        } else if is_current {
            // Mends files that someone lost or changed; a running Consul does not notice.
            wanted.write(&host)?;
            self.board.solved("rollout");
        } else {
            self.roll(documents, peers, &wanted).await;
        }
        self.board.started(documents.client.clone());
        self.serve_certificate(documents, certificate_changed).await;
        Ok(())
    }

    /// Hashing the program costs half a second, so a checked one is trusted while we run.
    async fn install(&mut self, artifact: &ConsulArtifact) -> Result<PathBuf, ArtifactError> {
        if let Some((installed, program)) = &self.installed
            && installed == artifact
        {
            return Ok(program.clone());
        }
        let folder = self.host.paths.consul_dir(&artifact.version);
        let program = artifact::install(&*self.host.stores.shared, artifact, &folder).await?;
        self.installed = Some((artifact.clone(), program.clone()));
        Ok(program)
    }

    async fn roll(&mut self, documents: &Documents, peers: &[ServerStatus], wanted: &Wanted) {
        let host = self.host.clone();
        let (client, cluster) = (&documents.client, &documents.cluster);
        match rollout::attempt(&host, client, cluster, peers, wanted, &mut self.memory).await {
            Ok(()) => self.board.solved("rollout"),
            Err(RolloutError::Waiting(reason)) => {
                if self.waits_for.replace(reason) != Some(reason) {
                    tracing::info!(reason, "a new configuration waits");
                }
            }
            Err(error) => self.board.problem("rollout", chain(&error)),
        }
    }

    /// A new certificate is reloaded, never restarted for, and looked at from outside.
    async fn serve_certificate(&mut self, documents: &Documents, changed: bool) {
        if self.served.as_ref() == Some(&documents.certificate) && !changed {
            return;
        }
        match self.reload_certificate(documents).await {
            Ok(()) => self.board.solved("certificate"),
            // Consul has just been started; the next round looks again.
            Err(error @ ConsulError::Unreachable { .. }) => {
                tracing::debug!(error = %chain(&error), "certificate not looked at yet");
            }
            Err(error) => self.board.problem("certificate", chain(&error)),
        }
    }

    async fn reload_certificate(&mut self, documents: &Documents) -> Result<(), ConsulError> {
        let datacenter = &documents.cluster.datacenter;
        let served = documents.client.served_certificate(datacenter).await?;
        if served.as_ref() != Some(&documents.certificate) {
            documents.client.reload().await?;
            let served = documents.client.served_certificate(datacenter).await?;
            if served.as_ref() != Some(&documents.certificate) {
                self.board
                    .problem("certificate", "Consul serves another one after a reload".into());
                return Ok(());
            }
            tracing::info!(serial = %documents.certificate.serial, "Consul serves the new certificate");
        }
        self.served = Some(documents.certificate.clone());
        Ok(())
    }

    /// Carries out a request to leave; `true` while there is one, and then for ever.
    async fn leave(&mut self, documents: &Documents, peers: &[ServerStatus]) -> bool {
        match self.leave_step(documents, peers).await {
            Ok(()) => self.board.solved("leave"),
            Err(error) => self.board.problem("leave", chain(&error)),
        }
        if self.memory.has_left() {
            self.board.left();
        }
        for id in &self.memory.done_requests {
            self.board.done(id);
        }
        self.memory.leave.is_some()
    }

    async fn leave_step(
        &mut self,
        documents: &Documents,
        peers: &[ServerStatus],
    ) -> Result<(), LeaveError> {
        let leaving = Leaving {
            host: &self.host,
            client: &documents.client,
            secrets: &documents.secrets,
            datacenter: &documents.cluster.datacenter,
            peers,
        };
        if self.memory.leave.is_none() {
            let request = self.host.stores.leave_request(self.host.bootstrap.slot).await?;
            let Some(request) = request.filter(|request| self.board.is_open(&request.id)) else {
                return Ok(());
            };
            requests::begin(&leaving, &mut self.memory, &request).await?;
        }
        requests::go_on(&leaving, &mut self.memory).await
    }

    /// Meets the others and keeps ACLs and Autopilot as they should be.
    async fn be_a_member(
        &mut self,
        documents: &Documents,
        peers: &[ServerStatus],
    ) -> Result<(), RoundError> {
        let client = &documents.client;
        let leader = match client.leader().await {
            Ok(leader) => leader,
            // Consul has just been started; the status says so.
            Err(ConsulError::Unreachable { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        membership::join(&self.host.stores, client, &mut self.introductions, peers).await?;
        let Some(leader) = leader else {
            self.wait_for_a_cluster();
            return Ok(());
        };
        let raft = client.raft_configuration(false).await?;
        let own = raft_address(self.host.instance.address);
        if !raft.servers.iter().any(|server| server.address == own) {
            return Ok(());
        }
        self.board.solved("formation");
        if !self.memory.member {
            self.memory.member = true;
            self.memory.save(&self.host.paths)?;
            tracing::info!("this server is a member of the cluster");
        }
        if !self.marked_formed {
            membership::mark_formed(&self.host).await?;
            self.marked_formed = true;
        }
        let is_time = self.round.is_multiple_of(self.host.timing.rounds_per_refresh);
        if is_time || !self.board.acl_ready() {
            self.ensure_acl(documents).await;
        }
        if leader == own {
            let count = documents.cluster.server_count;
            match membership::ensure_autopilot(client, count).await {
                Ok(()) => self.board.solved("autopilot"),
                Err(error) => self.board.problem("autopilot", chain(&error)),
            }
        }
        Ok(())
    }

    /// A cluster that has existed is never founded again by itself: that would hide a total loss.
    fn wait_for_a_cluster(&self) {
        if self.memory.member || self.memory.formation != Some(Formation::Join) {
            return;
        }
        let sentence = "waits to join: the cluster was founded before, but no server of it leads; \
            if all were lost for good, delete the blob formed.json in every status container, \
            restart the servers and restore a snapshot";
        self.board.problem("formation", sentence.to_owned());
    }

    async fn ensure_acl(&self, documents: &Documents) {
        let identity = AgentIdentity {
            cluster_id: &self.host.bootstrap.cluster_id,
            slot: self.host.bootstrap.slot,
            node_name: &self.host.bootstrap.node_name,
        };
        let token = &documents.secrets.agent_token;
        let ensured = acl::ensure_agent_token(&documents.client, &identity, token).await;
        self.board.set_acl_ready(ensured.is_ok());
        match ensured {
            Ok(()) => self.board.solved("acl"),
            Err(error) => self.board.problem("acl", chain(&error)),
        }
    }
}
