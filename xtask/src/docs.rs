//! `cargo xtask docs`: the reference documentation, in the layout of the Terraform Registry.

use hcs_acceptance::{Scenario, docs};

use crate::shell::{Failure, build_binaries};

pub(crate) fn run() -> Result<(), Failure> {
    build_binaries()?;
    let scenario = Scenario::start("docs", "", 60)?;
    let pages = docs::generate(&scenario.terraform)?;
    println!("{} pages under docs/", docs::write(&pages)?);
    Ok(())
}
