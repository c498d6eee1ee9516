//! The lease: of two runs one writes, and whoever lost it writes nothing more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::claims::{Nowhere, fixed};
use async_trait::async_trait;
use bytes::Bytes;
use hcs_engine::arm::Arm;
use hcs_engine::blob::{BlobContent, BlobEntry, BlobError, BlobStore, WriteCondition};
use hcs_engine::clock::Clock;
use hcs_engine::error::EngineError;
use hcs_engine::lease::{ClaimError, Fence, GroupSays, Lease, read_record};
use hcs_planner::ownership::{Claim, RunOutcome, RunPhase, RunRecord};
use tokio_util::sync::CancellationToken;

/// A machine's two clocks: one that somebody may set, one that stops while it sleeps.
#[derive(Default)]
struct Clocks {
    jumped_ms: AtomicU64,
}

#[async_trait]
impl Clock for Clocks {
    fn now_unix_ms(&self) -> u64 {
        1_795_000_000_000 + self.monotonic_ms() + self.jumped_ms.load(Ordering::Relaxed)
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(started().elapsed().as_millis()).unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

fn started() -> tokio::time::Instant {
    thread_local! {
        static STARTED: tokio::time::Instant = tokio::time::Instant::now();
    }
    STARTED.with(|started| *started)
}

/// A container in memory.
#[derive(Default)]
struct Memory {
    blobs: Mutex<BTreeMap<String, (Bytes, u64, Duration)>>,
    writes: AtomicU64,
    away: AtomicBool,
    loses_answers: AtomicBool,
}

impl Memory {
    fn check(&self) -> Result<(), BlobError> {
        if self.away.load(Ordering::Relaxed) {
            let source = "away".into();
            return Err(BlobError::Unavailable { account: "memory".into(), source });
        }
        Ok(())
    }
}

#[async_trait]
impl BlobStore for Memory {
    async fn get(&self, _: &str, name: &str) -> Result<Option<BlobContent>, BlobError> {
        self.check()?;
        let blobs = self.blobs.lock().unwrap();
        Ok(blobs.get(name).map(|(bytes, etag, at)| BlobContent {
            bytes: bytes.clone(),
            etag: etag.to_string(),
            age: Some(started().elapsed().saturating_sub(*at)),
            served_unix_s: None,
        }))
    }

    async fn put(
        &self,
        container: &str,
        name: &str,
        bytes: Bytes,
        condition: WriteCondition,
    ) -> Result<String, BlobError> {
        self.check()?;
        let failed =
            || BlobError::ConditionFailed { container: container.into(), name: name.into() };
        let mut blobs = self.blobs.lock().unwrap();
        let known = blobs.get(name).map(|(_, etag, _)| etag.to_string());
        let holds = match condition {
            WriteCondition::Always => true,
            WriteCondition::Absent => known.is_none(),
            WriteCondition::Matches(etag) => known == Some(etag),
        };
        if !holds {
            return Err(failed());
        }
        let etag = self.writes.fetch_add(1, Ordering::Relaxed);
        blobs.insert(name.to_owned(), (bytes, etag, started().elapsed()));
        // What a client that tries again sees of a write whose answer was lost.
        if self.loses_answers.load(Ordering::Relaxed) {
            Err(failed())
        } else {
            Ok(etag.to_string())
        }
    }

    async fn delete(&self, _: &str, name: &str) -> Result<bool, BlobError> {
        Ok(self.blobs.lock().unwrap().remove(name).is_some())
    }

    async fn set_metadata(
        &self,
        _: &str,
        _: &str,
        _: &BTreeMap<String, String>,
    ) -> Result<(), BlobError> {
        unreachable!("nothing is said of blobs here")
    }

    async fn list(&self, _: &str, _: &str) -> Result<Vec<BlobEntry>, BlobError> {
        Ok(vec![])
    }
}

struct Machine {
    arm: Arm,
    clocks: Arc<Clocks>,
}

fn machine() -> Machine {
    let clocks = Arc::<Clocks>::default();
    let arm = Arm::new(Arc::new(Nowhere), clocks.clone(), CancellationToken::new());
    Machine { arm, clocks }
}

async fn open(machine: &Machine, store: &Arc<Memory>, claim: Claim) -> Result<Lease, ClaimError> {
    let store: Arc<dyn BlobStore> = store.clone();
    Ok(Lease::open(&machine.arm, store, &claim, &fixed(), GroupSays::default(), "somebody")
        .await?
        .0)
}

async fn record(store: &Memory) -> RunRecord {
    read_record(store).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn whoever_lost_the_lease_writes_nothing_more() {
    let (store, one, other) = (Arc::<Memory>::default(), machine(), machine());
    let lease = open(&one, &store, Claim::Create).await.unwrap();
    lease.check().await.unwrap();
    // It hangs without a beat, and somebody takes over.
    tokio::time::sleep(Duration::from_secs(31)).await;
    let next = open(&other, &store, Claim::Create).await.unwrap();
    let told = lease.check().await.unwrap_err();
    assert!(
        matches!(&told, EngineError::Fenced { by } if by.contains("create of somebody")),
        "{told}"
    );
    assert!(lease.close(RunOutcome::Done).await.is_err(), "it cannot close what is not its own");
    next.check().await.unwrap();
    let record = record(&store).await;
    assert_eq!((record.generation, record.incarnation_id.as_str()), (2, next.incarnation_id()));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_asks_before_its_next_write() {
    let (store, one, other) = (Arc::<Memory>::default(), machine(), machine());
    let lease = open(&one, &store, Claim::Create).await.unwrap();
    // Nobody came: it goes on.
    one.clocks.jumped_ms.store(3_600_000, Ordering::Relaxed);
    let before = record(&store).await.beats;
    lease.check().await.unwrap();
    assert_eq!(record(&store).await.beats, before + 1, "it was confirmed");
    // Somebody came while its monotonic clock stood still.
    tokio::time::sleep(Duration::from_secs(31)).await;
    let _next = open(&other, &store, Claim::Create).await.unwrap();
    one.clocks.jumped_ms.store(7_200_000, Ordering::Relaxed);
    assert!(lease.check().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_beats_is_waited_for_a_moment_and_named() {
    let (store, one, other) = (Arc::<Memory>::default(), machine(), machine());
    let lease = open(&one, &store, Claim::Create).await.unwrap();
    lease.note_step("create server_1");
    let begun = tokio::time::Instant::now();
    let refused = tokio::select! {
        never = lease.beat() => match never {},
        refused = open(&other, &store, Claim::Create) => refused.err().unwrap(),
    };
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let told = refused.to_string();
    assert!(
        told.contains("create of somebody since") && told.contains("create server_1"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_run_is_in_the_way_for_half_a_minute() {
    let (store, one, other) = (Arc::<Memory>::default(), machine(), machine());
    let dead = open(&one, &store, Claim::Create).await.unwrap();
    let incarnation = dead.incarnation_id().to_owned();
    drop(dead);
    let begun = tokio::time::Instant::now();
    let next = open(&other, &store, Claim::Create).await.unwrap();
    assert!((28..35).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_ne!(next.incarnation_id(), incarnation, "a create begins a new one");
    next.close(RunOutcome::Done).await.unwrap();
    // Closed: its state goes on at once, another create never.
    let own = Claim::Update(Some(next.incarnation_id().to_owned()));
    let begun = tokio::time::Instant::now();
    open(&one, &store, own).await.unwrap().close(RunOutcome::Done).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    let refused = open(&one, &store, Claim::Create).await.err().unwrap();
    assert!(matches!(refused, ClaimError::Exists(Some(_))), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn without_its_storage_a_run_writes_nothing_and_goes_on_when_it_is_back() {
    let (store, one) = (Arc::<Memory>::default(), machine());
    let lease = open(&one, &store, Claim::Create).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    store.away.store(true, Ordering::Relaxed);
    let (checked, ()) = tokio::join!(lease.check(), async {
        tokio::time::sleep(Duration::from_mins(2)).await;
        store.away.store(false, Ordering::Relaxed);
    });
    checked.unwrap();
    store.away.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let begun = tokio::time::Instant::now();
    assert!(lease.check().await.is_err());
    assert!(begun.elapsed() < Duration::from_mins(7), "{:?}", begun.elapsed());
}

/// A beat that nobody waits for any more may have been written all the same, with another step than the next one.
#[tokio::test(start_paused = true)]
async fn a_beat_that_was_given_up_is_its_own_whatever_it_said() {
    let (store, one) = (Arc::<Memory>::default(), machine());
    let lease = open(&one, &store, Claim::Create).await.unwrap();
    let mut beaten = record(&store).await;
    (beaten.beats, beaten.step) = (1, Some("create vnet".to_owned()));
    let bytes = serde_json::to_vec(&beaten).unwrap();
    store.put("config", "run.json", bytes.into(), WriteCondition::Always).await.unwrap();
    lease.note_step("create server_0");
    lease.close(RunOutcome::Done).await.unwrap();
    let closed = record(&store).await;
    assert_eq!(closed.phase, RunPhase::Closed);
    assert_eq!(closed.step.as_deref(), Some("create server_0"));
}

/// The record goes with its group; somebody else's that comes in its place still forbids every write.
#[tokio::test(start_paused = true)]
async fn a_run_that_lets_its_record_go_is_fenced_by_another_one_all_the_same() {
    let (store, one, other) = (Arc::<Memory>::default(), machine(), machine());
    let lease = open(&one, &store, Claim::Destroy(None)).await.unwrap();
    lease.let_go().await.unwrap();
    store.delete("config", "run.json").await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    lease.check().await.unwrap();
    store.away.store(true, Ordering::Relaxed);
    lease.check().await.unwrap();
    store.away.store(false, Ordering::Relaxed);
    let _next = open(&other, &store, Claim::Create).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(lease.check().await.is_err());

    // Who is not the holder any more does not even begin to let go.
    let store = Arc::<Memory>::default();
    let lease = open(&one, &store, Claim::Create).await.unwrap();
    tokio::time::sleep(Duration::from_secs(31)).await;
    let _next = open(&other, &store, Claim::Create).await.unwrap();
    assert!(lease.let_go().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_confirmation_that_waits() {
    let (store, one) = (Arc::<Memory>::default(), machine());
    let cancel = CancellationToken::new();
    let arm = Arm::new(Arc::new(Nowhere), one.clocks.clone(), cancel.clone());
    let lease = open(&Machine { arm, ..one }, &store, Claim::Create).await.unwrap();
    store.away.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(20)).await;
    cancel.cancel();
    let begun = tokio::time::Instant::now();
    assert!(matches!(lease.check().await, Err(EngineError::Stopped)));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_beat_whose_answer_was_lost_is_its_own() {
    let (store, one) = (Arc::<Memory>::default(), machine());
    let lease = open(&one, &store, Claim::Create).await.unwrap();
    store.loses_answers.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(20)).await;
    lease.check().await.unwrap();
    lease.release(RunOutcome::Failed).await.unwrap();
    assert_eq!(record(&store).await.phase, RunPhase::Released);
}

#[tokio::test(start_paused = true)]
async fn a_record_of_a_newer_version_is_never_called_broken() {
    let (one, store) = (machine(), Arc::<Memory>::default());
    let newer = br#"{"format":2,"operation":"migrate"}"#;
    store.put("config", "run.json", newer.to_vec().into(), WriteCondition::Absent).await.unwrap();
    let refused = open(&one, &store, Claim::Create).await.map(|_| ());
    let Err(ClaimError::Engine(EngineError::UnknownRunRecord { reason })) = refused else {
        panic!("{refused:?}")
    };
    assert!(reason.contains("format is 2"), "{reason}");
}
