//! A snapshot is restored as its guide says, word for word: the keys are asked of Consul, and Terraform sees nothing of it.

use std::error::Error;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hcs_acceptance::curl::Answer;
use hcs_acceptance::scenario::{CLUSTER, GROUP};
use hcs_acceptance::{HarnessError, Scenario, bins, blobs, tools, wait};
use jiff::Timestamp;
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

#[test]
fn last_nights_snapshot_comes_back_by_the_words_of_the_guide() -> Done {
    let mut scenario = Scenario::start("restore", "", 60)?;
    scenario.terraform.set("TF_VAR_server_count", "1");
    scenario.terraform.set("TF_VAR_zones", r#"["1"]"#);
    scenario.terraform.declare("restore", json!({}))?;
    scenario.terraform.init()?;
    scenario.terraform.apply(&[])?;
    let consul = scenario.consul()?;
    let put = |value: &str| consul.ask(0, "PUT", "kv/shop/price", Some(value), true);
    let get = || -> Result<String, Box<dyn Error>> {
        Ok(consul.ask(0, "GET", "kv/shop/price?raw", None, true)?.text())
    };
    put("7")?;
    scenario.hcs("snapshots take", &[])?;
    put("lost")?;

    let listed = scenario.hcs("snapshots list", &[])?;
    let name = listed.split_whitespace().last().unwrap_or_default().to_owned();
    assert!(name.starts_with("~on-demand/"), "{listed}");
    let said = scenario.hcs("snapshots restore", &[&name])?;
    assert!(said.contains("Say --yes if that is meant"), "{said}");
    assert_eq!(get()?, "lost", "nothing was done");
    let restored = scenario.hcs("snapshots restore", &[&name, "--yes"])?;
    println!("{restored}");
    assert!(
        restored.contains("what was there before: snapshots/~on-demand/before-restore-"),
        "{restored}"
    );
    assert!(restored.contains("a server that was thrown away restored it first"), "{restored}");
    assert_eq!(get()?, "7");

    wait("all is well", || Ok(scenario.hcs("status", &[])?.contains("all is well")))?;
    scenario.terraform.plan(&[])?.expect_code(0)?;
    let cluster = scenario.terraform.attributes(CLUSTER)?;
    assert_eq!(cluster["drift"], Value::Array(vec![]));

    // And back again.
    let before = restored.split("before: snapshots/").nth(1).unwrap_or_default();
    let before = before.split_whitespace().next().unwrap_or_default();
    scenario.hcs("snapshots restore", &[before, "--yes"])?;
    assert_eq!(get()?, "lost");
    snapshots_and_restores_are_declared(&scenario, &put, &get)?;
    offline(&scenario)?;
    a_policy_drills_what_it_keeps(&scenario, &put, &get)?;
    the_last_snapshot_outlives_its_cluster(&scenario, &put)
}

type Put<'a> = &'a dyn Fn(&str) -> Result<Answer, HarnessError>;
type Get<'a> = &'a dyn Fn() -> Result<String, Box<dyn Error>>;

const SNAPSHOT: &str = "hcs_snapshot.kept[\"before-migration\"]";

/// The same by Terraform: two at once, kept for longer, imported, and restored once for each trigger.
fn snapshots_and_restores_are_declared(scenario: &Scenario, put: Put<'_>, get: Get<'_>) -> Done {
    let terraform = &scenario.terraform;
    terraform.add("restore/snapshots.tf")?;
    terraform.declare("restore", json!({ "expires_after": "30d" }))?;
    terraform.apply(&[])?;
    terraform.plan(&[])?.expect_code(0)?;
    let kept = terraform.attributes(SNAPSHOT)?;
    assert_eq!((&kept["state"], &kept["name"]), (&json!("available"), &json!("before-migration")));
    assert_eq!(kept["sha256"].as_str().map(str::len), Some(64), "{kept}");
    assert!(kept["size_bytes"].as_u64() > Some(100) && kept["raft_index"].as_u64() > Some(10));
    let day = |value: &Value| value.as_str().map(str::parse::<Timestamp>);
    let (created, expires) = (day(&kept["created_at"]), day(&kept["expires_at"]));
    let (created, expires) = (created.ok_or("created")??, expires.ok_or("expires")??);
    assert_eq!(expires.duration_since(created).as_hours(), 30 * 24);
    let found = terraform.attributes("data.hcs_snapshots.asked_for")?;
    let found = found["snapshots"].as_array().cloned().unwrap_or_default();
    let paths: Vec<&str> = found.iter().filter_map(|row| row["path"].as_str()).collect();
    assert!(
        paths[..2].contains(&"~on-demand/before-migration.snap"),
        "the newest first: {paths:?}"
    );
    assert!(paths.len() >= 5, "those of before are there, too: {paths:?}");

    // It is kept for longer, and is the same snapshot.
    terraform.declare("restore", json!({ "expires_after": "60d" }))?;
    let applied = terraform.apply(&[])?;
    assert!(applied.stdout.contains("0 added, 2 changed, 0 destroyed"), "{}", applied.stdout);
    let longer = terraform.attributes(SNAPSHOT)?;
    assert_eq!((&longer["sha256"], &longer["created_at"]), (&kept["sha256"], &kept["created_at"]));
    assert_ne!(longer["expires_at"], kept["expires_at"]);

    // Another state may not take its name, and may import it.
    let id = kept["id"].as_str().ok_or("id")?;
    terraform.run(&["state", "rm", SNAPSHOT])?.expect_code(0)?;
    let refused = terraform.run(&["apply", "-auto-approve", "-no-color"])?.expect_code(1)?;
    assert!(refused.text().contains("exists already"), "{}", refused.text());
    terraform.run(&["import", "-no-color", SNAPSHOT, id])?.expect_code(0)?;
    let applied = terraform.apply(&[])?;
    assert!(applied.stdout.contains("0 added"), "{}", applied.stdout);
    terraform.plan(&[])?.expect_code(0)?;

    put("9")?;
    terraform.add("restore/back.tf")?;
    terraform.declare("restore", json!({ "expires_after": "60d", "because": "a test" }))?;
    let planned = terraform.plan(&[])?;
    assert!(planned.words().contains("The whole state of Consul goes back"), "{}", planned.text());
    terraform.apply(&[])?;
    assert_eq!(get()?, "lost");
    let told = terraform.attributes("hcs_snapshot_restore.back")?;
    let safety = told["safety_snapshot_id"].as_str().unwrap_or_default();
    assert!(safety.contains("/blobs/~on-demand/before-restore-"), "{told}");
    terraform.plan(&[])?.expect_code(0)?;

    put("10")?;
    terraform.apply(&[])?;
    assert_eq!(get()?, "10", "it is not restored again by itself");
    terraform.declare("restore", json!({ "expires_after": "60d", "because": "another reason" }))?;
    terraform.apply(&[])?;
    assert_eq!(get()?, "lost");
    terraform.plan(&[])?.expect_code(0)?;
    let told = terraform.attributes("hcs_snapshot_restore.back")?;
    assert_eq!(told["restored_index"], kept["raft_index"], "{told}");
    terraform.remove("back.tf")?;
    Ok(terraform.remove("snapshots.tf")?)
}

/// A policy keeps its snapshots in an account of the platform's; a server that does not lead tries the newest one there.
fn a_policy_drills_what_it_keeps(scenario: &Scenario, put: Put<'_>, get: Get<'_>) -> Done {
    let (terraform, container) = (&scenario.terraform, make_backups(scenario, "policies")?);
    put("as the policy knows it")?;
    terraform.add("restore/drilled.tf")?;
    terraform.declare("restore", json!({ "storage_container_id": "consul" }))?;
    let refused = terraform.plan(&[])?.expect_code(1)?;
    assert!(refused.words().contains("is not the id of a storage container"), "{}", refused.text());
    terraform.declare("restore", json!({ "storage_container_id": container }))?;
    terraform.apply(&[])?;
    wait("a drill went well", || {
        terraform.run(&["apply", "-refresh-only", "-auto-approve", "-no-color"])?.expect_code(0)?;
        let state = terraform.attributes("hcs_snapshot_policy.drilled")?;
        assert_eq!(state["last_error"], Value::Null, "{state}");
        let is_there = state["snapshot_count"].as_u64() >= Some(1);
        Ok(is_there && state["last_verified_at"].as_str().is_some_and(|at| at.starts_with("20")))
    })?;
    terraform.plan(&[])?.expect_code(0)?;
    let said = scenario.hcs("status", &[])?;
    assert!(said.contains("a server that was thrown away restored the newest at 20"), "{said}");

    // The servers may write there; whoever looks needs a right of their own.
    let listed = scenario.hcs("snapshots list", &[])?;
    assert!(listed.contains(&format!("not shown: {container}")), "{listed}");
    assert!(listed.contains("Storage Blob Data Reader"), "{listed}");
    give_rights(scenario, &container)?;
    let mut id = String::new();
    wait("it is listed", || {
        let listed = scenario.hcs("snapshots list", &[])?;
        let below = format!("{container}/blobs/restore-");
        let mut ids = listed.split_whitespace().filter(|word| word.starts_with(&below));
        ids.next().unwrap_or_default().clone_into(&mut id);
        Ok(!id.is_empty())
    })?;
    let verified = scenario.hcs("snapshots verify --cluster", &[&id])?;
    assert!(verified.contains("is whole"), "{verified}");
    put("a later word")?;
    let restored = scenario.hcs("snapshots restore", &[&id, "--yes"])?;
    assert!(restored.contains("Consul is back at"), "{restored}");
    assert_eq!(get()?, "as the policy knows it");
    wait("all is well", || Ok(scenario.hcs("status", &[])?.contains("all is well")))?;
    terraform.plan(&[])?.expect_code(0)?;

    // The policy goes, the right with it, and what it kept stays.
    let may = || -> Result<usize, HarnessError> {
        let within = format!("{container}/providers/Microsoft.Authorization/").to_lowercase();
        let ids = scenario.azure.objects()?;
        Ok(ids.iter().filter(|id| id.to_lowercase().starts_with(&within)).count())
    };
    assert_eq!(may()?, 2, "the servers' and the caller's");
    terraform.remove("drilled.tf")?;
    terraform.declare("restore", json!({}))?;
    terraform.apply(&[])?;
    assert_eq!(may()?, 1);
    assert!(!blobs::list(&scenario.azure, BACKUPS, "policies")?.is_empty());
    Ok(())
}

/// A snapshot on this machine is verified without a cluster, by us and by Consul itself.
fn offline(scenario: &Scenario) -> Done {
    let file = scenario.dir.join("copied.snap");
    let path = file.display().to_string();
    let copied = scenario
        .hcs("snapshots copy", &["~on-demand/before-migration.snap", "--to-file", &path])?;
    assert!(copied.contains("it holds secrets"), "{copied}");
    let verify = || {
        let mut command = Command::new(bins::binary("hcs")?);
        command.args(["snapshots", "verify"]).arg(&file);
        Ok::<_, HarnessError>(command)
    };
    let said = tools::run(&mut verify()?)?;
    println!("{said}");
    assert!(said.contains("is whole") && said.contains("KVS"), "{said}");
    let inspected =
        tools::run(Command::new(tools::consul()?).args(["snapshot", "inspect"]).arg(&file))?;
    // Consul counts the same records: `KVS  3  412B`. Before 1.9 it counts none.
    let counted = inspected.split_once("Count").map(|(_, rows)| rows);
    for line in said.lines().skip(2).filter(|_| counted.is_some()) {
        let (count, name) = line.trim().split_once("  ").ok_or("a count and a name")?;
        let rows = || counted.unwrap_or_default().lines();
        let row = rows().find(|row| row.trim_start().starts_with(&format!("{name} ")));
        let of_consul = row.and_then(|row| row.split_whitespace().nth(1));
        assert_eq!(of_consul, Some(count), "{name}: {inspected}");
    }
    let mut bytes = std::fs::read(&file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&file, bytes)?;
    let refused = verify()?.output()?;
    assert!(!refused.status.success(), "{}", String::from_utf8_lossy(&refused.stdout));
    Ok(())
}

const BACKUPS: &str = "platformbackups";

/// An account of the platform's with a container, as somebody made it before. Returns the container's id.
fn make_backups(scenario: &Scenario, name: &str) -> Result<String, Box<dyn Error>> {
    let group = scenario.azure.group_id(GROUP);
    let account = format!("{group}/providers/Microsoft.Storage/storageAccounts/{BACKUPS}");
    let container = format!("{account}/blobServices/default/containers/{name}");
    let body = json!({
        "location": "westeurope", "kind": "StorageV2", "sku": { "name": "Standard_ZRS" }, "properties": {},
    });
    let service = format!("{account}/blobServices/default");
    let empty = || json!({ "properties": {} });
    for (id, body) in [(&account, body), (&service, empty()), (&container, empty())] {
        let path = format!("{id}?api-version=2023-05-01");
        let answer = scenario.azure.arm("PUT", &path, Some(&body.to_string()))?;
        assert!((200..300).contains(&answer.status), "{id}: {} {}", answer.status, answer.text());
    }
    Ok(container)
}

/// Gives the caller the right to write blobs there.
fn give_rights(scenario: &Scenario, container: &str) -> Done {
    let token = scenario.azure.token("https://management.azure.com/.default")?;
    let claims = token.split('.').nth(1).ok_or("no claims")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    let subscription = scenario.azure.variable("ARM_SUBSCRIPTION_ID");
    // Storage Blob Data Contributor.
    let role = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
    let body = json!({ "properties": {
        "roleDefinitionId":
            format!("/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"),
        "principalId": claims["oid"],
        "principalType": "ServicePrincipal",
    }});
    let name = "11111111-2222-4333-8444-555555555555";
    let path = format!(
        "{container}/providers/Microsoft.Authorization/roleAssignments/{name}?api-version=2022-04-01"
    );
    let answer = scenario.azure.arm("PUT", &path, Some(&body.to_string()))?;
    assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.text());
    Ok(())
}

