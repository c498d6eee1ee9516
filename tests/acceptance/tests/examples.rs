//! The examples of clients and of snapshots, beside a cluster that exists, and those of a cluster for production and of its
//! upgrades. (Quickstart, landing zone, import and a network of the user's have tests of their own.)

use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hcs_acceptance::bins::binary;
use hcs_acceptance::client::{Client, HandedOut};
use hcs_acceptance::scenario::{CLUSTER, example_dir};
use hcs_acceptance::{Scenario, Workspace, blobs, tools, wait};
use hcs_release_maker::{next_patch, relabelled};
use semver::Version;
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

#[test]
fn examples_beside_a_cluster_that_exists_do_what_they_say() -> Done {
    let scenario = Scenario::start("examples", "", 60)?;
    scenario.terraform.declare("examples", json!({ "server_count": 1 }))?;
    scenario.terraform.init()?;
    scenario.terraform.apply(&[])?;
    let id = scenario.terraform.attributes(CLUSTER)?["id"].as_str().ok_or("no id")?.to_owned();
    machine(&scenario, &id)?;
    kubernetes(&scenario, &id)?;
    snapshots(&scenario, &id)?;
    scenario.terraform.destroy(&[])?;
    Ok(())
}

fn workspace(scenario: &Scenario, name: &str, id: &str) -> Result<Workspace, Box<dyn Error>> {
    let mut terraform = Workspace::new(&scenario.dir.join(name), &scenario.azure)?;
    terraform.copy(&example_dir(name))?;
    terraform.set("TF_VAR_cluster_id", id);
    terraform.init()?;
    Ok(terraform)
}

/// What the example stores in a vault and writes into cloud-init is what an agent needs, and only the vault has secrets.
fn machine(scenario: &Scenario, id: &str) -> Done {
    let mut terraform = workspace(scenario, "client-vm", id)?;
    terraform.set("TF_VAR_vault_name", "platform");
    // The command is the example's own; the Azure CLI that it finds writes down what it is asked.
    recorder(&terraform.dir, "az")?;
    let path = std::env::var("PATH").unwrap_or_default();
    terraform.set("PATH", &format!("{}:{path}", terraform.dir.display()));
    terraform.apply(&[])?;
    terraform.plan(&[])?.expect_code(0)?;
    let told = fs::read_to_string(terraform.dir.join("az.log"))?;
    let (words, stored) = told.split_once('\n').ok_or("az was not asked")?;
    assert!(words.starts_with("$ az keyvault secret set --vault-name platform"), "{words}");
    let config: Value = serde_json::from_str(stored)?;
    let output = terraform.run(&["output", "-raw", "cloud_init"])?.expect_code(0)?.stdout;
    let (header, body) = output.split_once('\n').ok_or("no header")?;
    assert_eq!(header, "#cloud-config");
    let cloud_init: Value = serde_json::from_str(body)?;
    let file = |path: &str| {
        let files = cloud_init["write_files"].as_array().into_iter().flatten();
        let mut found = files.filter(|file| file["path"] == path);
        found.next().and_then(|file| file["content"].as_str()).unwrap_or_default().to_owned()
    };
    let script = terraform.dir.join("setup.sh");
    fs::write(&script, file("/opt/consul-setup.sh"))?;
    tools::run(Command::new("sh").arg("-n").arg(&script))?;
    assert!(file("/opt/consul-setup.sh").contains("https://platform.vault.azure.net/secrets/"));
    let gossip_key = config["encrypt"].as_str().ok_or("no gossip key")?;
    let token = config["acl"]["tokens"]["agent"].as_str().ok_or("no token")?;
    let state = fs::read_to_string(terraform.dir.join("terraform.tfstate"))?;
    for secret in [gossip_key, token] {
        assert!(!output.contains(secret) && !state.contains(secret));
    }
    let consul = scenario.consul()?;
    let mut handed = HandedOut {
        config: config.clone(),
        ca: String::from_utf8(STANDARD.decode(file("/etc/consul.d/ca.pem"))?)?,
        token: token.to_owned(),
        root: String::new(),
    };
    // The emulator's machines have no names in the DNS of this one.
    handed.config["retry_join"] = json!(consul.addresses);
    let process_id = std::process::id().to_be_bytes();
    let address = IpAddr::from([127, 251, process_id[2], process_id[3].clamp(1, 254)]);
    let client = Client::start(&terraform.dir.join("agent"), "app-vm", &handed, address, None)?;
    client.joins(token)?;
    drop(client);
    terraform.destroy(&[])?;
    Ok(())
}

