//! Changes that restart or replace servers, one at a time, under load: Consul never stops, and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::process::Command;
use std::time::Duration;

use hcs_acceptance::Scenario;
use hcs_acceptance::bins::binary;
use hcs_acceptance::load::{Load, Seen};
use hcs_acceptance::scenario::CLUSTER;
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

const SERVERS: [&str; 3] = ["rolling-server-0", "rolling-server-1", "rolling-server-2"];

#[test]
fn servers_restart_and_are_made_anew_one_at_a_time_under_load() -> Done {
    let scenario = Scenario::start("rolling", "", 60)?;
    let terraform = &scenario.terraform;
    terraform.declare("rolling", json!({}))?;
    terraform.init()?;
    terraform.apply(&[])?;
    let load = Load::start(&scenario)?;
    resize(&scenario)?;
    larger_disk_and_endpoint(&scenario)?;
    fewer_zones(&scenario)?;
    let Seen { acknowledged, longest_gap } = load.stop();
    println!(
        "{} writes acknowledged; longest time without a leader: {longest_gap:?}",
        acknowledged.len()
    );
    assert!(acknowledged.len() > 50, "the load ran");
    assert!(longest_gap < Duration::from_secs(30), "a leader is always back: {longest_gap:?}");
    let consul = scenario.consul()?;
    let kept = consul.get(0, "kv/load?keys")?;
    let kept: BTreeSet<&str> =
        kept.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let lost: Vec<&String> =
        acknowledged.iter().filter(|key| !kept.contains(key.as_str())).collect();
    assert!(lost.is_empty(), "acknowledged writes are lost: {lost:?}");
    terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}

/// Another size: the machines stay, with their addresses and data, and restart.
fn resize(scenario: &Scenario) -> Done {
    let terraform = &scenario.terraform;
    let before = addresses(scenario)?;
    terraform.declare("rolling", json!({ "vm_size": "Standard_D4s_v5" }))?;
    let plan = terraform.plan(&[])?.expect_code(2)?;
    let words = plan.words();
    assert!(words.contains("0 to add, 1 to change, 0 to destroy"), "{words}");
    assert!(words.contains("Servers 0, 1, 2 restart as Standard_D4s_v5, one at a time"), "{words}");
    steps_as_hcs_tells_them(scenario)?;
    scenario.azure.reset_requests()?;
    terraform.apply(&[])?;
    let requests = scenario.azure.requests()?;
    let upgrades: u64 =
        requests.iter().filter(|(key, _)| key.contains("manualupgrade")).map(|(_, n)| n).sum();
    assert_eq!(upgrades, 3, "each server restarts once: {requests:?}");
    let deletes: Vec<_> = requests.keys().filter(|key| key.starts_with("DELETE")).collect();
    assert!(deletes.is_empty(), "a size deletes nothing: {deletes:?}");
    assert_eq!(sizes(scenario)?, ["Standard_D4s_v5"; 3]);
    assert_eq!(addresses(scenario)?, before, "a restart keeps the address");
    settled(scenario, &["1", "2", "3"])
}

/// The engine without Terraform reads Terraform's plan and tells the steps behind it.
fn steps_as_hcs_tells_them(scenario: &Scenario) -> Done {
    let terraform = &scenario.terraform;
    terraform.plan(&["-out=resize.tfplan"])?.expect_code(2)?;
    let shown = terraform.run(&["show", "-json", "resize.tfplan"])?.expect_code(0)?;
    let file = scenario.dir.join("plan.json");
    std::fs::write(&file, &shown.stdout)?;
    let hcs = |words: &[&str]| {
        Command::new(binary("hcs")?)
            .args(words)
            .arg("-f")
            .arg(&file)
            .output()
            .map_err(Box::<dyn Error>::from)
    };
    let told = hcs(&["plan"])?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert_eq!(told.status.code(), Some(2), "there are changes: {text}");
    for step in ["restart server_2", "wait for server_2", "restart server_0", "wait until healthy"]
    {
        assert!(text.contains(step), "{step} in {text}");
    }
    assert!(!text.contains("create server_"), "{text}");
    let lost = hcs(&["plan", "--lose-zone", "2"])?;
    let text = String::from_utf8_lossy(&lost.stdout).into_owned();
    assert!(text.contains("at its weakest it stops"), "{text}");
    let drawn = hcs(&["graph", "--format", "html"])?;
    assert!(String::from_utf8_lossy(&drawn.stdout).starts_with("<!doctype html>"));
    Ok(())
}

