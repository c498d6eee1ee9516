//! Rotations of secrets in a round: the leading server goes on with each where all are ready for it; every server says
//! what it works with.

use std::path::PathBuf;

use hcs_engine::blob::BlobError;
use hcs_planner::dataplane::{ClusterDocument, ServerStatus};
use hcs_planner::rotation::{Phase, Rotated, SecretVersion, Turn, turn};

use super::{Documents, Manager, RoundError};
use crate::consul::acl;
use crate::files;
use crate::leaf;
use crate::report::chain;
use crate::rotation::gossip::{self, Keyring};
use crate::rotation::{SERVER_CERTIFICATE, behind, has_lasted};
use crate::service::Verb;

/// So long before its end the CA is spoken of: half a year.
const AUTHORITY_WARNING_S: i64 = 182 * 24 * 3600;

/// What a rotation needs at the moment.
enum Step {
    /// All are ready: this phase is reached.
    Reached(Phase),
    /// Somebody or something is not there yet.
    Waits(String),
}

impl Manager {
    /// Says which versions this server works with. `is_current` is whether its Consul was started with what is wanted now.
    pub(super) fn report_rotations(&self, documents: &Documents, is_current: bool) {
        let Documents { cluster, decisions, .. } = documents;
        let mut reached = Vec::new();
        if let Some(version) = &self.agent_version {
            reached.push((Rotated::AgentTokens.as_str(), version));
        }
        let management = turn(&cluster.rotations, decisions, Rotated::ManagementToken);
        if is_current {
            reached.push((Rotated::ManagementToken.as_str(), management.in_use));
        }
        let authority = turn(&cluster.rotations, decisions, Rotated::CertificateAuthority);
        // What lies on the disk was read by Consul: a reload is due otherwise, or its ports serve something else.
        if !self.reload_due && self.served.as_ref() == Some(&documents.leaf.facts.der) {
            reached.push((Rotated::CertificateAuthority.as_str(), authority.target));
            if documents.is_signed_by_the_first() {
                reached.push((SERVER_CERTIFICATE, authority.in_use));
            }
        }
        let reached = reached.into_iter().filter(|(_, version)| !version.is_first());
        self.board.set_rotations(
            reached.map(|(word, version)| (word.to_owned(), version.clone())).collect(),
        );
    }

    /// Keyrings on the disk with which this server finds nobody any more.
    async fn outdated_keyrings(&self, documents: &Documents) -> Result<Vec<PathBuf>, RoundError> {
        let Documents { cluster, secrets, .. } = documents;
        let rotation = cluster.rotations.get(Rotated::GossipKey.as_str());
        let mut before = Vec::new();
        for version in rotation.iter().flat_map(|rotation| &rotation.before) {
            before.push(self.host.stores.gossip_key_of(version).await?);
        }
        Ok(gossip::outdated(&self.host.paths.data_dir(), &secrets.gossip_key, &before)?)
    }

    /// While Consul is stopped: a keyring that nobody shares goes, and one that is not there begins with all keys that others
    /// may use. Nothing where nothing was ever rotated: Consul begins one by itself.
    pub(super) async fn mend_keyrings(&self, documents: &Documents) -> Result<(), RoundError> {
        let Documents { cluster, decisions, secrets, .. } = documents;
        let gossip = turn(&cluster.rotations, decisions, Rotated::GossipKey);
        if gossip.phase.is_none() {
            return Ok(());
        }
        for path in self.outdated_keyrings(documents).await? {
            tracing::warn!(
                "this server was away while the gossip key was rotated: it begins a new keyring"
            );
            files::remove(&path)?;
        }
        let mut known = Vec::new();
        for version in gossip.known() {
            known.push(self.host.stores.gossip_key_of(version).await?);
        }
        Ok(gossip::begin(&self.host.paths.data_dir(), &secrets.gossip_key, &known)?)
    }

    /// A running Consul that knows no leader and no key that others use is stopped: the next round mends its keyring.
    pub(super) async fn leave_an_outdated_keyring(
        &self,
        documents: &Documents,
    ) -> Result<(), RoundError> {
        let Documents { cluster, decisions, .. } = documents;
        if turn(&cluster.rotations, decisions, Rotated::GossipKey).phase.is_none()
            || self.outdated_keyrings(documents).await?.is_empty()
        {
            return Ok(());
        }
        tracing::warn!("Consul knows no gossip key that the others use: it is stopped for that");
        Ok(self.host.service.tell(Verb::Stop).await?)
    }

    /// The leading server's part. Each rotation goes one phase further at most.
    pub(super) async fn go_on_with_rotations(
        &self,
        documents: &mut Documents,
        peers: &[ServerStatus],
    ) {
        self.board.set_attention("authority", self.authority_ends_soon(documents));
        let statuses = self.with_own(peers);
        for what in Rotated::ALL {
            match self.go_on_with(documents, &statuses, what).await {
                Ok(waits) => {
                    self.board.solved(what.as_str());
                    if let Some(why) = waits {
                        tracing::debug!(what = what.as_str(), why, "a rotation waits");
                    }
                }
                Err(error) => self.board.problem(what.as_str(), chain(&error)),
            }
        }
    }

