//! `cargo xtask life`: a cluster's years. One with real servers and a client, in an hour; many in which our servers decide
//! over a Consul of few rules, with faults at random.

use crate::shell::{Failure, cargo_with};

pub(crate) fn live(days: u32, years: u64) -> Result<(), Failure> {
    crate::test::set_up()?;
    crate::shell::build_binaries()?;
    if years > 0 {
        told("hcs-host-manager", "years", ("HCS_YEARS", &years.to_string()))?;
    }
    if days > 0 {
        told("hcs-acceptance", "life", ("HCS_LIFE_DAYS", &days.to_string()))?;
    }
    Ok(())
}

/// The tests of adoptions that take minutes, too.
pub(crate) fn adopt() -> Result<(), Failure> {
    crate::test::set_up()?;
    crate::shell::build_binaries()?;
    let words = ["test", "-q", "-p", "hcs-acceptance", "--test", "adoption", "--"];
    let how = ["--nocapture", "--test-threads=1", "--include-ignored"];
    cargo_with(&[&words[..], &how[..]].concat(), &[])
}

/// Runs a file of tests and shows what it prints.
fn told(package: &str, file: &str, variable: (&str, &str)) -> Result<(), Failure> {
    let words = ["test", "-q", "-p", package, "--test", file, "--", "--nocapture"];
    cargo_with(&words, &[variable])
}