/// Another disk makes each server anew, beside a helper; the endpoint follows the new addresses.
fn larger_disk_and_endpoint(scenario: &Scenario) -> Done {
    let terraform = &scenario.terraform;
    let before = unique_ids(scenario)?;
    let larger = json!({
        "vm_size": "Standard_D4s_v5",
        "data_disk_gib": 64,
        "consul_external_endpoint": true,
        "consul_external_endpoint_allowed_cidrs": ["203.0.113.0/24"],
    });
    terraform.declare("rolling", larger)?;
    let plan = terraform.plan(&[])?.expect_code(2)?;
    let words = plan.words();
    assert!(words.contains("Servers 0, 1, 2 are made anew, one at a time"), "{words}");
    assert!(words.contains("beside a helper that joins first and leaves last"), "{words}");
    terraform.apply(&[])?;
    let after = unique_ids(scenario)?;
    for (name, id) in before {
        assert_ne!(after.get(&name), Some(&id), "{name} is another one");
    }
    let cluster = terraform.attributes(CLUSTER)?;
    let url = cluster["consul_external_endpoint_url"].as_str().unwrap_or_default();
    assert!(
        url.starts_with("https://rolling-") && url.ends_with(".cloudapp.azure.com:8501"),
        "{url}"
    );
    let balancer = arm(scenario, "Microsoft.Network/loadBalancers/rolling-endpoint", "2024-01-01")?;
    let pool = &balancer["properties"]["backendAddressPools"][0]["properties"]["loadBalancerBackendAddresses"];
    let pool: Vec<&str> = pool
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|row| row["properties"]["ipAddress"].as_str())
        .collect();
    assert_eq!(pool, machine_addresses(scenario)?, "the endpoint leads to the machines");
    let ip =
        arm(scenario, "Microsoft.Network/publicIPAddresses/rolling-endpoint-ip", "2024-01-01")?;
    let ip = ip["properties"]["ipAddress"].as_str().ok_or("no public address")?;
    // Servers that were not made anew after it came would make their certificates anew within half a minute.
    let consul = scenario.consul()?;
    assert!((0..3).all(|slot| consul.answers_for(slot, ip)), "certificates for {ip}");
    settled(scenario, &["1", "2", "3"])
}

/// A zone less: the server that lived there moves.
fn fewer_zones(scenario: &Scenario) -> Done {
    let terraform = &scenario.terraform;
    let before = unique_ids(scenario)?;
    let fewer = json!({ "vm_size": "Standard_D4s_v5", "data_disk_gib": 64, "zones": ["1", "2"] });
    terraform.declare("rolling", fewer)?;
    let plan = terraform.plan(&[])?.expect_code(2)?;
    let words = plan.words();
    assert!(words.contains("Servers 2 are made anew"), "{words}");
    assert!(words.contains("the loss of zone 1 stops the cluster"), "{words}");
    terraform.apply(&[])?;
    let after = unique_ids(scenario)?;
    let moved: Vec<&String> = after
        .iter()
        .filter(|(name, id)| before.get(*name) != Some(*id))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(moved, [SERVERS[2]], "the others are not touched");
    let cluster = terraform.attributes(CLUSTER)?;
    assert_eq!(cluster["consul_external_endpoint_url"], Value::Null);
    settled(scenario, &["1", "2", "1"])
}

