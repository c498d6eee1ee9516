//! Applies and jobs of servers exclude each other, whoever hangs, is frozen or killed, and whatever the account answers.
//!
//! What somebody does under a lease or a job is a session. However sessions overlap in what they believe, what they do
//! never interleaves: between two acts of one nobody else acts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::support::claims::{Nowhere, fixed};
use async_trait::async_trait;
use bytes::Bytes;
use hcs_engine::arm::Arm;
use hcs_engine::blob::{BlobContent, BlobEntry, BlobError, BlobStore, WriteCondition};
use hcs_engine::clock::Clock;
use hcs_engine::jobs::HeldJob;
use hcs_engine::lease::{Fence as _, GroupSays, Lease};
use hcs_planner::jobs::JobKind;
use hcs_planner::ownership::{Claim, RunOutcome};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// A world lasts so long.
const WORLD: Duration = Duration::from_mins(12);
const SERVERS: u32 = 2;

struct VirtualClock {
    started: Instant,
}

#[async_trait]
impl Clock for VirtualClock {
    fn now_unix_ms(&self) -> u64 {
        1_795_000_000_000 + self.monotonic_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        sleep(duration).await;
    }
}

/// Splitmix64: a seed makes a world.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    /// Mostly short, now and then longer than anybody waits.
    fn delay(&mut self) -> Duration {
        let most_ms = if self.one_in(25) { 50_000 } else { 900 };
        Duration::from_millis(self.below(most_ms))
    }
}

/// An account that takes its time, breaks off, and loses answers.
struct Account {
    blobs: Mutex<BTreeMap<String, (Bytes, u64, Instant)>>,
    writes: Mutex<u64>,
    random: Mutex<Random>,
}

impl Account {
    async fn takes_time(&self) -> Result<(), BlobError> {
        let (delay, breaks) = {
            let mut random = self.random.lock().unwrap();
            (random.delay(), random.one_in(30))
        };
        sleep(delay).await;
        if breaks {
            let source = "the connection broke".into();
            return Err(BlobError::Unavailable { account: "account".into(), source });
        }
        Ok(())
    }
}

#[async_trait]
impl BlobStore for Account {
    async fn get(&self, _: &str, name: &str) -> Result<Option<BlobContent>, BlobError> {
        self.takes_time().await?;
        let content = self.blobs.lock().unwrap().get(name).map(|(bytes, etag, at)| BlobContent {
            bytes: bytes.clone(),
            etag: etag.to_string(),
            age: Some(at.elapsed()),
            served_unix_s: None,
        });
        self.takes_time().await?;
        Ok(content)
    }

