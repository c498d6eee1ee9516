//! One self-contained page: zones as lanes, steps as boxes along the expected time, the critical path marked.
//!
//! No script, no network; light and dark follow the reader's system. A hover shows what a step changes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{subject, verb};
use crate::estimate::{critical_path, seconds};
use crate::placement::zone_of;
use crate::plan::{Action, Plan, Standing, Step, StepIndex, Verdict};
use crate::spec::ClusterSpec;

const BOX_WIDTH: u32 = 208;
const BOX_HEIGHT: u32 = 30;
const COLUMN_GAP: u32 = 44;
const ROW_GAP: u32 = 10;
const LANE_PADDING: u32 = 14;
const LABEL_WIDTH: u32 = 96;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1d2733; --paper: #fff; --faint: #f2f5f8; --line: #b9c4d0;
  --create: #cdeccd; --update: #fdeeb8; --delete: #f8cfcf; --wait: #cfe2f8; --write: #e7e0f5; --critical: #c2410c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4eaf1; --paper: #14191f; --faint: #1c232b; --line: #46525f;
  --create: #1f4d2b; --update: #5a4a12; --delete: #5e2326; --wait: #1d3f63; --write: #3a3157; --critical: #fb923c; } }
body { margin: 24px; font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
h1 { font-size: 22px; margin: 0 0 4px; } p { margin: 4px 0; }
table { border-collapse: collapse; margin: 10px 0; } td, th { text-align: left; padding: 2px 18px 2px 0; }
.legend span { display: inline-block; padding: 1px 10px; margin-right: 8px; border-radius: 4px; color: var(--ink); }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; margin-top: 14px; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); } .lane { fill: var(--faint); }
.label { font-weight: 600; } .edge { fill: none; stroke: var(--line); } .edge.critical { stroke: var(--critical); stroke-width: 2; }
.step { stroke: var(--line); } .step.critical { stroke: var(--critical); stroke-width: 2.5; }
.create { fill: var(--create); background: var(--create); } .update { fill: var(--update); background: var(--update); }
.delete { fill: var(--delete); background: var(--delete); } .wait, .ask, .read { fill: var(--wait); background: var(--wait); }
.write { fill: var(--write); background: var(--write); }
";

/// The page of a plan.
pub fn html(spec: &ClusterSpec, plan: &Plan) -> String {
    let (critical, _) = critical_path(plan);
    let total: u32 =
        critical.iter().filter_map(|i| plan.step(*i)).map(|step| seconds(&step.action)).sum();
    let mut out =
        String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    let title = escape(&format!("Plan for cluster {}", spec.name));
    let _ = writeln!(out, "<title>{title}</title>\n<style>{STYLE}</style></head><body>");
    let _ = writeln!(out, "<h1>{title}</h1>");
    let _ = writeln!(
        out,
        "<p>{} servers in {}, {} steps, about {} min along the critical path.</p>",
        spec.server_count,
        escape(&spec.location),
        plan.len(),
        total.div_ceil(60)
    );
    standings(plan.verdict(), &mut out);
    out.push_str("<p class=\"legend\">");
    for word in ["create", "update", "delete", "write", "wait"] {
        let _ = write!(out, "<span class=\"{word}\">{word}</span>");
    }
    out.push_str("</p>\n<div class=\"scroll\">\n");
    if plan.is_empty() {
        out.push_str("<p>Nothing to do: Azure holds what is declared.</p>");
    } else {
        Drawing::new(spec, plan, &critical).draw(&mut out);
    }
    out.push_str("</div></body></html>\n");
    out
}

fn standings(verdict: &Verdict, out: &mut String) {
    let rows: Vec<(&str, &Standing)> = if verdict.before.voters == 0 {
        vec![("afterwards", &verdict.after)]
    } else {
        vec![
            ("before", &verdict.before),
            ("at least, on the way", &verdict.during),
            ("afterwards", &verdict.after),
        ]
    };
    out.push_str("<table><tr><th></th><th>voters</th><th>may lose servers</th><th>may lose any one zone of</th></tr>");
    for (when, standing) in rows {
        let zones = standing.zone_losses.join(", ");
        let zones = if zones.is_empty() { "none".to_owned() } else { escape(&zones) };
        let (voters, losses) = (standing.voters, standing.server_losses);
        let _ = write!(
            out,
            "<tr><td>{when}</td><td>{voters}</td><td>{losses}</td><td>{zones}</td></tr>"
        );
    }
    let states = verdict.states;
    let _ = writeln!(out, "</table>\n<p>Proven for all {states} states that the plan allows.</p>");
}

/// Where everything is.
struct Drawing<'a> {
    plan: &'a Plan,
    critical: &'a [StepIndex],
    lanes: Vec<(String, u32, u32)>,
    boxes: BTreeMap<StepIndex, (u32, u32)>,
    width: u32,
    height: u32,
}

