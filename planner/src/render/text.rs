//! Text for people: one line a step, numbered in an order that the DAG allows, each with what it waits for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use similar::TextDiff;

use super::{subject, verb};
use crate::diff::Difference;
use crate::placement::{servers_per_zone, survival, warnings};
use crate::plan::{Action, Plan, StepIndex, Verdict};
use crate::spec::ClusterSpec;

/// The plan of one cluster, with what is proven about it.
pub fn text(spec: &ClusterSpec, plan: &Plan, verdict: &Verdict) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "cluster {} in {}", spec.name, spec.location);
    layout(spec, &mut out);
    if plan.is_empty() {
        out.push_str("\nNothing to do: Azure holds what is declared.\n");
        return out;
    }
    let _ = writeln!(out, "\n{}", summary(plan));
    proven(verdict, &mut out);
    let steps = plan.steps();
    let numbers: BTreeMap<StepIndex, usize> =
        steps.iter().enumerate().map(|(at, (index, _))| (*index, at + 1)).collect();
    let width = steps.iter().map(|(_, step)| step.id.chars().count()).max().unwrap_or(0);
    for (index, step) in &steps {
        let number = numbers.get(index).copied().unwrap_or_default();
        let mut line = format!("{number:>4}  {:<width$}  {}", step.id, subject(step));
        let mut needs: Vec<usize> = plan
            .direct_needs(*index)
            .iter()
            .filter_map(|need| numbers.get(need).copied())
            .collect();
        needs.sort_unstable();
        if !needs.is_empty() {
            let needs: Vec<String> = needs.iter().map(ToString::to_string).collect();
            let _ = write!(line, "  (after {})", needs.join(", "));
        }
        let _ = writeln!(out, "{}", line.trim_end());
        match &step.action {
            Action::Put { differences, .. } => differences.iter().for_each(|d| change(d, &mut out)),
            Action::Delete { reason, .. } => {
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
    let order = ["create", "update", "delete", "write", "ask", "read", "wait"];
    let parts: Vec<String> =
        order.iter().filter_map(|verb| Some(format!("{} {verb}", counts.get(verb)?))).collect();
    format!("{} steps: {}", plan.len(), parts.join(", "))
}

/// One line for plain values, a diff for lists and objects.
fn change(difference: &Difference, out: &mut String) {
    let Difference { path, observed, desired } = difference;
    let is_plain = |value: &Value| !value.is_array() && !value.is_object();
    if is_plain(observed) && is_plain(desired) {
        let _ = writeln!(out, "        {path}: {observed} -> {desired}");
        return;
    }
    let _ = writeln!(out, "        {path}:");
    let (before, after) = (format!("{observed:#}\n"), format!("{desired:#}\n"));
    for part in TextDiff::from_lines(&before, &after).iter_all_changes() {
        let _ = write!(out, "        {} {part}", part.tag());
    }
}