    /// A CA takes two weeks to be changed, and people more to hand it out.
    fn authority_ends_soon(&self, documents: &Documents) -> Option<String> {
        let all = leaf::authorities(&documents.secrets.ca_pem).ok()?;
        let ends_unix_s = leaf::ends_unix_s(all.first()?)?;
        let left_s = ends_unix_s.saturating_sub(self.now_unix_s());
        (left_s < AUTHORITY_WARNING_S).then(|| {
            format!(
                "the cluster's CA ends in {} days: set another word in rotation_triggers.certificate_authority and apply",
                left_s / (24 * 3600)
            )
        })
    }

    /// What a leading server noted is no word of one that does not lead any more.
    pub(super) fn leave_rotations_to_others(&self) {
        for what in Rotated::ALL {
            self.board.solved(what.as_str());
        }
        self.board.set_attention("authority", None);
    }

    /// Brings one rotation further; what it waits for, if it does.
    async fn go_on_with(
        &self,
        documents: &mut Documents,
        statuses: &[ServerStatus],
        what: Rotated,
    ) -> Result<Option<String>, RoundError> {
        let cluster = documents.cluster.clone();
        let decisions = documents.decisions.clone();
        let turn = turn(&cluster.rotations, &decisions, what);
        // A keyring is asked of every member of the cluster.
        let is_sweep = self.round.is_multiple_of(self.host.timing.rounds_per_sweep);
        if what == Rotated::GossipKey && is_sweep {
            self.adopt_what_somebody_rotated(documents, &turn).await?;
        }
        if turn.is_done() {
            // A restored snapshot brings back what was taken away.
            if turn.phase == Some(Phase::Done) && is_sweep {
                self.forget_older(documents, what, &turn).await?;
            }
            return Ok(None);
        }
        let step = match what {
            Rotated::GossipKey => match self.lasts(what, &turn) {
                Some(waits) if !is_sweep => waits,
                _ => self.rotate_gossip_key(documents, &turn).await?,
            },
            Rotated::AgentTokens => match waits_for(&cluster, statuses, what.as_str(), turn.target)
            {
                None => Step::Reached(Phase::Done),
                Some(waits) => Step::Waits(waits),
            },
            Rotated::ManagementToken => {
                self.rotate_management_token(documents, statuses, &turn).await?
            }
            Rotated::ClientToken => self.rotate_client_token(documents, &turn).await?,
            Rotated::CertificateAuthority => self.rotate_authority(&cluster, statuses, &turn),
        };
        let phase = match step {
            Step::Reached(phase) => phase,
            Step::Waits(why) => return Ok(Some(why)),
        };
        let mut next = decisions.clone();
        let progress = turn.next(phase, self.host.clock.now_unix_ms());
        next.progress.insert(what.as_str().to_owned(), progress);
        match self.host.stores.decide(&next, documents.decisions_etag.clone()).await {
            Ok(etag) => {
                tracing::info!(what = what.as_str(), ?phase, "a rotation has come further");
                (documents.decisions, documents.decisions_etag) = (next, Some(etag));
                Ok(None)
            }
            // Another server led meanwhile; what it wrote is read at the next refresh.
            Err(BlobError::ConditionFailed { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn lasts(&self, what: Rotated, turn: &Turn<'_>) -> Option<Step> {
        let now_unix_ms = self.host.clock.now_unix_ms();
        if has_lasted(what, turn, now_unix_ms, self.host.timing.scale) {
            return None;
        }
        let why = match turn.phase {
            Some(Phase::Known) => "all know the new one, and who is away has time to take it",
            _ => "the new one is in use, and the old one is known for a while",
        };
        Some(Step::Waits(why.to_owned()))
    }

    async fn rotate_gossip_key(
        &self,
        documents: &Documents,
        turn: &Turn<'_>,
    ) -> Result<Step, RoundError> {
        let client = &documents.client;
        let key = self.host.stores.gossip_key_of(turn.target).await?;
        let keyring = Keyring::look(client).await?;
        if !keyring.all_know(&key) {
            gossip::install(client, &key).await?;
            return Ok(Step::Waits("not every member knows the new key yet".to_owned()));
        }
        match turn.phase {
            None | Some(Phase::Spreading) => Ok(Step::Reached(Phase::Known)),
            Some(Phase::Known) => {
                if let Some(waits) = self.lasts(Rotated::GossipKey, turn) {
                    return Ok(waits);
                }
                if keyring.all_use(&key) != Some(true) {
                    gossip::use_key(client, &key).await?;
                }
                if Keyring::look(client).await?.all_use(&key) == Some(false) {
                    return Ok(Step::Waits("not every member uses the new key yet".to_owned()));
                }
                Ok(Step::Reached(Phase::InUse))
            }
            Some(_) => {
                // Who was away when it came into use knows it and goes on with the old one.
                if keyring.all_use(&key) == Some(false) {
                    gossip::use_key(client, &key).await?;
                }
                if let Some(waits) = self.lasts(Rotated::GossipKey, turn) {
                    return Ok(waits);
                }
                for other in keyring.others(&key) {
                    gossip::remove(client, &other).await?;
                }
                Ok(Step::Reached(Phase::Done))
            }
        }
    }

    /// A key that somebody rotated to by hand is the one that new servers and clients need.
    async fn adopt_what_somebody_rotated(
        &self,
        documents: &Documents,
        turn: &Turn<'_>,
    ) -> Result<(), RoundError> {
        let stores = &self.host.stores;
        // Old Consuls do not say which key is in use.
        let Some(in_use) = Keyring::look(&documents.client).await?.in_use() else { return Ok(()) };
        let mut is_ours = false;
        for version in turn.known() {
            is_ours |= stores.gossip_key_of(version).await? == in_use;
        }
        let adopted = stores.adopted_gossip_key().await?;
        let wanted = (!is_ours).then_some(&in_use);
        if adopted.as_ref() != wanted {
            stores.adopt_gossip_key(wanted).await?;
            if is_ours {
                tracing::info!("the gossip key in use is one of ours again");
            } else {
                tracing::warn!("somebody rotated the gossip key: new servers and clients get it");
            }
        }
        Ok(())
    }

    async fn rotate_management_token(
        &self,
        documents: &Documents,
        statuses: &[ServerStatus],
        turn: &Turn<'_>,
    ) -> Result<Step, RoundError> {
        let (stores, cluster) = (&self.host.stores, &documents.cluster);
        let cluster_id = &self.host.bootstrap.cluster_id;
        let client = &documents.client;
        if turn.phase == Some(Phase::Spreading) {
            let token = stores.management_token(turn.target).await?;
            acl::ensure_management_token(client, cluster_id, turn.target, &token).await?;
            return Ok(Step::Reached(Phase::InUse));
        }
        // Whoever was started with the old one makes it again when it leads.
        let word = Rotated::ManagementToken.as_str();
        if let Some(waits) = waits_for(cluster, statuses, word, turn.target) {
            return Ok(Step::Waits(waits));
        }
        self.forget_older(documents, Rotated::ManagementToken, turn).await?;
        Ok(Step::Reached(Phase::Done))
    }

    async fn rotate_client_token(
        &self,
        documents: &Documents,
        turn: &Turn<'_>,
    ) -> Result<Step, RoundError> {
        let cluster_id = &self.host.bootstrap.cluster_id;
        let client = &documents.client;
        if turn.phase == Some(Phase::Spreading) {
            let token = self.host.stores.client_token(turn.target).await?;
            acl::ensure_client_token(client, cluster_id, turn.target, &token).await?;
            return Ok(Step::Reached(Phase::InUse));
        }
        if let Some(waits) = self.lasts(Rotated::ClientToken, turn) {
            return Ok(waits);
        }
        self.forget_older(documents, Rotated::ClientToken, turn).await?;
        Ok(Step::Reached(Phase::Done))
    }

    /// Takes tokens of before away, if they are there.
    async fn forget_older(
        &self,
        documents: &Documents,
        what: Rotated,
        turn: &Turn<'_>,
    ) -> Result<(), RoundError> {
        let client = &documents.client;
        for version in &turn.older {
            match what {
                Rotated::ManagementToken => {
                    let old = self.host.stores.management_token(version).await?;
                    acl::delete_by_secret(client, &old).await?;
                }
                Rotated::ClientToken => {
                    let cluster_id = &self.host.bootstrap.cluster_id;
                    acl::delete_client_token(client, cluster_id, version).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn rotate_authority(
        &self,
        cluster: &ClusterDocument,
        statuses: &[ServerStatus],
        turn: &Turn<'_>,
    ) -> Step {
        let what = Rotated::CertificateAuthority;
        let not_before =
            |reported: &str, phase| match waits_for(cluster, statuses, reported, turn.target) {
                Some(waits) => Step::Waits(waits),
                None => Step::Reached(phase),
            };
        match turn.phase {
            None | Some(Phase::Spreading) => not_before(what.as_str(), Phase::Known),
            Some(Phase::Known) => self.lasts(what, turn).unwrap_or(Step::Reached(Phase::InUse)),
            Some(_) => match self.lasts(what, turn) {
                Some(waits) => waits,
                None => not_before(SERVER_CERTIFICATE, Phase::Done),
            },
        }
    }
}

fn waits_for(
    cluster: &ClusterDocument,
    statuses: &[ServerStatus],
    reported: &str,
    version: &SecretVersion,
) -> Option<String> {
    let behind = behind(cluster, statuses, reported, version);
    let slots: Vec<String> = behind.iter().map(ToString::to_string).collect();
    (!slots.is_empty()).then(|| format!("not there yet: server {}", slots.join(", ")))
}
