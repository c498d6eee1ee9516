//! `cargo xtask demo`: the quickstart, end to end, on an emulated Azure with real Consul servers.

mod way_back;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use hcs_acceptance::bins::{binary, repository, target};
use hcs_acceptance::consul::Consul;
use hcs_acceptance::{Emulator, Workspace, blobs, emulator, tools};
use serde_json::Value;

use crate::shell::{Failure, build_binaries};

/// ARM's minutes become seconds.
const TIME_SCALE: &str = "30";
const GROUP: &str = "demo-rg";
const RENEWAL_MAX: Duration = Duration::from_mins(1);

pub(crate) fn run(keep: bool) -> Result<(), Failure> {
    crate::test::set_up()?;
    build_binaries()?;
    let dir = target().join("demo");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let started = Instant::now();
    let mut azure = Emulator::start(&dir.join("azure"), &["--time-scale", TIME_SCALE])?;
    println!("\nazure-emulator at {} ({TIME_SCALE} times faster than Azure)", azure.url);
    azure.create_group(GROUP, "westeurope")?;
    let before = azure.objects()?;
    let mut workspace = Workspace::new(&dir.join("terraform"), &azure)?;
    workspace.copy(&repository().join("examples/terraform/quickstart"))?;
    set_variables(&mut workspace)?;

    heading("terraform init");
    workspace.init()?;
    heading("terraform plan");
    let plan = workspace.plan(&[])?.expect_code(2)?;
    print!("{}", plan.stdout);
    heading("terraform apply");
    azure.reset_requests()?;
    let apply = Instant::now();
    let applied = workspace.apply(&[])?;
    print!("{}", tail(&applied.stdout, 24));
    println!("applied in {:.1} s, {}", apply.elapsed().as_secs_f64(), requests(&azure)?);

    show_cluster(&azure, &workspace, &dir)?;

    write_page(&azure, &workspace, &dir)?;

    way_back::show(&azure, &workspace, &dir)?;

    show_renewal(&azure, &workspace)?;

    show_maintenance(&workspace)?;

    heading("terraform plan, once more");
    azure.reset_requests()?;
    let again = workspace.plan(&[])?.expect_code(0)?;
    println!("{}", tail(&again.stdout, 4).trim());
    println!("({})", requests(&azure)?);
    if keep {
        wait_for_enter(&azure, &workspace)?;
    }
    heading("terraform destroy");
    azure.reset_requests()?;
    let destroy = Instant::now();
    let destroyed = workspace.destroy(&[])?;
    print!("{}", tail(&destroyed.stdout, 3));
    println!("destroyed in {:.1} s, {}", destroy.elapsed().as_secs_f64(), requests(&azure)?);
    check_nothing_is_left(&mut azure, &before)?;
    println!("\nThe whole demo took {:.0} s.", started.elapsed().as_secs_f64());
    Ok(())
}

/// What the cluster does by itself next.
fn show_maintenance(workspace: &Workspace) -> Result<(), Failure> {
    heading("A maintenance window on Sunday nights (see docs/guides/upkeep.md)");
    workspace.write(
        "maintenance_override.tf",
        "resource \"hcs_cluster\" \"main\" {\n  maintenance_windows = [{\n    days = [\"Sunday\"]\n    start = \"02:00\"\n    \
         duration = \"4h\"\n    time_zone = \"Europe/Berlin\"\n  }]\n}\n",
    )?;
    workspace.apply(&[])?;
    workspace.apply(&["-refresh-only"])?;
    let cluster = workspace.attributes("hcs_cluster.main")?;
    println!("  next_maintenance_at = {}", cluster["next_maintenance_at"]);
    let Some(at) = cluster["next_maintenance_at"].as_str() else {
        return Err("the window is not told".into());
    };
    if !at.ends_with('Z') {
        return Err(format!("{at} is no moment").into());
    }
    Ok(())
}

fn set_variables(workspace: &mut Workspace) -> Result<(), Failure> {
    let consul = tools::consul()?;
    workspace.set("TF_VAR_resource_group_name", GROUP);
    workspace.set("TF_VAR_consul_version", &tools::consul_version(&consul)?);
    workspace.set("TF_VAR_consul_archive", &consul.display().to_string());
    Ok(())
}

fn show_cluster(azure: &Emulator, workspace: &Workspace, dir: &Path) -> Result<(), Failure> {
    let cluster = workspace.attributes("hcs_cluster.main")?;
    heading("Servers and zones, as Terraform knows them");
    for server in cluster["servers"].as_array().into_iter().flatten() {
        println!(
            "  {}  zone {}  {}  {}",
            text(&server["name"]),
            text(&server["zone"]),
            text(&server["physical_zone"]),
            text(&server["private_ip"]),
        );
    }
    let account = text(&cluster["storage_account_name"]);
    let consul = Consul::of_cluster(azure, account, dir)?;
    heading("Members and leader, as Consul itself reports them over TLS with a token");
    for member in consul.get(0, "agent/members")?.as_array().into_iter().flatten() {
        println!("  {}  {}:{}", text(&member["Name"]), text(&member["Addr"]), member["Port"]);
    }
    println!("  leader: {}", consul.leader(0)?);
    println!("  voters: {}", consul.voters(0)?.join(", "));
    heading("The same without a token");
    let raft = consul.ask(0, "GET", "operator/raft/configuration", None, false)?;
    let members = consul.ask(0, "GET", "agent/members", None, false)?;
    println!("  operator/raft/configuration: HTTP {}", raft.status);
    println!("  agent/members: HTTP {} {}", members.status, members.text().trim());
    if raft.status != 403 || members.text().trim() != "[]" {
        return Err("an anonymous caller sees more than it should".into());
    }
    if consul.leader(0)?.is_empty() || consul.voters(0)?.len() != 3 {
        return Err("Consul does not report one leader and three voters".into());
    }
    Ok(())
}