/// All is as declared: zones, voters, published addresses, no helper, an empty plan.
fn settled(scenario: &Scenario, zones: &[&str]) -> Done {
    assert_eq!(scenario.zones()?, zones);
    let consul = scenario.consul()?;
    assert_eq!(consul.voters(0)?, SERVERS);
    let sets: Vec<String> = unique_ids(scenario)?.into_keys().collect();
    assert_eq!(sets, SERVERS, "a helper is gone");
    let told: Vec<String> = addresses(scenario)?;
    let record = arm(
        scenario,
        "Microsoft.Network/privateDnsZones/rolling.hcs.internal/A/consul",
        "2024-06-01",
    )?;
    let rows = record["properties"]["aRecords"].as_array().cloned().unwrap_or_default();
    let listed: Vec<&str> = rows.iter().filter_map(|row| row["ipv4Address"].as_str()).collect();
    assert_eq!(listed, machine_addresses(scenario)?, "clients find the machines");
    scenario.terraform.run(&[
        "apply",
        "-refresh-only",
        "-auto-approve",
        "-no-color",
        "-input=false",
    ])?;
    let refreshed = addresses(scenario)?;
    assert_eq!(refreshed, machine_addresses(scenario)?, "was told {told:?}");
    scenario.terraform.plan(&[])?.expect_code(0)?;
    Ok(())
}

fn addresses(scenario: &Scenario) -> Result<Vec<String>, Box<dyn Error>> {
    let cluster = scenario.terraform.attributes(CLUSTER)?;
    let servers = cluster["servers"].as_array().cloned().unwrap_or_default();
    Ok(servers.iter().filter_map(|s| s["private_ip"].as_str().map(str::to_owned)).collect())
}

/// An object of the managed group.
fn arm(scenario: &Scenario, path: &str, version: &str) -> Result<Value, Box<dyn Error>> {
    let cluster = scenario.terraform.attributes(CLUSTER)?;
    let group = cluster["id"].as_str().ok_or("id")?;
    let path = format!("{group}/providers/{path}?api-version={version}");
    Ok(scenario.azure.arm("GET", &path, None)?.json())
}

fn unique_ids(scenario: &Scenario) -> Result<BTreeMap<String, Value>, Box<dyn Error>> {
    let sets = arm(scenario, "Microsoft.Compute/virtualMachineScaleSets", "2024-07-01")?;
    let rows = sets["value"].as_array().cloned().unwrap_or_default();
    let row = |row: Value| {
        (row["name"].as_str().unwrap_or_default().to_owned(), row["properties"]["uniqueId"].clone())
    };
    Ok(rows.into_iter().map(row).collect())
}

fn sizes(scenario: &Scenario) -> Result<Vec<String>, Box<dyn Error>> {
    let mut sizes = Vec::new();
    for name in SERVERS {
        let path = format!("Microsoft.Compute/virtualMachineScaleSets/{name}/virtualMachines");
        let rows = arm(scenario, &path, "2024-07-01")?;
        let size = rows["value"][0]["sku"]["name"].as_str().map(str::to_owned);
        sizes.push(size.ok_or("no machine")?);
    }
    Ok(sizes)
}

/// Addresses of the machines by slot, as their interfaces have them.
fn machine_addresses(scenario: &Scenario) -> Result<Vec<String>, Box<dyn Error>> {
    let mut addresses = Vec::new();
    for name in SERVERS {
        let path = format!("Microsoft.Compute/virtualMachineScaleSets/{name}/networkInterfaces");
        let rows = arm(scenario, &path, "2018-10-01")?;
        let pointer = "/value/0/properties/ipConfigurations/0/properties/privateIPAddress";
        let address = rows.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        addresses.push(address.ok_or_else(|| format!("no interface of {name}: {}", json!(rows)))?);
    }
    Ok(addresses)
}
