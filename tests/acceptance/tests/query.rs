//! `terraform query` lists clusters that exist, and what it generates is imported and plans empty.
//!
//! Only Terraform 1.14 and later asks a provider to list; under another client nothing of this can be seen.

use std::error::Error;
use std::process::Command;

use hcs_acceptance::{Scenario, Workspace, tools};

type Done = Result<(), Box<dyn Error>>;

#[test]
#[ignore = "needs Terraform 1.14 or later as the client: cargo xtask clients"]
fn a_query_finds_clusters_and_its_configuration_plans_empty() -> Done {
    if !client_can_query()? {
        println!("this client has no query: nothing was seen");
        return Ok(());
    }
    let scenario = Scenario::start("query", "", 60)?;
    scenario.terraform.add("query/main.tf")?;
    scenario.terraform.add("query/clusters.tf")?;
    scenario.terraform.init()?;
    scenario.terraform.apply(&[])?;
    let other = Workspace::new(&scenario.dir.join("other"), &scenario.azure)?;
    other.add("query/main.tf")?;
    other.init()?;
    for (list, names) in [
        ("all.tfquery.hcl", vec!["billing", "search"]),
        ("first.tfquery.hcl", vec!["billing"]),
        ("whole.tfquery.hcl", vec!["billing", "search"]),
        ("by_tag.tfquery.hcl", vec!["search"]),
        ("by_region.tfquery.hcl", vec![]),
    ] {
        other.add(&format!("query/{list}"))?;
        let found = other.run(&["query", "-no-color"])?.expect_code(0)?;
        for name in ["billing", "search"] {
            let is_told = found.stdout.contains(name);
            assert_eq!(is_told, names.contains(&name), "{list}: {}", found.text());
        }
        other.remove(list)?;
    }
    other.add("query/whole.tfquery.hcl")?;
    other.run(&["query", "-no-color", "-generate-config-out=found.tf"])?.expect_code(0)?;
    other.remove("whole.tfquery.hcl")?;
    let imported = other.apply(&[])?;
    assert!(
        imported.text().contains("2 imported, 0 added, 0 changed, 0 destroyed"),
        "{}",
        imported.text()
    );
    let plan = other.plan(&[])?;
    assert_eq!(plan.code, 0, "{}", plan.text());
    scenario.terraform.destroy(&[])?;
    Ok(())
}

fn client_can_query() -> Result<bool, Box<dyn Error>> {
    let help = tools::run(Command::new(tools::terraform()?).args(["-help"]))?;
    Ok(help.lines().any(|line| line.trim_start().starts_with("query ")))
}
