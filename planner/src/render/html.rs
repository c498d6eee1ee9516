//! One self-contained page: what is proven, the whole plan along the expected time, and the DAG with zones as lanes.
//!
//! No script, no network; light and dark follow the reader's system. A hover shows what a step changes.

mod graph;
mod timeline;

use std::fmt::Write as _;

use super::{VERBS, readable, subject, verb};
use crate::desired::place_in;
use crate::estimate::{critical_path, duration_seconds, seconds};
use crate::placement::{warnings, zone_of};
use crate::plan::{Action, Plan, Standing, Step, Verdict};
use crate::spec::ClusterSpec;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1d2733; --paper: #fff; --faint: #f2f5f8; --line: #b9c4d0; --soft: #5b6877;
  --create: #cdeccd; --update: #fdeeb8; --restart: #fbd9b0; --delete: #f8cfcf; --wait: #cfe2f8; --write: #e7e0f5;
  --good: #1a7f37; --critical: #c2410c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4eaf1; --paper: #14191f; --faint: #1c232b; --line: #46525f;
  --soft: #9aa7b5; --create: #1f4d2b; --update: #5a4a12; --restart: #6b3f10; --delete: #5e2326; --wait: #1d3f63;
  --write: #3a3157; --good: #4ac26b; --critical: #fb923c; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 24px; }
h1 { font-size: 22px; margin: 0 0 4px; } h2 { font-size: 16px; margin: 22px 0 6px; } p { margin: 4px 0; }
table { border-collapse: collapse; margin: 10px 0; } th, td { text-align: left; padding: 3px 18px 3px 0; }
thead th, tbody th { font-weight: 600; } tbody th { font-weight: 400; color: var(--soft); }
.proven { color: var(--good); font-weight: 600; } .warning { color: var(--critical); }
.legend span { display: inline-block; padding: 1px 9px; border-radius: 4px; margin-right: 8px; font-size: 13px; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; }
.timeline { width: 100%; height: auto; border: 1px solid var(--line); border-radius: 8px; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); } .lane { fill: var(--faint); }
svg .label { font-weight: 600; } svg .time { font-size: 10.5px; fill: var(--soft); } svg .bar { font-size: 11px; }
.mark { stroke: var(--line); stroke-dasharray: 2 3; }
.edge { fill: none; stroke: var(--line); } .edge.critical { stroke: var(--critical); stroke-width: 2; }
.step { stroke: var(--line); } .step.critical { stroke: var(--critical); stroke-width: 2.5; }
.create { fill: var(--create); background: var(--create); } .update { fill: var(--update); background: var(--update); }
.restart { fill: var(--restart); background: var(--restart); } .delete { fill: var(--delete); background: var(--delete); }
.wait, .ask, .read { fill: var(--wait); background: var(--wait); } .write { fill: var(--write); background: var(--write); }
.path { border: 2px solid var(--critical); }
";

/// The page of a plan.
pub fn html(spec: &ClusterSpec, plan: &Plan) -> String {
    let (critical, starts) = critical_path(plan);
    let total = duration_seconds(plan);
    let mut out =
        String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width\">\n");
    let title = escape(&format!("Plan for cluster {}", spec.name));
    let _ = writeln!(out, "<title>{title}</title>\n<style>{STYLE}</style></head><body>");
    let _ = writeln!(out, "<h1>{title}</h1>");
    let _ = writeln!(
        out,
        "<p>{} servers in {}, {} steps, about {} along the critical path.</p>",
        spec.server_count,
        escape(&spec.location),
        plan.len(),
        clock(total)
    );
    standings(plan.verdict(), &mut out);
    for warning in warnings(spec.server_count, &spec.zones) {
        let _ = writeln!(out, "<p class=\"warning\">{}</p>", escape(&warning));
    }
    if plan.is_empty() {
        out.push_str("<p>Nothing to do: Azure holds what is declared.</p>\n");
    } else {
        legend(plan, &mut out);
        out.push_str("<h2>Along the expected time</h2>\n");
        timeline::draw(spec, plan, &critical, &starts, total, &mut out);
        out.push_str("<h2>Every step and what it waits for</h2>\n<div class=\"scroll\">\n");
        graph::Drawing::new(spec, plan, &critical, &starts).draw(&mut out);
        out.push_str("</div>\n");
    }
    out.push_str("</body></html>\n");
    out
}