/// Another lifetime is a reason to renew, as half of one that is over is: no need to wait for days.
fn show_renewal(azure: &Emulator, workspace: &Workspace) -> Result<(), Failure> {
    let cluster = workspace.attributes("hcs_cluster.main")?;
    let account = text(&cluster["storage_account_name"]);
    let ends = || -> Result<Vec<String>, Failure> {
        (0..3)
            .map(|slot| {
                let status = blobs::json(azure, account, &format!("status-{slot}"), "status.json")?;
                Ok(text(&status.unwrap_or_default()["certificate_expires_at"]).to_owned())
            })
            .collect()
    };
    let (before, consuls) = (ends()?, consuls(azure));
    heading("Certificates of a day instead of a week (server_certificate_ttl = \"24h\")");
    workspace.write(
        "renewal_override.tf",
        "resource \"hcs_cluster\" \"main\" {\n  server_certificate_ttl = \"24h\"\n}\n",
    )?;
    workspace.apply(&[])?;
    let began = Instant::now();
    let after = loop {
        let after = ends()?;
        if before.iter().zip(&after).all(|(before, after)| before != after) {
            break after;
        }
        if began.elapsed() > RENEWAL_MAX {
            return Err(format!("certificates that were not renewed: {before:?}, {after:?}").into());
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    for (slot, (before, after)) in before.iter().zip(&after).enumerate() {
        println!("  server {slot}: until {before}, renewed: until {after}");
    }
    if consuls.len() != 3 || self::consuls(azure) != consuls {
        return Err("a Consul was restarted for its certificate".into());
    }
    println!(
        "  each server signed its own, {:.0} s after the apply; no Consul was restarted",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

/// The Consul servers that run.
fn consuls(azure: &Emulator) -> Vec<String> {
    let all = emulator::processes_in(&azure.dir);
    let mut consuls: Vec<String> =
        all.into_iter().filter(|process| process.contains("server.json")).collect();
    consuls.sort();
    consuls
}

/// The steps that made the cluster, as a page.
fn write_page(azure: &Emulator, workspace: &Workspace, dir: &Path) -> Result<(), Failure> {
    let cluster = workspace.attributes("hcs_cluster.main")?;
    let account = text(&cluster["storage_account_name"]);
    let spec = blobs::get(azure, account, "config", "spec.json")?.ok_or("no stored spec")?;
    let file = dir.join("cluster.json");
    fs::write(&file, spec)?;
    let page = Command::new(binary("hcs")?)
        .args(["plan", "--format", "html", "--file"])
        .arg(&file)
        .output()?;
    let path = dir.join("plan.html");
    fs::write(&path, &page.stdout)?;
    heading("The plan behind it, as a page");
    println!("  {}", path.display());
    println!("  (also: hcs plan -f {} --format text|json|dot)", file.display());
    Ok(())
}

/// Ends the emulator; an error names what a destroy left behind.
pub(crate) fn check_nothing_is_left(
    azure: &mut Emulator,
    before: &[String],
) -> Result<(), Failure> {
    let left: Vec<String> =
        azure.objects()?.into_iter().filter(|id| !before.contains(id)).collect();
    let dir = azure.dir.clone();
    azure.stop();
    let processes = emulator::processes_in(&dir);
    if left.is_empty() && processes.is_empty() {
        println!("Nothing is left in Azure, and no process stays.");
        return Ok(());
    }
    Err(format!("left over: objects {left:?}, processes {processes:?}").into())
}

fn wait_for_enter(azure: &Emulator, workspace: &Workspace) -> Result<(), Failure> {
    println!("\nTo look around:\n  . {}/env", azure.dir.display());
    println!("  cd {}", workspace.dir.display());
    println!("  export TF_CLI_CONFIG_FILE=$PWD/.terraformrc\n\nEnter destroys everything.");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn requests(azure: &Emulator) -> Result<String, Failure> {
    let counts = azure.requests()?;
    let total: u64 = counts.values().sum();
    let writes: u64 =
        counts.iter().filter(|(key, _)| !key.starts_with("GET ")).map(|(_, count)| count).sum();
    Ok(format!("{total} ARM requests, {writes} of them writes"))
}

fn heading(text: &str) {
    println!("\n== {text}");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    let mut tail = all[all.len().saturating_sub(lines)..].join("\n");
    tail.push('\n');
    tail
}
