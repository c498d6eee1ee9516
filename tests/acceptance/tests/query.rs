//! `terraform query` lists clusters that exist, and what it generates is imported and plans empty.
//!
//! Only Terraform 1.14 and later asks a provider to list; under another client nothing of this can be seen.

use std::error::Error;
use std::process::Command;

use hcs_acceptance::scenario::{GROUP, set_consul};
use hcs_acceptance::{Scenario, Workspace, tools};

type Done = Result<(), Box<dyn Error>>;

const HEAD: &str = r#"
terraform {
  required_providers { hcs = { source = "hcs-community/hcs" } }
}
provider "hcs" {}
variable "consul_version" { type = string }
variable "consul_archive" { type = string }
variable "resource_group_name" { type = string }
"#;

const CLUSTERS: &str = r#"
resource "hcs_cluster" "each" {
  for_each            = toset(["billing", "search"])
  name                = each.key
  resource_group_name = var.resource_group_name
  server_count        = 1
  consul_version      = var.consul_version
  artifact_source     = { location = var.consul_archive }
  tags                = { team = each.key }
}
"#;

#[test]
#[ignore = "needs Terraform 1.14 or later as the client: cargo xtask clients"]
fn a_query_finds_clusters_and_its_configuration_plans_empty() -> Done {
    if !client_can_query()? {
        println!("this client has no query: nothing was seen");
        return Ok(());
    }
    let scenario = Scenario::start("query", "", 60)?;
    scenario.terraform.write("main.tf", &format!("{HEAD}{CLUSTERS}"))?;
    scenario.terraform.init()?;
    scenario.terraform.apply(&[])?;
    let mut other = Workspace::new(&scenario.dir.join("other"), &scenario.azure)?;
    set_consul(&mut other)?;
    other.set("TF_VAR_resource_group_name", GROUP);
    other.write("main.tf", HEAD)?;
    other.init()?;
    for (body, names) in [
        ("", vec!["billing", "search"]),
        ("  limit = 1\n", vec!["billing"]),
        ("  include_resource = true\n", vec!["billing", "search"]),
        ("  config {\n    tags = { team = \"search\" }\n  }\n", vec!["search"]),
        ("  config {\n    location = \"northeurope\"\n  }\n", vec![]),
    ] {
        other.write("all.tfquery.hcl", &list(body))?;
        let found = other.run(&["query", "-no-color"])?.expect_code(0)?;
        for name in ["billing", "search"] {
            let is_told = found.stdout.contains(name);
            assert_eq!(is_told, names.contains(&name), "{body}: {}", found.text());
        }
    }
    other.write("all.tfquery.hcl", &list("  include_resource = true\n"))?;
    other.run(&["query", "-no-color", "-generate-config-out=found.tf"])?.expect_code(0)?;
    std::fs::remove_file(other.dir.join("all.tfquery.hcl"))?;
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

fn list(body: &str) -> String {
    format!("list \"hcs_cluster\" \"all\" {{\n  provider = hcs\n{body}}}\n")
}

fn client_can_query() -> Result<bool, Box<dyn Error>> {
    let help = tools::run(Command::new(tools::terraform()?).args(["-help"]))?;
    Ok(help.lines().any(|line| line.trim_start().starts_with("query ")))
}
