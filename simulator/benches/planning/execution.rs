//! Applies on the simulator's clock: finish time beside the critical path, and calls to ARM.

use std::collections::BTreeMap;

use hcs_engine::execute::Span;
use hcs_planner::desired::Desired;
use hcs_planner::plan::{Plan, StepIndex};
use hcs_planner::spec::ClusterSpec;

use crate::figure;
use crate::world::{Azure, spec};

/// Steps that Terraform walks at once.
const TERRAFORM_PARALLEL: usize = 10;

pub(crate) async fn measure() {
    let mut larger = spec(3);
    larger.data_disk_gib = 64;
    let changes: [(&str, Option<ClusterSpec>, ClusterSpec); 4] = [
        ("create 3", None, spec(3)),
        ("create 7", None, spec(7)),
        ("3 to 5", Some(spec(3)), spec(5)),
        ("larger disks", Some(spec(3)), larger),
    ];
    for (name, before, now) in changes {
        let azure = Azure::new().await;
        if let Some(before) = &before {
            Box::pin(azure.run(before)).await;
        }
        let (_, writes) = azure.requests();
        let (plan, spans) = Box::pin(azure.run(&now)).await;
        let writes = azure.requests().1 - writes;
        let (finish, ideal, walked) = times(&plan, &spans);
        figure(&format!("{name}: finish time to critical path"), finish / ideal, "x", Some(1.05));
        figure(
            &format!("{name}: the same DAG with 10 steps at a time, to ours"),
            walked / finish,
            "x",
            None,
        );
        if before.is_none() {
            // The caller's own right on blobs, and the mark on the group that says whose the cluster is.
            let objects = Desired::new(&now).objects.len();
            let more = writes as f64 - objects as f64 - 2.0;
            figure(
                &format!("{name}: writes beyond one an object, right and mark"),
                more,
                "",
                Some(0.0),
            );
        }
        let (reads, writes) = azure.requests();
        assert!(azure.plan(&now).await.is_empty());
        let (reads, writes) = (azure.requests().0 - reads, azure.requests().1 - writes);
        if before.is_none() {
            figure(&format!("{name}: reads of a refresh"), reads as f64, "", Some(18.0));
            figure(&format!("{name}: writes of a refresh"), writes as f64, "", Some(0.0));
        }
    }
}

/// Seconds that the run took, that its longest chain of steps took, and that a walk of ten steps at a time takes, with
/// each step as long as it was. Nothing but the foundation of a create begins before the cluster is claimed, which the
/// chain knows: it is what may not be done earlier.
fn times(plan: &Plan, spans: &[Span]) -> (f64, f64, f64) {
    let begun = spans.iter().map(|span| span.started_ms).min().unwrap_or(0);
    let ended = spans.iter().map(|span| span.ended_ms).max().unwrap_or(0);
    // A step of the foundation that the second plan looks at again is done at once there.
    let mut took: BTreeMap<&str, u64> = BTreeMap::new();
    for span in spans {
        let longest = took.entry(span.step.as_str()).or_default();
        *longest = (*longest).max(span.ended_ms - span.started_ms);
    }
    let id = |index: StepIndex| plan.step(index).map(|step| step.id.as_str()).unwrap_or_default();
    let took = |index: StepIndex| took.get(id(index)).copied().unwrap_or(0);
    let foundation = plan.foundation().unwrap();
    let is_founded = |index: StepIndex| foundation.find(id(index)).is_some();
    let mut ends: BTreeMap<StepIndex, u64> = BTreeMap::new();
    let mut claimed = 0;
    for is_foundation in [true, false] {
        for (index, _) in plan.steps() {
            if is_founded(index) == is_foundation {
                let start = plan.needs(index).iter().map(|need| ends[need]).max().unwrap_or(0);
                ends.insert(index, start.max(claimed) + took(index));
            }
        }
        claimed = ends.values().max().copied().unwrap_or(0);
    }
    let ideal = ends.values().max().copied().unwrap_or(0);
    (
        (ended - begun) as f64 / 1000.0,
        ideal as f64 / 1000.0,
        walk(plan, &took, &is_founded) as f64 / 1000.0,
    )
}

/// A walk that starts what is ready, in the order of the plan, ten at a time; the foundation first.
fn walk(
    plan: &Plan,
    took: &dyn Fn(StepIndex) -> u64,
    is_founded: &dyn Fn(StepIndex) -> bool,
) -> u64 {
    let (foundation, rest): (Vec<StepIndex>, Vec<StepIndex>) =
        plan.steps().iter().map(|(index, _)| *index).partition(|index| is_founded(*index));
    let mut done: Vec<StepIndex> = Vec::new();
    let mut running: Vec<(u64, StepIndex)> = Vec::new();
    let mut now = 0;
    for mut waiting in [foundation, rest] {
        while !(waiting.is_empty() && running.is_empty()) {
            let ready =
                |index: &StepIndex| plan.needs(*index).iter().all(|need| done.contains(need));
            while running.len() < TERRAFORM_PARALLEL
                && let Some(at) = waiting.iter().position(ready)
            {
                let index = waiting.remove(at);
                running.push((now + took(index), index));
            }
            running.sort_unstable();
            let (end, index) = running.remove(0);
            now = end;
            done.push(index);
        }
    }
    now
}