fn standings(verdict: &Verdict, out: &mut String) {
    if verdict.states == 0 {
        return;
    }
    let rows: Vec<(&str, &Standing)> = if verdict.before.voters == 0 {
        vec![("afterwards", &verdict.after)]
    } else {
        vec![
            ("before", &verdict.before),
            ("at its weakest, on the way", &verdict.during),
            ("afterwards", &verdict.after),
        ]
    };
    out.push_str(
        "<table><thead><tr><th></th><th>voters</th><th>may lose servers</th>\
         <th>may lose any one zone of</th></tr></thead><tbody>",
    );
    for (when, standing) in rows {
        let zones = standing.zone_losses.join(", ");
        let zones = if zones.is_empty() { "none".to_owned() } else { escape(&zones) };
        let (voters, losses) = (standing.voters, standing.server_losses);
        let _ = write!(
            out,
            "<tr><th>{when}</th><td>{voters}</td><td>{losses}</td><td>{zones}</td></tr>"
        );
    }
    out.push_str("</tbody></table>\n");
    if verdict.before.voters > 0 {
        let _ = writeln!(
            out,
            "<p class=\"proven\">Proven for every one of the {} states that the plan allows: voters at or above \
             the quorum, one server out at most, the leader last.</p>",
            verdict.states
        );
    }
}

fn legend(plan: &Plan, out: &mut String) {
    out.push_str("<p class=\"legend\">");
    let steps = plan.steps();
    for word in VERBS {
        let count = steps.iter().filter(|(_, step)| verb(step) == word).count();
        if count > 0 {
            let _ = write!(out, "<span class=\"{word}\">{count} {word}</span>");
        }
    }
    out.push_str("<span class=\"path\">critical path</span></p>\n");
}

/// Minutes and seconds.
fn clock(seconds: u32) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// The zone of a step's server; the cluster's own lane comes first.
fn lane(spec: &ClusterSpec, step: &Step) -> String {
    let own = match &step.action {
        Action::Put { kind: crate::arm::Kind::ScaleSet, body, .. } => place_in(body).zone,
        _ => step.slot.and_then(|slot| zone_of(slot, &spec.zones)).map(str::to_owned),
    };
    match own {
        Some(zone) => format!("zone {zone}"),
        None if step.slot.is_some() => "servers".to_owned(),
        None => "cluster".to_owned(),
    }
}

fn hover(step: &Step) -> String {
    let mut text =
        format!("{}\n{}\nabout {}", step.id, subject(step), clock(seconds(&step.action)));
    match &step.action {
        Action::Put { body, differences, .. } => {
            for difference in differences {
                let (observed, desired) =
                    (readable(&difference.observed), readable(&difference.desired));
                let _ = write!(text, "\n{}: {observed} -> {desired}", difference.path);
            }
            if differences.is_empty() {
                let _ = write!(text, "\n{:#}", readable(body));
            }
        }
        Action::Delete { reason, .. } | Action::Restart { reason, .. } => {
            let _ = write!(text, "\nbecause {reason}");
        }
        _ => {}
    }
    text
}

/// What fits into a box.
fn short(text: &str) -> String {
    const CHARACTERS_MAX: usize = 28;
    const START: usize = 11;
    let count = text.chars().count();
    if count <= CHARACTERS_MAX {
        return text.to_owned();
    }
    // The verb and what tells it from its neighbours, which is the end.
    let start: String = text.chars().take(START).collect();
    let end: String = text.chars().skip(count - (CHARACTERS_MAX - START - 1)).collect();
    format!("{start}…{end}")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
