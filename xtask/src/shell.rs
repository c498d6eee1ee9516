//! Runs cargo and other programs, showing what they print.

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use hcs_acceptance::bins::repository;

/// Any error of a developer's command, as it is shown.
pub(crate) type Failure = Box<dyn Error>;

/// Runs `cargo` with these words in the repository.
pub(crate) fn cargo(words: &[&str]) -> Result<(), Failure> {
    cargo_with(words, &[])
}

/// Runs `cargo` with these words and environment variables.
pub(crate) fn cargo_with(words: &[&str], variables: &[(&str, &str)]) -> Result<(), Failure> {
    println!("$ cargo {}", words.join(" "));
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(words).current_dir(repository()).envs(variables.iter().copied());
    let status = command.status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("cargo {} ended with {status}", words.join(" ")).into())
}

/// Tests that ran.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

/// Properties try the same worlds in every run of the gate, so that a failure is the change's doing. Long runs by hand
/// take other seeds.
const PROPERTY_SEED: (&str, &str) = ("PROPTEST_RNG_SEED", "20261123");

/// Runs `cargo test` with these words, shows what it prints and counts what ran.
pub(crate) fn cargo_test(words: &[&str], count: &mut Count) -> Result<(), Failure> {
    println!("$ cargo test {}", words.join(" "));
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let (name, seed) = PROPERTY_SEED;
    let seed = std::env::var(name).unwrap_or_else(|_| seed.to_owned());
    let mut child = Command::new(program)
        .arg("test")
        .env(name, seed)
        .args(words)
        .current_dir(repository())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            println!("{line}");
            let number = |word: &str| {
                let mut parts = line.strip_prefix("test result: ")?.split(['.', ';']);
                parts.find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<u64>().ok())
            };
            count.passed += number("passed").unwrap_or(0);
            count.failed += number("failed").unwrap_or(0);
            count.ignored += number("ignored").unwrap_or(0);
        }
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("cargo test {} ended with {status}", words.join(" ")).into())
}

/// Builds every binary of the product.
pub(crate) fn build_binaries() -> Result<(), Failure> {
    cargo(&["build", "--workspace", "--bins", "--exclude", "xtask"])
}