/// Nightly ones, one before a migration, and back to it: once for each incident. A night lasts a minute here, and the plan
/// of the next morning is empty.
fn snapshots(scenario: &Scenario, id: &str) -> Done {
    let mut terraform = workspace(scenario, "snapshot-restore", id)?;
    let example = fs::read_to_string(terraform.dir.join("main.tf"))?;
    assert!(example.contains("0 2 * * *"), "{example}");
    terraform.write("main.tf", &example.replace("0 2 * * *", "* * * * *"))?;
    let consul = scenario.consul()?;
    let put = |value: &str| consul.ask(0, "PUT", "kv/shop/price", Some(value), true);
    put("7")?;
    let applied = terraform.apply(&[])?;
    assert!(applied.stdout.contains("~on-demand/before-migration.snap"), "{}", applied.stdout);
    terraform.plan(&[])?.expect_code(0)?;
    put("migrated, and wrong")?;
    terraform.set("TF_VAR_incident", "4711");
    terraform.apply(&[])?;
    assert_eq!(consul.ask(0, "GET", "kv/shop/price?raw", None, true)?.text(), "7");
    wait("a nightly snapshot", || {
        sleep(Duration::from_secs(2));
        Ok(scenario.hcs("snapshots list", &[])?.contains("nightly/"))
    })?;
    terraform.plan(&[])?.expect_code(0)?;
    terraform.destroy(&[])?;
    Ok(())
}

