//! Another Consul in a round: which one this server runs, and, while it leads, which one the cluster goes to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hcs_engine::blob::BlobError;
use hcs_engine::entropy::{SystemEntropy, uuid};
use hcs_engine::jobs::is_run_open;
use hcs_planner::dataplane::{ConsulArtifact, ServerStatus, blob};
use hcs_planner::observed::{STATUS_FRESH_SECONDS, is_same_consul};
use hcs_planner::requests::Request;
use hcs_planner::snapshots::metadata;
use hcs_planner::snapshots::policy::SnapshotPolicyDocument;
use hcs_planner::upgrade::{By, NO_INDEX, RELEASE_INDEX, Upgrade, UpgradePhase, in_force};
use jiff::Timestamp;
use semver::Version;
use tokio::task::JoinHandle;

use super::{Documents, Manager};
use crate::consul::client::ConsulClient;
use crate::host::Host;
use crate::last_known::LastKnown;
use crate::releases::{self, Index};
use crate::report::chain;
use crate::snapshot::folder::Folder;
use crate::snapshot::save::SaveError;
use crate::snapshot::{attempt, on_demand};
use crate::upgrade::back::stays;
use crate::upgrade::turn::{Turn, known, may_not_begin};
use crate::upgrade::{Next, Sight, Way};

/// Between two looks at the index.
const ASK_SECONDS: u64 = 6 * 3600;
/// After a look, or a snapshot, that failed.
const TRY_AGAIN_SECONDS: u64 = 600;
/// A release that could not be had or proven is left out for so long.
const LEFT_OUT_SECONDS: u64 = 3600;
/// Problems with releases; those with the way itself have an area of their own.
const RELEASES: &str = "releases";
const UPGRADE: &str = "upgrade";
const SNAPSHOT: &str = "snapshot before an upgrade";
/// Attention to what is declared and has not begun.
const BEGINS: &str = "declared upgrade";

/// What an errand brought.
enum Brought {
    Offered(Vec<Version>),
    Release(ConsulArtifact),
    Saved(Box<Upgrade>),
}

/// What an errand is for.
#[derive(PartialEq)]
enum Purpose {
    Look,
    Fetch(Version),
    Save,
}

/// What takes minutes, beside the rounds.
struct Errand {
    purpose: Purpose,
    /// Of the note that it began with: what came of it is of no use beside another one.
    etag: Option<String>,
    task: JoinHandle<Result<Brought, String>>,
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the leading server remembers from round to round.
#[derive(Default)]
pub(super) struct Upgrades {
    offered: Vec<Version>,
    /// The index is asked again then, Unix milliseconds.
    ask_at_unix_ms: u64,
    /// A snapshot that failed is tried again then.
    save_at_unix_ms: u64,
    /// Releases that could not be had or proven: until then, and why.
    left_out: BTreeMap<Version, (u64, String)>,
    errand: Option<Errand>,
    unwell_since_unix_ms: Option<u64>,
    well_since_unix_ms: Option<u64>,
    /// What was read of the way is old.
    is_old: bool,
}

impl Upgrades {
    /// The documents have changed.
    pub(super) fn read_again(&mut self) {
        self.is_old = true;
    }

    /// Whether the documents have to be read again for it.
    pub(super) fn is_due(&mut self) -> bool {
        std::mem::take(&mut self.is_old)
    }
}

impl Manager {
    /// The Consul that this server is to run now: what is in force, or what it runs as long as it has to wait.
    pub(super) async fn runs_now(
        &mut self,
        documents: &Documents,
        peers: &[ServerStatus],
        is_active: bool,
    ) -> ConsulArtifact {
        let (cluster, upgrade) = (&documents.declared, documents.upgrade.as_ref());
        let ran = self.ran(documents, is_active);
        let turn = Turn {
            cluster,
            upgrade,
            peers,
            is_member: self.memory.member,
            is_active,
            ran: ran.as_ref(),
            led_with: self.memory.led_with.as_ref(),
            now: self.now(),
        };
        let consul = turn.consul().clone();
        match ran {
            // The way may go forward again since this was read: a server of the new version has led.
            Some(ran) if consul.version < ran.version && !self.is_noted_still(documents).await => {
                self.upgrades.read_again();
                ran
            }
            _ => consul,
        }
    }

