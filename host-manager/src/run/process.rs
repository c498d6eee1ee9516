//! A round's first half: program, files and process of Consul are what the documents want.

use std::path::PathBuf;
use std::sync::Arc;

use hcs_engine::jobs::{HeldJob, NotNow};
use hcs_planner::dataplane::{ClusterDocument, ConsulArtifact, ServerStatus};
use hcs_planner::jobs::JobKind;
use hcs_planner::rotation::{Rotated, turn};
use hcs_planner::upgrade::By;

use super::{Documents, Manager, RoundError};
use crate::artifact::{self, ArtifactError};
use crate::certificate;
use crate::consul::client::ConsulError;
use crate::consul::store::{self, RaftData};
use crate::converge::{self, StartedFor, Wanted};
use crate::files::FileError;
use crate::formation::{self, Formation};
use crate::last_known::LastKnown;
use crate::membership;
use crate::report::chain;
use crate::rollout::{self, Basis, RolloutError};
use crate::rotation::behind;
use crate::service::Verb;
use crate::upgrade::turn::waits_for;

/// A wrong program has 70 MB: it is fetched again now and then only, in case somebody mended the blob itself.
const REFETCH_SECONDS: u64 = 600;
/// A minute without use is more than an election, or than a restarted server takes to vote again.
const ROUNDS_OF_NO_USE: u32 = 12;
/// On the way back no more than an election is waited for.
const ROUNDS_BEFORE_BACK: u32 = 3;

impl Manager {
    /// Files, program and process.
    pub(super) async fn converge(
        &mut self,
        documents: &Documents,
        peers: &[ServerStatus],
    ) -> Result<(), RoundError> {
        let host = self.host.clone();
        let is_active = host.service.is_active().await?;
        let (consul, program, missing) = self.install_or_stay(documents, is_active).await?;
        let cluster = &ClusterDocument { consul, ..documents.cluster.clone() };
        if !is_active {
            self.look_at_the_disk(cluster)?;
            self.mend_keyrings(documents).await?;
        }
        self.look_for_servers_of_before().await?;
        let formation = self.decide_formation(cluster).await?;
        let management = turn(&cluster.rotations, &documents.decisions, Rotated::ManagementToken);
        let started_for = StartedFor { formation, management_token: management.in_use };
        let wanted = Wanted::render(&host, cluster, &documents.secrets, program, started_for)?;
        let of_peers = peers.iter().map(|peer| peer.address);
        let to_join: Vec<_> = of_peers.chain(self.waits_for_before.iter().copied()).collect();
        converge::write_join(&host, &to_join)?;
        self.reload_due |=
            certificate::install(&host.paths, &documents.secrets.ca_pem, &documents.leaf)?;
        self.tell_of_the_certificate(&documents.leaf);
        let is_current = self.memory.started_with.as_ref() == Some(&wanted.fingerprint);
        // A machine that came back elsewhere: the Consul that started with it serves nobody.
        let address = Some(host.instance.address);
        let has_moved = self.memory.address.is_some() && self.memory.address != address;
        if !is_active || has_moved || (!is_current && !self.memory.member) {
            self.start(&wanted, if is_active { Verb::Restart } else { Verb::Start }).await?;
        } else if is_current {
            // Mends files that someone lost or changed; a running Consul does not notice.
            self.reload_due |= wanted.write(&host)?;
            self.board.set_attention("configuration", None);
            self.board.solved("rollout");
            self.rounds_of_no_use = 0;
        } else if missing.is_none() {
            if let Err(error) = LastKnown::keep_secrets(&host.paths, &documents.secrets) {
                tracing::warn!(error = chain(&error), "the last known secrets stay as they are");
            }
            self.roll(documents, peers, &wanted).await;
        }
        self.board.started(documents.client.clone());
        self.serve_certificate(documents).await;
        let is_current = self.memory.started_with.as_ref() == Some(&wanted.fingerprint);
        self.report_rotations(documents, is_current);
        match missing {
            None => Ok(()),
            Some(error) => {
                if error.is_final() {
                    self.stop_upgrade(documents, &chain(&error)).await;
                }
                Err(error.into())
            }
        }
    }

    /// The wanted program; the one that runs, and why, where the wanted one cannot be had: certificates and files do not
    /// wait for it.
    async fn install_or_stay(
        &mut self,
        documents: &Documents,
        is_active: bool,
    ) -> Result<(ConsulArtifact, PathBuf, Option<ArtifactError>), ArtifactError> {
        let wanted = &documents.cluster.consul;
        let error = match self.install(wanted).await {
            Ok(program) => return Ok((wanted.clone(), program, None)),
            Err(error) => error,
        };
        let ran = self.ran(documents, is_active).filter(|ran| ran.version != wanted.version);
        match ran.filter(|_| is_active && self.memory.member) {
            Some(ran) => {
                let program = self.install(&ran).await?;
                Ok((ran, program, Some(error)))
            }
            None => Err(error),
        }
    }