    async fn put(
        &self,
        container: &str,
        name: &str,
        bytes: Bytes,
        condition: WriteCondition,
    ) -> Result<String, BlobError> {
        self.takes_time().await?;
        let written = {
            let mut blobs = self.blobs.lock().unwrap();
            let known = blobs.get(name).map(|(_, etag, _)| etag.to_string());
            let holds = match condition {
                WriteCondition::Always => true,
                WriteCondition::Absent => known.is_none(),
                WriteCondition::Matches(etag) => known == Some(etag),
            };
            holds.then(|| {
                let mut writes = self.writes.lock().unwrap();
                *writes += 1;
                blobs.insert(name.to_owned(), (bytes, *writes, Instant::now()));
                writes.to_string()
            })
        };
        self.takes_time().await?;
        let (container, name) = (container.into(), name.into());
        written.ok_or(BlobError::ConditionFailed { container, name })
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

/// A program that now and then is not run for a while, as on a machine that is suspended.
struct Freezing<F> {
    program: Pin<Box<F>>,
    windows: Vec<(Instant, Instant)>,
    thaws: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Freezing<F> {
    fn new(program: F, random: &mut Random) -> Self {
        let started = Instant::now();
        let mut windows = Vec::new();
        for _ in 0..random.below(4) {
            let from = started + Duration::from_millis(random.below(480_000));
            windows.push((from, from + Duration::from_millis(random.below(80_000))));
        }
        Self { program: Box::pin(program), windows, thaws: None }
    }
}

impl<F: Future> Future for Freezing<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        loop {
            let now = Instant::now();
            let window = self.windows.iter().find(|(from, to)| *from <= now && now < *to).copied();
            let Some((_, to)) = window else { break };
            let mut thaws = Box::pin(sleep_until(to));
            let thawed = thaws.as_mut().poll(context).is_ready();
            self.thaws = Some(thaws);
            if !thawed {
                return Poll::Pending;
            }
        }
        self.program.as_mut().poll(context)
    }
}

/// What was done, by the number of the session that did it.
#[derive(Default)]
struct Acts {
    sessions: u32,
    done: Vec<u32>,
}

type Log = Rc<RefCell<Acts>>;

fn new_session(log: &Log) -> u32 {
    log.borrow_mut().sessions += 1;
    log.borrow().sessions
}

fn acts(log: &Log, session: u32) {
    log.borrow_mut().done.push(session);
}

/// Whether the acts of each session are together.
fn are_apart(done: &[u32]) -> bool {
    let mut ended = std::collections::BTreeSet::new();
    done.windows(2).all(|pair| {
        if pair[0] != pair[1] {
            ended.insert(pair[0]);
        }
        !ended.contains(&pair[1])
    })
}

/// Applies one after the other; some die.
async fn applies(store: Arc<Account>, clock: Arc<dyn Clock>, log: Log, seed: u64) {
    let mut random = Random(seed);
    let mut incarnation: Option<String> = None;
    loop {
        sleep(Duration::from_millis(random.below(40_000))).await;
        let arm = Arm::new(Arc::new(Nowhere), Arc::clone(&clock), CancellationToken::new());
        let store: Arc<dyn BlobStore> = store.clone();
        let claim = incarnation.clone().map_or(Claim::Create, |own| Claim::Update(Some(own)));
        let group = GroupSays::default();
        let Ok((lease, _)) = Lease::open(&arm, store, &claim, &fixed(), group, "apply").await
        else {
            continue;
        };
        incarnation = Some(lease.incarnation_id().to_owned());
        let session = new_session(&log);
        let steps: Vec<u64> = (0..random.below(9)).map(|_| random.below(20_000)).collect();
        let works = async {
            lease.wait_for_jobs().await?;
            for step_ms in steps {
                lease.check().await?;
                acts(&log, session);
                sleep(Duration::from_millis(step_ms)).await;
            }
            lease.close(RunOutcome::Done).await
        };
        let run = async {
            tokio::select! { biased; ended = works => drop(ended), never = lease.beat() => match never {} }
        };
        if random.one_in(3) {
            let _killed = timeout(Duration::from_millis(random.below(60_000)), run).await;
        } else {
            run.await;
        }
    }
}

/// Jobs of one server; some die.
async fn jobs(store: Arc<Account>, clock: Arc<dyn Clock>, log: Log, slot: u32, seed: u64) {
    let mut random = Random(seed);
    loop {
        sleep(Duration::from_millis(random.below(30_000))).await;
        let (store, clock): (Arc<dyn BlobStore>, _) = (store.clone(), Arc::clone(&clock));
        let begun = HeldJob::begin(store, clock, JobKind::Restart, slot, "a test").await;
        let Ok(Ok(held)) = begun else { continue };
        let session = new_session(&log);
        let ticks = random.below(50);
        let work = async {
            for _ in 0..ticks {
                acts(&log, session);
                sleep(Duration::from_secs(1)).await;
            }
        };
        let job = held.hold(work);
        if random.one_in(4) {
            let _killed = timeout(Duration::from_millis(random.below(40_000)), job).await;
        } else {
            let _lost = job.await;
        }
    }
}

/// Acts of a world, and how many sessions there were.
fn world(seed: u64) -> Acts {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let mut random = Random(seed);
        let store = Arc::new(Account {
            blobs: Mutex::default(),
            writes: Mutex::default(),
            random: Mutex::new(Random(random.next())),
        });
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock { started: Instant::now() });
        let log = Log::default();
        let run = applies(store.clone(), clock.clone(), log.clone(), random.next());
        let run = Freezing::new(run, &mut random);
        let servers: Vec<_> = (0..SERVERS)
            .map(|slot| {
                let own = random.next();
                Freezing::new(
                    jobs(store.clone(), clock.clone(), log.clone(), slot, own),
                    &mut random,
                )
            })
            .collect();
        let all = async { tokio::join!(run, futures::future::join_all(servers)) };
        let _over = timeout(WORLD, pin!(all)).await;
        log.take()
    })
}

#[test]
fn what_an_apply_does_and_what_a_job_does_never_interleave() {
    let count: u64 = std::env::var("HCS_CASES").map_or(400, |count| count.parse().unwrap());
    let (mut sessions, mut acted) = (0, 0);
    for seed in 0..count {
        let acts = world(seed);
        assert!(are_apart(&acts.done), "seed {seed}: {:?}", acts.done);
        let mut own = acts.done.clone();
        own.dedup();
        (sessions, acted) = (sessions + acts.sessions, acted + own.len());
    }
    println!("{count} worlds, {sessions} sessions, {acted} of them acted");
    assert!(u64::try_from(acted).unwrap() > count * 4, "they are not all kept from it");
}

#[test]
fn acts_of_two_sessions_that_interleave_are_told() {
    assert!(are_apart(&[1, 1, 2, 3, 3]));
    assert!(!are_apart(&[1, 2, 1]));
}