    /// Whether the note is the one that was read.
    async fn is_noted_still(&self, documents: &Documents) -> bool {
        let noted = self.host.stores.upgrade().await;
        noted.is_ok_and(|(_, etag)| etag == documents.upgrade_etag)
    }

    /// The Consul that runs here, by what it says itself, or that was started last.
    pub(super) fn ran(&self, documents: &Documents, is_active: bool) -> Option<ConsulArtifact> {
        let last = LastKnown::load(&self.host.paths).ok().flatten().map(|last| last.cluster.consul);
        let Some(own) = self.board.consul().filter(|_| is_active) else { return last };
        let named = known(&documents.declared, documents.upgrade.as_ref());
        let mut all = last.iter().chain(named);
        all.find(|one| is_same_consul(&own.version, &one.version)).cloned()
    }

    /// By the calendar of maintenance windows.
    pub(super) fn now(&self) -> Timestamp {
        let now_unix_ms = self.host.clock.now_unix_ms();
        let calendar = self.host.timing.calendar;
        let shown_ms = calendar.map_or(now_unix_ms, |calendar| calendar.at(now_unix_ms));
        i64::try_from(shown_ms)
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .unwrap_or_default()
    }

    /// A server that leads writes what its version knows: it must not be forgotten.
    pub(super) fn remember_what_led(&mut self) {
        let led_with = self.board.has_led_with();
        if led_with <= self.memory.led_with {
            return;
        }
        self.memory.led_with = led_with;
        if let Err(error) = self.memory.save(&self.host.paths) {
            tracing::warn!(error = chain(&error), "that this server led is not remembered");
        }
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
        let lasts = |since: &mut Option<u64>, holds: bool| {
            *since = holds.then(|| since.unwrap_or(now_unix_ms));
            Duration::from_millis(since.map_or(0, |since| now_unix_ms.saturating_sub(since)))
        };
        let unwell_for = lasts(&mut self.upgrades.unwell_since_unix_ms, !own.healthy);
        let well_for = lasts(&mut self.upgrades.well_since_unix_ms, own.healthy);
        self.tell_of_the_way(documents);
        let Ok(new_id) = uuid(&SystemEntropy) else { return };
        let statuses = self.with_own(peers);
        let left_out: BTreeSet<Version> = self.upgrades.left_out.keys().cloned().collect();
        let sight = Sight {
            cluster: &documents.declared,
            upgrade: documents.upgrade.as_ref(),
            statuses: &statuses,
            own: &own,
            unwell_for,
            well_for,
            recovery_max: self.host.timing.recovery_max,
            offered: &self.upgrades.offered,
            left_out: &left_out,
            now: self.now(),
        };
        let is_idle = self.upgrades.errand.is_none();
        match sight.next(&new_id) {
            Next::Note(upgrade) => {
                self.note(documents, *upgrade, documents.upgrade_etag.clone()).await;
            }
            Next::Begin(upgrade) => self.begin(documents, *upgrade, now_unix_ms).await,
            Next::Fetch(version) if is_idle => self.fetch(documents, version),
            Next::Nothing if is_idle => self.ask_the_index(documents, now_unix_ms),
            Next::Fetch(_) | Next::Nothing => {}
        }
    }

    /// Nothing that is looked up or fetched is waited for.
    async fn begin(&mut self, documents: &Documents, upgrade: Upgrade, now_unix_ms: u64) {
        let saves = self.upgrades.errand.as_ref().is_some_and(|one| one.purpose == Purpose::Save);
        if saves || now_unix_ms < self.upgrades.save_at_unix_ms {
            return;
        }
        let is_apply_open = match is_run_open(self.host.stores.shared.as_ref()).await {
            Ok(is_open) => is_open,
            Err(error) => return self.board.problem(UPGRADE, chain(&error)),
        };
        let waits = may_not_begin(&documents.declared, &upgrade, is_apply_open, self.now());
        self.board.set_attention(BEGINS, waits.clone().filter(|_| upgrade.by != By::Channel));
        if waits.is_none() {
            self.save_before(documents, upgrade);
        }
    }

