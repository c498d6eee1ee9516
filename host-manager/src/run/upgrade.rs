//! Another Consul in a round: which one this server runs, and, while it leads, which one the cluster goes to.

use std::time::Duration;

use hcs_engine::blob::BlobError;
use hcs_engine::entropy::{SystemEntropy, uuid};
use hcs_planner::dataplane::{ClusterDocument, ConsulArtifact, ServerStatus, blob};
use hcs_planner::upgrade::{By, NO_INDEX, RELEASE_INDEX, Upgrade, UpgradePhase, in_force};
use jiff::Timestamp;
use semver::Version;
use tokio::task::JoinHandle;

use super::{Documents, Manager};
use crate::last_known::LastKnown;
use crate::releases::{self, Index};
use crate::report::chain;
use crate::snapshot::on_demand;
use crate::upgrade::{Next, Sight, Way, plain, stays, waits_for};

/// Between two looks at the index.
const ASK_SECONDS: u64 = 6 * 3600;
/// After one that failed, or anything else outside of the cluster.
const ASK_AGAIN_SECONDS: u64 = 600;
/// Problems with releases; those with the way itself have an area of their own.
const RELEASES: &str = "releases";
const UPGRADE: &str = "upgrade";

/// What takes minutes, beside the rounds.
enum Errand {
    Asked(Vec<Version>),
    Fetched(ConsulArtifact),
    Saved(Box<Upgrade>),
}

/// What the leading server remembers from round to round.
#[derive(Default)]
pub(super) struct Upgrades {
    offered: Vec<Version>,
    /// The index is asked again then, Unix milliseconds; errands that failed are tried again then, too.
    ask_at_unix_ms: u64,
    try_at_unix_ms: u64,
    errand: Option<JoinHandle<Result<Errand, String>>>,
    unwell_since_unix_ms: Option<u64>,
    /// What was read of the way is old.
    is_old: bool,
}

impl Upgrades {
    /// Whether the documents have to be read again for it.
    pub(super) fn is_due(&mut self) -> bool {
        std::mem::take(&mut self.is_old)
    }
}

