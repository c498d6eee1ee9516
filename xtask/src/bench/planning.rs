//! Planner and executor on one core, and the planner beside Terraform itself on as many objects.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hcs_acceptance::bins::{repository, target};

use super::figures::Figure;
use super::plans::Subject;
use crate::shell::Failure;

/// Objects that Terraform plans, one resource each.
const OBJECTS: usize = 10_000;
/// When Terraform is cut.
const TERRAFORM_MINUTES_MAX: u64 = 10;
/// Name of the figure that Terraform is set beside.
const OURS: &str = "plan of 10,000 objects";

pub(crate) fn measure(dir: &Path) -> Result<Vec<Figure>, Failure> {
    let words = ["bench", "--quiet", "--package", "hcs-simulator", "--bench", "planning"];
    println!("$ cargo {}", words.join(" "));
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program)
        .args(words)
        .current_dir(repository())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("the benchmark of the planner failed".into());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut figures: Vec<Figure> = text.lines().filter_map(Figure::parse).collect();
    let ours = figures.iter().find(|figure| figure.is(OURS)).map(Figure::value);
    let ours = ours.ok_or("the benchmark does not tell how long 10,000 objects take")?;
    let (seconds, is_whole) = terraform(dir)?;
    let cut = if is_whole { "" } else { ", cut after 10 minutes" };
    let name = format!("terraform plan of 10,000 resources by count{cut}");
    figures.push(Figure::new(name, seconds, "s", None));
    let name = format!("terraform to ours on 10,000 objects{cut}");
    figures.push(Figure::new(name, seconds / ours, "x", None));
    Ok(figures)
}

/// Seconds of `terraform plan`, and whether it came to its end.
fn terraform(dir: &Path) -> Result<(f64, bool), Failure> {
    let example = target().join("release/examples/terraform-provider-example");
    let folder = dir.join("many");
    std::fs::create_dir_all(&folder)?;
    let text = format!(
        "provider \"example\" {{ folder = \"{}\" }}\nresource \"example_mark\" \"all\" {{\n  count    = {OBJECTS}\n  triggers = {{ name = \"box-${{count.index}}\" }}\n}}\n",
        folder.display()
    );
    let subject = Subject::new(&folder, "example", &example, &text)?;
    let begun = Instant::now();
    let mut child = subject.command(&["plan"])?.stdout(Stdio::null()).spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                return Err("terraform plan of 10,000 resources failed".into());
            }
            return Ok((begun.elapsed().as_secs_f64(), true));
        }
        if begun.elapsed() > Duration::from_secs(TERRAFORM_MINUTES_MAX * 60) {
            child.kill()?;
            child.wait()?;
            return Ok((begun.elapsed().as_secs_f64(), false));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