    /// What a leading server noted is no word of one that does not lead any more.
    pub(super) fn leave_upgrades_to_others(&mut self) {
        self.board.solved(RELEASES);
        self.board.solved(UPGRADE);
        self.board.set_attention(UPGRADE, None);
        self.board.set_attention(BEGINS, None);
        self.upgrades.unwell_since_unix_ms = None;
        self.upgrades.well_since_unix_ms = None;
        self.upgrades.errand = None;
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
        self.upgrades.left_out.retain(|_, (until_unix_ms, _)| now_unix_ms < *until_unix_ms);
        let is_over = self.upgrades.errand.as_ref().is_some_and(|one| one.task.is_finished());
        let Some(mut errand) = self.upgrades.errand.take_if(|_| is_over) else { return };
        let again_ms = |seconds| now_unix_ms + self.host.timing.interval_ms(seconds);
        let etag = errand.etag.take();
        match (&mut errand.task).await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(Brought::Offered(offered)) => {
                self.upgrades.offered = offered;
                self.upgrades.ask_at_unix_ms = again_ms(ASK_SECONDS);
                self.tell_of_releases();
            }
            Ok(Brought::Release(to)) => {
                self.tell_of_releases();
                let after = documents.upgrade.as_ref();
                let from = in_force(&documents.declared, after).clone();
                let generation = documents.declared.generation;
                let Ok(id) = uuid(&SystemEntropy) else { return };
                if from.version >= to.version {
                    return;
                }
                let way = Way { from, to, by: By::Channel, after };
                let chosen = way.note(id, UpgradePhase::Chosen, generation, self.now());
                self.note(documents, chosen, etag).await;
            }
            Ok(Brought::Saved(upgrade)) => {
                self.board.solved(SNAPSHOT);
                self.note(documents, *upgrade, etag).await;
            }
            Err(error) => match &errand.purpose {
                Purpose::Look => {
                    self.upgrades.ask_at_unix_ms = again_ms(TRY_AGAIN_SECONDS);
                    self.board.problem(RELEASES, error);
                }
                Purpose::Fetch(version) => {
                    let until_unix_ms = again_ms(LEFT_OUT_SECONDS);
                    self.upgrades.left_out.insert(version.clone(), (until_unix_ms, error));
                    self.tell_of_releases();
                }
                Purpose::Save => {
                    self.upgrades.save_at_unix_ms = again_ms(TRY_AGAIN_SECONDS);
                    self.board.problem(SNAPSHOT, error);
                }
            },
        }
    }

    /// The newest that could not be had is told.
    fn tell_of_releases(&self) {
        match self.upgrades.left_out.last_key_value() {
            Some((_, (_, error))) => self.board.problem(RELEASES, error.clone()),
            None => self.board.solved(RELEASES),
        }
    }

    /// Writes the note, unless another server has written one since the one with this etag.
    async fn note(&mut self, documents: &mut Documents, upgrade: Upgrade, etag: Option<String>) {
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
        self.send(documents, Purpose::Look, async move {
            let offered = async { Index::new(&index)?.versions().await }.await;
            offered.map(Brought::Offered).map_err(|error| chain(&error))
        });
    }

    fn fetch(&mut self, documents: &Documents, version: Version) {
        let Some(index) = Self::index(documents).map(str::to_owned) else { return };
        let (host, now) = (self.host.clone(), std::time::SystemTime::now());
        tracing::info!(%version, index, "fetching a release of Consul");
        self.send(documents, Purpose::Fetch(version.clone()), async move {
            let store = host.stores.shared.as_ref();
            let index = Index::new(&index).map_err(|error| chain(&error))?;
            let fetched = releases::fetch(&index, &host.release_keys, store, &version, now).await;
            fetched.map(Brought::Release).map_err(|error| chain(&error))
        });
    }

    fn send(
        &mut self,
        documents: &Documents,
        purpose: Purpose,
        work: impl Future<Output = Result<Brought, String>> + Send + 'static,
    ) {
        let etag = documents.upgrade_etag.clone();
        self.upgrades.errand = Some(Errand { purpose, etag, task: tokio::spawn(work) });
    }

