//! Lists for many: where several clusters are read at once, one list of the subscription answers all that wait for it.
//!
//! A list answers only those who waited before it began, so nobody is told anything older than a list of their own would
//! have told. Who is alone asks for their group, which is shorter; so does everybody where the subscription's list is
//! refused, or takes more pages than there are askers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hcs_planner::arm::{ArmId, Kind};
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use super::Arm;
use crate::error::EngineError;

/// How long the first asker waits for each of the others who read a cluster now; it goes on when all have come.
const GATHER_MS_PER_READER: u64 = 25;
/// The longest that anybody waits for others.
const GATHER_MS_MAX: u64 = 500;

/// More pages than there are askers, ever.
const NEVER: usize = usize::MAX;

type Rows = Arc<Vec<Value>>;
/// A subscription and a type.
type Key = (String, Kind);

/// Who waits for which list, and what is known of these lists.
#[derive(Debug, Default)]
pub(super) struct Lists {
    readers: AtomicUsize,
    waiting: Mutex<BTreeMap<Key, Waiting>>,
    /// How many pages a list had the last time; [`NEVER`] for one that could not be read, and while its first answer is
    /// on its way.
    pages: Mutex<BTreeMap<Key, usize>>,
}

#[derive(Debug, Default)]
struct Waiting {
    askers: Vec<oneshot::Sender<Rows>>,
    all_are_here: Arc<Notify>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lists {
    /// Joins those who wait for a list; the first of them fetches it.
    fn join(&self, key: &Key, asker: oneshot::Sender<Rows>) -> Option<Arc<Notify>> {
        let mut waiting = lock(&self.waiting);
        let row = waiting.entry(key.clone()).or_default();
        row.askers.push(asker);
        if row.askers.len() >= self.readers.load(Ordering::Relaxed) {
            row.all_are_here.notify_one();
        }
        (row.askers.len() == 1).then(|| Arc::clone(&row.all_are_here))
    }

    /// Those whom a list that begins now answers.
    fn take(&self, key: &Key) -> Vec<oneshot::Sender<Rows>> {
        lock(&self.waiting).remove(key).map(|row| row.askers).unwrap_or_default()
    }

    /// Whether one list of the subscription is cheaper than one of each asker's group.
    fn is_cheaper(&self, key: &Key, askers: usize) -> bool {
        askers > lock(&self.pages).get(key).copied().unwrap_or(1)
    }
}

/// See [`Arm::reads_a_cluster`].
#[must_use]
pub struct Reader<'a>(&'a Lists);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets those go who wait for a list that its fetcher gave up: each asks for itself.
struct Fetcher<'a> {
    lists: &'a Lists,
    key: &'a Key,
}

impl Drop for Fetcher<'_> {
    fn drop(&mut self) {
        self.lists.take(self.key);
    }
}

impl Arm {
    /// Says that a cluster is read as long as this lives: others who read one may wait for its lists.
    pub fn reads_a_cluster(&self) -> Reader<'_> {
        let lists = self.lists();
        lists.readers.fetch_add(1, Ordering::Relaxed);
        Reader(lists)
    }

    /// What of a type is in a group, with rights and locks from above.
    pub async fn list_in_group(
        &self,
        group: &ArmId,
        kind: Kind,
    ) -> Result<Vec<Value>, EngineError> {
        if let Some(rows) = self.shared_list(group, kind).await? {
            return Ok(rows.iter().filter(|row| concerns(row, group)).cloned().collect());
        }
        let (name, version) = (kind.resource_type(), kind.api_version());
        self.list(&format!("{group}/providers/{name}?api-version={version}")).await
    }

    /// A resource group, as [`Self::get_group`] reads it.
    pub(crate) async fn get_group_of_many(&self, id: &ArmId) -> Result<Option<Value>, EngineError> {
        let rows = self.shared_list(id, Kind::ResourceGroup).await?.unwrap_or_default();
        let is_it = |row: &&Value| row["id"].as_str().is_some_and(|own| ArmId::new(own) == *id);
        match rows.iter().find(is_it) {
            Some(body) => Ok(Some(body.clone())),
            // That it is absent is believed only when other reads say so.
            None => self.get_group(id).await,
        }
    }

    /// The subscription's list of a type, fetched for all who wait for it; `None` where everybody asks for themselves.
    async fn shared_list(&self, id: &ArmId, kind: Kind) -> Result<Option<Rows>, EngineError> {
        let lists = self.lists();
        let key = (id.segment("subscriptions").unwrap_or_default().to_lowercase(), kind);
        let readers = lists.readers.load(Ordering::Relaxed);
        if !lists.is_cheaper(&key, readers) {
            return Ok(None);
        }
        let (asker, answer) = oneshot::channel();
        if let Some(all_are_here) = lists.join(&key, asker) {
            let fetcher = Fetcher { lists, key: &key };
            let gather_ms = GATHER_MS_PER_READER * u64::try_from(readers).unwrap_or(u64::MAX);
            tokio::select! {
                () = all_are_here.notified() => {}
                slept = self.sleep(Duration::from_millis(gather_ms.min(GATHER_MS_MAX))) => slept?,
            }
            let askers = lists.take(&key);
            drop(fetcher);
            if lists.is_cheaper(&key, askers.len()) {
                self.answer(&key, askers).await;
            }
        }
        Ok(answer.await.ok())
    }

    /// Fetches a list for these askers; where it cannot be had they go without.
    async fn answer(&self, key: &Key, askers: Vec<oneshot::Sender<Rows>>) {
        let (subscription, kind) = key;
        let (name, version) = (kind.resource_type(), kind.api_version());
        let path = match kind {
            Kind::ResourceGroup => {
                format!("/subscriptions/{subscription}/resourcegroups?api-version={version}")
            }
            _ => format!("/subscriptions/{subscription}/providers/{name}?api-version={version}"),
        };
        lock(&self.lists().pages).entry(key.clone()).or_insert(NEVER);
        match self.list_with_pages(&path).await {
            // That a subscription is not seen says nothing of its groups.
            Ok((_, 0)) => {}
            Ok((rows, pages)) => {
                lock(&self.lists().pages).insert(key.clone(), pages);
                let rows = Arc::new(rows);
                for asker in askers {
                    // Whoever was cancelled meanwhile wants no answer.
                    let _ = asker.send(Arc::clone(&rows));
                }
            }
            Err(error) => tracing::debug!(%error, name, "no list for many; each asks alone"),
        }
    }
}

/// Whether a row of a subscription's list would be in the group's, too.
fn concerns(row: &Value, group: &ArmId) -> bool {
    const RIGHTS: &str = "/providers/microsoft.authorization/";
    let Some(id) = row.get("id").and_then(Value::as_str).map(ArmId::new) else { return false };
    let key = id.key();
    match key.rfind(RIGHTS) {
        Some(at) => {
            let scope = ArmId::new(&key[..at]);
            scope.is_within(group) || group.is_within(&scope)
        }
        None => id.is_within(group),
    }
}
