//! `cargo xtask test`: what CI runs, the same on every machine.

use hcs_acceptance::tools;

use crate::shell::{Failure, build_binaries, cargo};

/// Fetches what is not ours, once.
pub(crate) fn set_up() -> Result<(), Failure> {
    let terraform = tools::terraform()?;
    let consul = tools::consul()?;
    println!("terraform: {}", terraform.display());
    println!("consul {}: {}", tools::consul_version(&consul)?, consul.display());
    Ok(())
}

/// Formatting, lints, and every test of the workspace, cheap ones first.
pub(crate) fn run() -> Result<(), Failure> {
    set_up()?;
    cargo(&["fmt", "--all", "--check"])?;
    build_binaries()?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    cargo(&["test", "--workspace", "--exclude", "hcs-acceptance"])?;
    // Each of these runs whole clusters on loopback addresses, so one at a time.
    cargo(&["test", "-p", "hcs-acceptance", "--", "--test-threads=1"])
}
