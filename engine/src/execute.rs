//! Runs a plan along its DAG: what is ready runs, up to a limit; a failure or a stop starts nothing new and lets
//! running steps end.

mod access;
mod ask;
mod place;
mod restart;
mod restore;
mod seed;
mod steps;
mod store;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hcs_planner::adoption::Adoption;
use hcs_planner::desired::outputs;
use hcs_planner::names::Names;
use hcs_planner::observed::Observed;
use hcs_planner::plan::{Plan, Step, StepIndex};
use hcs_planner::reference::Outputs;
use hcs_planner::spec::ClusterSpec;
use serde_json::Value;
use tracing::Instrument as _;

use crate::arm::{Arm, incarnation};
use crate::artifact::ArtifactFile;
use crate::blob::BlobStores;
use crate::error::EngineError;
use crate::lease::{Fence, Lease};

use store::Patience;

pub use seed::Seeds;

pub use access::{ACCESS_MINUTES_MAX, ensure_blob_access};

tokio::task_local! {
    static CURRENT_STEP: Arc<str>;
}

/// The step on whose behalf the present task works; `None` between steps. For whoever labels requests.
pub fn current_step() -> Option<Arc<str>> {
    CURRENT_STEP.try_with(Arc::clone).ok()
}

/// As many as Terraform itself walks at once.
pub const PARALLEL_STEPS_MAX: usize = 10;

/// Values that steps refer to and that no object gives.
#[derive(Clone, Default)]
pub struct Parameters {
    /// See [`hcs_planner::reference::parameter`].
    pub values: BTreeMap<String, Value>,
    /// Consul, if the plan uploads it.
    pub consul: Option<ArtifactFile>,
    /// The host manager, if the plan uploads it.
    pub host_manager: Option<ArtifactFile>,
}

/// A step that failed.
#[derive(Debug)]
pub struct Failure {
    /// The step's id.
    pub step: String,
    /// Why.
    pub error: EngineError,
}

/// When a step ran, by the run's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The step's id.
    pub step: String,
    /// Milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub ended_ms: u64,
}

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Report {
    /// Ids of the steps that are done, in the order in which they ended.
    pub done: Vec<String>,
    /// When the steps that are done ran.
    pub spans: Vec<Span>,
    /// Steps that failed.
    pub failures: Vec<Failure>,
    /// Ids of the steps that never started or were left while they waited.
    pub left: Vec<String>,
}

impl Report {
    /// What an earlier part of the same run has done comes before this.
    pub fn after(mut self, earlier: Self) -> Self {
        self.done.splice(0..0, earlier.done);
        self.spans.splice(0..0, earlier.spans);
        self
    }

    /// Whether it failed only because somebody changed what was to be written: another look may do.
    pub fn is_overtaken(&self) -> bool {
        let changed = |failure: &Failure| matches!(failure.error, EngineError::Changed { .. });
        !self.failures.is_empty() && self.failures.iter().all(changed)
    }

    /// Every step is done.
    pub fn is_complete(&self) -> bool {
        self.failures.is_empty() && self.left.is_empty()
    }
}

/// Everything that the steps of one run share.
pub struct Run<'a> {
    /// ARM.
    pub arm: Arm,
    /// Blobs.
    pub stores: Arc<dyn BlobStores>,
    /// The cluster.
    pub spec: &'a ClusterSpec,
    /// Its names.
    pub names: Names,
    /// Values that steps refer to.
    pub parameters: Parameters,
    lease: Option<Arc<Lease>>,
    /// What the managed group carried when it was looked at.
    incarnation_id: Option<String>,
    outputs: Mutex<BTreeMap<String, Value>>,
    /// Etags of the documents as they were read or written last.
    etags: Mutex<BTreeMap<String, String>>,
    lock_removed: AtomicBool,
    /// Servers of before that the cluster follows.
    adoption: Option<Box<Adoption>>,
    patience: Patience,
}