    /// Starts a Consul that does not run, or is no member yet.
    pub(super) async fn start(&mut self, wanted: &Wanted, verb: Verb) -> Result<(), RoundError> {
        let host = self.host.clone();
        wanted.validate(&host).await?;
        self.reload_due = false;
        self.memory.address = Some(host.instance.address);
        tracing::info!(program = %wanted.program.display(), "starting Consul");
        Ok(converge::start_as(&host, wanted, &mut self.memory, verb).await?)
    }

    /// Before a start: what lies on the disk decides whether this server is still the member that it was.
    pub(super) fn look_at_the_disk(&mut self, cluster: &ClusterDocument) -> Result<(), FileError> {
        let data_dir = self.host.paths.data_dir();
        let data = RaftData::look(&data_dir)?;
        let is_alone = cluster.server_count == 1 && cluster.others.is_empty();
        if data.is_torn && !is_alone {
            tracing::warn!(
                "Raft's log is empty, and with it this server's vote is gone: it is set aside in raft.torn"
            );
            store::set_aside(&data_dir)?;
        }
        Wanted::prepare_disk(&self.host)?;
        if self.memory.member && !RaftData::look(&data_dir)?.exists() {
            // The data disk is new or not mounted. What this server once founded with must not
            // count any more: all servers in this state would found an empty cluster.
            tracing::warn!("Consul's data is gone; this server has to be let in again");
            self.memory.member = false;
            self.memory.formation = None;
        }
        Ok(())
    }

    async fn decide_formation(
        &mut self,
        cluster: &ClusterDocument,
    ) -> Result<Formation, RoundError> {
        let host = &self.host;
        if let (true, Some(formation)) = (self.memory.member, self.memory.formation) {
            return Ok(formation);
        }
        let evidence = membership::evidence(host, cluster).await?;
        let (slot, recorded) = (host.bootstrap.slot, self.memory.formation);
        let decided = formation::decide(
            slot,
            recorded,
            self.memory.member,
            cluster,
            &evidence,
            !self.waits_for_before.is_empty(),
        );
        if recorded != Some(decided) {
            tracing::info!(?decided, "how this server comes into the cluster");
            self.memory.formation = Some(decided);
            self.memory.save(&host.paths)?;
        }
        Ok(decided)
    }

    /// Hashing the program costs half a second, so a checked one is trusted while we run.
    async fn install(&mut self, artifact: &ConsulArtifact) -> Result<PathBuf, ArtifactError> {
        if let Some((installed, program)) = &self.installed
            && installed == artifact
        {
            return Ok(program.clone());
        }
        let now_unix_ms = self.host.clock.now_unix_ms();
        if let Some((refused, reason, until_unix_ms)) = &self.refused
            && refused == artifact
            && now_unix_ms < *until_unix_ms
        {
            return Err(ArtifactError::Refused { reason: reason.clone() });
        }
        let folder = self.host.paths.consul_dir(&artifact.version);
        let program = match artifact::install(
            &*self.host.stores.shared,
            &self.host.release_keys,
            artifact,
            &folder,
        )
        .await
        {
            Ok(program) => program,
            Err(error) => {
                if error.is_final() {
                    let wait_ms = self.host.timing.interval_ms(REFETCH_SECONDS);
                    let until_unix_ms = now_unix_ms.saturating_add(wait_ms);
                    self.refused = Some((artifact.clone(), chain(&error), until_unix_ms));
                }
                return Err(error);
            }
        };
        self.installed = Some((artifact.clone(), program.clone()));
        Ok(program)
    }

    /// Restarts a running member as what is wanted now. That is a job, begun while no apply works: the two would take
    /// servers away at the same time. An apply that brings another Consul waits for this very restart.
    async fn roll(&mut self, documents: &Documents, peers: &[ServerStatus], wanted: &Wanted) {
        match Box::pin(self.try_to_roll(documents, peers, wanted)).await {
            Ok(()) => {
                self.board.set_attention("configuration", None);
                self.board.solved("rollout");
            }
            Err(RolloutError::Waiting(reason)) => {
                if reason == rollout::CHANGED {
                    self.upgrades.read_again();
                }
                if self.waits_for.replace(reason) != Some(reason) {
                    tracing::info!(reason, "a new configuration waits");
                }
            }
            Err(error) => {
                let told = chain(&error);
                if matches!(error, RolloutError::NotRecovered(_)) {
                    self.stop_upgrade(documents, &told).await;
                }
                let is_refused = matches!(error, RolloutError::Invalid(_));
                self.board.set_attention("configuration", is_refused.then(|| told.clone()));
                self.board.problem("rollout", told);
            }
        }
    }

