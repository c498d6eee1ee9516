//! A lone server: another disk makes it anew, and what it knew must reach the new one through the helper.

use std::error::Error;
use std::fs;
use std::path::Path;

use hcs_acceptance::Scenario;
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

#[test]
fn a_lone_server_made_anew_keeps_what_it_knew() -> Done {
    let scenario = Scenario::start("alone", "", 30)?;
    let terraform = &scenario.terraform;
    terraform.declare("alone", json!({ "server_count": 1 }))?;
    terraform.init()?;
    terraform.apply(&[])?;
    let answer = scenario.consul()?.ask(0, "PUT", "kv/before", Some("kept"), true)?;
    assert_eq!(answer.text().trim(), "true");
    terraform.declare("alone", json!({ "server_count": 1, "data_disk_gib": 64 }))?;
    let words = terraform.plan(&[])?.expect_code(2)?.words();
    assert!(words.contains("0 to add, 1 to change, 0 to destroy"), "{words}");
    assert!(words.contains("beside a helper that joins first and leaves last"), "{words}");
    terraform.apply(&[])?;
    let consul = scenario.consul()?;
    let kept = consul.get(0, "kv/before")?;
    assert_eq!(kept[0]["Value"], Value::from("a2VwdA=="), "{kept}");
    assert_eq!(consul.voters(0)?, ["alone-server-0"], "the helper is gone");
    // Two clusters may merge by chance, and then nothing is lost: it must have joined.
    let vms = scenario.vms()?;
    let folder = vms.first().and_then(|vm| vm["folder"].as_str()).ok_or("no machine")?;
    let config = fs::read_to_string(Path::new(folder).join("etc/consul.d/server.json"))?;
    let config: Value = serde_json::from_str(&config)?;
    assert_eq!(config.get("bootstrap_expect"), None, "it founded a cluster of its own");
    terraform.plan(&[])?.expect_code(0)?;
    terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}
