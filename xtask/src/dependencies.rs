//! Bans, licences and sources of all dependencies, by cargo-deny.
//!
//! Building it takes minutes of a processor, and what it says follows from the lock file, the manifests and its rules alone.
//! So `deny.sums` names the ones that it has passed; it is built where one of them is another, and a test says so.

use std::fmt::Write as _;
use std::process::Command;

use hcs_acceptance::bins::{repository, target};
use hcs_acceptance::packages::sha256;

use crate::shell::Failure;

const VERSION: &str = "0.20.2";
const SUMS: &str = "deny.sums";

/// What is done where the sums are those of the last time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sums {
    /// They are believed.
    Believed,
    /// It is looked all the same, and they are written anew.
    Renewed,
}

/// Advisories are not checked: their database cannot be reached from every machine that runs this.
pub(crate) fn check(sums: Sums) -> Result<(), Failure> {
    let now = sums_now()?;
    let passed = std::fs::read_to_string(repository().join(SUMS)).unwrap_or_default();
    if sums == Sums::Believed && passed == now {
        println!("dependencies: {SUMS} names these as checked");
        return Ok(());
    }
    let program = cargo_deny()?;
    println!("$ cargo deny check bans licenses sources");
    let status = Command::new(program)
        .args(["--all-features", "check", "bans", "licenses", "sources"])
        .current_dir(repository())
        .status()?;
    if !status.success() {
        return Err("a dependency breaks deny.toml".into());
    }
    match sums {
        Sums::Renewed => std::fs::write(repository().join(SUMS), now)?,
        Sums::Believed => println!("{SUMS} is of other ones: `cargo xtask check` writes it anew"),
    }
    Ok(())
}

/// As `sha256sum` writes them, of all that decides.
fn sums_now() -> Result<String, Failure> {
    let words = ["ls-files", "Cargo.lock", "deny.toml", "*Cargo.toml"];
    let listed = Command::new("git").args(words).current_dir(repository()).output()?;
    if !listed.status.success() || listed.stdout.is_empty() {
        let why = String::from_utf8_lossy(&listed.stderr);
        return Err(format!("git does not list the manifests: {}", why.trim()).into());
    }
    let mut sums =
        format!("# What cargo-deny {VERSION} has passed; written by `cargo xtask check`.\n");
    for file in String::from_utf8_lossy(&listed.stdout).lines() {
        let _ = writeln!(sums, "{}  {file}", sha256(&repository().join(file))?);
    }
    Ok(sums)
}

/// The program, built if it is not there. Without anybody waiting in front of it: at the end of the processors' line.
fn cargo_deny() -> Result<std::path::PathBuf, Failure> {
    let root = target().join("tools/cargo-deny");
    let program = root.join("bin/cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    // Unoptimised: it runs once, and its own build is what takes time.
    let words = ["-n", "19", "cargo", "install", "cargo-deny", "--version", VERSION, "--locked"];
    let more = ["--debug", "--quiet", "--no-default-features", "--root"];
    println!("$ nice {} {}", words.join(" "), more.join(" "));
    let status = Command::new("nice")
        .args(words)
        .args(more)
        .arg(&root)
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .status()?;
    if !status.success() {
        return Err(format!("cargo install cargo-deny ended with {status}").into());
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_of_these_dependencies() {
        let passed = std::fs::read_to_string(repository().join(SUMS)).unwrap();
        let now = sums_now().unwrap();
        let differ = |line: &&str| !passed.lines().any(|own| own == *line);
        let differ: Vec<&str> = now.lines().filter(differ).collect();
        assert!(passed == now, "`cargo xtask check` looks at them and writes {SUMS}: {differ:#?}");
    }
}
