//! Servers that somebody took away: the next apply makes them again, and the others go on meanwhile.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use hcs_acceptance::scenario::CLUSTER;
use hcs_acceptance::{Scenario, blobs};
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

const PATIENCE: Duration = Duration::from_mins(1);
const NAMES: [&str; 3] = ["lost-server-0", "lost-server-1", "lost-server-2"];

#[test]
fn a_server_that_was_taken_away_comes_back_and_knows_what_the_others_know() -> Done {
    let scenario = Scenario::start("lost", "", 30)?;
    let terraform = &scenario.terraform;
    terraform.declare("lost", json!({ "server_count": 3 }))?;
    terraform.init()?;
    terraform.apply(&[])?;
    let cluster = terraform.attributes(CLUSTER)?;
    let group = cluster["id"].as_str().ok_or("id")?;

    unlock(&scenario, group)?;
    let set = format!("{group}/providers/Microsoft.Compute/virtualMachineScaleSets/lost-server-1");
    delete(&scenario, &format!("{set}?api-version=2024-07-01"))?;
    comes_back(&scenario, 1, "lost-server-1 is missing.")?;

    unlock(&scenario, group)?;
    let set = format!("{group}/providers/Microsoft.Compute/virtualMachineScaleSets/lost-server-2");
    let machines = format!("{set}/virtualMachines");
    let listed = scenario.azure.arm("GET", &format!("{machines}?api-version=2024-07-01"), None)?;
    let id = listed.json()["value"][0]["instanceId"].as_str().ok_or("no machine")?.to_owned();
    delete(&scenario, &format!("{machines}/{id}?api-version=2024-07-01"))?;
    dropped(&scenario)?;
    comes_back(&scenario, 2, "sku.capacity is 0.")?;

    terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}

/// Autopilot drops one of three, and the others publish it: that is their word that a server is lost.
fn dropped(scenario: &Scenario) -> Done {
    let cluster = scenario.terraform.attributes(CLUSTER)?;
    let account = cluster["storage_account_name"].as_str().ok_or("account")?;
    let begun = Instant::now();
    loop {
        let status = blobs::json(&scenario.azure, account, "status-0", "status.json")?;
        let peers = status.map(|status| status["consul"]["peers"].clone()).unwrap_or_default();
        if peers == json!(NAMES[..2]) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{peers}");
        thread::sleep(Duration::from_secs(1));
    }
    println!("the others dropped it after {} s", begun.elapsed().as_secs());
    Ok(())
}

fn comes_back(scenario: &Scenario, slot: usize, drift: &str) -> Done {
    let terraform = &scenario.terraform;
    let key = format!("kv/without-{slot}");
    write(scenario, &key)?;
    let plan = terraform.plan(&[])?.expect_code(2)?;
    let words = plan.words();
    assert!(words.contains("0 to add, 1 to change, 0 to destroy"), "{words}");
    assert!(words.contains(drift), "{words}");
    terraform.apply(&[])?;
    let consul = scenario.consul()?;
    assert_eq!(consul.voters(0)?, NAMES, "three voters, each once");
    // From the server itself, whatever it can tell without a leader.
    let kept = consul.get(slot, &format!("{key}?stale"))?;
    assert_eq!(kept[0]["Value"], Value::from("a2VwdA=="), "{kept}");
    terraform.plan(&[])?.expect_code(0)?;
    Ok(())
}

/// Two of three serve, at the latest after an election: whoever was taken away may have led.
fn write(scenario: &Scenario, key: &str) -> Done {
    let (consul, begun) = (scenario.consul()?, Instant::now());
    loop {
        let put = consul.ask(0, "PUT", key, Some("kept"), true)?;
        if put.text().trim() == "true" {
            return Ok(());
        }
        assert!(begun.elapsed() < PATIENCE, "{}", put.text());
        thread::sleep(Duration::from_millis(200));
    }
}

/// Takes the lock away, as somebody must who deletes what is in the group.
fn unlock(scenario: &Scenario, group: &str) -> Done {
    let lock = format!("{group}/providers/Microsoft.Authorization/locks/hcs-cannot-delete");
    delete(scenario, &format!("{lock}?api-version=2020-05-01"))
}

/// Deletes an object and waits until it is gone. A lock that was taken away still counts for a while.
fn delete(scenario: &Scenario, path: &str) -> Done {
    let begun = Instant::now();
    loop {
        let answer = scenario.azure.arm("DELETE", path, None)?;
        assert!(answer.status < 300 || answer.text().contains("ScopeLocked"), "{}", answer.text());
        if scenario.azure.arm("GET", path, None)?.status == 404 {
            return Ok(());
        }
        assert!(begun.elapsed() < PATIENCE, "{path} does not go: {}", answer.text());
        thread::sleep(Duration::from_millis(200));
    }
}
