//! Text for people: one line a step, numbered in an order that the DAG allows, each with what it waits for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use similar::TextDiff;

use super::{VERBS, readable, subject, verb};
use crate::diff::Difference;
use crate::effect::Effect;
use crate::estimate::duration_seconds;
use crate::placement::{servers_per_zone, survival, warnings};
use crate::plan::{Action, Plan, StepIndex, Verdict};
use crate::spec::{ClusterSpec, ZoneFallback};

/// The plan of one cluster, with what is proven about it.
pub fn text(spec: &ClusterSpec, plan: &Plan) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "cluster {} in {}", spec.name, spec.location);
    layout(spec, &mut out);
    if plan.is_empty() {
        out.push_str("\nNothing to do: Azure holds what is declared.\n");
        return out;
    }
    let _ = writeln!(out, "\n{}", summary(plan));
    proven(plan.verdict(), &mut out);
    out.push('\n');
    let steps = plan.steps();
    let numbers: BTreeMap<StepIndex, usize> =
        steps.iter().enumerate().map(|(at, (index, _))| (*index, at + 1)).collect();
    let width = steps.iter().map(|(_, step)| step.id.chars().count()).max().unwrap_or(0);
    for (index, step) in &steps {
        let number = numbers.get(index).copied().unwrap_or_default();
        let mut line = format!("{number:>4}  {:<width$}  {}", step.id, subject(step));
        let mut needs: Vec<usize> =
            plan.needs(*index).iter().filter_map(|need| numbers.get(need).copied()).collect();
        needs.sort_unstable();
        if !needs.is_empty() {
            let needs: Vec<String> = needs.iter().map(ToString::to_string).collect();
            let _ = write!(line, "  (after {})", needs.join(", "));
        }
        let _ = writeln!(out, "{}", line.trim_end());
        match &step.action {
            Action::Put { differences, alternatives, .. } => {
                for difference in differences {
                    change(difference, &mut out);
                }
                for place in alternatives {
                    let _ = writeln!(out, "        without capacity: {place}");
                }
            }
            Action::Delete { reason, .. } | Action::Restart { reason, .. } => {
                let _ = writeln!(out, "        because {reason}");
            }
            _ => {}
        }
    }
    out
}

fn layout(spec: &ClusterSpec, out: &mut String) {
    let survival = survival(spec.server_count, &spec.zones);
    let per_zone = servers_per_zone(0..spec.server_count, &spec.zones);
    let zones: Vec<String> =
        per_zone.iter().map(|(zone, count)| format!("zone {zone}: {count}")).collect();
    let zones = if zones.is_empty() { "no zones".to_owned() } else { zones.join(", ") };
    let _ = writeln!(out, "servers {} ({zones})", spec.server_count);
    let losses = match survival.zone_losses.as_slice() {
        [] => "no zone".to_owned(),
        zones => format!("any one of zones {}", zones.join(", ")),
    };
    let _ = writeln!(
        out,
        "quorum {}; survives the loss of {} server(s) and of {losses}",
        survival.size, survival.server_losses
    );
    if spec.zone_fallback != ZoneFallback::Strict {
        let word = spec.zone_fallback.as_str();
        let _ = writeln!(
            out,
            "a new server whose zone is full goes elsewhere (zone_fallback = {word})"
        );
    }
    for warning in warnings(spec.server_count, &spec.zones) {
        let _ = writeln!(out, "warning: {warning}");
    }
}

/// Before, on the way, afterwards: only where there was a cluster before.
fn proven(verdict: &Verdict, out: &mut String) {
    if verdict.before.voters == 0 || verdict.states < 2 {
        return;
    }
    let _ = writeln!(out, "proven for all {} states on the way:", verdict.states);
    let rows =
        [("before", &verdict.before), ("at least", &verdict.during), ("after", &verdict.after)];
    for (when, standing) in rows {
        let zones = match standing.zone_losses.as_slice() {
            [] => "of no zone".to_owned(),
            zones => format!("of zone {}", zones.join(" or ")),
        };
        let _ = writeln!(
            out,
            "  {when:<8}  {} voters; survives the loss of {} server(s), {zones}",
            standing.voters, standing.server_losses
        );
    }
}

fn summary(plan: &Plan) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, step) in plan.steps() {
        *counts.entry(verb(step)).or_default() += 1;
    }
    let parts: Vec<String> =
        VERBS.iter().filter_map(|verb| Some(format!("{} {verb}", counts.get(verb)?))).collect();
    let minutes = duration_seconds(plan).div_ceil(60);
    format!("{} steps: {}; about {minutes} min on Azure", plan.len(), parts.join(", "))
}

/// One line for plain values, the changed lines for lists and objects.
fn change(difference: &Difference, out: &mut String) {
    let Difference { path, observed, desired, effect } = difference;
    let (observed, desired) = (readable(observed), readable(desired));
    let effect = match effect {
        Effect::RestartsServer => "  (restarts the server)",
        Effect::ReplacesServer => "  (makes the server anew)",
        Effect::InPlace | Effect::RecreatesObject | Effect::AtCreation | Effect::Impossible => "",
    };
    let is_plain = |value: &Value| !value.is_array() && !value.is_object();
    if is_plain(&observed) && is_plain(&desired) {
        let _ = writeln!(out, "        {path}: {observed} -> {desired}{effect}");
        return;
    }
    let _ = writeln!(out, "        {path}:{effect}");
    if observed.is_null() {
        let _ = writeln!(out, "        + {desired}");
        return;
    }
    if desired.is_null() {
        let _ = writeln!(out, "        - {observed}");
        return;
    }
    let (before, after) = (format!("{observed:#}\n"), format!("{desired:#}\n"));
    let diff = TextDiff::from_lines(&before, &after);
    for op in diff.grouped_ops(1).iter().flatten() {
        for part in diff.iter_changes(op) {
            let _ = write!(out, "        {} {part}", part.tag());
        }
    }
}
