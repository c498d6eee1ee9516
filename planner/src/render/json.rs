//! JSON with a stable shape: `{ "format": 2, "cluster": {...}, "verdict": {...},
//! "steps": [ { "id", "verb", "subject", "slot", "needs", "step" } ] }`.

use serde::Serialize;

use super::{subject, verb};
use crate::arm::ArmId;
use crate::estimate::{critical_path, seconds};
use crate::names::Names;
use crate::placement::{Survival, survival};
use crate::plan::{Action, Plan, Verdict};
use crate::spec::ClusterSpec;

/// Version of the shape; grows when a reader would have to change.
const FORMAT: u32 = 2;

#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    cluster: Cluster<'a>,
    verdict: &'a Verdict,
    estimated_seconds: u32,
    critical_path: Vec<&'a str>,
    steps: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Cluster<'a> {
    id: ArmId,
    name: &'a str,
    server_count: u32,
    zones: &'a [String],
    survival: Survival,
}

#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    verb: &'static str,
    subject: String,
    slot: Option<u32>,
    needs: Vec<&'a str>,
    estimated_seconds: u32,
    step: &'a Action,
}

/// The plan of one cluster, with what is proven about it.
pub fn json(spec: &ClusterSpec, plan: &Plan) -> String {
    let (path, starts) = critical_path(plan);
    let name_of = |index| plan.step(index).map_or("", |step| step.id.as_str());
    let rows = plan.steps().into_iter().map(|(index, step)| Row {
        id: &step.id,
        verb: verb(step),
        subject: subject(step),
        slot: step.slot,
        needs: plan.needs(index).into_iter().map(name_of).collect(),
        estimated_seconds: seconds(&step.action),
        step: &step.action,
    });
    let last = path.last().and_then(|index| Some((starts.get(index)?, plan.step(*index)?)));
    let document = Document {
        format: FORMAT,
        cluster: Cluster {
            id: Names::new(spec).cluster_id,
            name: &spec.name,
            server_count: spec.server_count,
            zones: &spec.zones,
            survival: survival(spec.server_count, &spec.zones),
        },
        verdict: plan.verdict(),
        estimated_seconds: last.map_or(0, |(start, step)| start + seconds(&step.action)),
        critical_path: path.iter().map(|index| name_of(*index)).collect(),
        steps: rows.collect(),
    };
    // Strings, numbers and maps with string keys: there is nothing that JSON cannot hold.
    serde_json::to_string(&document).unwrap_or_default()
}
