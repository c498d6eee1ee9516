//! The reference documentation is what the provider's schema says.

use std::error::Error;
use std::fs;

use hcs_acceptance::bins::repository;
use hcs_acceptance::{Scenario, docs};

#[test]
fn the_reference_documentation_is_up_to_date() -> Result<(), Box<dyn Error>> {
    let scenario = Scenario::start("reference", "", 60)?;
    for (name, page) in docs::generate(&scenario.terraform)? {
        let path = repository().join("docs").join(&name);
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(written, page, "docs/{name} is stale: run `cargo xtask docs`");
    }
    Ok(())
}
