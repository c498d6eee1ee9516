//! What this server tells the world: a board that all parts write on, and the loop that publishes
//! it every few seconds, whatever else hangs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hcs_engine::blob::{BlobError, WriteCondition};
use hcs_planner::dataplane::{ConsulStatus, ServerPhase, ServerStatus, blob, container};
use hcs_planner::requests::{RESULTS_MAX, RequestResult};
use hcs_planner::rotation::SecretVersion;
use hcs_planner::upgrade::Upgrade;
use semver::Version;
use tokio_util::sync::CancellationToken;

use crate::consul::client::ConsulClient;
use crate::consul::health;
use crate::host::Host;
use crate::leaf::Leaf;
use crate::report::chain;
use crate::upgrade::plain;

/// The host manager's version, as the status reports it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A Consul that hangs must not keep the status from being written: readers take an old one for a
/// dead server.
const OBSERVATION_MAX: Duration = Duration::from_secs(12);

/// How far this server has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Preparing,
    Started,
    Left,
}

#[derive(Debug, Default)]
struct Facts {
    stage: Stage,
    client: Option<ConsulClient>,
    /// The same, with the rights that the disk holds: of a Consul that runs while the account is away.
    client_of_disk: Option<ConsulClient>,
    consul: Option<ConsulStatus>,
    /// When Consul last answered, or was first expected to.
    consul_seen_unix_ms: u64,
    acl_ready: bool,
    certificate_expires_at: Option<String>,
    /// The certificate that counts, and its key.
    leaf: Option<Arc<Leaf>>,
    done_requests: Vec<String>,
    /// What came of other requests, the latest last.
    results: Vec<RequestResult>,
    /// Earlier lives of this slot were read, so that their requests are not done again.
    recalled: bool,
    /// A status was written.
    published: bool,
    /// The latest last.
    problems: Vec<Problem>,
    /// By area.
    attention: BTreeMap<&'static str, String>,
    /// Versions of rotated secrets that are worked with.
    rotations: BTreeMap<String, SecretVersion>,
    /// Generation of the document that is worked by.
    document_generation: Option<u64>,
    /// The last way to another Consul.
    upgrade: Option<Upgrade>,
    /// The newest Consul with which this server has led.
    led_with: Option<Version>,
    /// How many restarts in its turn go on: no client is to be given to it then.
    restarts: u32,
}

/// What went wrong in an area.
#[derive(Debug)]
struct Problem {
    area: String,
    sentence: String,
    /// Whether waiting cannot heal it: what the server was given is wrong.
    is_final: bool,
}

/// The board. Locks are short and never held over an await.
#[derive(Debug, Default)]
pub struct Board {
    facts: Mutex<Facts>,
}

/// Keeps clients away from this server as long as it lives.
#[derive(Debug)]
pub struct Restarting<'a>(&'a Board);

impl Drop for Restarting<'_> {
    fn drop(&mut self) {
        self.0.facts().restarts -= 1;
    }
}

