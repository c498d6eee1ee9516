//! `cargo xtask clients`: the tests with a real client in them, under every other client that this machine names.
//!
//! What is ignored in CI for want of a newer client runs here. CI has one Terraform. Another one, and `OpenTofu`, come from `HCS_TERRAFORM_BINS` and `HCS_TOFU_BIN`.

use std::path::Path;
use std::process::Command;

use hcs_acceptance::tools;

use crate::shell::{Count, Failure, build_binaries, cargo, cargo_test_with};

/// Where the framework's own tests look for their client.
const FRAMEWORKS_CLIENT: &str = "TFPLUGIN_CLIENT_BIN";

/// Suites, and the words that run them.
const SUITES: [(&str, &[&str]); 2] = [
    ("the framework", &["-p", "tfplugin", "--test", "real", "--no-fail-fast"]),
    ("the product", &["-p", "hcs-acceptance", "--tests", "--no-fail-fast"]),
];

/// Runs what contains `only` of the product's suites, or all.
pub(crate) fn run(only: &[String]) -> Result<(), Failure> {
    let clients = tools::other_clients();
    if clients.is_empty() {
        return Err("no other client is named: set HCS_TOFU_BIN to an OpenTofu, or \
                    HCS_TERRAFORM_BINS to Terraforms, with colons between them"
            .into());
    }
    crate::test::set_up()?;
    build_binaries()?;
    cargo(&["build", "--package", "tfplugin", "--examples"])?;
    let mut rows = Vec::new();
    for client in &clients {
        let version = version(client)?;
        let path = client.display().to_string();
        for (suite, words) in SUITES {
            let mut words = words.to_vec();
            if suite == "the product" && !only.is_empty() {
                words.retain(|word| *word != "--tests");
                words.extend(only.iter().flat_map(|name| ["--test", name]));
            }
            words.extend(["--", "--test-threads=1", "--include-ignored"]);
            let mut count = Count::default();
            let variables = [(tools::CLIENT, path.as_str()), (FRAMEWORKS_CLIENT, path.as_str())];
            let ran = cargo_test_with(&words, &variables, &mut count);
            rows.push((version.clone(), suite, count, ran.is_ok()));
        }
    }
    println!();
    for (version, suite, count, is_well) in &rows {
        let verdict = if *is_well { "" } else { "  FAILED" };
        println!(
            "{version:<24} {suite:<16} {:>4} passed, {} failed{verdict}",
            count.passed, count.failed
        );
    }
    if rows.iter().all(|(_, _, count, is_well)| *is_well && count.passed > 0) {
        return Ok(());
    }
    Err("the product does not run under every client".into())
}

/// The line by which a client names itself: `Terraform v1.16.0`.
fn version(client: &Path) -> Result<String, Failure> {
    let shown = tools::run(Command::new(client).arg("version").env("CHECKPOINT_DISABLE", "1"))?;
    let mut lines = shown.lines();
    let line = lines.find(|line| line.contains("Terraform v") || line.contains("OpenTofu v"));
    Ok(line.ok_or_else(|| format!("{} says {shown:?}", client.display()))?.to_owned())
}