/// Without a place for it the cluster stays; with one it goes, and another cluster begins with what it held.
fn the_last_snapshot_outlives_its_cluster(scenario: &Scenario, put: Put<'_>) -> Done {
    let terraform = &scenario.terraform;
    let container = make_backups(scenario, "consul")?;
    terraform.declare("restore", json!({ "final_snapshot_storage_container_id": container }))?;
    let applied = terraform.apply(&[])?;
    assert!(applied.stdout.contains("1 changed"), "{}", applied.stdout);
    put("the last word")?;
    let refused = terraform.run(&["destroy", "-auto-approve", "-no-color"])?.expect_code(1)?;
    let words = refused.words();
    assert!(words.contains("The last snapshot has no place"), "{}", refused.text());
    assert!(words.contains("Nothing was deleted"), "{}", refused.text());
    assert!(scenario.hcs("status", &[])?.contains("all is well"));

    give_rights(scenario, &container)?;
    let gone = terraform.destroy(&[])?;
    assert!(gone.words().contains("The last snapshot is kept"), "{}", gone.text());
    let listed = blobs::list(&scenario.azure, BACKUPS, "consul")?;
    let [last] = listed.as_slice() else { return Err(format!("{listed:?}").into()) };
    assert!(last.starts_with("restore/final-"), "{last}");
    let bytes = blobs::get(&scenario.azure, BACKUPS, "consul", last)?.ok_or("no snapshot")?;
    let file = scenario.dir.join("last.snap");
    std::fs::write(&file, bytes)?;

    // Nothing of the first one is left: another region, other tokens, another CA.
    let id = |path: &str| format!("{container}/blobs/{path}");
    let from =
        |path: &str| json!({ "location": "northeurope", "restore_from_snapshot_id": id(path) });
    terraform.declare("restore", from("restore/none.snap"))?;
    let absent = terraform.run(&["apply", "-auto-approve", "-no-color"])?.expect_code(1)?;
    println!("{}", absent.text());
    assert!(absent.words().contains("There is no"), "{}", absent.text());
    assert!(absent.words().contains("the rest is there"), "{}", absent.text());
    terraform.declare("restore", from(last))?;
    terraform.apply(&[])?;
    let value = scenario.consul()?.ask(0, "GET", "kv/shop/price?raw", None, true)?.text();
    assert_eq!(value, "the last word");
    wait("all is well", || Ok(scenario.hcs("status", &[])?.contains("all is well")))?;
    terraform.plan(&[])?.expect_code(0)?;
    let uploaded = scenario.hcs("snapshots upload", &[&file.display().to_string()])?;
    println!("{uploaded}");
    let name = uploaded.split_whitespace().next().unwrap_or_default();
    assert!(scenario.hcs("snapshots list", &[])?.contains(name), "{uploaded}");
    // One of another account goes back into a cluster that exists, as well.
    scenario.consul()?.ask(0, "PUT", "kv/shop/price", Some("a later word"), true)?;
    let mut back = from(last);
    back["snapshot_id"] = json!(id(last));
    terraform.add("restore/back_from_elsewhere.tf")?;
    terraform.declare("restore", back)?;
    terraform.apply(&[])?;
    let value = scenario.consul()?.ask(0, "GET", "kv/shop/price?raw", None, true)?.text();
    assert_eq!(value, "the last word");
    terraform.remove("back_from_elsewhere.tf")?;
    let skipped = json!({ "location": "northeurope", "skip_final_snapshot": true });
    terraform.declare("restore", skipped)?;
    terraform.apply(&[])?;
    let gone = terraform.destroy(&[])?;
    assert!(!gone.words().contains("Nothing of the cluster's data is kept"), "{}", gone.text());
    assert_eq!(blobs::list(&scenario.azure, BACKUPS, "consul")?.len(), 1);
    Ok(())
}