/// A program that writes down what it is asked, with its standard input.
fn recorder(dir: &Path, name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let path = dir.join(name);
    let log = dir.join(format!("{name}.log"));
    let script = format!(
        "#!/bin/sh\n{{ echo \"$ {name} $*\"; case \" $* \" in *' - '*|*/dev/stdin*|*' -') cat;; esac; }} >> '{}'\n\
         case \"$*\" in *--dry-run*) echo \"made: $*\";; esac\n",
        log.display()
    );
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Kubernetes gets the CA and the token, Helm the values; Consul before 1.14 is refused with the reason.
fn kubernetes(scenario: &Scenario, id: &str) -> Done {
    let mut terraform = workspace(scenario, "client-aks", id)?;
    for name in ["kubectl", "helm"] {
        let path = recorder(&terraform.dir, name)?.display().to_string();
        terraform.set(&format!("TF_VAR_{name}"), &path);
    }
    terraform.set("TF_VAR_kubernetes_endpoint", "https://aks.example:443");
    let version = tools::consul_version(&tools::consul()?)?;
    let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    if version.starts_with("1.") && minor < Some(14) {
        let plan = terraform.plan(&[])?.expect_code(1)?;
        assert!(plan.words().contains("1.14"), "{}", plan.words());
        return Ok(());
    }
    terraform.apply(&[])?;
    terraform.plan(&[])?.expect_code(0)?;
    let kubectl = fs::read_to_string(terraform.dir.join("kubectl.log"))?;
    for words in ["consul-ca-cert", "-----BEGIN CERTIFICATE-----", "examples-bootstrap-token"] {
        assert!(kubectl.contains(words), "{words} in {kubectl}");
    }
    let helm = fs::read_to_string(terraform.dir.join("helm.log"))?;
    for words in ["upgrade --install consul", "consul.examples.hcs.internal", "grpcPort: 8503"] {
        assert!(helm.contains(words), "{words} in {helm}");
    }
    terraform.destroy(&[])?;
    Ok(())
}

/// As it is written, but for three servers: a destroy is refused, and the channel takes the place of the exact version with
/// which whoever cannot reach releases begins.
#[test]
fn production_is_made_protected_changed_and_destroyed() -> Done {
    let mut scenario = Scenario::start("production", "production", 60)?;
    let terraform = &mut scenario.terraform;
    terraform.set("TF_VAR_server_count", "3");
    terraform.init()?;
    terraform.apply(&[])?;
    terraform.plan(&[])?.expect_code(0)?;
    let before = terraform.attributes(CLUSTER)?;
    what_a_module_hands_on(terraform, &before)?;
    let destroy = ["destroy", "-no-color", "-input=false", "-auto-approve"];
    let refused = terraform.run(&destroy)?.expect_code(1)?;
    assert!(refused.words().contains("set deletion_protection = false"), "{}", refused.text());

    terraform.unset("TF_VAR_consul_version");
    // There is a channel, and nobody looks for releases outside.
    terraform.set("TF_VAR_consul_release_index", "none");
    terraform.set("TF_VAR_rotation_triggers", &json!({ "agent_tokens": "2026-12" }).to_string());
    terraform.set("TF_VAR_deletion_protection", "false");
    let plan = terraform.plan(&[])?.expect_code(2)?;
    assert!(plan.stdout.contains("0 to add, 1 to change, 0 to destroy"), "{}", plan.text());
    terraform.apply(&[])?;
    terraform.plan(&[])?.expect_code(0)?;
    let after = terraform.attributes(CLUSTER)?;
    let channel = |cluster: &Value| cluster["consul_upgrade_channel"].clone();
    assert_eq!((channel(&before), channel(&after)), ("none".into(), "patch".into()));
    assert_eq!(before["consul_version"], after["consul_version"], "a channel upgrades nothing");
    terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}

/// The outputs of the example are the attributes that they are named after.
fn what_a_module_hands_on(terraform: &Workspace, cluster: &Value) -> Done {
    let output = terraform.run(&["output", "-json"])?.expect_code(0)?;
    let output: Value = serde_json::from_str(&output.stdout)?;
    let value = |name: &str| &output[name]["value"];
    let connection = value("connection");
    assert_eq!(connection["url"], "https://consul.production.hcs.internal:8501");
    assert_eq!(connection["retry_join"], json!(["consul.production.hcs.internal"]));
    assert_eq!(connection["address"], cluster["consul_private_endpoint_ip_address"]);
    let ca = connection["ca_file"].as_str().unwrap_or_default();
    assert!(String::from_utf8(STANDARD.decode(ca)?)?.contains("BEGIN CERTIFICATE"));
    let account = cluster["storage_account_name"].as_str().unwrap_or_default();
    let outbound = json!([format!("{account}.blob.core.windows.net:443")]);
    assert_eq!(value("network")["outbound"], outbound);
    assert_eq!(value("survives")["server_losses"], 1);
    let server = &value("servers")["production-server-2"];
    assert_eq!(server["vmss_id"], cluster["servers"][2]["vmss_id"]);
    assert!(server["private_ip"].is_string() && server["zone"] == "3", "{server}");
    let id = cluster["id"].as_str().unwrap_or_default();
    assert_eq!(value("snapshots")["policy_id"], format!("{id}/snapshotPolicies/regular"));
    Ok(())
}

/// The steps of its page: another Consul is refused outside of the windows until its version is named, then comes a larger
/// machine with two servers more. Other ways of a version: `upgrades.rs`.
#[test]
fn upgrade_goes_by_the_steps_of_its_page() -> Done {
    let mut scenario = Scenario::start("upgrade", "upgrade", 60)?;
    let terraform = &mut scenario.terraform;
    terraform.set("TF_VAR_server_count", "1");
    // No window opens while this runs, whenever that is.
    let never = json!([{ "start": "2020-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z" }]);
    terraform.set("TF_VAR_maintenance_exclusions", &never.to_string());
    terraform.init()?;
    terraform.apply(&[])?;
    terraform.plan(&[])?.expect_code(0)?;

    let to = another_consul(terraform)?;
    let apply = ["apply", "-no-color", "-input=false", "-auto-approve"];
    let refused = terraform.run(&apply)?.expect_code(1)?;
    assert!(refused.words().contains("No maintenance window is open"), "{}", refused.text());
    terraform.set("TF_VAR_ignore_maintenance_windows_for", &to);
    let told = steps(terraform)?;
    for words in ["write cluster document", &format!("with Consul {to}")] {
        assert!(told.contains(words), "{words} in {told}");
    }
    terraform.apply(&["tfplan"])?;
    terraform.plan(&[])?.expect_code(0)?;
    assert_eq!(versions(terraform)?, json!({ "upgrade-server-0": to }));
    let account = terraform.attributes(CLUSTER)?["storage_account_name"].clone();
    let account = account.as_str().unwrap_or_default();
    let noted = || -> Result<Value, Box<dyn Error>> {
        let note = blobs::json(&scenario.azure, account, "decisions", "upgrade.json")?;
        Ok(note.ok_or("nothing is noted")?)
    };
    // Whoever leads notes the end when it has seen it.
    wait("the end of the upgrade", || Ok(noted()?["phase"] == "done"))?;
    let note = noted()?;
    assert_eq!(note["by"], "declaration");
    let snapshot = note["snapshot"].as_str().unwrap_or_default();
    assert!(snapshot.starts_with("nightly/"), "the policy keeps what is taken before: {note}");

    terraform.set("TF_VAR_vm_size", "Standard_D4s_v5");
    terraform.set("TF_VAR_server_count", "3");
    let told = steps(terraform)?;
    for words in ["create server_2", "restart server_0"] {
        assert!(told.contains(words), "{words} in {told}");
    }
    terraform.apply(&["tfplan"])?;
    terraform.plan(&[])?.expect_code(0)?;
    let all = [0, 1, 2].map(|slot| (format!("upgrade-server-{slot}"), json!(to)));
    assert_eq!(versions(terraform)?, Value::Object(all.into_iter().collect()));
    terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}

/// The next version is the same program with another label; says which one it is.
fn another_consul(terraform: &mut Workspace) -> Result<String, Box<dyn Error>> {
    let program = tools::consul()?;
    let from: Version = tools::consul_version(&program)?.parse()?;
    let to = next_patch(&from);
    let next = terraform.dir.join(format!("consul-{to}"));
    fs::write(&next, relabelled(&fs::read(&program)?, &from, &to))?;
    fs::set_permissions(&next, fs::Permissions::from_mode(0o755))?;
    terraform.set("TF_VAR_consul_version", &to.to_string());
    terraform.set("TF_VAR_consul_archive", &next.display().to_string());
    Ok(to.to_string())
}

/// What `hcs plan` tells of the plan that is applied next.
fn steps(terraform: &Workspace) -> Result<String, Box<dyn Error>> {
    terraform.plan(&["-out=tfplan"])?.expect_code(2)?;
    let shown = terraform.run(&["show", "-json", "tfplan"])?.expect_code(0)?;
    terraform.write("plan.json", &shown.stdout)?;
    let mut hcs = Command::new(binary("hcs")?);
    let told = hcs.args(["plan", "-f", "plan.json"]).current_dir(&terraform.dir).output()?;
    let text = String::from_utf8(told.stdout)?;
    assert_eq!(told.status.code(), Some(2), "{text}{}", String::from_utf8_lossy(&told.stderr));
    Ok(text)
}

/// The output that says what runs on each server.
fn versions(terraform: &Workspace) -> Result<Value, Box<dyn Error>> {
    let output = terraform.run(&["output", "-json", "servers"])?.expect_code(0)?;
    Ok(serde_json::from_str(&output.stdout)?)
}
