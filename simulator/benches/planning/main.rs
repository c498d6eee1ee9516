//! Figures of the planner and the executor, on one core. `cargo xtask bench` runs it and shows them beside what is
//! promised; each is a line `name <tab> value <tab> unit <tab> promised at most`.
//!
//! The worlds are what a look at the simulated Azure shows, with all that ARM adds, renamed for each cluster.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss
)]

#[path = "../../tests/crash/world.rs"]
mod world;

mod execution;
mod fleet;

use hcs_planner::plan::plan;
use hcs_planner::render;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Prints a figure; `promised` is the most that it may be.
fn figure(name: &str, value: f64, unit: &str, promised: Option<f64>) {
    let promised = promised.map_or_else(String::new, |promised| promised.to_string());
    println!("figure\t{name}\t{value:.4}\t{unit}\t{promised}");
}

fn main() {
    // A process of its own: nothing is warm.
    if std::env::args().any(|word| word == "cold") {
        let spec = world::spec(7);
        let begun = Instant::now();
        let plan = plan(&spec, &hcs_planner::observed::Observed::default()).unwrap();
        let bytes = render::json(&spec, &plan).len();
        println!("{} {bytes}", begun.elapsed().as_secs_f64() * 1000.0);
        return;
    }
    fleet::cold();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let observed = runtime.block_on(async {
        let azure = world::Azure::new().await;
        Box::pin(azure.run(&world::spec(3))).await;
        azure.observed(&world::spec(3)).await
    });
    fleet::measure(&observed);
    runtime.block_on(execution::measure());
}
