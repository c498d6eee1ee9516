//! `hcs_snapshot_policy`: the servers take, check, store and prune real snapshots by themselves.

use std::error::Error;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use hcs_acceptance::docs::HEALTH_EXAMPLE;
use hcs_acceptance::scenario::CLUSTER;
use hcs_acceptance::{Scenario, blobs, tools};
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

/// Host managers' schedules run as much faster as ARM does: an interval of a minute passes in two seconds.
const TIME_SCALE: u32 = 30;

#[test]
fn servers_take_check_and_prune_snapshots() -> Done {
    let scenario = Scenario::start("policy", "", TIME_SCALE)?;
    let terraform = &scenario.terraform;
    terraform.declare("snapshots", json!({ "interval": "1m" }))?;
    terraform.add("policy/often.tf")?;
    terraform.init()?;
    terraform.apply(&[])?;
    let cluster = terraform.attributes(CLUSTER)?;
    let account = cluster["storage_account_name"].as_str().ok_or("account")?.to_owned();
    let snapshots = || blobs::list(&scenario.azure, &account, "snapshots");

    let first = wait_for("three snapshots", || Ok(snapshots()?.len() == 3), &snapshots)?;
    let newer = wait_for(
        "a newer one in place of the oldest",
        || {
            let now = snapshots()?;
            Ok(now.len() == 3 && now[0] > first[0] && now[2] > first[2])
        },
        &snapshots,
    )?;
    assert!(newer.iter().all(|name| name.starts_with("often/") && name.ends_with(".snap")));
    let newest = newest_content(&scenario, &account)?;
    inspect(&scenario, &newest)?;

    terraform.plan(&[])?.expect_code(0)?;
    terraform.run(&["apply", "-refresh-only", "-auto-approve", "-no-color"])?.expect_code(0)?;
    let state = terraform.attributes("hcs_snapshot_policy.often")?;
    assert_eq!(state["snapshot_count"], 3);
    assert!(state["last_success_at"].as_str().is_some_and(|time| time.starts_with("20")));

    health(&scenario)?;
    change_and_destroy(&scenario, &account)
}

/// The reference's example, word for word: nothing to complain about, and what it reads is what the servers tell.
fn health(scenario: &Scenario) -> Done {
    let terraform = &scenario.terraform;
    let (_, example) = HEALTH_EXAMPLE.split_once("```terraform\n").ok_or("no example")?;
    let (example, _) = example.split_once("```").ok_or("no end")?;
    terraform.write("health.tf", example)?;
    let applied = terraform.apply(&[])?;
    assert!(!applied.text().contains("Check block assertion failed"), "{}", applied.text());
    let told = terraform.attributes("data.hcs_cluster_health.main")?;
    assert_eq!((&told["is_well"], &told["voter_count"]), (&json!(true), &json!(3)), "{told}");
    assert_eq!((&told["failure_tolerance"], &told["attention"]), (&json!(1), &json!([])), "{told}");
    assert!(told["leader_name"].as_str().is_some_and(|name| name.starts_with("snapshots-server-")));
    assert_eq!(told["certificate_days_left"], 6, "of the 168 hours of a new one");
    assert!(told["last_snapshot_age_seconds"].as_i64().is_some_and(|age| age < 60), "{told}");
    assert_eq!((&told["running_job"], &told["running_operation"]), (&Value::Null, &Value::Null));
    // A cluster that cannot lose anybody is complained about, and nothing fails.
    let strict = example.replace("failure_tolerance > 0", "failure_tolerance > 1");
    terraform.write("health.tf", &strict)?;
    let warned = terraform.apply(&[])?;
    assert!(warned.text().contains("Consul cannot lose a server"), "{}", warned.text());
    Ok(terraform.remove("health.tf")?)
}

fn change_and_destroy(scenario: &Scenario, account: &str) -> Done {
    let terraform = &scenario.terraform;
    terraform.declare("snapshots", json!({ "interval": "60s", "enabled": false }))?;
    let applied = terraform.apply(&[])?;
    assert!(applied.stdout.contains("1 changed, 0 destroyed"), "{}", applied.stdout);
    terraform.plan(&[])?.expect_code(0)?;
    let snapshots = || blobs::list(&scenario.azure, account, "snapshots");
    // Servers read their policies again every six rounds; an enabled one would take one every two seconds.
    let silent = || {
        let before = snapshots()?;
        thread::sleep(Duration::from_secs(6));
        Ok(before == snapshots()?)
    };
    wait_for("silence of a disabled policy", silent, &snapshots)?;

    let cluster = terraform.attributes(CLUSTER)?;
    let id = format!("{}/snapshotPolicies/often", cluster["id"].as_str().unwrap_or_default());
    let address = "hcs_snapshot_policy.often";
    terraform.run(&["state", "rm", address])?.expect_code(0)?;
    // For all that is known another state holds it; only an import takes it.
    let refused = terraform.run(&["apply", "-auto-approve", "-no-color"])?.expect_code(1)?;
    assert!(refused.text().contains("exists already"), "{}", refused.text());
    terraform.run(&["import", "-no-color", address, &id])?.expect_code(0)?;
    terraform.plan(&[])?.expect_code(0)?;

    let purge = json!({ "interval": "60s", "enabled": false, "on_delete": "purge" });
    terraform.declare("snapshots", purge)?;
    terraform.apply(&[])?;
    let kept = snapshots()?;
    terraform.declare("snapshots", json!({}))?;
    terraform.remove("often.tf")?;
    let purged = terraform.apply(&[])?;
    assert!(blobs::list(&scenario.azure, account, "snapshots")?.is_empty(), "purge leaves none");
    let words = purged.words();
    let told = format!("{} snapshots of policy \"often\" were deleted", kept.len());
    assert!(words.contains(&told) && words.contains("az storage blob undelete"), "{words}");
    // For a while that is not the end.
    let newest = kept.last().ok_or("no snapshot")?;
    blobs::undelete(&scenario.azure, account, "snapshots", newest)?;
    let verified = scenario.hcs("snapshots verify --cluster", &[newest])?;
    assert!(verified.contains("is whole"), "{verified}");
    terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}

fn newest_content(scenario: &Scenario, account: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    // The newest may be pruned between listing and reading only if three newer ones came meanwhile.
    let names = blobs::list(&scenario.azure, account, "snapshots")?;
    let newest = names.last().ok_or("no snapshot")?;
    Ok(blobs::get(&scenario.azure, account, "snapshots", newest)?.ok_or("pruned")?)
}

/// Consul itself reads the archive.
fn inspect(scenario: &Scenario, content: &[u8]) -> Done {
    let path = scenario.dir.join("newest.snap");
    std::fs::write(&path, content)?;
    let mut consul = Command::new(tools::consul()?);
    let shown = tools::run(consul.args(["snapshot", "inspect"]).arg(&path))?;
    assert!(shown.contains("Index"), "{shown}");
    Ok(())
}

fn wait_for(
    what: &str,
    done: impl Fn() -> Result<bool, hcs_acceptance::HarnessError>,
    names: &dyn Fn() -> Result<Vec<String>, hcs_acceptance::HarnessError>,
) -> Result<Vec<String>, Box<dyn Error>> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_mins(1) {
        if done()? {
            return Ok(names()?);
        }
        thread::sleep(Duration::from_millis(250));
    }
    Err(format!("no {what} after a minute: {:?}", names()?).into())
}
