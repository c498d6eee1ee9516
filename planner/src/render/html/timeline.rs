//! The whole plan at one look: a row a lane, bars as long as their steps are expected to take.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{clock, escape, hover, lane};
use crate::estimate::seconds;
use crate::plan::{Plan, StepIndex};
use crate::render::verb;
use crate::spec::ClusterSpec;

const WIDTH: u32 = 1200;
const LABEL_WIDTH: u32 = 84;
const BAR_HEIGHT: u32 = 16;
const ROW_GAP: u32 = 3;
const LANE_PADDING: u32 = 6;
const AXIS_HEIGHT: u32 = 22;
/// Shorter steps would be slivers; they are in the graph below.
const SECONDS_MIN: u32 = 10;

/// One bar.
struct Bar {
    index: StepIndex,
    start: u32,
    end: u32,
}

pub(super) fn draw(
    spec: &ClusterSpec,
    plan: &Plan,
    critical: &[StepIndex],
    starts: &BTreeMap<StepIndex, u32>,
    total: u32,
    out: &mut String,
) {
    let total = total.max(1);
    let mut lanes: BTreeMap<String, Vec<Vec<Bar>>> = BTreeMap::new();
    for (index, step) in plan.steps() {
        let rows = lanes.entry(lane(spec, step)).or_default();
        let took = seconds(&step.action);
        if took < SECONDS_MIN {
            continue;
        }
        let start = starts.get(&index).copied().unwrap_or(0);
        let bar = Bar { index, start, end: start + took };
        // The first row with room for it.
        let is_free = |row: &Vec<Bar>| row.iter().all(|o| o.end <= bar.start || bar.end <= o.start);
        match rows.iter().position(is_free) {
            Some(at) => rows[at].push(bar),
            None => rows.push(vec![bar]),
        }
    }
    let x = |seconds: u32| LABEL_WIDTH + (WIDTH - LABEL_WIDTH - 8) * seconds / total;
    let rows: u32 = lanes.values().map(|rows| height(rows) + 2).sum();
    let full = rows + AXIS_HEIGHT;
    let _ = writeln!(
        out,
        "<svg class=\"timeline\" viewBox=\"0 0 {WIDTH} {full}\" role=\"img\" aria-label=\"Timeline\">"
    );
    let mut top = 0;
    for (name, rows) in &lanes {
        let height = height(rows);
        let _ = writeln!(
            out,
            "<rect class=\"lane\" x=\"0\" y=\"{top}\" width=\"{WIDTH}\" height=\"{height}\"/>\
             <text class=\"label\" x=\"8\" y=\"{}\">{}</text>",
            top + LANE_PADDING + 13,
            escape(name)
        );
        for (at, row) in (0_u32..).zip(rows) {
            let y = top + LANE_PADDING + at * (BAR_HEIGHT + ROW_GAP);
            for bar in row {
                self::bar(plan, critical, bar, (x(bar.start), x(bar.end), y), out);
            }
        }
        top += height + 2;
    }
    axis(total, x, top, out);
    out.push_str("</svg>\n");
}

fn height(rows: &[Vec<Bar>]) -> u32 {
    let rows = u32::try_from(rows.len()).unwrap_or(1).max(1);
    rows * (BAR_HEIGHT + ROW_GAP) - ROW_GAP + 2 * LANE_PADDING
}

fn bar(
    plan: &Plan,
    critical: &[StepIndex],
    bar: &Bar,
    (left, right, y): (u32, u32, u32),
    out: &mut String,
) {
    const LETTER_WIDTH: u32 = 7;
    let Some(step) = plan.step(bar.index) else { return };
    let marked = if critical.contains(&bar.index) { " critical" } else { "" };
    let width = right.saturating_sub(left).max(2);
    let letters = width.saturating_sub(8) / LETTER_WIDTH;
    let fits = u32::try_from(step.id.chars().count()).is_ok_and(|count| count <= letters);
    let text = if fits { escape(&step.id) } else { String::new() };
    let _ = writeln!(
        out,
        "<g><title>{}</title><rect class=\"step {}{marked}\" x=\"{left}\" y=\"{y}\" rx=\"3\" width=\"{width}\" \
         height=\"{BAR_HEIGHT}\"/><text class=\"bar\" x=\"{}\" y=\"{}\">{text}</text></g>",
        escape(&hover(step)),
        verb(step),
        left + 4,
        y + 12,
    );
}

/// A mark each so many minutes, ten marks at most.
fn axis(total: u32, x: impl Fn(u32) -> u32, top: u32, out: &mut String) {
    let minutes = [1, 2, 5, 10, 15, 30, 60, 120];
    let each = minutes.into_iter().find(|m| total / (m * 60) <= 10).unwrap_or(240) * 60;
    for mark in (0..=total).step_by(each as usize) {
        let at = x(mark);
        let _ = writeln!(
            out,
            "<path class=\"mark\" d=\"M{at} 0 V{}\"/><text class=\"time\" x=\"{}\" y=\"{}\">{}</text>",
            top + 4,
            at + 3,
            top + 16,
            clock(mark)
        );
    }
}
