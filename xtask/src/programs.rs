//! Every program of tests, built in one go and run without cargo.
//!
//! One build has one choice of every dependency's features. Cargo makes that choice for the packages that it is asked for, so
//! three commands for parts of the workspace compile the large dependencies three times.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::shell::{Count, Failure, Suite, cargo_command, property_seed};

/// A program that runs the tests of one library, binary or file.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) package: String,
    /// Of the file in `tests/`; none for tests in the sources.
    pub(crate) file: Option<String>,
    executable: PathBuf,
    /// Where cargo runs it.
    folder: PathBuf,
}

/// Builds all programs of the product and all of tests; returns the latter.
pub(crate) fn build() -> Result<Vec<Program>, Failure> {
    let words = ["build", "--workspace", "--bins", "--examples", "--tests", "--message-format"];
    println!("$ cargo {} json-render-diagnostics", words.join(" "));
    let mut child = cargo_command()
        .args(words)
        .arg("json-render-diagnostics")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut programs = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            programs.extend(program(&line?));
        }
    }
    let status = child.wait()?;
    if status.success() {
        Ok(programs)
    } else {
        Err(format!("cargo build ended with {status}").into())
    }
}

/// The program of tests that a message of cargo's tells of.
fn program(message: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_test = message["profile"]["test"].as_bool()?;
    let executable = message["executable"].as_str().filter(|_| is_test)?;
    let folder = PathBuf::from(message["manifest_path"].as_str()?).parent()?.to_owned();
    let of_file = message["target"]["kind"].as_array()?.iter().any(|kind| kind == "test");
    let name = message["target"]["name"].as_str()?;
    // `path+file:///repo/planner#hcs-planner@0.1.0`, and without a name where the folder has it.
    let id = message["package_id"].as_str()?;
    let (path, version) = id.rsplit_once('#')?;
    let package = match version.split_once('@') {
        Some((name, _)) => name,
        None => path.rsplit('/').next()?,
    };
    Some(Program {
        package: package.to_owned(),
        file: of_file.then(|| name.to_owned()),
        executable: executable.into(),
        folder,
    })
}

impl Program {
    /// What it is called in lists.
    fn name(&self) -> &str {
        self.file.as_deref().unwrap_or(&self.package)
    }

    /// Runs its tests, so many at once, and counts them.
    pub(crate) fn run(
        &self,
        threads: Option<u32>,
        count: &mut Count,
        show: &mut dyn FnMut(&str),
    ) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", self.name());
        let (began, first) = (Instant::now(), count.suites.len());
        show(&format!("\n{} of {}", self.file.as_deref().unwrap_or("sources"), self.package));
        let mut command = Command::new(&self.executable);
        if let Some(threads) = threads {
            command.arg(format!("--test-threads={threads}"));
        }
        let (name, seed) = property_seed();
        let child = command
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder)
            .env("CARGO", std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .env(name, seed)
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.map_err(|error| failed(&error))?;
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                show(&line);
                count.note(&line);
            }
        }
        let status = child.wait().map_err(|error| failed(&error))?;
        count.suites.truncate(first);
        let duration_seconds = began.elapsed().as_secs_f64();
        count.suites.push(Suite { name: self.name().to_owned(), duration_seconds });
        if status.success() { Ok(()) } else { Err(failed(&status)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_tells_which_program_has_whose_tests() {
        let message = |kind: &str, name: &str, id: &str, is_test: bool| {
            serde_json::json!({
                "reason": "compiler-artifact",
                "package_id": id,
                "manifest_path": "/repo/planner/Cargo.toml",
                "target": { "kind": [kind], "name": name },
                "profile": { "test": is_test },
                "executable": "/repo/target/debug/deps/laws-2c3d",
            })
            .to_string()
        };
        let named = "path+file:///repo/planner#hcs-planner@0.1.0";
        let laws = program(&message("test", "laws", named, true)).unwrap();
        assert_eq!((laws.package.as_str(), laws.file.as_deref()), ("hcs-planner", Some("laws")));
        assert_eq!(laws.folder, PathBuf::from("/repo/planner"));
        let sources = program(&message("lib", "xtask", "path+file:///repo/xtask#0.1.0", true));
        let sources = sources.unwrap();
        assert_eq!((sources.name(), sources.file.as_deref()), ("xtask", None));
        assert!(program(&message("bin", "hcs", named, false)).is_none(), "no program of tests");
        assert!(program("not of cargo").is_none());
    }
}