impl Manager {
    /// The Consul that this server is to run now: what is in force, or what it ran before as long as it has to wait.
    pub(super) fn runs_now(
        &self,
        cluster: &ClusterDocument,
        upgrade: Option<&Upgrade>,
    ) -> ConsulArtifact {
        let wanted = in_force(cluster, upgrade);
        let now = self.now();
        if waits_for(cluster, upgrade, now).is_none() {
            return wanted.clone();
        }
        if !self.memory.member {
            // Whoever comes new begins with what the others run.
            let before = upgrade.filter(|upgrade| upgrade.goes_on() && upgrade.to == *wanted);
            return before.map_or(wanted, |upgrade| &upgrade.from).clone();
        }
        let known = LastKnown::load(&self.host.paths).ok().flatten();
        let ran = known.map(|known| known.cluster.consul);
        ran.filter(|ran| ran.version != wanted.version).unwrap_or_else(|| wanted.clone())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.now_unix_s()).unwrap_or_default()
    }

    /// A server that leads writes what its version knows.
    pub(super) fn remember_what_led(&mut self) {
        let Some(own) = self.board.consul().filter(|consul| consul.is_leader) else { return };
        let Ok(version) = own.version.parse::<Version>() else { return };
        let version = plain(&version);
        if self.memory.led_with.as_ref().is_none_or(|known| *known < version) {
            self.memory.led_with = Some(version);
            if let Err(error) = self.memory.save(&self.host.paths) {
                tracing::warn!(error = chain(&error), "that this server led is not remembered");
            }
        }
        self.board.set_led_with(self.memory.led_with.clone());
    }

    /// The leading server's part.
    pub(super) async fn go_on_with_upgrades(
        &mut self,
        documents: &mut Documents,
        peers: &[ServerStatus],
    ) {
        let now_unix_ms = self.host.clock.now_unix_ms();
        self.end_of_errand(documents, now_unix_ms).await;
        let Some(own) = self.board.consul() else { return };
        let since = &mut self.upgrades.unwell_since_unix_ms;
        *since = if own.healthy { None } else { Some(since.unwrap_or(now_unix_ms)) };
        let unwell_ms = since.map_or(0, |since| now_unix_ms.saturating_sub(since));
        self.tell_of_the_way(documents);
        if self.upgrades.errand.is_some() || now_unix_ms < self.upgrades.try_at_unix_ms {
            return;
        }
        let Ok(new_id) = uuid(&SystemEntropy) else { return };
        let statuses = self.with_own(peers);
        let sight = Sight {
            cluster: &documents.declared,
            upgrade: documents.upgrade.as_ref(),
            statuses: &statuses,
            own: &own,
            unwell_for: Duration::from_millis(unwell_ms),
            recovery_max: self.host.timing.recovery_max,
            offered: &self.upgrades.offered,
            now: self.now(),
        };
        match sight.next(&new_id) {
            Next::Nothing => self.ask_the_index(documents, now_unix_ms),
            Next::Fetch(version) => self.fetch(documents, version),
            Next::Begin(upgrade) => self.save_before(documents, *upgrade),
            Next::Note(upgrade) => self.note(documents, *upgrade).await,
        }
    }

    /// What a leading server noted is no word of one that does not lead any more.
    pub(super) fn leave_upgrades_to_others(&mut self) {
        self.board.solved(RELEASES);
        self.board.solved(UPGRADE);
        self.board.set_attention(UPGRADE, None);
        self.upgrades.unwell_since_unix_ms = None;
    }

    /// One that has stopped is told until it goes on.
    fn tell_of_the_way(&self, documents: &Documents) {
        let stopped = documents.upgrade.as_ref().filter(|one| one.phase == UpgradePhase::Stopped);
        let told = stopped.map(|stopped| {
            format!(
                "{}. It goes on by itself when all servers are healthy; `hcs upgrade take-back` goes back to {}",
                stopped.told(),
                stopped.from.version
            )
        });
        match &told {
            Some(told) => self.board.hopeless(UPGRADE, told.clone()),
            None => self.board.solved(UPGRADE),
        }
        self.board.set_attention(UPGRADE, told);
    }

    async fn end_of_errand(&mut self, documents: &mut Documents, now_unix_ms: u64) {
        let is_over = self.upgrades.errand.as_ref().is_some_and(JoinHandle::is_finished);
        let Some(errand) = self.upgrades.errand.take_if(|_| is_over) else { return };
        let timing = &self.host.timing;
        match errand.await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(Errand::Asked(offered)) => {
                self.upgrades.offered = offered;
                self.upgrades.ask_at_unix_ms = now_unix_ms + timing.interval_ms(ASK_SECONDS);
                self.board.solved(RELEASES);
            }
            Ok(Errand::Fetched(to)) => {
                self.board.solved(RELEASES);
                let from = in_force(&documents.declared, documents.upgrade.as_ref()).clone();
                let generation = documents.declared.generation;
                let Ok(id) = uuid(&SystemEntropy) else { return };
                let way = Way { from, to, by: By::Channel };
                let chosen = way.note(id, UpgradePhase::Chosen, generation, self.now());
                self.note(documents, chosen).await;
            }
            Ok(Errand::Saved(upgrade)) => {
                self.board.solved(RELEASES);
                self.note(documents, *upgrade).await;
            }
            Err(error) => {
                let wait_ms = timing.interval_ms(ASK_AGAIN_SECONDS);
                self.upgrades.try_at_unix_ms = now_unix_ms + wait_ms;
                self.upgrades.ask_at_unix_ms = now_unix_ms + wait_ms;
                self.board.problem(RELEASES, error);
            }
        }
    }

    /// Writes the note, unless another server has written one since it was read.
    async fn note(&mut self, documents: &mut Documents, upgrade: Upgrade) {
        let etag = documents.upgrade_etag.clone();
        match self.host.stores.note_upgrade(&upgrade, etag).await {
            Ok(etag) => {
                tracing::info!(phase = ?upgrade.phase, "{}", upgrade.told());
                self.board.set_upgrade(documents.declared.generation, Some(upgrade.clone()));
                documents.upgrade = Some(upgrade);
                documents.upgrade_etag = Some(etag);
            }
            // Read anew in the next round.
            Err(BlobError::ConditionFailed { .. }) => self.upgrades.is_old = true,
            Err(error) => self.board.problem(RELEASES, chain(&error)),
        }
    }

    fn index(documents: &Documents) -> Option<&str> {
        let index = documents.declared.maintenance.release_index.as_deref();
        Some(index.unwrap_or(RELEASE_INDEX)).filter(|index| *index != NO_INDEX)
    }

    fn ask_the_index(&mut self, documents: &Documents, now_unix_ms: u64) {
        let is_on = documents.declared.maintenance.channel.is_on();
        let Some(index) = Self::index(documents).filter(|_| is_on) else { return };
        if now_unix_ms < self.upgrades.ask_at_unix_ms {
            return;
        }
        let index = index.to_owned();
        self.upgrades.errand = Some(tokio::spawn(async move {
            let offered = async { Index::new(&index)?.versions().await }.await;
            offered.map(Errand::Asked).map_err(|error| chain(&error))
        }));
    }

    fn fetch(&mut self, documents: &Documents, version: Version) {
        let Some(index) = Self::index(documents).map(str::to_owned) else { return };
        let (host, now) = (self.host.clone(), std::time::SystemTime::now());
        tracing::info!(%version, index, "fetching a release of Consul");
        self.upgrades.errand = Some(tokio::spawn(async move {
            let store = host.stores.shared.as_ref();
            let index = Index::new(&index).map_err(|error| chain(&error))?;
            let fetched = releases::fetch(&index, &host.release_keys, store, &version, now).await;
            fetched.map(Errand::Fetched).map_err(|error| chain(&error))
        }));
    }

    /// No server goes before there is something to go back to.
    fn save_before(&mut self, documents: &Documents, upgrade: Upgrade) {
        let version = upgrade.to.version.to_string().replace(['.', '+'], "-");
        let name = format!("{}before-{version}-{}.snap", blob::ON_DEMAND, upgrade.id);
        let (host, client) = (self.host.clone(), documents.client.clone());
        self.upgrades.errand = Some(tokio::spawn(async move {
            let taken = on_demand::take(&host, &client, &name).await;
            taken.map_err(|error| format!("no snapshot before the upgrade: {}", chain(&error)))?;
            Ok(Errand::Saved(Box::new(Upgrade { snapshot: Some(name), ..upgrade })))
        }));
    }

    /// This server was restarted for it and is not well: nobody follows.
    pub(super) async fn stop_upgrade(&mut self, documents: &Documents, reason: &str) {
        let (upgrade, etag) = match self.host.stores.upgrade().await {
            Ok((Some(upgrade), etag)) if upgrade.phase == UpgradePhase::Running => (upgrade, etag),
            Ok(_) => return,
            Err(error) => return self.board.problem(UPGRADE, chain(&error)),
        };
        if upgrade.to.version != documents.cluster.consul.version {
            return;
        }
        let node = &self.host.bootstrap.node_name;
        let stopped = Upgrade {
            phase: UpgradePhase::Stopped,
            since: self.now().to_string(),
            reason: Some(format!("{node}: {reason}")),
            generation: documents.declared.generation,
            ..upgrade
        };
        tracing::warn!("{}", stopped.told());
        if let Err(error) = self.host.stores.note_upgrade(&stopped, etag).await {
            self.board.problem(UPGRADE, chain(&error));
        }
        self.upgrades.is_old = true;
    }

    /// On request; why not, where it cannot be.
    pub(super) async fn take_back(
        &mut self,
        documents: &mut Documents,
        peers: &[ServerStatus],
        asked_by: Option<&str>,
    ) -> Result<Upgrade, String> {
        let (upgrade, etag) = self.host.stores.upgrade().await.map_err(|error| chain(&error))?;
        let Some(upgrade) = upgrade else { return Err("no upgrade was begun".to_owned()) };
        let statuses = self.with_own(peers);
        if let Some(reason) = stays(&documents.declared, &upgrade, &statuses) {
            return Err(reason);
        }
        let back = Upgrade {
            phase: UpgradePhase::TakenBack,
            since: self.now().to_string(),
            reason: Some(format!("asked for by {}", asked_by.unwrap_or("somebody"))),
            generation: documents.declared.generation,
            not_before: None,
            ..upgrade
        };
        let noted = self.host.stores.note_upgrade(&back, etag).await;
        let etag = noted.map_err(|error| chain(&error))?;
        tracing::info!("{}", back.told());
        (documents.upgrade, documents.upgrade_etag) = (Some(back.clone()), Some(etag));
        self.upgrades.is_old = true;
        Ok(back)
    }
}
