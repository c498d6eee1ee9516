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

/// What CI builds it builds once: without what the next build would save.
fn of_ci() -> Option<(&'static str, &'static str)> {
    std::env::var_os("CI").map(|_| ("CARGO_INCREMENTAL", "0"))
}

/// Cargo, in the repository.
pub(crate) fn cargo_command() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(repository()).envs(of_ci());
    command
}

/// Runs `cargo` with these words and environment variables.
pub(crate) fn cargo_with(words: &[&str], variables: &[(&str, &str)]) -> Result<(), Failure> {
    println!("$ cargo {}", words.join(" "));
    let status = cargo_command().args(words).envs(variables.iter().copied()).status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("cargo {} ended with {status}", words.join(" ")).into())
}

/// Tests that ran.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    /// How long each file of tests took.
    pub(crate) suites: Vec<Suite>,
}

/// A file of tests that ran.
#[derive(Clone, Debug)]
pub(crate) struct Suite {
    /// As cargo names it: the program, or `Doc-tests` of a package.
    pub(crate) name: String,
    pub(crate) duration_seconds: f64,
}

/// Properties try the same worlds in every run of the gate, so that a failure is the change's doing. Long runs by hand
/// take other seeds.
const PROPERTY_SEED: (&str, &str) = ("PROPTEST_RNG_SEED", "20261123");

/// The variable, and its value unless somebody has set it.
pub(crate) fn property_seed() -> (&'static str, String) {
    let (name, seed) = PROPERTY_SEED;
    (name, std::env::var(name).unwrap_or_else(|_| seed.to_owned()))
}

impl Count {
    /// Adds what another lane ran.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.suites.extend(other.suites);
    }

    /// The slowest files of tests, the slowest first.
    pub(crate) fn slowest(&self, most: usize) -> Vec<&Suite> {
        let mut suites: Vec<&Suite> = self.suites.iter().collect();
        suites.sort_by(|a, b| b.duration_seconds.total_cmp(&a.duration_seconds));
        suites.truncate(most);
        suites
    }

    /// Adds what a line of cargo's says of tests that ran.
    pub(crate) fn note(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let number = |word: &str| {
            let mut parts = result.split(['.', ';']);
            parts.find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<u64>().ok())
        };
        self.passed += number("passed").unwrap_or(0);
        self.failed += number("failed").unwrap_or(0);
        self.ignored += number("ignored").unwrap_or(0);
        let seconds = result
            .rsplit_once("finished in ")
            .and_then(|(_, time)| time.trim().trim_end_matches('s').parse().ok());
        self.suites.push(Suite { name: String::new(), duration_seconds: seconds.unwrap_or(0.0) });
    }

    /// Gives their names to the files of tests from `first` on: cargo announces them on its other stream, in the order
    /// in which they run.
    fn name(&mut self, first: usize, names: &[String]) {
        for (suite, name) in self.suites.iter_mut().skip(first).zip(names) {
            suite.name.clone_from(name);
        }
    }
}

/// Name of the file of tests that cargo announces with this line.
fn announced(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(package) = line.strip_prefix("Doc-tests ") {
        return Some(format!("Doc-tests {package}"));
    }
    let (_, program) = line.strip_prefix("Running ")?.rsplit_once('(')?;
    let file = program.trim_end_matches(')').rsplit('/').next()?;
    Some(file.rsplit_once('-').map_or(file, |(name, _)| name).to_owned())
}

/// Runs `cargo test` with these words, shows what it prints and counts what ran.
pub(crate) fn cargo_test(words: &[&str], count: &mut Count) -> Result<(), Failure> {
    cargo_test_with(words, &[], count)
}

/// The same with environment variables.
pub(crate) fn cargo_test_with(
    words: &[&str],
    variables: &[(&str, &str)],
    count: &mut Count,
) -> Result<(), Failure> {
    println!("$ cargo test {}", words.join(" "));
    test_lines(words, variables, count, &mut |line| println!("{line}"))
}

fn test_lines(
    words: &[&str],
    variables: &[(&str, &str)],
    count: &mut Count,
    show: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    let (name, seed) = property_seed();
    let mut child = cargo_command()
        .arg("test")
        .env(name, seed)
        .envs(variables.iter().copied())
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let first = count.suites.len();
    let stderr = child.stderr.take();
    let names = std::thread::spawn(move || {
        let lines =
            stderr.map(BufReader::new).into_iter().flat_map(|it| it.lines().map_while(Result::ok));
        lines
            .inspect(|line| eprintln!("{line}"))
            .filter_map(|line| announced(&line))
            .collect::<Vec<_>>()
    });
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            show(&line);
            count.note(&line);
        }
    }
    let status = child.wait()?;
    count.name(first, &names.join().unwrap_or_default());
    if status.success() {
        return Ok(());
    }
    Err(format!("cargo test {} ended with {status}", words.join(" ")).into())
}

/// Builds every binary of the product.
pub(crate) fn build_binaries() -> Result<(), Failure> {
    cargo(&["build", "--workspace", "--bins", "--exclude", "xtask"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_tests_get_the_names_that_cargo_announced() {
        let mut count = Count::default();
        for line in [
            "test planning::x ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.25s",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 62.50s",
        ] {
            count.note(line);
        }
        let told = [
            "   Compiling hcs-planner v0.1.0 (/repo/planner)",
            "     Running unittests src/lib.rs (target/debug/deps/hcs_planner-0a1b)",
            "     Running tests/laws.rs (target/debug/deps/laws-2c3d)",
        ];
        count.name(0, &told.iter().filter_map(|line| announced(line)).collect::<Vec<_>>());
        assert_eq!((count.passed, count.failed, count.ignored), (7, 2, 1));
        let slowest = count.slowest(1);
        assert_eq!((slowest[0].name.as_str(), slowest[0].duration_seconds), ("laws", 62.5));
        assert_eq!(count.suites[0].name, "hcs_planner");
        assert_eq!(announced("   Doc-tests tfplugin").as_deref(), Some("Doc-tests tfplugin"));
    }
}