    async fn try_to_roll(
        &mut self,
        documents: &Documents,
        peers: &[ServerStatus],
        wanted: &Wanted,
    ) -> Result<(), RolloutError> {
        let (host, cluster) = (self.host.clone(), &documents.cluster);
        let own = self.board.consul();
        let (declared, upgrade) = (&documents.declared, documents.upgrade.as_ref());
        let ran = self.ran(documents, true);
        let wanted_version = &cluster.consul.version;
        let is_back = ran.as_ref().is_some_and(|ran| wanted_version < &ran.version);
        let is_upgrade = ran.is_none_or(|ran| ran.version != *wanted_version);
        if self.serves_nobody(documents).await {
            self.rounds_of_no_use += 1;
            let rounds = if is_back { ROUNDS_BEFORE_BACK } else { ROUNDS_OF_NO_USE };
            if (is_back || !is_upgrade) && self.rounds_of_no_use >= rounds {
                self.rounds_of_no_use = 0;
                return self.restart_what_serves_nobody(wanted).await;
            }
        } else {
            self.rounds_of_no_use = 0;
        }
        let waits = waits_for(declared, upgrade, self.now());
        if let Some(reason) = waits.filter(|_| is_upgrade) {
            return Err(RolloutError::Waiting(reason));
        }
        let Some(own) = own else {
            return Err(RolloutError::Waiting("Consul does not answer"));
        };
        // What is known already needs no job that ends at once.
        if let Some(reason) = rollout::reason_to_wait(cluster, &own, peers) {
            return Err(RolloutError::Waiting(reason));
        }
        let started_with = self.memory.started_with.as_deref();
        let is_of_token = started_with.is_some_and(|with| wanted.differs_by_token_alone(with));
        if is_of_token && own.is_leader && self.others_are_behind(documents, peers) {
            return Err(RolloutError::Waiting("the leader goes last"));
        }
        let reason = match (is_upgrade, is_of_token) {
            (true, _) => "another version",
            (false, true) => "another management token",
            (false, false) => "another configuration",
        };
        let by = documents.upgrade.as_ref().map(|upgrade| upgrade.by);
        let is_declared = by != Some(By::Channel);
        // What Consul refuses is no job.
        wanted.validate(&host).await?;
        let (store, clock) = (Arc::clone(&host.stores.shared), Arc::clone(&host.clock));
        let slot = host.bootstrap.slot;
        let begun = HeldJob::begin(store, clock, JobKind::Restart, slot, reason).await;
        let client = &documents.client;
        let (board, memory) = (&self.board, &mut self.memory);
        let upgrade_etag = documents.upgrade_etag.as_deref();
        let basis = Basis { generation: declared.generation, upgrade_etag };
        let attempt = rollout::attempt(&host, client, cluster, basis, peers, wanted, memory, board);
        match begun {
            Ok(Ok(job)) => job.hold(attempt).await?,
            // An apply that brings another Consul waits for this very restart.
            Ok(Err(NotNow::Run)) if is_upgrade && is_declared => attempt.await,
            Ok(Err(NotNow::Run)) => Err(RolloutError::Waiting("an apply works on the cluster")),
            Ok(Err(NotNow::Job)) => Err(RolloutError::Waiting("another server does a job")),
            Err(error) => Err(RolloutError::Unknown(error)),
        }
    }

    /// Whether the cluster is without this server as it is, asked now: with it restarted, nobody is missing more. What is
    /// not known is no reason.
    async fn serves_nobody(&self, documents: &Documents) -> bool {
        match documents.client.leader().await {
            Err(ConsulError::Unreachable { .. }) | Ok(None) => return true,
            Err(_) => return false,
            Ok(Some(_)) => {}
        }
        let node = &self.host.bootstrap.node_name;
        let Ok(health) = documents.client.autopilot_health().await else { return false };
        if rollout::goes_below_the_leader(&health, &documents.cluster.consul.version) {
            return false;
        }
        let own = health.servers.into_iter().find(|server| server.name == *node);
        own.is_some_and(|own| !own.healthy || !own.voter)
    }

    /// Out of turn: nobody misses it. An upgrade that is not well goes back so, and a configuration with which
    /// Consul does not serve is replaced.
    async fn restart_what_serves_nobody(&mut self, wanted: &Wanted) -> Result<(), RolloutError> {
        tracing::warn!(version = %wanted.version(), "Consul serves nobody here: it is restarted");
        match self.start(wanted, Verb::Restart).await {
            Ok(()) => Ok(()),
            Err(RoundError::Invalid(error)) => Err(error.into()),
            Err(RoundError::Start(error)) => Err(error.into()),
            Err(_) => Err(RolloutError::Waiting("the restart is tried again")),
        }
    }

    /// Whether others still work with a management token of before.
    fn others_are_behind(&self, documents: &Documents, peers: &[ServerStatus]) -> bool {
        let Documents { cluster, decisions, .. } = documents;
        let word = Rotated::ManagementToken;
        let target = turn(&cluster.rotations, decisions, word).target;
        let own = self.host.bootstrap.slot;
        behind(cluster, peers, word.as_str(), target).into_iter().any(|slot| slot != own)
    }
}
