//! The whole life of a cluster: create, scale under load, import, destroy.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Duration;

use hcs_acceptance::canary::{SPELLINGS, Sink};
use hcs_acceptance::collector::Collector;
use hcs_acceptance::load::{Load, Seen};
use hcs_acceptance::scenario::CLUSTER;
use hcs_acceptance::terraform::Ran;
use hcs_acceptance::{Scenario, bins, blobs, canary, emulator, support};
use serde_json::Value;

type Done = Result<(), Box<dyn Error>>;

#[test]
fn a_cluster_is_made_scaled_imported_and_destroyed() -> Done {
    let mut scenario = Scenario::start("lifecycle", "quickstart", 30)?;
    scenario.terraform.init()?;
    create(&mut scenario)?;
    scale(&mut scenario)?;
    import(&scenario)?;
    destroy(&mut scenario)
}

fn create(scenario: &mut Scenario) -> Done {
    let trace = scenario.terraform.dir.join("trace.log").display().to_string();
    let collector = Collector::start()?;
    let loud = [
        ("TF_LOG", "TRACE"),
        ("TF_LOG_PATH", trace.as_str()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()),
    ];
    for (name, value) in loud {
        scenario.terraform.set(name, value);
    }
    let applied = scenario.terraform.apply(&[])?;
    assert_eq!(scenario.zones()?, ["1", "2", "3"]);
    let consul = scenario.consul()?;
    let names = ["quickstart-server-0", "quickstart-server-1", "quickstart-server-2"];
    assert_eq!(consul.voters(0)?, names);
    assert!(!consul.leader(0)?.is_empty());
    let cluster = scenario.terraform.attributes(CLUSTER)?;
    let balancer = cluster["consul_private_endpoint_ip_address"].as_str().ok_or("address")?;
    for slot in 0..3 {
        assert!(consul.answers_for(slot, balancer), "server {slot} at {balancer}");
        assert!(!consul.answers_for(slot, "172.25.16.250"), "an address of nobody");
    }

    let raft = consul.ask(0, "GET", "operator/raft/configuration", None, false)?;
    assert_eq!(raft.status, 403, "an anonymous caller must not read the Raft configuration");
    let members = consul.ask(0, "GET", "agent/members", None, false)?;
    assert_eq!(members.text().trim(), "[]", "an anonymous caller must see no members");

    scenario.azure.reset_requests()?;
    scenario.terraform.plan(&[])?.expect_code(0)?;
    let requests = scenario.azure.requests()?;
    // The provider asks once for its subscription, the policy once for its account; the rest is the cluster's.
    let reads = requests.values().sum::<u64>() - 2;
    println!("a plan without changes reads {reads} times for the cluster: {requests:?}");
    assert!(reads <= 18, "{reads} reads");
    let writes: Vec<_> = requests.keys().filter(|key| !key.starts_with("GET ")).collect();
    assert!(writes.is_empty(), "a plan writes nothing: {writes:?}");
    let traces = collector.received();
    for told in
        ["create server_0", "virtualMachineScaleSets/quickstart-server-2", "terraform-provider-hcs"]
    {
        let is_told = traces.windows(told.len()).any(|window| window == told.as_bytes());
        assert!(is_told, "{} bytes of traces do not tell {told}", traces.len());
    }
    no_secrets(scenario, &applied, traces)?;
    for (name, _) in loud {
        scenario.terraform.unset(name);
    }
    Ok(())
}

/// No secret is where people and programs read: every secret, in six spellings, in every sink.
fn no_secrets(scenario: &Scenario, applied: &Ran, traces: Vec<u8>) -> Done {
    let terraform = &scenario.terraform;
    let cluster = terraform.attributes(CLUSTER)?;
    let account = cluster["storage_account_name"].as_str().unwrap_or_default();
    let secrets = canary::secrets(scenario, account, 3)?;
    assert_eq!(secrets.len(), 11, "{secrets:?}");
    let planned = terraform.run(&[
        "plan",
        "-no-color",
        "-input=false",
        "-out=canary.plan",
        "-replace",
        CLUSTER,
    ])?;
    let text = |name: &str, text: &str| Sink { name: name.to_owned(), bytes: text.into() };
    let shown = |name: &str, ran: Ran| text(name, &ran.text());
    let dir = &terraform.dir;
    let world: Value =
        serde_json::from_slice(&std::fs::read(scenario.azure.dir.join("world.json"))?)?;
    let documents = |name: &str, container: &str| -> Result<Sink, Box<dyn Error>> {
        let mut bytes = Vec::new();
        for blob in blobs::list(&scenario.azure, account, container)? {
            bytes.extend(
                blobs::get(&scenario.azure, account, container, &blob)?.unwrap_or_default(),
            );
        }
        Ok(Sink { name: name.to_owned(), bytes })
    };
    let is_log = |path: &std::path::Path| path.extension().is_some_and(|kind| kind == "log");
    let mut sinks = vec![
        text("apply's output", &applied.stdout),
        text("apply's errors", &applied.stderr),
        Sink { name: "OTLP traces".to_owned(), bytes: traces },
        canary::file("trace log", &dir.join("trace.log")),
        canary::file("state", &dir.join("terraform.tfstate")),
        canary::file("backup of the state", &dir.join("terraform.tfstate.backup")),
        shown("plan's output", planned),
        canary::file("plan file", &dir.join("canary.plan")),
        shown("plan as JSON", terraform.run(&["show", "-json", "canary.plan"])?),
        shown("state as JSON", terraform.run(&["show", "-json"])?),
        text("what ARM was sent", &world.to_string()),
        canary::decoded("what the VMs were given", &world),
        documents("documents", "config")?,
        documents("requests", "requests")?,
        documents("what server 0 reports", "status-0")?,
        canary::files("logs of the VMs", &scenario.azure.dir, is_log),
        canary::command_lines(),
        canary::environments("environment of Consul", "consul\0agent"),
        canary::environments("environment of the host managers", "hcs-host-manager"),
    ];
    let status = std::process::Command::new(bins::binary("hcs")?)
        .args(["status", cluster["id"].as_str().unwrap_or_default(), "--format", "json"])
        .envs(terraform.env())
        .output()?;
    let told: Value = serde_json::from_slice(&status.stdout)?;
    assert_eq!(told["is_well"], true, "{told:#}");
    assert_eq!(told["servers"].as_array().map(Vec::len), Some(3));
    sinks.push(Sink { name: "hcs status".to_owned(), bytes: status.stdout });
    let collected = support::collect(scenario, cluster["id"].as_str().unwrap_or_default())?;
    let bytes = collected.into_values().flatten().collect();
    sinks.push(Sink { name: "hcs support".to_owned(), bytes });
    let filled: Vec<&str> =
        sinks.iter().filter(|sink| !sink.bytes.is_empty()).map(|sink| sink.name.as_str()).collect();
    println!(
        "{} secrets x {} spellings in {} sinks: {filled:?}",
        secrets.len(),
        SPELLINGS.len(),
        filled.len()
    );
    assert!(filled.len() >= 16, "{filled:?}");
    assert_eq!(canary::leaks(&secrets, &sinks), [""; 0]);
    Ok(())
}