impl<'a> Run<'a> {
    /// A run that starts from what is observed. Without a lease it may only lay the foundation of a cluster, or remove
    /// one whose storage is out of reach.
    pub fn new(
        arm: &Arm,
        stores: Arc<dyn BlobStores>,
        spec: &'a ClusterSpec,
        observed: &Observed,
        parameters: Parameters,
        lease: Option<Arc<Lease>>,
    ) -> Self {
        let outputs = outputs(spec, observed);
        // No lock to be seen, and yet one may still block: an earlier run was killed right after it removed ours.
        let locks = "/providers/microsoft.authorization/locks/";
        let lock_removed = !observed.objects.keys().any(|key| key.contains(locks));
        let arm = match &lease {
            Some(lease) => arm.fenced(Arc::clone(lease) as Arc<dyn Fence>),
            None => arm.clone(),
        };
        let patience = Patience::new(&arm);
        let names = Names::new(spec);
        let incarnation_id = observed.object(&names.cluster_id).and_then(incarnation);
        Self {
            arm,
            stores,
            spec,
            names,
            parameters,
            lease,
            incarnation_id: incarnation_id.map(str::to_owned),
            outputs: Mutex::new(outputs),
            etags: Mutex::new(observed.etags.clone()),
            lock_removed: AtomicBool::new(lock_removed),
            adoption: observed.adoption.clone(),
            patience,
        }
    }

    /// Runs the plan. Never leaves a request half sent; a stop parks what only waits.
    pub async fn execute(&self, plan: &Plan) -> Report {
        let mut report = Report::default();
        let mut open: BTreeMap<StepIndex, usize> =
            plan.steps().iter().map(|(index, _)| (*index, plan.needs(*index).len())).collect();
        let mut ready: BTreeSet<StepIndex> =
            open.iter().filter(|(_, needs)| **needs == 0).map(|(index, _)| *index).collect();
        let mut running = FuturesUnordered::new();
        loop {
            let may_start = report.failures.is_empty() && !self.arm.cancel.is_cancelled();
            while may_start && running.len() < PARALLEL_STEPS_MAX {
                let Some(index) = ready.pop_first() else { break };
                let Some(step) = plan.step(index) else { continue };
                running.push(self.observe_step(index, step));
            }
            let Some((index, step, started_ms, result)) = running.next().await else { break };
            match result {
                Ok(()) => {
                    let ended_ms = self.arm.clock.now_unix_ms();
                    report.spans.push(Span { step: step.id.clone(), started_ms, ended_ms });
                    open.remove(&index);
                    report.done.push(step.id.clone());
                    for next in plan.feeds(index) {
                        if let Some(needs) = open.get_mut(&next) {
                            *needs = needs.saturating_sub(1);
                            if *needs == 0 {
                                ready.insert(next);
                            }
                        }
                    }
                }
                Err(EngineError::Stopped) => {}
                Err(error) => report.failures.push(Failure { step: step.id.clone(), error }),
            }
        }
        let failed: BTreeSet<&str> = report.failures.iter().map(|f| f.step.as_str()).collect();
        report.left = plan
            .steps()
            .into_iter()
            .filter(|(index, step)| open.contains_key(index) && !failed.contains(step.id.as_str()))
            .map(|(_, step)| step.id.clone())
            .collect();
        report
    }

    async fn observe_step<'s>(
        &self,
        index: StepIndex,
        step: &'s Step,
    ) -> (StepIndex, &'s Step, u64, Result<(), EngineError>) {
        tracing::info!(step = %step.id, "started");
        if let Some(lease) = &self.lease {
            lease.note_step(&step.id);
        }
        let started_ms = self.arm.clock.now_unix_ms();
        let span = tracing::info_span!("step", step = %step.id, error = tracing::field::Empty);
        let work = self.carry_out(step).instrument(span.clone());
        let result = CURRENT_STEP.scope(step.id.as_str().into(), work).await;
        if let Err(error) = &result {
            span.record("error", crate::error::chain(error));
        }
        let took_ms = self.arm.clock.now_unix_ms().saturating_sub(started_ms);
        match &result {
            Ok(()) => tracing::info!(step = %step.id, took_ms, "done"),
            Err(error) => {
                tracing::warn!(step = %step.id, took_ms, error = %crate::error::chain(error), "not done");
            }
        }
        (index, step, started_ms, result)
    }

    /// The latest body of an object, by its logical name.
    fn body(&self, object: &str) -> Option<Value> {
        self.outputs.lock().ok()?.get(object).cloned()
    }

    fn set_output(&self, object: &str, body: Value) {
        if let Ok(mut outputs) = self.outputs.lock() {
            outputs.insert(object.to_owned(), body);
        }
    }

    fn note_lock_removed(&self) {
        self.lock_removed.store(true, Ordering::Relaxed);
    }

    fn lock_was_removed(&self) -> bool {
        self.lock_removed.load(Ordering::Relaxed)
    }
}

impl Outputs for Run<'_> {
    fn output(&self, object: &str, pointer: &str) -> Option<Value> {
        self.outputs.lock().ok()?.get(object)?.pointer(pointer).cloned()
    }

    fn parameter(&self, name: &str) -> Option<Value> {
        self.parameters.values.get(name).cloned()
    }
}
