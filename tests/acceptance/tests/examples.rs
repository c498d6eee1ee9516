//! The examples of clients and of snapshots, beside a cluster that exists. (Quickstart, landing zone and import have tests of their own.)

use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hcs_acceptance::client::{Client, HandedOut};
use hcs_acceptance::scenario::{self, CLUSTER, example_dir};
use hcs_acceptance::{Scenario, Workspace, tools, wait};
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

#[test]
fn examples_beside_a_cluster_that_exists_do_what_they_say() -> Done {
    let scenario = Scenario::start("examples", "", 60)?;
    let lines = "  server_count = 1";
    scenario.terraform.write("main.tf", &scenario::configuration("examples", "", lines))?;
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
    tools::run(std::process::Command::new("sh").arg("-n").arg(&script))?;
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
