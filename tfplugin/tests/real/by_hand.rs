//! A provider that a person started, under a debugger for instance.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::workspace::{Workspace, program};

const CONFIGURATION: &str = r#"
resource "example_box" "one" {
  name = "one"
}
"#;

#[test]
fn a_provider_started_with_debug_serves_run_after_run_until_ctrl_c() {
    let mut provider = Command::new(program("terraform-provider-example"))
        .arg("--debug")
        .env_clear()
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(provider.stdout.take().unwrap());
    let line = out.lines().map_while(Result::ok).find(|line| line.contains("TF_REATTACH"));
    let line = line.unwrap();
    let value = line.split_once('\'').unwrap().1.trim_end_matches('\'');
    assert!(value.contains("registry.terraform.io/example/example"), "{value}");

    let workspace = Workspace::new(CONFIGURATION).with("TF_REATTACH_PROVIDERS", value);
    workspace.apply();
    assert!(workspace.plan_is_empty());
    workspace.run(&["destroy", "-auto-approve"]);
    assert!(provider.try_wait().unwrap().is_none(), "the process outlives the runs");

    let pid = provider.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(provider.wait().unwrap().success());
}
