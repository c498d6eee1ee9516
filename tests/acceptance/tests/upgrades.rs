//! A cluster takes a release of Consul by itself: Terraform is away meanwhile, sees it afterwards, and plans nothing.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hcs_acceptance::bins::target;
use hcs_acceptance::scenario::CLUSTER;
use hcs_acceptance::tools::{self, consul};
use hcs_acceptance::{Scenario, blobs, wait};
use hcs_release_maker::{Maker, index, next_patch, relabelled};
use semver::Version;
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

/// Publishes what runs as the next release, and says which one that is.
fn publish(folder: &Path, consul: &Path) -> Result<(Version, Version), Box<dyn Error>> {
    let said = String::from_utf8(Command::new(consul).arg("version").output()?.stdout)?;
    let word = said.split_whitespace().nth(1).unwrap_or_default().trim_start_matches('v');
    let from: Version = word.parse()?;
    let (to, maker) = (next_patch(&from), Maker::new());
    let program = relabelled(&fs::read(consul)?, &from, &to);
    let release = folder.join("consul").join(to.to_string());
    fs::create_dir_all(&release)?;
    for (name, bytes) in maker.release(&to, &program) {
        fs::write(release.join(name), bytes)?;
    }
    fs::write(folder.join("consul/index.json"), index(std::slice::from_ref(&to)))?;
    fs::write(folder.join("key.asc"), maker.public_key())?;
    Ok((from, to))
}

