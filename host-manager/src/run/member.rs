//! A round's second half: life with the other servers, until a request ends it.

use std::time::Duration;

use hcs_planner::dataplane::ServerStatus;
use hcs_planner::rotation::{Rotated, turn};

use super::{Documents, Manager, RoundError};
use crate::consul::acl::{self, AgentIdentity};
use crate::consul::client::ConsulError;
use crate::consul::health::raft_address;
use crate::files;
use crate::formation::Formation;
use crate::membership;
use crate::report::chain;
use crate::requests::{self, LeaveError, Leaving};
use crate::room::Room;
use crate::secrets::Secret;
use crate::service::Verb;

/// A minute without a leader is more than an election.
pub(super) const ROUNDS_ALONE: u32 = 12;
/// A token that was just made is known to a leader at once: so many rounds in a row are no moment in between.
const LOCKED_OUT_ROUNDS: u32 = 6;
/// A spool that nobody has written to for so long belongs to no snapshot any more.
const SPOOL_IDLE_MAX: Duration = Duration::from_hours(1);

impl Manager {
    /// Carries out a request to leave; `true` while there is one, and then for ever.
    pub(super) async fn leave(&mut self, documents: &Documents, peers: &[ServerStatus]) -> bool {
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
    pub(super) async fn be_a_member(
        &mut self,
        documents: &mut Documents,
        peers: &[ServerStatus],
    ) -> Result<(), RoundError> {
        let client = &documents.client;
        let leader = match client.leader().await {
            Ok(leader) => leader,
            // Consul has just been started; the status says so.
            Err(ConsulError::Unreachable { .. }) => {
                self.rounds_alone += 1;
                self.serve_without_a_leader(documents, peers).await;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        membership::join(&self.host.stores, client, &mut self.introductions, peers).await?;
        let Some(leader) = leader else {
            self.wait_for_a_cluster();
            self.rounds_alone += 1;
            if self.rounds_alone.is_multiple_of(ROUNDS_ALONE) {
                self.leave_an_outdated_keyring(documents).await?;
            }
            self.serve_without_a_leader(documents, peers).await;
            return Ok(());
        };
        self.rounds_alone = 0;
        let own = raft_address(self.host.instance.address);
        if leader == own && self.is_locked_out(documents).await {
            return self.let_another_lead(documents, peers).await;
        }
        let raft = client.raft_configuration(false).await?;
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
        self.serve_requests(documents, peers, leader == own).await;
        if leader == own && (is_time || self.client_token.is_none()) {
            self.ensure_client_token(documents).await;
        }
        if is_time && leader == own {
            self.go_on_with_rotations(documents, peers).await;
        } else if leader != own {
            self.leave_rotations_to_others();
        }
        if leader == own {
            self.go_on_with_upgrades(documents, peers).await;
        } else {
            self.leave_upgrades_to_others();
        }
        let client = &documents.client;
        if leader == own {
            let count = documents.cluster.server_count;
            match membership::ensure_autopilot(client, count).await {
                Ok(()) => self.board.solved("autopilot"),
                Err(error) => self.board.problem("autopilot", chain(&error)),
            }
        }
        Ok(())
    }

    /// Whether Consul has not known the cluster's management token for a while: somebody deleted it, or restored a table of
    /// tokens without it.
    async fn is_locked_out(&mut self, documents: &Documents) -> bool {
        let Some(token) = &documents.secrets.management_token else { return false };
        let known = acl::verify(&documents.client, token).await;
        let is_unknown = known.err().is_some_and(|error| error.is_absent());
        self.rounds_locked_out = if is_unknown { self.rounds_locked_out + 1 } else { 0 };
        self.rounds_locked_out >= LOCKED_OUT_ROUNDS
    }

    /// Whoever begins to lead makes the token that it was started with, where that is absent: so this server stops leading.
    /// Only while the others can go on without it.
    async fn let_another_lead(
        &mut self,
        documents: &Documents,
        peers: &[ServerStatus],
    ) -> Result<(), RoundError> {
        let cluster = &documents.cluster;
        // Nobody's status knows more: what it tells of Consul is read with that token.
        let alive = documents.client.members().await?;
        let is_alive = |peer: &&ServerStatus| {
            let address = peer.address.to_string();
            alive.iter().any(|member| member.addr == address && member.is_alive())
        };
        let others = peers.iter().filter(|peer| cluster.slots.contains(&peer.slot));
        let answering = others.filter(is_alive).count();
        if self.let_ourselves_in(documents).await? {
            self.rounds_locked_out = 0;
            return Ok(());
        }
        let needed =
            usize::try_from(membership::quorum(cluster.server_count)).unwrap_or(usize::MAX);
        if cluster.server_count > 1 && answering < needed {
            let sentence = "Consul does not know the management token any more; it comes back when another \
                            server leads, for which enough of them have to answer";
            self.board.problem("acl", sentence.to_owned());
            return Ok(());
        }
        tracing::warn!(
            "Consul does not know the management token any more: it is restarted, so that a server begins to lead that \
             makes it again"
        );
        self.rounds_locked_out = 0;
        Ok(self.host.service.tell(Verb::Restart).await?)
    }

    /// With a management token of before, where Consul knows one: a restored snapshot may be older than the last rotation.
    async fn let_ourselves_in(&self, documents: &Documents) -> Result<bool, RoundError> {
        let Documents { cluster, decisions, secrets, client, .. } = documents;
        let Some(token) = &secrets.management_token else { return Ok(false) };
        let management = turn(&cluster.rotations, decisions, Rotated::ManagementToken);
        for version in &management.older {
            let old = self.host.stores.management_token(version).await?;
            if acl::verify(client, &old).await.is_ok() {
                let (client, id) = (client.with_token(old), &self.host.bootstrap.cluster_id);
                acl::ensure_management_token(&client, id, management.in_use, token).await?;
                tracing::warn!("the management token was gone: made again with the one before");
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Consul spools snapshots to its temporary folder, as large as its data, and forgets those of a request that broke
    /// off: on the data disk they must not pile up.
    pub(super) fn sweep_temporary(&self) {
        match files::sweep(&self.host.paths.temporary_dir(), SPOOL_IDLE_MAX) {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "removed what Consul left in its temporary folder"),
            Err(error) => {
                tracing::warn!(error = chain(&error), "the temporary folder is not swept");
            }
        }
    }

    pub(super) fn look_at_the_room(&self) {
        // A folder that stands for a machine shares its disk with everything else.
        if !self.host.paths.is_whole_machine() {
            return;
        }
        match Room::of(&self.host.paths.data_disk()).map(Room::want) {
            Ok(sentence) => self.board.set_attention("data disk", sentence),
            Err(error) => tracing::warn!(%error, "the room on the data disk is not known"),
        }
    }

    /// A cluster that has existed is never founded again by itself: that would hide a total loss.
    fn wait_for_a_cluster(&self) {
        if self.memory.member || self.memory.formation != Some(Formation::Join) {
            return;
        }
        if let Some(sentence) = self.waits_for_servers_of_before() {
            return self.board.problem("formation", sentence);
        }
        let sentence = "waits to join: the cluster was founded before, but no server of it leads; \
            if all were lost for good, delete the blob formed.json in every status container \
            and restore a snapshot";
        self.board.problem("formation", sentence.to_owned());
    }

    /// The leader alone, so that one server does it.
    async fn ensure_client_token(&mut self, documents: &Documents) {
        let ensured: Result<Secret, RoundError> = async {
            let Documents { cluster, decisions, .. } = documents;
            let version = turn(&cluster.rotations, decisions, Rotated::ClientToken).in_use;
            let token = self.host.stores.client_token(version).await?;
            let cluster_id = &self.host.bootstrap.cluster_id;
            acl::ensure_client_token(&documents.client, cluster_id, version, &token).await?;
            Ok(token)
        }
        .await;
        match ensured {
            Ok(token) => {
                self.client_token = Some(token);
                self.board.solved("client token");
            }
            Err(error) => {
                self.client_token = None;
                self.board.problem("client token", chain(&error));
            }
        }
    }

    async fn ensure_acl(&mut self, documents: &Documents) {
        let identity = AgentIdentity {
            cluster_id: &self.host.bootstrap.cluster_id,
            slot: self.host.bootstrap.slot,
            node_name: &self.host.bootstrap.node_name,
            version: turn(&documents.cluster.rotations, &documents.decisions, Rotated::AgentTokens)
                .target,
        };
        let rotation = documents.cluster.rotations.get(Rotated::AgentTokens.as_str());
        let before = rotation.map(|rotation| rotation.before.as_slice()).unwrap_or_default();
        let token = &documents.secrets.agent_token;
        let is_settled = self.agent_version.as_ref() == Some(identity.version);
        let is_ready = is_settled && self.board.acl_ready();
        if is_ready && acl::verify(&documents.client, token).await.is_ok() {
            return;
        }
        let ensured = acl::ensure_agent_token(&documents.client, &identity, token, before).await;
        self.board.set_acl_ready(ensured.is_ok());
        self.agent_version = ensured.is_ok().then(|| identity.version.clone());
        match ensured {
            Ok(()) => self.board.solved("acl"),
            Err(error) => self.board.problem("acl", chain(&error)),
        }
    }
}