    /// No server goes before there is something to go back to.
    fn save_before(&mut self, documents: &Documents, upgrade: Upgrade) {
        let version = upgrade.to.version.to_string().replace(['.', '+'], "-");
        let own_name = format!("{}before-{version}-{}.snap", blob::ON_DEMAND, upgrade.id);
        let (host, client) = (self.host.clone(), documents.client.clone());
        self.send(documents, Purpose::Save, async move {
            let name = save_before(&host, &client, own_name).await;
            let name =
                name.map_err(|error| format!("no snapshot before the upgrade: {}", chain(&error)))?;
            // One that goes on from another way keeps what was taken before that.
            let snapshot = upgrade.snapshot.clone().or(Some(name));
            Ok(Brought::Saved(Box::new(Upgrade { snapshot, ..upgrade })))
        });
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

    /// Nothing leads for longer than a restart takes, and this server has gone the way: whoever looked after its restart
    /// may have been cut off.
    pub(super) async fn stop_without_a_leader(&mut self, documents: &Documents) {
        let alone_for = self.host.timing.tick * self.rounds_alone;
        if alone_for > self.host.timing.recovery_max {
            self.stop_upgrade(documents, "nothing leads since it was restarted for it").await;
        }
    }

    /// On request; the version that runs again, or why it cannot be. What was known before is not believed: documents and
    /// statuses are read anew.
    ///
    /// Two servers may serve one request: a server without a leader of its own, and the leader that it does not see. Both say
    /// the same of it.
    pub(super) async fn take_back(
        &mut self,
        documents: &mut Documents,
        request: &Request,
    ) -> Result<Version, String> {
        loop {
            let (upgrade, etag) =
                self.host.stores.upgrade().await.map_err(|error| chain(&error))?;
            let Some(upgrade) = upgrade else { return Err("no upgrade was begun".to_owned()) };
            if upgrade.was_taken_back_for(&request.id) {
                self.upgrades.is_old = true;
                return Ok(upgrade.from.version);
            }
            let cluster = self.host.stores.cluster().await.map_err(|error| chain(&error))?;
            let statuses = self.with_own(&self.just_written(&cluster.slots, &cluster.others).await);
            if let Some(reason) = stays(&cluster, &upgrade, &statuses) {
                return Err(reason);
            }
            let by = request.asked_by.as_deref().unwrap_or("somebody");
            let back = Upgrade {
                phase: UpgradePhase::TakenBack,
                since: self.now().to_string(),
                reason: Some(format!("asked for by {by}")),
                generation: cluster.generation,
                not_before: None,
                taken_back_for: Some(request.id.clone()),
                ..upgrade
            };
            let etag = match self.host.stores.note_upgrade(&back, etag).await {
                Ok(etag) => etag,
                // Another server wrote in between.
                Err(BlobError::ConditionFailed { .. }) => continue,
                Err(error) => return Err(chain(&error)),
            };
            tracing::info!("{}", back.told());
            let version = back.from.version.clone();
            (documents.upgrade, documents.upgrade_etag) = (Some(back), Some(etag));
            self.upgrades.is_old = true;
            return Ok(version);
        }
    }

    /// What the other servers wrote within the last minute.
    pub(super) async fn just_written(&self, slots: &[u32], others: &[u32]) -> Vec<ServerStatus> {
        let own = self.host.bootstrap.slot;
        let mut written = Vec::new();
        for slot in slots.iter().chain(others).copied().filter(|slot| *slot != own) {
            match self.host.stores.status_and_age(slot).await {
                Ok(Some((status, age)))
                    if age.is_none_or(|age| age.as_secs() <= STATUS_FRESH_SECONDS) =>
                {
                    written.push(status);
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(slot, error = %chain(&error), "status not readable"),
            }
        }
        written
    }
}

/// Takes a snapshot; where it is. It is the policy's that keeps what is taken before an upgrade. Where policies cannot be
/// read, or the account of somebody that one names does not take it, it is kept all the same, under its own name.
async fn save_before(
    host: &Host,
    client: &ConsulClient,
    own_name: String,
) -> Result<String, SaveError> {
    let policies = host.stores.snapshot_policies().await.unwrap_or_default();
    let keeps = |policy: &SnapshotPolicyDocument| policy.enabled && policy.before_upgrade;
    if let Some(policy) = policies.into_iter().flatten().find(keeps) {
        let said = BTreeMap::from([(metadata::POLICY.to_owned(), policy.name.clone())]);
        let taken = async {
            let folder = Folder::of(host, &policy)?;
            let name = folder.snapshot(attempt::now(host));
            on_demand::take_at(host, client, folder.place(&name), said).await?;
            Ok(folder.told(&name))
        };
        match taken.await {
            Err(SaveError::Blob(error)) if policy.place.is_some() => {
                let error = chain(&error);
                tracing::warn!(policy = policy.name, error, "not where the policy says");
            }
            taken => return taken,
        }
    }
    on_demand::take(host, client, &own_name, BTreeMap::new()).await?;
    Ok(own_name)
}
