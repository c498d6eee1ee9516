//! One run of the engine on an estate, in virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hcs_engine::arm::Arm;
use hcs_engine::entropy::Entropy;
use hcs_engine::error::{EngineError, chain};
use hcs_engine::execute::Report;
use hcs_engine::reconcile::{DestroyLeg, Destroyed, Intent, Outcome, Reconciler, RefusedError};
use hcs_planner::observed::Observed;
use hcs_planner::spec::ClusterSpec;
use hcs_simulator::estate::Estate;
use hcs_simulator::{Calls, Programs, Script, SimClock, SimCloud, Stuck, VirtualTime};
use tokio_util::sync::CancellationToken;

use crate::scenario::Scenario;

/// No run takes longer: an operation is given up after an hour.
const RUN_MAX: Duration = Duration::from_hours(8);
/// Between a run and the next: somebody reads what it said.
const BETWEEN_RUNS: Duration = Duration::from_secs(20);

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Every step is done.
    Complete,
    /// The process was killed.
    Killed,
    /// The user stopped it.
    Stopped,
    /// It ended by itself with this to say.
    Failed(String),
    /// It would never have ended.
    Hung(Stuck),
}

/// What an apply says of a cluster that no state holds and that is finished.
const EXISTS: &str = "it exists already";

/// An estate, and what a Terraform state holds of the cluster in it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Azure.
    pub estate: Estate,
    /// Now, milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// The cluster's incarnation, when a state holds it.
    pub incarnation_id: Option<String>,
    /// Runs so far; each draws from a stream of its own.
    pub runs: u64,
    /// Keys, tokens and certificates as they were first seen.
    pub secrets: BTreeMap<String, Bytes>,
}

/// How a run goes.
pub struct Drive {
    /// Its calls and their faults.
    pub script: Arc<Script>,
}

impl Drive {
    /// Nothing goes wrong.
    pub fn quiet() -> Self {
        Self { script: Arc::default() }
    }

    /// By this script.
    pub fn by(script: Script) -> Self {
        Self { script: Arc::new(script) }
    }
}

/// Randomness of one run: the same run draws the same.
struct Drawn(AtomicU64);

impl Entropy for Drawn {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EngineError> {
        for chunk in bytes.chunks_mut(8) {
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let drawn = (z ^ (z >> 31)).to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
        Ok(())
    }
}

impl Subject {
    /// Secrets that are other ones than before. A slot that goes takes its own along.
    pub fn changed_secrets(&mut self) -> Vec<String> {
        let is_secret =
            |container: &str| container.starts_with("secrets-") || container == "certificates";
        let all = self.estate.blobs.all();
        let now: BTreeMap<String, Bytes> = all
            .filter(|(_, container, ..)| is_secret(container))
            .map(|(_, container, name, blob)| (format!("{container}/{name}"), blob.bytes.clone()))
            .collect();
        let known = std::mem::replace(&mut self.secrets, now);
        let is_other = |(name, bytes): &(String, Bytes)| {
            self.secrets.get(name).is_some_and(|now| now != bytes)
        };
        let changed = known.into_iter().filter(is_other);
        changed.map(|(name, _)| format!("{name} was made twice")).collect()
    }

    /// Lets time pass.
    pub fn rest(&mut self, duration: Duration) {
        self.now_ms += u64::try_from(duration.as_millis()).unwrap_or_default();
        self.estate.advance(self.now_ms);
    }

    /// One run of a scenario, as Terraform would order it now.
    pub fn go(&mut self, scenario: &Scenario, drive: &Drive) -> End {
        match (&scenario.from, &scenario.to) {
            (_, Some(to)) => self.apply(to, drive),
            (Some(from), None) => self.destroy(from, drive),
            (None, None) => End::Complete,
        }
    }

    /// Applies a declaration: a create where no state holds the cluster.
    pub fn apply(&mut self, spec: &ClusterSpec, drive: &Drive) -> End {
        let intent = match &self.incarnation_id {
            None => Intent::Create,
            own => Intent::Update { incarnation_id: own.clone() },
        };
        let mut known = None;
        let end = self.drive(spec, drive, async |reconciler| {
            match Box::pin(reconciler.apply(intent.clone())).await {
                Ok(outcome) => {
                    let end = ended(&outcome.report);
                    known = Some(outcome);
                    end
                }
                Err(error) => refused(&error),
            }
        });
        if let Some(Outcome { incarnation_id: Some(own), .. }) = known {
            self.incarnation_id = Some(own);
        }
        end
    }