impl Board {
    /// Has the balancers take this server out, until the value ends.
    #[must_use]
    pub fn restarting(&self) -> Restarting<'_> {
        self.facts().restarts += 1;
        Restarting(self)
    }

    /// Whether it is about to be restarted, or is not well again yet.
    pub fn restarts(&self) -> bool {
        self.facts().restarts > 0
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        // A poisoned board still holds plain facts.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what went wrong in an area; a repetition is not logged again.
    pub fn problem(&self, area: &str, sentence: String) {
        self.note(area, sentence, false);
    }

    /// Notes what went wrong and stays wrong, however long anybody waits.
    pub fn hopeless(&self, area: &str, sentence: String) {
        self.note(area, sentence, true);
    }

    fn note(&self, area: &str, sentence: String, is_final: bool) {
        let mut facts = self.facts();
        if facts.problems.iter().any(|known| known.area == area && known.sentence == sentence) {
            return;
        }
        tracing::warn!(area, "{sentence}");
        facts.problems.retain(|known| known.area != area);
        facts.problems.push(Problem { area: area.to_owned(), sentence, is_final });
    }

    /// Notes that an area is fine again.
    pub fn solved(&self, area: &str) {
        let mut facts = self.facts();
        let before = facts.problems.len();
        facts.problems.retain(|known| known.area != area);
        if facts.problems.len() < before {
            tracing::info!(area, "works again");
        }
    }

    /// Notes what works and will not for long, or that nothing of an area does.
    pub fn set_attention(&self, area: &'static str, sentence: Option<String>) {
        let mut facts = self.facts();
        match sentence {
            None => drop(facts.attention.remove(area)),
            Some(sentence) => {
                if !facts.attention.contains_key(area) {
                    tracing::warn!(area, "{sentence}");
                }
                facts.attention.insert(area, sentence);
            }
        }
    }

    /// Whether something of an area will not work for long.
    pub fn has_attention(&self, area: &str) -> bool {
        self.facts().attention.contains_key(area)
    }

    /// Notes which versions of rotated secrets this server works with.
    pub fn set_rotations(&self, rotations: BTreeMap<String, SecretVersion>) {
        self.facts().rotations = rotations;
    }

    /// Notes by which document this server works, and what it knows of the last way to another Consul.
    pub fn set_upgrade(&self, document_generation: u64, upgrade: Option<Upgrade>) {
        let mut facts = self.facts();
        (facts.document_generation, facts.upgrade) = (Some(document_generation), upgrade);
    }

    /// This server has led with this Consul.
    pub fn led_with(&self, version: Option<Version>) {
        let mut facts = self.facts();
        if version > facts.led_with {
            facts.led_with = version;
        }
    }

    /// The newest Consul with which it has ever led.
    pub fn has_led_with(&self) -> Option<Version> {
        self.facts().led_with.clone()
    }

    /// Consul was started; from now on it is asked.
    pub fn started(&self, client: ConsulClient) {
        let mut facts = self.facts();
        facts.stage = Stage::Started;
        facts.client = Some(client);
    }

    /// The server has left for good.
    pub fn left(&self) {
        let mut facts = self.facts();
        facts.stage = Stage::Left;
        facts.client = None;
        facts.consul = None;
    }

    /// Whether a status was written since this program began.
    pub fn was_published(&self) -> bool {
        self.facts().published
    }

    /// Whether the agent token works.
    pub fn set_acl_ready(&self, ready: bool) {
        self.facts().acl_ready = ready;
    }

    /// Whether the agent token is known to work.
    pub fn acl_ready(&self) -> bool {
        self.facts().acl_ready
    }

    /// When the certificate on disk ends.
    pub fn set_certificate_expires_at(&self, time: Option<String>) {
        self.facts().certificate_expires_at = time;
    }

    /// The certificate that counts now.
    pub fn set_leaf(&self, leaf: &Leaf) {
        let mut facts = self.facts();
        if facts.leaf.as_ref().is_none_or(|known| known.facts.der != leaf.facts.der) {
            facts.leaf = Some(Arc::new(leaf.clone()));
        }
    }

    /// The certificate that counts now, once there is one.
    pub fn leaf(&self) -> Option<Arc<Leaf>> {
        self.facts().leaf.clone()
    }

    /// A client with the rights that the disk holds, for as long as nothing better is known.
    pub fn set_client_of_disk(&self, client: ConsulClient) {
        self.facts().client_of_disk = Some(client);
    }

    /// A client of this server's own Consul, once it was started and as long as it is part of the cluster.
    pub fn client(&self) -> Option<ConsulClient> {
        let facts = self.facts();
        let is_part = facts.stage != Stage::Left;
        facts.client.clone().or_else(|| facts.client_of_disk.clone()).filter(|_| is_part)
    }

    /// Adds a finished request.
    pub fn done(&self, request_id: &str) {
        let mut facts = self.facts();
        if !facts.done_requests.iter().any(|id| id == request_id) {
            facts.done_requests.push(request_id.to_owned());
        }
    }

    /// Whether a request needs doing: unknown until the last status of this slot was read.
    pub fn is_open(&self, request_id: &str) -> bool {
        let facts = self.facts();
        let results = facts.results.iter().map(|result| &result.id);
        let mut done = facts.done_requests.iter().chain(results);
        facts.recalled && !done.any(|id| id == request_id)
    }

    /// Adds what came of a request; the oldest are forgotten.
    pub fn add_result(&self, result: RequestResult) {
        let mut facts = self.facts();
        if !facts.results.iter().any(|known| known.id == result.id) {
            facts.results.push(result);
        }
        let superfluous = facts.results.len().saturating_sub(RESULTS_MAX);
        facts.results.drain(..superfluous);
    }

    /// What came of requests, the latest last.
    pub fn results(&self) -> Vec<RequestResult> {
        self.facts().results.clone()
    }

    /// A client, if Consul has a leader and we belong to it.
    pub fn serving(&self) -> Option<ConsulClient> {
        let facts = self.facts();
        let led = facts.consul.as_ref().is_some_and(|consul| consul.leader.is_some());
        facts.client.clone().filter(|_| led && facts.stage == Stage::Started)
    }

    /// What Consul last said.
    pub fn consul(&self) -> Option<ConsulStatus> {
        self.facts().consul.clone()
    }

    fn phase(facts: &Facts) -> ServerPhase {
        let led = facts.consul.as_ref().is_some_and(|consul| consul.leader.is_some());
        match facts.stage {
            Stage::Left => ServerPhase::Left,
            Stage::Preparing => ServerPhase::Preparing,
            Stage::Started if led => ServerPhase::Running,
            Stage::Started => ServerPhase::Starting,
        }
    }

    /// The document as of now.
    pub fn status(&self, host: &Host, sequence: u64) -> ServerStatus {
        let facts = self.facts();
        // What no waiting heals is told before what may pass.
        let hopeless = facts.problems.iter().rfind(|problem| problem.is_final);
        let worst = hopeless.or(facts.problems.last());
        ServerStatus {
            slot: host.bootstrap.slot,
            node_name: host.bootstrap.node_name.clone(),
            written_at: written_at(host.clock.now_unix_ms()),
            sequence,
            address: host.instance.address,
            phase: Self::phase(&facts),
            last_error: worst.map(|problem| format!("{}: {}", problem.area, problem.sentence)),
            last_error_is_final: hopeless.is_some(),
            consul: facts.consul.clone(),
            done_requests: facts.done_requests.clone(),
            results: facts.results.clone(),
            certificate_expires_at: facts.certificate_expires_at.clone(),
            consul_silent_seconds: consul_silent_seconds(&facts, host.clock.now_unix_ms()),
            host_manager_version: VERSION.to_owned(),
            host_manager_sha256: host.own.sha256.clone(),
            attention: facts.attention.values().cloned().collect(),
            rotations: facts.rotations.clone(),
            document_generation: facts.document_generation,
            upgrade: facts.upgrade.clone().map(Box::new),
            led_with: facts.led_with.clone(),
        }
    }
}

