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

impl Count {
    /// Adds what a line of cargo's says of tests that ran.
    fn note(&mut self, line: &str) {
        let number = |word: &str| {
            let mut parts = line.strip_prefix("test result: ")?.split(['.', ';']);
            parts.find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<u64>().ok())
        };
        self.passed += number("passed").unwrap_or(0);
        self.failed += number("failed").unwrap_or(0);
        self.ignored += number("ignored").unwrap_or(0);
    }
}

/// Runs `cargo test` with these words, shows what it prints and counts what ran.
pub(crate) fn cargo_test(words: &[&str], count: &mut Count) -> Result<(), Failure> {
    println!("$ cargo test {}", words.join(" "));
    test_lines(words, &mut |line| {
        println!("{line}");
        count.note(line);
    })
}

/// The same beside other tests: what it prints is shown in one piece when it has ended.
pub(crate) fn cargo_test_beside(words: &[&str]) -> (Count, String, Result<(), String>) {
    let (mut count, mut text) = (Count::default(), format!("$ cargo test {}\n", words.join(" ")));
    let ended = test_lines(words, &mut |line| {
        count.note(line);
        text.push_str(line);
        text.push('\n');
    });
    (count, text, ended.map_err(|error| error.to_string()))
}

fn test_lines(words: &[&str], each: &mut dyn FnMut(&str)) -> Result<(), Failure> {
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
            each(&line?);
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
