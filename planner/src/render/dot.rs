//! The DAG for Graphviz.

use std::fmt::Write as _;

use super::verb;
use crate::plan::Plan;

/// The plan as a `digraph`.
pub fn dot(plan: &Plan) -> String {
    let mut out = String::from("digraph plan {\n  rankdir=LR;\n  node [shape=box];\n");
    for (index, step) in plan.steps() {
        let color = match verb(step) {
            "create" => "palegreen",
            "update" => "lightyellow",
            "delete" => "lightpink",
            "wait" | "ask" => "lightblue",
            "restart" => "orange",
            _ => "white",
        };
        let id = quote(&step.id);
        let _ = writeln!(out, "  {id} [style=filled, fillcolor={color}];");
        for need in plan.needs(index) {
            if let Some(need) = plan.step(need) {
                let _ = writeln!(out, "  {} -> {id};", quote(&need.id));
            }
        }
    }
    out.push_str("}\n");
    out
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
