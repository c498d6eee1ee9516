//! JSON with a stable shape: `{ "format": 1, "cluster": {...}, "verdict": {...},
//! "steps": [ { "id", "needs", ... } ] }`.

use serde_json::{Value, json};

use super::{subject, verb};
use crate::names::Names;
use crate::placement::survival;
use crate::plan::{Plan, Verdict};
use crate::spec::ClusterSpec;

/// Version of the shape; grows when a reader would have to change.
const FORMAT: u32 = 1;

/// The plan of one cluster, with what is proven about it.
pub fn json(spec: &ClusterSpec, plan: &Plan, verdict: &Verdict) -> Value {
    let steps: Vec<Value> = plan
        .steps()
        .into_iter()
        .map(|(index, step)| {
            let needs: Vec<&str> = plan
                .direct_needs(index)
                .into_iter()
                .filter_map(|need| plan.step(need))
                .map(|need| need.id.as_str())
                .collect();
            json!({
                "id": step.id,
                "verb": verb(step),
                "subject": subject(step),
                "slot": step.slot,
                "needs": needs,
                "step": step.action,
            })
        })
        .collect();
    json!({
        "format": FORMAT,
        "cluster": {
            "id": Names::new(spec).cluster_id,
            "name": spec.name,
            "server_count": spec.server_count,
            "zones": spec.zones,
            "survival": survival(spec.server_count, &spec.zones),
        },
        "verdict": verdict,
        "steps": steps,
    })
}
