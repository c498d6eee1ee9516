//! `cargo xtask machine`: servers that really boot. The customData of an apply, unchanged, on machines under QEMU; then
//! everything that a machine can meet. No KVM is needed, and no rights once the image is there.

mod agent;
mod cells;
mod estate;
mod image;
mod network;
mod system;
mod vm;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use hcs_acceptance::bins::{HOST_MANAGER, target};
use hcs_acceptance::consul::Consul;
use hcs_acceptance::scenario::{CLUSTER, GROUP, set_consul};
use hcs_acceptance::{Emulator, Workspace};
use serde_json::json;

use self::estate::Estate;
use self::image::Image;
pub(crate) use self::system::System;
use crate::shell::{Failure, build_binaries, cargo};

/// ARM's minutes become seconds; the machines' own do not.
const TIME_SCALE: &str = "30";
/// Written before all cells, and there after each.
const KEPT: &str = "was here before";

/// A cluster of three machines.
pub(crate) struct Stage {
    azure: Emulator,
    estate: Estate,
    account: String,
    dir: PathBuf,
}

/// Runs the cells whose names contain one of `only`, or all, on machines of one system.
pub(crate) fn run(system: System, only: &[String]) -> Result<(), Failure> {
    let image = Image::get(system)?;
    crate::test::set_up()?;
    build_binaries()?;
    // Without KVM an unoptimised one takes minutes for what takes seconds.
    cargo(&["build", "--release", "-p", "hcs-host-manager"])?;
    network::enter(&[(HOST_MANAGER, target().join("release/hcs-host-manager"))])?;
    let dir = target().join("machine");
    let _ = fs::remove_dir_all(&dir);
    image.lend_authority(&dir.join("azure"))?;
    let metadata = format!("{}:80", network::METADATA);
    let azure = Emulator::start(
        &dir.join("azure"),
        &[
            "--time-scale",
            TIME_SCALE,
            "--listen",
            network::SERVICES,
            "--external-machines",
            &metadata,
        ],
    )?;
    azure.create_group(GROUP, "westeurope")?;
    let estate = Estate::follow(azure.handle(), image, dir.join("vms"));
    let (workspace, account, told) = apply(&azure, &dir)?;
    println!("{:<58} {told}", "first boot of three");
    let stage = Stage { azure, estate, account, dir };
    let mut failed = 0;
    for cell in cells::all() {
        if !only.is_empty() && !only.iter().any(|word| cell.name.contains(word)) {
            continue;
        }
        match (cell.run)(&stage) {
            Ok(told) => println!("{:<58} {told}", cell.name),
            Err(error) => {
                failed += 1;
                println!("{:<58} FAILED: {error}", cell.name);
            }
        }
    }
    let plan = workspace.plan(&[])?;
    println!("{:<58} exit code {} (0: nothing to do)", "terraform plan", plan.code);
    workspace.destroy(&[])?;
    if failed > 0 {
        return Err(format!("{failed} cells failed").into());
    }
    Ok(())
}

fn apply(azure: &Emulator, dir: &std::path::Path) -> Result<(Workspace, String, String), Failure> {
    let mut workspace = Workspace::new(&dir.join("terraform"), azure)?;
    workspace.set("TF_VAR_resource_group_name", GROUP);
    set_consul(&mut workspace)?;
    workspace.declare("machines", json!({ "vnet_cidr": network::SPACE }))?;
    workspace.init()?;
    let began = Instant::now();
    workspace.apply(&[])?;
    let told = format!("applied in {} s", began.elapsed().as_secs());
    let cluster = workspace.attributes(CLUSTER)?;
    let account = cluster["storage_account_name"].as_str().unwrap_or_default().to_owned();
    let kept =
        Consul::of_cluster(azure, &account, dir)?.ask(0, "PUT", "kv/kept", Some(KEPT), true)?;
    if kept.text().trim() != "true" {
        return Err(format!("Consul writes nothing: {}", kept.text()).into());
    }
    Ok((workspace, account, told))
}
