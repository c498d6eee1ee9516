//! A snapshot is restored as its guide says, word for word: the keys are asked of Consul, and Terraform sees nothing of it.

use std::error::Error;

use hcs_acceptance::scenario::{CLUSTER, configuration};
use hcs_acceptance::{Scenario, wait};
use serde_json::Value;

type Done = Result<(), Box<dyn Error>>;

#[test]
fn last_nights_snapshot_comes_back_by_the_words_of_the_guide() -> Done {
    let scenario = Scenario::start("restore", "", 60)?;
    let one = "  server_count = 1\n  zones = [\"1\"]\n";
    scenario.terraform.write("main.tf", &configuration("restore", "", one))?;
    scenario.terraform.init()?;
    scenario.terraform.apply(&[])?;
    let consul = scenario.consul()?;
    let put = |value: &str| consul.ask(0, "PUT", "kv/shop/price", Some(value), true);
    let get = || -> Result<String, Box<dyn Error>> {
        Ok(consul.ask(0, "GET", "kv/shop/price?raw", None, true)?.text())
    };
    put("7")?;
    scenario.hcs("snapshots take", &[])?;
    put("lost")?;

    let listed = scenario.hcs("snapshots list", &[])?;
    let name = listed.split_whitespace().last().unwrap_or_default().to_owned();
    assert!(name.starts_with("~on-demand/"), "{listed}");
    let said = scenario.hcs("snapshots restore", &[&name])?;
    assert!(said.contains("Say --yes if that is meant"), "{said}");
    assert_eq!(get()?, "lost", "nothing was done");
    let restored = scenario.hcs("snapshots restore", &[&name, "--yes"])?;
    println!("{restored}");
    assert!(
        restored.contains("what was there before: snapshots/~on-demand/before-restore-"),
        "{restored}"
    );
    assert_eq!(get()?, "7");

    wait("all is well", || Ok(scenario.hcs("status", &[])?.contains("all is well")))?;
    scenario.terraform.plan(&[])?.expect_code(0)?;
    let cluster = scenario.terraform.attributes(CLUSTER)?;
    assert_eq!(cluster["drift"], Value::Array(vec![]));

    // And back again.
    let before = restored.split("before: snapshots/").nth(1).unwrap_or_default();
    let before = before.split_whitespace().next().unwrap_or_default();
    scenario.hcs("snapshots restore", &[before, "--yes"])?;
    assert_eq!(get()?, "lost");
    Ok(())
}
