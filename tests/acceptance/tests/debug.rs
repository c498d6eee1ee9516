//! The provider started by hand, as under a debugger: one process, several runs.

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use hcs_acceptance::Scenario;
use hcs_acceptance::bins::binary;
use serde_json::json;

/// Killed when dropped.
struct Provider(Child);

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_provider_in_debug_mode_takes_the_configuration_of_each_run() -> Result<(), Box<dyn Error>> {
    let mut scenario = Scenario::start("debug", "", 30)?;
    let terraform = &mut scenario.terraform;
    terraform.declare("debug", json!({}))?;
    terraform.init()?;
    let mut provider = Command::new(binary("terraform-provider-hcs")?)
        .arg("--debug")
        .envs(terraform.env())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut out = BufReader::new(provider.stdout.take().ok_or("no output")?);
    let _provider = Provider(provider);
    let mut said = String::new();
    while !said.contains("TF_REATTACH_PROVIDERS=") {
        said.clear();
        assert!(out.read_line(&mut said)? > 0, "the provider ended");
    }
    let variable = said.split('\'').nth(1).ok_or("no value")?;
    terraform.set("TF_REATTACH_PROVIDERS", variable);
    for owner in ["platform", "payments"] {
        terraform.declare("debug", json!({ "default_tags": { "owner": owner } }))?;
        let plan = terraform.plan(&[])?.expect_code(2)?;
        assert!(plan.words().contains(&format!("\"owner\" = \"{owner}\"")), "{}", plan.text());
    }
    Ok(())
}
