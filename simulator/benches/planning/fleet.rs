//! Many clusters: from the world, parsed, to the plan with verdict and JSON.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use hcs_planner::desired::Desired;
use hcs_planner::names::Names;
use hcs_planner::observed::Observed;
use hcs_planner::plan::plan;
use hcs_planner::render;
use hcs_planner::spec::ClusterSpec;

use crate::{figure, world};

/// A cluster of the fleet.
fn spec(number: usize) -> ClusterSpec {
    let mut spec = world::spec(3);
    spec.name = format!("c{number:05}");
    spec.managed_resource_group_name = format!("rg-mrg-c{number:05}");
    spec
}

/// The observed world of one cluster as JSON text, to be renamed for others.
struct Template {
    text: String,
    /// What of it belongs to the first cluster alone, longest first.
    own: Vec<(String, Own)>,
}

/// What a word is replaced by.
enum Own {
    Object(String),
    Uid,
    Group,
    Name,
}

impl Template {
    fn new(observed: &Observed) -> Self {
        let first = world::spec(3);
        let names = Names::new(&first);
        let mut own: Vec<(String, Own)> = Desired::new(&first)
            .objects
            .into_values()
            .filter(|object| object.kind == hcs_planner::arm::Kind::RoleAssignment)
            .map(|object| (object.id.name().to_owned(), Own::Object(object.name)))
            .collect();
        own.push((names.uid.clone(), Own::Uid));
        own.push((first.managed_resource_group_name.clone(), Own::Group));
        own.push((first.name, Own::Name));
        Self { text: serde_json::to_string(observed).unwrap(), own }
    }

    fn of(&self, spec: &ClusterSpec) -> String {
        let names = Names::new(spec);
        let roles: BTreeMap<String, String> = Desired::new(spec)
            .objects
            .into_values()
            .map(|object| (object.name, object.id.name().to_owned()))
            .collect();
        let mut text = self.text.clone();
        for (word, own) in &self.own {
            let other = match own {
                Own::Object(name) => &roles[name],
                Own::Uid => &names.uid,
                Own::Group => &spec.managed_resource_group_name,
                Own::Name => &spec.name,
            };
            text = text.replace(word, other);
        }
        text
    }
}

/// What changes in a cluster of the fleet: in turn tags, the size, the number of servers, or all of it is made.
fn changed(spec: &ClusterSpec, number: usize) -> ClusterSpec {
    let mut spec = spec.clone();
    match number % 3 {
        0 => spec.tags = [("team".to_owned(), "blue".to_owned())].into(),
        1 => spec.vm_size = "Standard_D4s_v5".into(),
        _ => spec.server_count = 5,
    }
    spec
}

/// Seconds to plan this many clusters; reading is not counted. Each world is read, planned and dropped, which is how a
/// process serves a fleet in bounded memory.
fn seconds(template: &Template, clusters: usize, change: bool) -> f64 {
    let mut spent = Duration::ZERO;
    for number in 0..clusters {
        let own = spec(number);
        let world: Observed = serde_json::from_str(&template.of(&own)).unwrap();
        let wanted = if change { changed(&own, number) } else { own };
        let begun = Instant::now();
        let plan = plan(&wanted, &world).unwrap();
        std::hint::black_box(render::json(&wanted, &plan));
        let empty = plan.is_empty();
        drop(plan);
        spent += begun.elapsed();
        assert_eq!(empty, !change, "{}", wanted.name);
    }
    spent.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub(crate) fn measure(observed: &Observed) {
    const RUNS: usize = 5;
    let template = Template::new(observed);
    let objects = observed.objects.len();
    let parse = Instant::now();
    for number in 0..200 {
        let text = template.of(&spec(number));
        std::hint::black_box(serde_json::from_str::<Observed>(&text).unwrap());
    }
    let parsed = parse.elapsed().as_secs_f64() * 5.0;
    figure("reading 1,000 worlds from JSON (not part of the next ones)", parsed, "s", None);
    figure("objects of a cluster of 3", objects as f64, "", None);
    let run = |clusters, change| {
        median((0..RUNS).map(|_| seconds(&template, clusters, change)).collect())
    };
    let (changes, nothing) = (run(1000, true), run(1000, false));
    figure("plan of 1,000 changed clusters with verdicts and JSON", changes, "s", Some(0.25));
    // The measure is 40 objects a cluster.
    let per_40 = changes * 40.0 / objects as f64;
    figure("the same for 40,000 objects", per_40, "s", Some(0.25));
    figure("plan of 1,000 unchanged clusters", nothing, "s", Some(0.1));
    figure(
        "the same for 40,000 objects, unchanged",
        nothing * 40.0 / objects as f64,
        "s",
        Some(0.1),
    );
    figure("peak memory so far", peak_megabytes(), "MB", Some(200.0));
    let ten = run(10, true);
    let hundred = run(100, true);
    let ten_thousand = seconds(&template, 10_000, true);
    figure("100 clusters to 10", hundred / ten, "x", Some(11.0));
    figure("1,000 clusters to 100", changes / hundred, "x", Some(11.0));
    figure("10,000 clusters to 1,000", ten_thousand / changes, "x", Some(11.0));
    let clusters = 10_000_usize.div_ceil(objects);
    let spent = seconds(&template, clusters, true);
    figure("plan of 10,000 objects", spent, "s", None);
}

/// The most memory that this process held.
fn peak_megabytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    let kilobytes: f64 = line.split_whitespace().nth(1).unwrap_or("0").parse().unwrap_or(0.0);
    kilobytes / 1000.0
}

/// A cluster of seven in a fresh process.
pub(crate) fn cold() {
    let own = std::env::current_exe().unwrap();
    let once = || {
        let output = Command::new(&own).arg("cold").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace().next().unwrap().parse::<f64>().unwrap()
    };
    let runs: Vec<f64> = (0..11).map(|_| once()).collect();
    figure("one cluster of 7 servers from nothing, cold", median(runs), "ms", Some(5.0));
}
