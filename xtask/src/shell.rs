//! Runs cargo and other programs, showing what they print.

use std::error::Error;
use std::process::Command;

use hcs_acceptance::bins::repository;

/// Any error of a developer's command, as it is shown.
pub(crate) type Failure = Box<dyn Error>;

/// Runs `cargo` with these words in the repository.
pub(crate) fn cargo(words: &[&str]) -> Result<(), Failure> {
    println!("$ cargo {}", words.join(" "));
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(program).args(words).current_dir(repository()).status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("cargo {} ended with {status}", words.join(" ")).into())
}

/// Builds every binary of the product.
pub(crate) fn build_binaries() -> Result<(), Failure> {
    cargo(&["build", "--workspace", "--bins", "--exclude", "xtask"])
}
