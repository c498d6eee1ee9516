//! `hcs doctor` says what keeps an apply from working before the apply finds it, and how a cluster is that there is.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::Command;

use hcs_acceptance::bins::binary;
use hcs_acceptance::scenario::{CLUSTER, GROUP};
use hcs_acceptance::tools::{consul, consul_version};
use hcs_acceptance::{Scenario, support, wait};
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

/// A doctor's words: the code, and by check what was found that is not good.
struct Told {
    code: Option<i32>,
    findings: Vec<Value>,
    text: String,
}

impl Told {
    /// Whether exactly this check has a problem, found in these words, and what to do is said.
    fn has_only(&self, check: &str, words: &str) {
        let is_problem = |finding: &&Value| finding["verdict"] == "problem";
        let problems: Vec<&Value> = self.findings.iter().filter(is_problem).collect();
        assert_eq!(self.code, Some(2), "{}", self.text);
        assert!(
            !problems.is_empty() && problems.iter().all(|one| one["check"] == check),
            "{}",
            self.text
        );
        assert!(
            problems.iter().any(|one| one["found"].as_str().unwrap_or_default().contains(words)),
            "{}",
            self.text
        );
        assert!(problems.iter().all(|one| one["mend"].is_string()), "{}", self.text);
    }
}

fn doctor(
    scenario: &Scenario,
    more: &[&str],
    other: &[(&str, &str)],
) -> Result<Told, Box<dyn Error>> {
    let run = |format: &str| {
        let mut hcs = Command::new(binary("hcs")?);
        hcs.arg("doctor").args(more).args(["--format", format]);
        hcs.envs(scenario.terraform.env());
        for (name, value) in other {
            hcs.env(name, value);
        }
        Ok::<_, Box<dyn Error>>(hcs.output()?)
    };
    let output = run("json")?;
    let told: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let text = String::from_utf8(run("text")?.stdout)?;
    println!("hcs doctor {}\n{text}", more.join(" "));
    let findings = told["findings"].as_array().cloned().unwrap_or_default();
    Ok(Told { code: output.status.code(), findings, text })
}

/// What is declared, as a file.
fn declared(
    scenario: &Scenario,
    name: &str,
    other: &[(&str, Value)],
) -> Result<String, Box<dyn Error>> {
    let archive = consul()?;
    let mut cluster: BTreeMap<&str, Value> = BTreeMap::from([
        ("name", json!("demo")),
        ("resource_group_name", json!(GROUP)),
        ("location", json!("westeurope")),
        ("subscription_id", json!(scenario.azure.variable("ARM_SUBSCRIPTION_ID"))),
        ("consul_version", json!(consul_version(&archive)?)),
        ("artifact_source", json!({ "location": archive.display().to_string(), "sha256": null })),
    ]);
    cluster.extend(other.iter().cloned());
    let path = scenario.dir.join(format!("{name}.json"));
    std::fs::write(&path, serde_json::to_string(&cluster)?)?;
    Ok(path.display().to_string())
}

#[test]
fn what_keeps_an_apply_from_working_is_said_before_it() -> Done {
    let scenario = Scenario::start("doctor", "", 60)?;
    let file = declared(&scenario, "good", &[])?;
    let good = doctor(&scenario, &["-f", &file], &[])?;
    assert_eq!(good.code, Some(0), "{}", good.text);
    assert!(good.findings.iter().all(|one| one["verdict"] == "good"), "{}", good.text);
    let checks: Vec<&str> = good.findings.iter().filter_map(|one| one["check"].as_str()).collect();
    let all =
        ["versions", "credentials", "clock", "resource providers", "machines", "quota", "rights"];
    assert_eq!(checks[..7], all);
    assert_eq!(doctor(&scenario, &[], &[])?.code, Some(0), "the machine alone");

    // Broken ones, each by one thing.
    let secret = [("ARM_CLIENT_SECRET", "another")];
    let told = doctor(&scenario, &["-f", &file], &secret)?;
    told.has_only("credentials", "AADSTS7000215");
    assert!(!told.text.contains("another"), "no secret is repeated: {}", told.text);
    let elsewhere = [("ARM_SUBSCRIPTION_ID", "00000000-0000-0000-0000-00000000dead")];
    doctor(&scenario, &["-f", &file], &elsewhere)?.has_only("credentials", "dead");
    let nowhere = [("ARM_METADATA_HOSTNAME", "127.0.0.1:1")];
    doctor(&scenario, &["-f", &file], &nowhere)?.has_only("credentials", "127.0.0.1:1");

    let file = declared(&scenario, "size", &[("vm_size", json!("Standard_D2ps_v6"))])?;
    doctor(&scenario, &["-f", &file], &[])?.has_only("machines", "Standard_D2ps_v6");
    let file = declared(&scenario, "region", &[("location", json!("mars"))])?;
    doctor(&scenario, &["-f", &file], &[])?.has_only("region", "mars is no region");
    let large = [("vm_size", json!("Standard_D64s_v5")), ("server_count", json!(7))];
    let file = declared(&scenario, "quota", &large)?;
    doctor(&scenario, &["-f", &file], &[])?.has_only("quota", "448 are needed");
    let gone = json!({ "location": "/nowhere/consul.zip", "sha256": null });
    let file = declared(&scenario, "archive", &[("artifact_source", gone)])?;
    doctor(&scenario, &["-f", &file], &[])?.has_only("Consul's archive", "/nowhere/consul.zip");

    // The caller gives itself Reader and lets go of Owner.
    let subscription = format!("/subscriptions/{}", scenario.azure.variable("ARM_SUBSCRIPTION_ID"));
    let roles = format!("{subscription}/providers/Microsoft.Authorization/roleAssignments");
    let version = "?api-version=2022-04-01";
    let found = scenario.azure.arm("GET", &format!("{roles}{version}"), None)?.json();
    let owner = found["value"][0]["id"].as_str().unwrap_or_default().to_owned();
    let reader = format!("{roles}/00000000-0000-0000-0000-000000000001{version}");
    let definitions = format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions");
    let body = json!({ "properties": {
        "roleDefinitionId": format!("{definitions}/acdd72a7-3385-48ef-bd42-f606fba81ae7"),
        "principalId": found["value"][0]["properties"]["principalId"],
        "principalType": "ServicePrincipal",
    }});
    let made = scenario.azure.arm("PUT", &reader, Some(&body.to_string()))?;
    assert_eq!(made.status, 201, "{}", made.text());
    scenario.azure.arm("DELETE", &format!("{owner}{version}"), None)?;
    let file = declared(&scenario, "rights", &[])?;
    wait("the role is known", || {
        let told = doctor(&scenario, &["-f", &file], &[])?;
        Ok(told.text.contains("you lack") && !told.text.contains("/read"))
    })?;
    let told = doctor(&scenario, &["-f", &file], &[])?;
    told.has_only("rights", "Microsoft.Authorization/roleAssignments/write");
    assert!(told.text.contains("-> Contributor on /subscriptions/"), "{}", told.text);
    Ok(())
}

