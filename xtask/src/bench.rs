//! `cargo xtask bench`: figures as ratios measured in one run, beside Go providers where they can be had.
//!
//! Times are whole processes, runs interleaved; the ratio is taken pair by pair and its median is what counts.

mod figures;
mod keeper;
mod peers;
mod planning;
mod plans;
mod start;

use std::path::Path;
use std::process::Command;

use hcs_acceptance::bins::{repository, target};
use serde_json::json;

use crate::shell::{Failure, cargo};
use figures::Figure;

/// Runs every benchmark; writes the figures as JSON if asked to.
pub(crate) fn run(json_file: Option<&Path>) -> Result<(), Failure> {
    cargo(&[
        "build",
        "--release",
        "--package",
        "terraform-provider-hcs",
        "--package",
        "hcs-host-manager",
    ])?;
    cargo(&[
        "build",
        "--release",
        "--package",
        "tfplugin",
        "--example",
        "terraform-provider-example",
    ])?;
    let peers = peers::set_up()?;
    let dir = target().join("bench");
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;
    let mut figures: Vec<Figure> = Vec::new();
    figures.push(size()?);
    figures.extend(start::measure(&peers)?);
    figures.extend(plans::measure(&peers, &dir)?);
    figures.extend(planning::measure(&dir)?);
    figures.extend(fleet()?);
    figures.extend(keeper::measure()?);
    println!("\n{:<62} {:>14} {:>10}", "figure", "measured", "promised");
    for figure in &figures {
        println!("{figure}");
    }
    if let Some(path) = json_file {
        let rows: Vec<_> = figures.iter().map(Figure::json).collect();
        std::fs::write(path, format!("{:#}\n", json!({ "figures": rows })))?;
    }
    let missed = figures.iter().filter(|figure| figure.is_missed()).count();
    if missed == 0 { Ok(()) } else { Err(format!("{missed} figures are missed").into()) }
}

/// Clusters of one state, refreshed in a simulated Azure with its buckets: the law that counts them prints figures.
fn fleet() -> Result<Vec<Figure>, Failure> {
    let words =
        ["test", "--quiet", "--package", "terraform-provider-hcs", "fleet", "--", "--nocapture"];
    println!("$ cargo {}", words.join(" "));
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program).args(words).current_dir(repository()).output()?;
    let text = String::from_utf8(output.stdout)?;
    let figures: Vec<Figure> = text.lines().filter_map(Figure::parse).collect();
    if !output.status.success() || figures.is_empty() {
        return Err(format!("the law of fleets does not hold:\n{text}").into());
    }
    Ok(figures)
}

fn size() -> Result<Figure, Failure> {
    let bytes = std::fs::metadata(target().join("release/terraform-provider-hcs"))?.len();
    let megabytes = figures::count(bytes) / 1e6;
    Ok(Figure::new("size of terraform-provider-hcs, release", megabytes, "MB", Some(13.0)))
}