fn scale(scenario: &mut Scenario) -> Done {
    let first = vm_identity(scenario)?;
    let consul = scenario.consul()?;
    let load = Load::start(scenario)?;

    scenario.terraform.set("TF_VAR_server_count", "5");
    let up = scenario.terraform.apply(&[])?;
    assert!(up.stdout.contains("1 changed, 0 destroyed"), "{}", up.stdout);
    assert_eq!(scenario.zones()?, ["1", "2", "3", "1", "2"]);
    assert_eq!(consul.voters(0)?.len(), 5);
    scenario.terraform.plan(&[])?.expect_code(0)?;

    scenario.terraform.set("TF_VAR_server_count", "3");
    scenario.terraform.apply(&[])?;
    assert_eq!(scenario.zones()?, ["1", "2", "3"]);
    assert_eq!(consul.voters(0)?.len(), 3);
    assert_eq!(
        consul
            .get(0, "agent/members")?
            .as_array()
            .map(|all| { all.iter().filter(|member| member["Status"] == 1).count() }),
        Some(3)
    );
    scenario.terraform.plan(&[])?.expect_code(0)?;

    let Seen { acknowledged, longest_gap } = load.stop();
    println!(
        "{} writes acknowledged; longest time without a leader: {longest_gap:?}",
        acknowledged.len()
    );
    assert!(acknowledged.len() > 20, "the load ran");
    assert!(longest_gap < Duration::from_secs(30), "a leader is always back: {longest_gap:?}");
    for key in acknowledged {
        let found = consul.ask(0, "GET", &format!("kv/{key}?raw"), None, true)?;
        assert_eq!(found.status, 200, "the acknowledged write {key} is lost");
    }
    let after = vm_identity(scenario)?;
    for (name, (machine, processes)) in first {
        let (now, running) = after.get(&name).ok_or_else(|| format!("{name} is gone"))?;
        assert_eq!(now, &machine, "server {name} was touched");
        let lasting = processes.intersection(running).count();
        assert!(lasting >= 2, "{name} restarted its programs: {processes:?}, now {running:?}");
    }
    Ok(())
}

/// A machine as Azure has it, and its processes: the host manager, Consul, and what either calls for a moment.
type Machine = (Value, BTreeSet<u64>);

/// What changes when a VM is replaced or its programs are restarted.
fn vm_identity(scenario: &Scenario) -> Result<BTreeMap<String, Machine>, Box<dyn Error>> {
    let mut machines = BTreeMap::new();
    for mut row in scenario.vms()? {
        let name = row["name"].as_str().unwrap_or_default().to_owned();
        let pids = row.as_object_mut().and_then(|row| row.remove("pids")).unwrap_or_default();
        let processes = pids.as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        machines.insert(name, (row, processes));
    }
    Ok(machines)
}

fn import(scenario: &Scenario) -> Done {
    let terraform = &scenario.terraform;
    let cluster = terraform.attributes(CLUSTER)?;
    let id = cluster["id"].as_str().ok_or("id")?;
    let policy = format!("{id}/snapshotPolicies/default");
    std::fs::remove_file(terraform.dir.join("terraform.tfstate"))?;
    let import = ["import", "-no-color", "-input=false"];
    terraform.run(&[&import[..], &[CLUSTER, id]].concat())?.expect_code(0)?;
    let address = "hcs_snapshot_policy.hourly";
    terraform.run(&[&import[..], &[address, &policy]].concat())?.expect_code(0)?;
    // The outputs come back with the next apply; no resource may change.
    let plan = terraform.plan(&["-out=import.tfplan"])?;
    let shown = terraform.run(&["show", "-json", "import.tfplan"])?.expect_code(0)?;
    let shown: Value = serde_json::from_str(&shown.stdout)?;
    for change in shown["resource_changes"].as_array().into_iter().flatten() {
        assert_eq!(change["change"]["actions"], serde_json::json!(["no-op"]), "{}", plan.text());
    }
    terraform.apply(&[])?;
    terraform.plan(&[])?.expect_code(0)?;
    Ok(())
}

fn destroy(scenario: &mut Scenario) -> Done {
    scenario.terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new(), "something is left in Azure");
    scenario.azure.stop();
    let processes = emulator::processes_in(&scenario.azure.dir);
    assert_eq!(processes, Vec::<String>::new(), "a process stays");
    Ok(())
}