#[test]
fn a_cluster_that_there_is_is_looked_at_whole() -> Done {
    let scenario = Scenario::start("doctor-cluster", "", 60)?;
    let one = json!({ "server_count": 1, "zones": ["1"], "lock": { "kind": "None" } });
    scenario.terraform.declare("doctor", one)?;
    scenario.terraform.init()?;
    scenario.terraform.apply(&[])?;
    let cluster = scenario.terraform.attributes(CLUSTER)?;
    let id = cluster["id"].as_str().unwrap_or_default();
    let good = doctor(&scenario, &[id], &[])?;
    assert_eq!(good.code, Some(0), "{}", good.text);
    for check in ["storage", "servers", "rights", "quota"] {
        assert!(good.findings.iter().any(|one| one["check"] == check), "{check}: {}", good.text);
    }
    // The apply of another declaration, as Terraform shows it.
    let plan = scenario.dir.join("plan.json");
    scenario.terraform.run(&["plan", "-out=one.plan"])?;
    std::fs::write(&plan, scenario.terraform.run(&["show", "-json", "one.plan"])?.stdout)?;
    let told = doctor(&scenario, &[id, "-f", &plan.display().to_string()], &[])?;
    assert_eq!(told.code, Some(0), "{}", told.text);

    // What somebody who helps wants to see: all of it is there, and says something.
    let files = support::collect(&scenario, id)?;
    for (name, words) in [
        ("status.json", "\"is_well\""),
        ("servers.txt", "server 0: "),
        ("documents/config/cluster.json", "\"slots\""),
        ("documents/status-0/status.json", "\"sequence\""),
        ("servers/0/room.json", "free_bytes"),
        ("servers/0/journal/hcs-host-manager.log", "a support bundle is asked for"),
        ("servers/0/journal/consul.log", "agent"),
        ("servers/0/consul/raft.json", "\"Voter\": true"),
        ("servers/0/consul/metrics.json", "consul"),
        ("servers/0/consul/keyring.json", "\"Keys\": 1"),
        ("servers/0/configuration/server.json", "bootstrap_expect"),
        ("servers/0/disk.txt", "raft.db"),
        ("servers/0/kernel/meminfo", "MemTotal"),
    ] {
        let text = String::from_utf8_lossy(files.get(name).map_or(&[], Vec::as_slice));
        assert!(text.contains(words), "{name} of {:?}: {text:.500}", files.keys());
    }

    let nobody = format!("{id}-other");
    doctor(&scenario, &[&nobody], &[])?.has_only("cluster", "has no storage account");

    // Somebody takes the right to blobs away.
    let account = cluster["storage_account_name"].as_str().unwrap_or_default();
    let account = format!("{id}/providers/Microsoft.Storage/storageAccounts/{account}");
    let roles = format!("{account}/providers/Microsoft.Authorization/roleAssignments");
    let version = "api-version=2022-04-01";
    let held = scenario.azure.arm("GET", &format!("{roles}?$filter=atScope()&{version}"), None)?;
    let held = held.json()["value"].as_array().cloned().unwrap_or_default();
    for role in held.iter().filter_map(|role| role["id"].as_str()) {
        if role.to_lowercase().contains("/storageaccounts/") {
            scenario.azure.arm("DELETE", &format!("{role}?{version}"), None)?;
        }
    }
    wait("the right is gone", || Ok(doctor(&scenario, &[id], &[])?.code == Some(2)))?;
    let told = doctor(&scenario, &[id], &[])?;
    told.has_only("storage", "AuthorizationPermissionMismatch");
    assert!(told.text.contains("Storage Blob Data Reader on /subscriptions/"), "{}", told.text);
    Ok(())
}
