//! A provider that a person started, under a debugger for instance.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use crate::workspace::{Workspace, example, program};

const CONFIGURATION: &str = r#"
resource "example_box" "one" {
  name = "one"
}
"#;

/// A provider in debug mode; killed when dropped.
struct ByHand {
    process: Child,
    log: BufReader<ChildStderr>,
    /// What Terraform finds it by.
    variable: String,
}

impl ByHand {
    fn start() -> Self {
        let mut process = Command::new(program("terraform-provider-example"))
            .arg("--debug")
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let out = BufReader::new(process.stdout.take().unwrap());
        let line = out.lines().map_while(Result::ok).find(|line| line.contains("TF_REATTACH"));
        let line = line.unwrap();
        let variable = line.split_once('\'').unwrap().1.trim_end_matches('\'').to_owned();
        Self { process, log, variable }
    }

    /// Waits for a line of its log, which goes to the person's terminal.
    fn wait_for_log(&mut self, text: &str) {
        let found =
            self.log.by_ref().lines().map_while(Result::ok).find(|line| line.contains(text));
        assert!(found.is_some(), "it ended without {text:?}");
    }

    fn workspace(&self, configuration: &str) -> Workspace {
        example(configuration).with("TF_REATTACH_PROVIDERS", self.variable.as_str())
    }

    fn interrupt(&self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_provider_started_with_debug_serves_run_after_run_until_ctrl_c() {
    let mut provider = ByHand::start();
    assert!(provider.variable.contains("registry.terraform.io/example/example"));
    let workspace = provider.workspace(CONFIGURATION);
    workspace.apply();
    assert!(workspace.plan_is_empty());
    workspace.run(&["destroy", "-auto-approve"]);
    // Another run brings another folder, in which there is no box yet.
    let second = provider.workspace(CONFIGURATION);
    second.apply();
    assert!(second.plan_is_empty());
    assert!(provider.process.try_wait().unwrap().is_none(), "the process outlives the runs");
    provider.interrupt();
    assert!(provider.process.wait().unwrap().success());
}

#[test]
fn ctrl_c_on_a_provider_in_debug_mode_keeps_what_was_being_made() {
    let mut provider = ByHand::start();
    let workspace =
        provider.workspace("resource \"example_timer\" \"slow\" {\n  seconds = 3000\n}\n");
    let mut running = workspace.spawn(&["apply", "-auto-approve"]);
    running.wait_for("Creating...");
    // The provider must be in the middle of the call, which its log tells.
    provider.wait_for_log("waiting");
    provider.interrupt();
    let told = running.end(Duration::from_secs(30));
    assert!(provider.process.wait().unwrap().success());
    assert_eq!(workspace.object("example_timer")["state"], "waiting", "{told}");
}
