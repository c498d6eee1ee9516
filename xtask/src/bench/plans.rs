//! `terraform plan` of a thousand resources: ours beside the peers', and the provider's memory in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hcs_acceptance::bins::target;
use hcs_acceptance::tools;

use super::figures::{Figure, median, ratio};
use super::peers::Peers;
use super::start::resident_megabytes;
use crate::shell::Failure;

const COUNT: usize = 1000;
const RUNS: usize = 5;

/// One provider with a thousand of its simplest resources.
pub(super) struct Subject {
    dir: PathBuf,
    process: &'static str,
}

/// Wall seconds and the provider's peak memory of one run.
struct Sample {
    seconds: f64,
    megabytes: f64,
}

pub(crate) fn measure(peers: &Peers, dir: &Path) -> Result<Vec<Figure>, Failure> {
    let example = target().join("release/examples/terraform-provider-example");
    let boxes = dir.join("boxes");
    fs::create_dir_all(&boxes)?;
    let ours = Subject::new(
        dir,
        "example",
        &example,
        &format!(
            "provider \"example\" {{ folder = \"{}\" }}\nresource \"example_mark\" \"all\" {{\n  count    = {COUNT}\n  triggers = {{ name = \"box-${{count.index}}\" }}\n}}\n",
            boxes.display()
        ),
    )?;
    let workato = Subject::new(
        dir,
        "workato",
        &peers.workato,
        &format!(
            "provider \"workato\" {{\n  base_url = \"https://127.0.0.1:9\"\n  api_key = \"none\"\n}}\nresource \"workato_folder\" \"all\" {{\n  count = {COUNT}\n  name  = \"box-${{count.index}}\"\n  folder_id = 1\n}}\n"
        ),
    )?;
    let null = Subject::new(
        dir,
        "null",
        &peers.null,
        &format!(
            "resource \"null_resource\" \"all\" {{\n  count    = {COUNT}\n  triggers = {{ name = \"box-${{count.index}}\" }}\n}}\n"
        ),
    )?;
    let mut figures = Vec::new();
    let [own, theirs] = interleaved(&ours, &workato)?;
    figures.extend(compared("plan of 1,000 to create, example to workato", &own, &theirs, 0.6));
    figures.push(Figure::new(
        "provider's peak memory in it, example to workato",
        ratio(&megabytes(&own), &megabytes(&theirs)),
        "x",
        Some(0.35),
    ));
    for subject in [&ours, &null] {
        subject.terraform(&["apply", "-auto-approve"])?;
    }
    let [own, theirs] = interleaved(&ours, &null)?;
    figures.extend(compared("plan of 1,000 unchanged, example to null", &own, &theirs, 0.8));
    Ok(figures)
}

fn compared(name: &str, own: &[Sample], theirs: &[Sample], promised_max: f64) -> Vec<Figure> {
    let seconds = |samples: &[Sample]| samples.iter().map(|s| s.seconds).collect::<Vec<_>>();
    vec![
        Figure::new(format!("{name}, ours, median"), median(&seconds(own)), "s", None),
        Figure::new(format!("{name}, theirs, median"), median(&seconds(theirs)), "s", None),
        Figure::new(name, ratio(&seconds(own), &seconds(theirs)), "x", Some(promised_max)),
    ]
}

fn megabytes(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.megabytes).collect()
}

fn interleaved(a: &Subject, b: &Subject) -> Result<[Vec<Sample>; 2], Failure> {
    let mut samples = [Vec::new(), Vec::new()];
    for run in 0..=RUNS {
        for (at, subject) in [a, b].into_iter().enumerate() {
            let sample = subject.plan()?;
            if run > 0 {
                samples[at].push(sample);
            }
        }
    }
    Ok(samples)
}

impl Subject {
    pub(super) fn new(
        dir: &Path,
        name: &'static str,
        program: &Path,
        configuration: &str,
    ) -> Result<Self, Failure> {
        let dir = dir.join(name);
        let bin = dir.join("bin");
        fs::create_dir_all(&bin)?;
        let process = format!("terraform-provider-{name}");
        fs::copy(program, bin.join(&process))?;
        let source = format!("bench/{name}");
        fs::write(
            dir.join(".terraformrc"),
            format!(
                "provider_installation {{\n  dev_overrides {{ \"{source}\" = {:?} }}\n  direct {{}}\n}}\n",
                bin.display().to_string()
            ),
        )?;
        let text = format!(
            "terraform {{\n  required_providers {{ {name} = {{ source = \"{source}\" }} }}\n}}\n{configuration}"
        );
        fs::write(dir.join("main.tf"), text)?;
        let process = match name {
            "example" => "terraform-provider-example",
            "workato" => "terraform-provider-workato",
            _ => "terraform-provider-null",
        };
        Ok(Self { dir, process })
    }

    pub(super) fn command(&self, words: &[&str]) -> Result<Command, Failure> {
        let mut command = Command::new(tools::terraform()?);
        command
            .current_dir(&self.dir)
            .args(words)
            .args(["-no-color", "-input=false"])
            .env("TF_CLI_CONFIG_FILE", self.dir.join(".terraformrc"))
            .env("CHECKPOINT_DISABLE", "1");
        Ok(command)
    }

    fn terraform(&self, words: &[&str]) -> Result<(), Failure> {
        Ok(tools::run(&mut self.command(words)?).map(|_| ())?)
    }

    fn plan(&self) -> Result<Sample, Failure> {
        let log = fs::File::create(self.dir.join("plan.log"))?;
        let begun = Instant::now();
        let mut command = self.command(&["plan"])?;
        let mut child = command.stdout(Stdio::null()).stderr(log).spawn()?;
        let mut megabytes: f64 = 0.0;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            for pid in self.providers() {
                megabytes = megabytes.max(resident_megabytes(pid, "VmHWM:").unwrap_or(0.0));
            }
            std::thread::sleep(Duration::from_millis(15));
        };
        let seconds = begun.elapsed().as_secs_f64();
        if status.success() {
            return Ok(Sample { seconds, megabytes });
        }
        let log = fs::read_to_string(self.dir.join("plan.log")).unwrap_or_default();
        Err(format!("terraform plan in {} failed:\n{log}", self.dir.display()).into())
    }

    /// Processes of this provider.
    fn providers(&self) -> Vec<u32> {
        let program = self.dir.join("bin").join(self.process);
        let Ok(entries) = fs::read_dir("/proc") else { return vec![] };
        entries
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
            .filter(|pid: &u32| {
                fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program)
            })
            .collect()
    }
}