fn fresh(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let folder = target().join("acceptance").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

#[test]
fn a_cluster_takes_a_release_while_terraform_is_away_and_the_plan_stays_empty() -> Done {
    let releases = fresh("upgrades-releases")?;
    let (from, to) = publish(&releases, &consul()?)?;
    let scenario = Scenario::start_beside("upgrades", 60, &releases)?;
    scenario.terraform.declare("upgrades", json!({ "server_count": 1, "zones": ["1"] }))?;
    scenario.terraform.init()?;
    scenario.terraform.apply(&[])?;
    let before = scenario.terraform.attributes(CLUSTER)?;
    assert!(before["next_maintenance_at"].is_null());

    // From an exact version to a channel: nothing is upgraded by that.
    let index = format!("{}/releases/consul", scenario.azure.url);
    let own = |servers: u32| scenario.terraform.declare("upgrades", channel(servers, &index));
    own(1)?;
    let plan = scenario.terraform.plan(&[])?.expect_code(2)?.text();
    assert!(plan.contains("0 to add, 1 to change, 0 to destroy"), "{plan}");
    assert!(
        plan.contains("+ maintenance_windows") || plan.contains("~ maintenance_windows"),
        "{plan}"
    );
    scenario.terraform.apply(&[])?;
    let account = before["storage_account_name"].as_str().unwrap_or_default().to_owned();
    let note = || -> Result<Value, Box<dyn Error>> {
        Ok(blobs::json(&scenario.azure, &account, "decisions", "upgrade.json")?.unwrap_or_default())
    };
    wait("the cluster has gone to the release", || Ok(note()?["phase"] == "done"))?;
    assert_eq!(note()?["by"], "channel");
    let name = note()?["snapshot"].as_str().unwrap_or_default().to_owned();
    assert!(blobs::get(&scenario.azure, &account, "snapshots", &name)?.is_some(), "{name}");

    scenario.terraform.plan(&[])?.expect_code(0)?;
    scenario.terraform.apply(&["-refresh-only"])?;
    let after = scenario.terraform.attributes(CLUSTER)?;
    assert_eq!(after["consul_version"], to.to_string());
    assert_eq!(after["servers"][0]["consul_version"], to.to_string());
    assert_eq!(after["drift"], serde_json::json!([]));
    assert!(after["next_maintenance_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{after}");
    let told = scenario.hcs("status", &[])?;
    for words in [format!("Consul went from {from} to {to}"), "the window opens at".to_owned()] {
        assert!(told.contains(&words), "{told}");
    }
    let refused = scenario.hcs("upgrade take-back", &[])?;
    assert!(refused.contains("nothing is under way"), "{refused}");

    // Servers that come later take what the others run, though no apply has brought it.
    own(3)?;
    scenario.terraform.apply(&[])?;
    scenario.terraform.plan(&[])?.expect_code(0)?;
    let grown = scenario.terraform.attributes(CLUSTER)?;
    let versions: Vec<&Value> = grown["servers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|server| &server["consul_version"])
        .collect();
    assert_eq!(versions, [&Value::from(to.to_string()); 3]);

    // Back is refused in words.
    let exact = json!({ "server_count": 3, "zones": ["1"], "consul_version": from.to_string() });
    scenario.terraform.declare("upgrades", exact)?;
    let told = scenario.terraform.plan(&[])?.expect_code(1)?.text();
    assert!(told.contains("Consul does not go back to"), "{told}");
    own(3)?;
    scenario.terraform.destroy(&[])?;
    Ok(())
}

/// Servers that go, and one that is made anew beside a helper, are part of the cluster until they have left it: another
/// version comes all the same, by a note and after a snapshot.
#[test]
fn another_version_and_fewer_servers_come_in_one_apply() -> Done {
    let mut scenario = Scenario::start("fewer", "", 60)?;
    let terraform = &mut scenario.terraform;
    terraform.declare("fewer", json!({ "zones": ["1"], "server_count": 3 }))?;
    terraform.init()?;
    terraform.apply(&[])?;
    let account = terraform.attributes(CLUSTER)?["storage_account_name"].clone();
    let account = account.as_str().unwrap_or_default().to_owned();
    let first = consul()?;
    let from: Version = tools::consul_version(&first)?.parse()?;
    let program = fs::read(&first)?;
    let (fewer, anew) = (next_patch(&from), next_patch(&next_patch(&from)));
    for (version, shape) in [
        (&fewer, json!({ "zones": ["1"], "server_count": 1 })),
        (&anew, json!({ "zones": ["1"], "server_count": 1, "data_disk_gib": 64 })),
    ] {
        let next = scenario.dir.join(format!("consul-{version}"));
        fs::write(&next, relabelled(&program, &from, version))?;
        fs::set_permissions(&next, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let terraform = &mut scenario.terraform;
        terraform.set("TF_VAR_consul_version", &version.to_string());
        terraform.set("TF_VAR_consul_archive", &next.display().to_string());
        terraform.declare("fewer", shape)?;
        terraform.apply(&[])?;
        terraform.plan(&[])?.expect_code(0)?;
        let after = terraform.attributes(CLUSTER)?;
        let servers = after["servers"].as_array().cloned().unwrap_or_default();
        assert_eq!(servers.len(), 1);
        assert_eq!(servers[0]["consul_version"], version.to_string());
        let note = blobs::json(&scenario.azure, &account, "decisions", "upgrade.json")?;
        let note = note.unwrap_or_default();
        assert_eq!((&note["phase"], &note["by"]), (&"done".into(), &"declaration".into()));
        assert_eq!(note["to"]["version"], version.to_string());
        let name = note["snapshot"].as_str().unwrap_or_default();
        assert!(blobs::get(&scenario.azure, &account, "snapshots", name)?.is_some(), "{name}");
    }
    scenario.terraform.destroy(&[])?;
    Ok(())
}

/// A channel in place of the exact version, and a window that is open whenever this runs.
fn channel(servers: u32, index: &str) -> Value {
    json!({
        "server_count": servers,
        "zones": ["1"],
        "consul_version": null,
        "consul_upgrade_channel": "patch",
        "consul_release_index": index,
        "maintenance_windows": [
            { "start": "00:00", "duration": "24h" },
            { "start": "12:00", "duration": "24h" },
        ],
    })
}
