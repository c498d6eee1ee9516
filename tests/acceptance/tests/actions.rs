//! Actions: a snapshot, and the way back to it, without a resource; invoked by hand, and triggered by a change.
//!
//! Only Terraform 1.14 and later has actions.

use std::error::Error;
use std::process::Command;

use hcs_acceptance::{Scenario, tools};
use serde_json::json;

type Done = Result<(), Box<dyn Error>>;

#[test]
#[ignore = "needs Terraform 1.14 or later as the client: cargo xtask clients"]
fn actions_take_a_snapshot_and_go_back_to_it() -> Done {
    if !client_has_actions()? {
        println!("this client has no actions: nothing was seen");
        return Ok(());
    }
    let scenario = Scenario::start("actions", "", 60)?;
    let terraform = &scenario.terraform;
    terraform.declare("actions", json!({ "server_count": 1, "zones": ["1"] }))?;
    terraform.add("actions/actions.tf")?;
    terraform.init()?;
    terraform.apply(&[])?;
    let consul = scenario.consul()?;
    let put = |value: &str| consul.ask(0, "PUT", "kv/shop/price", Some(value), true);
    put("7")?;
    let listed = || scenario.hcs("snapshots list", &[]);
    assert!(listed()?.contains("no snapshot"), "none by the create");

    let taken = terraform
        .run(&["apply", "-auto-approve", "-no-color", "-invoke=action.hcs_snapshot.now"])?
        .expect_code(0)?;
    println!("{}", taken.text());
    assert!(taken.words().contains("the leading server takes a snapshot"), "{}", taken.text());
    let words = taken.words();
    let id = words.split_whitespace().find(|word| word.contains("/blobs/~on-demand/"));
    let id = id.ok_or("the snapshot is not named")?.trim_end_matches(':').to_owned();
    put("lost")?;

    let wrong = ["-var", "snapshot_id=nonsense", "-invoke=action.hcs_snapshot_restore.back"];
    let wrong = [&["apply", "-auto-approve", "-no-color"], &wrong[..]].concat();
    let refused = terraform.run(&wrong)?.expect_code(1)?;
    assert!(refused.words().contains("is not the id of a snapshot"), "{}", refused.text());

    let variable = format!("snapshot_id={id}");
    let back = ["-var", &variable, "-invoke=action.hcs_snapshot_restore.back"];
    let back = [&["apply", "-auto-approve", "-no-color"], &back[..]].concat();
    let restored = terraform.run(&back)?.expect_code(0)?;
    println!("{}", restored.text());
    assert!(restored.words().contains("The whole state of Consul goes back"), "a warning");
    assert!(restored.words().contains("done; what was there before is"), "{}", restored.text());
    let value = consul.ask(0, "GET", "kv/shop/price?raw&consistent", None, true)?.text();
    assert_eq!(value, "7");

    // A change that is worth a snapshot of before.
    let before = listed()?.lines().count();
    terraform.run(&["apply", "-auto-approve", "-no-color", "-var", "release=2"])?.expect_code(0)?;
    assert_eq!(listed()?.lines().count(), before + 1);
    terraform.plan(&["-var", "release=2"])?.expect_code(0)?;
    scenario.terraform.destroy(&[])?;
    Ok(())
}

/// Terraform from 1.14 on; its help does not name `-invoke`.
fn client_has_actions() -> Result<bool, Box<dyn Error>> {
    let shown = tools::run(
        Command::new(tools::terraform()?).arg("version").env("CHECKPOINT_DISABLE", "1"),
    )?;
    let version = shown.lines().find_map(|line| line.strip_prefix("Terraform v1."));
    let minor = version.and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    Ok(minor.is_some_and(|minor| minor >= 14))
}