impl<'a> Drawing<'a> {
    fn new(spec: &ClusterSpec, plan: &'a Plan, critical: &'a [StepIndex]) -> Self {
        let mut columns: BTreeMap<StepIndex, u32> = BTreeMap::new();
        let mut cells: BTreeMap<(String, u32), Vec<StepIndex>> = BTreeMap::new();
        for (index, step) in plan.steps() {
            let needs = plan.needs(index);
            let column = needs.iter().filter_map(|n| columns.get(n)).max().map_or(0, |c| c + 1);
            columns.insert(index, column);
            cells.entry((lane(spec, step), column)).or_default().push(index);
        }
        let mut names: Vec<String> = cells.keys().map(|(lane, _)| lane.clone()).collect();
        names.dedup();
        let (mut lanes, mut boxes, mut top) = (Vec::new(), BTreeMap::new(), 0);
        for name in names {
            let rows = cells.iter().filter(|((lane, _), _)| *lane == name).map(|(_, v)| v.len());
            let rows = u32::try_from(rows.max().unwrap_or(1)).unwrap_or(1);
            let height = rows * (BOX_HEIGHT + ROW_GAP) - ROW_GAP + 2 * LANE_PADDING;
            for ((_, column), steps) in cells.iter().filter(|((lane, _), _)| *lane == name) {
                for (row, index) in (0_u32..).zip(steps) {
                    let x = LABEL_WIDTH + column * (BOX_WIDTH + COLUMN_GAP);
                    let y = top + LANE_PADDING + row * (BOX_HEIGHT + ROW_GAP);
                    boxes.insert(*index, (x, y));
                }
            }
            lanes.push((name, top, height));
            top += height + 4;
        }
        let last = columns.values().max().copied().unwrap_or(0) + 1;
        let width = LABEL_WIDTH + last * (BOX_WIDTH + COLUMN_GAP);
        Self { plan, critical, lanes, boxes, width, height: top }
    }

    fn draw(&self, out: &mut String) {
        let (width, height) = (self.width, self.height);
        let _ = writeln!(
            out,
            "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">"
        );
        for (name, top, height) in &self.lanes {
            let _ = writeln!(
                out,
                "<rect class=\"lane\" x=\"0\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>\
                 <text class=\"label\" x=\"10\" y=\"{}\">{}</text>",
                top + 24,
                escape(name)
            );
        }
        for index in self.boxes.keys() {
            for need in self.plan.needs(*index) {
                self.edge(need, *index, out);
            }
        }
        for (index, step) in self.plan.steps() {
            self.step(index, step, out);
        }
        out.push_str("</svg>\n");
    }

    fn edge(&self, from: StepIndex, to: StepIndex, out: &mut String) {
        let (Some((x1, y1)), Some((x2, y2))) = (self.boxes.get(&from), self.boxes.get(&to)) else {
            return;
        };
        let (x1, y1, y2) = (x1 + BOX_WIDTH, y1 + BOX_HEIGHT / 2, y2 + BOX_HEIGHT / 2);
        let middle = x1 + COLUMN_GAP / 2;
        let class = if self.is_critical_edge(from, to) { "edge critical" } else { "edge" };
        let _ = writeln!(
            out,
            "<path class=\"{class}\" d=\"M{x1} {y1} C{middle} {y1} {} {y2} {x2} {y2}\"/>",
            x2.saturating_sub(COLUMN_GAP / 2)
        );
    }

    fn is_critical_edge(&self, from: StepIndex, to: StepIndex) -> bool {
        self.critical.windows(2).any(|pair| pair == [from, to])
    }

    fn step(&self, index: StepIndex, step: &Step, out: &mut String) {
        let Some((x, y)) = self.boxes.get(&index) else { return };
        let critical = if self.critical.contains(&index) { " critical" } else { "" };
        let _ = writeln!(
            out,
            "<g><title>{}</title><rect class=\"step {}{critical}\" x=\"{x}\" y=\"{y}\" rx=\"5\" \
             width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\"/><text x=\"{}\" y=\"{}\">{}</text></g>",
            escape(&hover(step)),
            verb(step),
            x + 8,
            y + 19,
            escape(&short(&step.id)),
        );
    }
}

/// The zone of a step's server; the cluster's own lane comes first.
fn lane(spec: &ClusterSpec, step: &Step) -> String {
    match step.slot.and_then(|slot| zone_of(slot, &spec.zones)) {
        Some(zone) => format!("zone {zone}"),
        None if step.slot.is_some() => "servers".to_owned(),
        None => "cluster".to_owned(),
    }
}

fn hover(step: &Step) -> String {
    let mut text = format!("{}\n{}\nabout {} s", step.id, subject(step), seconds(&step.action));
    match &step.action {
        Action::Put { update: true, differences, .. } => {
            for difference in differences {
                let _ = write!(
                    text,
                    "\n{}: {} -> {}",
                    difference.path, difference.observed, difference.desired
                );
            }
        }
        Action::Put { body, .. } => {
            let _ = write!(text, "\n{body:#}");
        }
        Action::Delete { reason, .. } => {
            let _ = write!(text, "\nbecause {reason}");
        }
        _ => {}
    }
    text
}

/// What fits into a box.
fn short(text: &str) -> String {
    const CHARACTERS_MAX: usize = 31;
    const START: usize = 12;
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
