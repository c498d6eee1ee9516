//! `cargo xtask soup`: an independent judge, tofusoup from PyPI, drives the provider.
//!
//! `soup lint` speaks the protocol by itself, in Python, and validates configurations. `soup stir`
//! takes examples through init, apply, an empty plan and destroy.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use hcs_acceptance::bins::{binary, target};
use hcs_acceptance::scenario::{example_dir, set_consul};
use hcs_acceptance::{Emulator, Workspace, copy_tree, tools};

use crate::demo::check_nothing_is_left;
use crate::shell::{Failure, build_binaries};

const TOFUSOUP: &str = "tofusoup==0.8.2";
/// Minutes of Azure are seconds here.
const TIME_SCALE: &str = "60";
const GROUP: &str = "soup-rg";
/// Examples that make everything they need by themselves.
const EXAMPLES: [&str; 2] = ["quickstart", "landing-zone"];

/// The clusters of the landing zone.
const CLUSTERS: &str = r#"{ "shared": { "resource_group_name": "soup-rg", "location": "westeurope", "vnet_cidr": "10.41.0.0/24" } }"#;

/// How a suite begins; the provider's environment follows.
const SUITE: &str = r#"version = 1

[provider]
source = "hcs-community/hcs"
version = "0.1.0"

[provider.environment]
"#;

/// Configurations that the provider must find nothing wrong with.
const CASES: &str = r#"
[[case]]
kind = "provider"
config = {}

[[case]]
kind = "resource"
type_name = "hcs_cluster"
config = { name = "soup", resource_group_name = "soup-rg", server_count = 5 }

[[case]]
kind = "resource"
type_name = "hcs_snapshot_policy"
config = { cluster_id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/hcs-soup-rg-soup", interval = "1h", retain_count = 3 }

[[case]]
kind = "data-source"
type_name = "hcs_cluster"
config = { name = "soup", resource_group_name = "soup-rg" }
"#;

pub(crate) fn run() -> Result<(), Failure> {
    crate::test::set_up()?;
    build_binaries()?;
    let soup = install()?;
    let dir = target().join("soup");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let mut azure = Emulator::start(&dir.join("azure"), &["--time-scale", TIME_SCALE])?;
    azure.create_group(GROUP, "westeurope")?;
    let mut workspace = Workspace::new(&dir.join("terraform"), &azure)?;
    set_consul(&mut workspace)?;
    workspace.set("TF_VAR_resource_group_name", GROUP);
    workspace.set("TF_VAR_clusters", CLUSTERS);

    println!("\n== soup lint");
    let suite = dir.join("lint.toml");
    fs::write(&suite, lint_suite(&workspace))?;
    let provider = binary("terraform-provider-hcs")?;
    show(Command::new(&soup).arg("lint").arg("--provider").arg(provider).arg(suite))?;

    println!("\n== soup stir");
    let stirred = dir.join("stir");
    for example in EXAMPLES {
        copy_tree(&example_dir(example), &stirred.join(example))?;
    }
    let before = azure.objects()?;
    let mut stir = Command::new(&soup);
    show(stir.arg("stir").arg(&stirred).envs(workspace.env()).current_dir(&dir))?;
    check_nothing_is_left(&mut azure, &before)
}

/// Installs tofusoup once, away from the system's Python.
fn install() -> Result<PathBuf, Failure> {
    let venv = tools::cache().join("soup").join(TOFUSOUP);
    let soup = venv.join("bin/soup");
    if !soup.is_file() {
        println!("installing {TOFUSOUP}");
        tools::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let pip = venv.join("bin/pip");
        tools::run(Command::new(pip).args(["install", "--quiet", TOFUSOUP]))?;
    }
    Ok(soup)
}

/// A suite that starts the provider with the emulator's credentials.
fn lint_suite(workspace: &Workspace) -> String {
    let mut suite = SUITE.to_owned();
    for (name, value) in workspace.env() {
        let _ = writeln!(suite, "{name} = {value:?}");
    }
    suite + CASES
}

fn show(command: &mut Command) -> Result<(), Failure> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("soup ended with {status}").into()) }
}