    /// Does what a refused create asks for: imports the cluster. A run that was killed after its last call, and before
    /// Terraform wrote it down, leaves no other way.
    pub fn import(&mut self, refused: &End) -> bool {
        let End::Failed(words) = refused else { return false };
        let records = self
            .estate
            .blobs
            .all()
            .find(|(_, container, name, _)| (*container, *name) == ("config", "run.json"));
        let record = records
            .and_then(|(.., blob)| serde_json::from_slice::<serde_json::Value>(&blob.bytes).ok());
        let own = record.and_then(|record| Some(record["incarnation_id"].as_str()?.to_owned()));
        let is_new = words.starts_with(EXISTS) && self.incarnation_id.is_none() && own.is_some();
        if is_new {
            self.incarnation_id = own;
        }
        is_new
    }

    /// Looks at the cluster.
    pub fn observe(&mut self, spec: &ClusterSpec) -> Option<Observed> {
        let mut seen = None;
        self.drive(spec, &Drive::quiet(), async |reconciler| match reconciler.observe().await {
            Ok(observed) => {
                seen = Some(observed);
                End::Complete
            }
            Err(error) => End::Failed(chain(&error)),
        });
        seen
    }

    /// Destroys the cluster that the state holds.
    pub fn destroy(&mut self, spec: &ClusterSpec, drive: &Drive) -> End {
        let own = self.incarnation_id.clone();
        self.drive(spec, drive, async |reconciler| {
            match reconciler.destroy(own.clone(), DestroyLeg::Plain, false).await {
                Ok(Destroyed::Done(report)) => ended(&report),
                Ok(other) => End::Failed(format!("{other:?}")),
                Err(error) => refused(&error),
            }
        })
    }

    fn drive(
        &mut self,
        spec: &ClusterSpec,
        drive: &Drive,
        work: impl AsyncFnOnce(Reconciler<'_>) -> End,
    ) -> End {
        let time = VirtualTime::at(self.now_ms);
        let clock = SimClock::of(&time);
        let empty = Estate::new(hcs_simulator::Settings::default(), 0);
        let cloud = SimCloud::of(std::mem::replace(&mut self.estate, empty), clock.clone());
        let cancel = CancellationToken::new();
        let script = &drive.script;
        let calls = Calls::new(cloud.clone(), clock.clone(), Arc::clone(script), cancel.clone());
        self.runs += 1;
        let arm = Arm::new(Arc::new(calls.clone()), Arc::new(clock), cancel)
            .drawing_from(Arc::new(Drawn(AtomicU64::new(self.runs << 48))));
        let reconciler = Reconciler {
            arm,
            stores: Arc::new(calls),
            artifacts: Arc::new(Programs),
            spec,
            accelerated_sizes: [spec.vm_size.to_lowercase()].into(),
            holder: "an exploration".to_owned(),
        };
        let run = async {
            tokio::select! {
                biased;
                () = script.killed() => End::Killed,
                end = work(reconciler) => end,
            }
        };
        let end = time.run(run, RUN_MAX).unwrap_or_else(End::Hung);
        time.skip(BETWEEN_RUNS);
        self.now_ms = time.now_ms();
        self.estate = cloud.fork();
        end
    }
}

fn ended(report: &Report) -> End {
    if report.is_complete() {
        return End::Complete;
    }
    if report.failures.is_empty() {
        return End::Stopped;
    }
    let tell = |failure: &hcs_engine::execute::Failure| {
        format!("{}: {}", failure.step, chain(&failure.error))
    };
    End::Failed(report.failures.iter().map(tell).collect::<Vec<_>>().join("; "))
}

fn refused(error: &RefusedError) -> End {
    match error {
        RefusedError::Engine(EngineError::Stopped) => End::Stopped,
        error => End::Failed(chain(error)),
    }
}
