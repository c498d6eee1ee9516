//! The program's door: help that teaches, and refusals that say what to do.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, Output};

fn program(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hcs-host-manager"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_names_files_environment_and_where_to_look() {
    let help = text(&program(&["--help"], &[]).stdout);
    for word in ["run", "bootstrap.json", "ARM_MSI_ENDPOINT", "HCS_TIME_SCALE", "journalctl"] {
        assert!(help.contains(word), "{word} is missing in:\n{help}");
    }
}

#[test]
fn version_is_the_packages() {
    let version = text(&program(&["--version"], &[]).stdout);
    assert_eq!(version.trim(), format!("hcs-host-manager {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_server_without_bootstrap_document_is_told_who_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = program(&["run"], &[("HCS_ROOT", folder.path().to_str().unwrap())]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("bootstrap.json is missing; cloud-init writes it"), "{said}");
}

#[test]
fn a_real_vm_refuses_to_run_faster() {
    let output = program(&["run"], &[("HCS_TIME_SCALE", "60")]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("HCS_TIME_SCALE is for emulated VMs only"), "{said}");
}