fn consul_silent_seconds(facts: &Facts, now_unix_ms: u64) -> u64 {
    if facts.consul.is_some() || facts.stage == Stage::Left {
        return 0;
    }
    now_unix_ms.saturating_sub(facts.consul_seen_unix_ms) / 1000
}

/// A moment as documents have it.
pub fn written_at(unix_ms: u64) -> String {
    let time =
        i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// Observes Consul and publishes until stopped, and once more then.
pub async fn run(host: Arc<Host>, board: Arc<Board>, stop: CancellationToken) {
    let mut sequence = 0;
    board.facts().consul_seen_unix_ms = host.clock.now_unix_ms();
    loop {
        observe(&host, &board).await;
        sequence += 1;
        match publish(&host, &board, sequence).await {
            Ok(()) => {
                board.facts().published = true;
                board.solved("status");
            }
            Err(error) => {
                board.problem("status", format!("cannot publish the status: {}", chain(&error)));
            }
        }
        if stop.is_cancelled() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = host.clock.sleep(host.timing.tick) => {}
        }
    }
}

/// Reads once what this slot last published: a request that a former VM finished stays finished, and what it led with, it
/// has led with.
async fn recall(host: &Host, board: &Board) -> Result<(), BlobError> {
    if board.facts().recalled {
        return Ok(());
    }
    let container = container::status(host.bootstrap.slot);
    let found = host.stores.own.get(&container, blob::STATUS).await?;
    let former = found.and_then(|c| serde_json::from_slice::<ServerStatus>(&c.bytes).ok());
    if let Some(former) = former {
        former.done_requests.iter().for_each(|id| board.done(id));
        former.results.into_iter().for_each(|result| board.add_result(result));
        board.led_with(former.led_with);
    }
    board.facts().recalled = true;
    Ok(())
}

async fn observe(host: &Host, board: &Board) {
    let (client, acl_ready) = {
        let facts = board.facts();
        (facts.client.clone(), facts.acl_ready)
    };
    let Some(client) = client else { return };
    let seen = tokio::time::timeout(OBSERVATION_MAX, health::observe(&client, acl_ready)).await;
    match &seen {
        Ok(Ok(_)) => board.solved("consul"),
        Ok(Err(error)) => board.problem("consul", chain(error)),
        Err(_) => board.problem("consul", "Consul does not answer in time".to_owned()),
    }
    let mut facts = board.facts();
    if facts.stage != Stage::Left {
        facts.consul = seen.ok().and_then(Result::ok);
    }
    // Beside the rounds, which may wait for minutes.
    let leads = facts.consul.as_ref().filter(|consul| consul.is_leader);
    let version =
        leads.and_then(|consul| consul.version.parse().ok()).map(|version| plain(&version));
    if version > facts.led_with {
        facts.led_with = version;
    }
    if facts.consul.is_some() {
        facts.consul_seen_unix_ms = host.clock.now_unix_ms();
    }
}

async fn publish(host: &Host, board: &Board, sequence: u64) -> Result<(), BlobError> {
    recall(host, board).await?;
    let status = board.status(host, sequence);
    let text = serde_json::to_vec_pretty(&status).unwrap_or_default();
    let container = container::status(host.bootstrap.slot);
    host.stores.own.put(&container, blob::STATUS, text.into(), WriteCondition::Always).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consul_that_does_not_answer_is_silent_since_it_last_did() {
        let mut facts = Facts { consul_seen_unix_ms: 10_000, ..Facts::default() };
        assert_eq!(consul_silent_seconds(&facts, 70_999), 60);
        facts.stage = Stage::Started;
        assert_eq!(consul_silent_seconds(&facts, 70_999), 60);
        facts.stage = Stage::Left;
        assert_eq!(consul_silent_seconds(&facts, 70_999), 0);
    }
}
