//! `cargo xtask planted`: bugs that somebody could make, each planted into a copy of the code and found by the test that
//! is named for it. A test that passes with its bug in place guards nothing.

mod bugs;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use hcs_acceptance::bins::{repository, target};

use crate::shell::Failure;

use bugs::BUGS;

/// A bug.
pub(crate) struct Bug {
    /// What it does.
    pub(crate) name: &'static str,
    /// File that it is planted into.
    pub(crate) file: &'static str,
    /// The right code; it is there once.
    pub(crate) right: &'static str,
    /// The wrong code.
    pub(crate) wrong: &'static str,
    /// Package, kind of target, target, and name of the test that finds it.
    pub(crate) test: &'static Test,
}

/// A test by its place.
pub(crate) struct Test {
    /// Package.
    pub(crate) package: &'static str,
    /// `--lib`, `--bin x` or `--test x`.
    pub(crate) of: &'static [&'static str],
    /// Name, or a part of it.
    pub(crate) name: &'static str,
}

/// At least so many bugs are tried.
const PROMISED: usize = 30;

/// Plants every bug whose name contains `filter`, one after the other.
pub(crate) fn run(filter: Option<&str>) -> Result<(), Failure> {
    let tree = target().join("planted/tree");
    copy_of_the_code(&tree)?;
    let chosen: Vec<&Bug> =
        BUGS.iter().filter(|bug| filter.is_none_or(|part| bug.name.contains(part))).collect();
    let mut healthy = BTreeSet::new();
    let mut missed = Vec::new();
    for (number, bug) in chosen.iter().enumerate() {
        let began = Instant::now();
        // A test that fails anyway finds nothing.
        let words = words(bug.test);
        if healthy.insert(words.clone()) && !passes(&tree, &words)? {
            return Err(format!("{} fails without a bug", words.join(" ")).into());
        }
        let path = tree.join(bug.file);
        let right = fs::read_to_string(&path)?;
        fs::write(&path, right.replacen(bug.right, bug.wrong, 1))?;
        let found = builds(&tree, &words)? && !passes(&tree, &words)?;
        fs::write(&path, &right)?;
        let verdict = if found { "found by" } else { "MISSED by" };
        println!(
            "{:>2}/{} {}: {verdict} {}::{} ({} s)",
            number + 1,
            chosen.len(),
            bug.name,
            bug.test.package,
            bug.test.name,
            began.elapsed().as_secs()
        );
        if !found {
            missed.push(bug.name);
        }
    }
    if filter.is_none() && chosen.len() < PROMISED {
        return Err(format!("{} bugs, promised {PROMISED}", chosen.len()).into());
    }
    println!("{} of {} planted bugs are found", chosen.len() - missed.len(), chosen.len());
    if missed.is_empty() { Ok(()) } else { Err(format!("missed: {}", missed.join("; ")).into()) }
}

fn words(test: &Test) -> Vec<&'static str> {
    let mut words = vec!["--package", test.package];
    words.extend(test.of);
    words.push(test.name);
    words
}

/// What git tracks, as it is in the working tree.
fn copy_of_the_code(tree: &Path) -> Result<(), Failure> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(repository()).output()?;
    let names = String::from_utf8(listed.stdout)?;
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (repository().join(name), tree.join(name));
        let Ok(bytes) = fs::read(&from) else { continue };
        // What is as it was keeps its time, so that it is not built again.
        if fs::read(&to).is_ok_and(|known| known == bytes) {
            continue;
        }
        fs::create_dir_all(to.parent().unwrap_or(tree))?;
        fs::write(to, bytes)?;
    }
    Ok(())
}

fn cargo_test(tree: &Path, words: &[&str], more: &[&str]) -> Result<bool, Failure> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target: PathBuf = target().join("planted/target");
    let status = Command::new(program)
        .arg("test")
        .arg("--quiet")
        .args(words)
        .args(more)
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", target)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(status.success())
}

fn builds(tree: &Path, words: &[&str]) -> Result<bool, Failure> {
    cargo_test(tree, words, &["--no-run"])
}

fn passes(tree: &Path, words: &[&str]) -> Result<bool, Failure> {
    cargo_test(tree, words, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The long form takes half an hour; this keeps it from rotting.
    #[test]
    fn every_bug_can_still_be_planted_and_its_test_is_there() {
        assert!(BUGS.len() >= PROMISED, "{}", BUGS.len());
        let (mut names, mut rotten) = (BTreeSet::new(), Vec::new());
        for bug in BUGS {
            assert!(names.insert(bug.name), "{} is there twice", bug.name);
            let text = fs::read_to_string(repository().join(bug.file)).expect(bug.file);
            if text.matches(bug.right).count() != 1 {
                rotten.push(format!("{} ({}): {}", bug.name, bug.file, bug.right));
            }
            assert_ne!(bug.right, bug.wrong);
            let folder = match bug.test.package {
                "terraform-provider-hcs" => "provider",
                "hcs-exploration" => "tests/exploration",
                package => package.strip_prefix("hcs-").expect("a room"),
            };
            let listed = Command::new("git")
                .args(["grep", "-l", &format!("fn {}", bug.test.name), "--", folder])
                .current_dir(repository())
                .output()
                .expect("git runs");
            if let ["--test", program] = bug.test.of {
                let tests = repository().join(folder).join("tests");
                let manifest = repository().join(folder).join("Cargo.toml");
                let manifest = fs::read_to_string(manifest).expect("a manifest");
                let is_named = manifest.contains(&format!("name = \"{program}\""));
                let files = [format!("{program}.rs"), format!("{program}/main.rs")];
                let is_found = !manifest.contains("autotests = false")
                    && files.iter().any(|file| tests.join(file).is_file());
                if !is_named && !is_found {
                    rotten.push(format!("{}: {folder} has no --test {program}", bug.name));
                }
            }
            if listed.stdout.is_empty() {
                rotten.push(format!("{}: no test {}", bug.name, bug.test.name));
            }
        }
        assert!(rotten.is_empty(), "{}", rotten.join("\n"));
    }
}
