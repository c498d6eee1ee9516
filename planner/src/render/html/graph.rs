//! The DAG: zones as lanes, steps as boxes from left to right, edges between them, the critical path marked.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{clock, escape, hover, lane, short};
use crate::estimate::seconds;
use crate::plan::{Plan, Step, StepIndex};
use crate::render::verb;
use crate::spec::ClusterSpec;

const BOX_WIDTH: u32 = 200;
const BOX_HEIGHT: u32 = 38;
const COLUMN_GAP: u32 = 40;
const ROW_GAP: u32 = 8;
const LANE_PADDING: u32 = 12;
const LABEL_WIDTH: u32 = 84;

/// Where everything is.
pub(super) struct Drawing<'a> {
    plan: &'a Plan,
    critical: &'a [StepIndex],
    starts: &'a BTreeMap<StepIndex, u32>,
    lanes: Vec<(String, u32, u32)>,
    boxes: BTreeMap<StepIndex, (u32, u32)>,
    width: u32,
    height: u32,
}

impl<'a> Drawing<'a> {
    pub(super) fn new(
        spec: &ClusterSpec,
        plan: &'a Plan,
        critical: &'a [StepIndex],
        starts: &'a BTreeMap<StepIndex, u32>,
    ) -> Self {
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
        Self { plan, critical, starts, lanes, boxes, width, height: top }
    }

    pub(super) fn draw(&self, out: &mut String) {
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
        // Half of the way flat on each side: long edges leave and come in level.
        let middle = x1 + x2.saturating_sub(x1) / 2;
        let class = if self.is_critical_edge(from, to) { "edge critical" } else { "edge" };
        let _ = writeln!(
            out,
            "<path class=\"{class}\" d=\"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}\"/>"
        );
    }

    fn is_critical_edge(&self, from: StepIndex, to: StepIndex) -> bool {
        self.critical.windows(2).any(|pair| pair == [from, to])
    }

    fn step(&self, index: StepIndex, step: &Step, out: &mut String) {
        let Some((x, y)) = self.boxes.get(&index) else { return };
        let critical = if self.critical.contains(&index) { " critical" } else { "" };
        let took = seconds(&step.action);
        let start = self.starts.get(&index).copied().unwrap_or(0);
        let _ = writeln!(
            out,
            "<g><title>{}</title><rect class=\"step {}{critical}\" x=\"{x}\" y=\"{y}\" rx=\"5\" \
             width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\"/><text x=\"{}\" y=\"{}\">{}</text>\
             <text class=\"time\" x=\"{}\" y=\"{}\">from {} for {}</text></g>",
            escape(&hover(step)),
            verb(step),
            x + 8,
            y + 16,
            escape(&short(&step.id)),
            x + 8,
            y + 31,
            clock(start),
            clock(took),
        );
    }
}
