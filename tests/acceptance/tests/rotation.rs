//! Secrets are rotated by a word in the configuration: the apply asks for it, the servers do it, and the plan is empty.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hcs_acceptance::scenario::CLUSTER;
use hcs_acceptance::{Scenario, blobs, wait};
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

const WORDS: [&str; 5] =
    ["gossip_key", "agent_tokens", "management_token", "client_token", "certificate_authority"];

/// One server, and a word for every secret.
fn triggers(word: &str) -> Value {
    let triggers = BTreeMap::from(WORDS.map(|name| (name, word)));
    json!({ "server_count": 1, "zones": ["1"], "rotation_triggers": triggers })
}

#[test]
fn a_trigger_that_changes_rotates_a_secret_and_the_plan_is_empty() -> Done {
    let scenario = Scenario::start("rotation", "", 60)?;
    scenario.terraform.declare("rotation", triggers("2026-11"))?;
    scenario.terraform.init()?;
    scenario.terraform.apply(&[])?;
    scenario.terraform.plan(&[])?.expect_code(0)?;
    let cluster = scenario.terraform.attributes(CLUSTER)?;
    let account = cluster["storage_account_name"].as_str().unwrap_or_default().to_owned();
    let first = secret(&scenario, &account, "secrets-shared", "management-token")?;
    let consul = scenario.consul()?;
    assert!(!consul.leader(0)?.is_empty());

    scenario.terraform.declare("rotation", triggers("2026-12"))?;
    let plan = scenario.terraform.plan(&[])?.expect_code(2)?;
    let text = plan.text();
    assert!(text.contains("0 to add, 1 to change, 0 to destroy"), "{text}");
    for name in WORDS {
        let change = format!("~ {name}");
        let line = text.lines().find(|line| line.trim().starts_with(&change));
        let line = line.ok_or_else(|| format!("{name} is not shown: {text}"))?;
        assert!(line.contains("\"2026-11\" -> \"2026-12\""), "{line}");
    }
    scenario.terraform.apply(&[])?;
    scenario.terraform.plan(&[])?.expect_code(0)?;

    let document = blobs::json(&scenario.azure, &account, "config", "cluster.json")?;
    let rotations = document.ok_or("no document")?["rotations"].clone();
    let progress = |name: &str| -> Result<Value, Box<dyn Error>> {
        let found = blobs::json(&scenario.azure, &account, "decisions", "rotations.json")?;
        Ok(found.unwrap_or_default()["progress"][name].clone())
    };
    let wanted = [
        ("agent_tokens", "done"),
        ("management_token", "done"),
        ("client_token", "in_use"),
        ("gossip_key", "known"),
        ("certificate_authority", "known"),
    ];
    for (name, phase) in wanted {
        wait(&format!("{name} is {phase}"), || {
            let at = progress(name)?;
            Ok(at["version"] == rotations[name]["version"] && at["phase"] == phase)
        })?;
    }
    let version = rotations["management_token"]["version"].as_str().unwrap_or_default();
    let name = format!("management-token.{version}");
    let second = secret(&scenario, &account, "secrets-shared", &name)?;
    assert_ne!(first, second);
    let as_who = |token: &str| consul.ask_as(0, "GET", "acl/token/self", None, Some(token));
    assert_eq!((as_who(&first)?.status, as_who(&second)?.status), (403, 200));

    // Clients are told to trust both, and nothing of it is a difference.
    scenario.terraform.plan(&[])?.expect_code(0)?;
    scenario.terraform.apply(&["-refresh-only"])?;
    let ca = scenario.terraform.attributes(CLUSTER)?["consul_ca_file"].clone();
    let ca = decoded(ca.as_str().unwrap_or_default())?;
    assert_eq!(ca.matches("BEGIN CERTIFICATE").count(), 2, "{ca}");
    for state in ["terraform.tfstate", "terraform.tfstate.backup"] {
        let text = std::fs::read_to_string(scenario.terraform.dir.join(state))?;
        assert!(!text.contains(&first) && !text.contains(&second), "a secret is in {state}");
    }
    let told = scenario.hcs("status", &[])?;
    for line in ["gossip_key: all know the new one", "management_token: done since"] {
        assert!(told.contains(line), "{told}");
    }
    by_hand(&scenario, &account)?;
    an_apply_waits_for_a_job(&scenario, &account)?;
    scenario.terraform.destroy(&[])?;
    Ok(())
}

/// While a server does something by itself nobody else takes one away.
fn an_apply_waits_for_a_job(scenario: &Scenario, account: &str) -> Done {
    let job = |beats: u32, ended_at: Option<&str>| -> Done {
        let file = scenario.dir.join("job.json");
        let job = json!({
            "id": "a-job-of-a-test", "kind": "restart", "slot": 0, "reason": "a test", "beats": beats,
            "started_at": "2026-11-28T10:00:00Z", "ended_at": ended_at,
        });
        std::fs::write(&file, job.to_string())?;
        Ok(blobs::put(&scenario.azure, account, "decisions", "job.json", &file)?)
    };
    let read = |name: &str| -> Result<Value, Box<dyn Error>> {
        Ok(blobs::json(&scenario.azure, account, "config", name)?.unwrap_or_default())
    };
    let mut tagged = triggers("2026-12");
    tagged["tags"] = json!({ "job": "waited-for" });
    scenario.terraform.declare("rotation", tagged)?;
    let before = read("spec.json")?;
    job(0, None)?;
    std::thread::scope(|scope| {
        let applied = scope.spawn(|| scenario.terraform.apply(&[]).map_err(|e| e.to_string()));
        let mut beats = 0;
        wait("the apply waits", || {
            beats += 1;
            job(beats, None)?;
            let step = read("run.json")?["step"].as_str().unwrap_or_default().to_owned();
            Ok(step.contains("wait until this has ended: server 0 restarts its Consul (a test)"))
        })?;
        let told = scenario.hcs("status", &[])?;
        for line in ["an apply waits for its end", "wait until this has ended"] {
            assert!(told.contains(line), "{told}");
        }
        for _ in 0..10 {
            beats += 1;
            job(beats, None)?;
            std::thread::sleep(Duration::from_secs(1));
        }
        assert!(!applied.is_finished(), "it waits");
        assert_eq!(read("spec.json")?, before, "nothing is written meanwhile");
        job(beats + 1, Some("2026-11-28T10:01:00Z"))?;
        applied.join().map_err(|_| "the apply broke off")??;
        assert_ne!(read("spec.json")?, before);
        scenario.terraform.plan(&[])?.expect_code(0)?;
        Ok(())
    })
}

/// Without Terraform, and no difference to it.
fn by_hand(scenario: &Scenario, account: &str) -> Done {
    let version = || -> Result<Value, Box<dyn Error>> {
        let found = blobs::json(&scenario.azure, account, "config", "cluster.json")?;
        Ok(found.unwrap_or_default()["rotations"]["agent_tokens"]["version"].clone())
    };
    let before = version()?;
    let told = scenario.hcs("rotate", &["agent_tokens"])?;
    assert!(told.contains("another version of the agents' tokens was asked for"), "{told}");
    let after = version()?;
    assert_ne!(before, after);
    wait("they are rotated", || {
        let found = blobs::json(&scenario.azure, account, "decisions", "rotations.json")?;
        let at = found.unwrap_or_default()["progress"]["agent_tokens"].clone();
        Ok(at["version"] == after && at["phase"] == "done")
    })?;
    let taken = scenario.hcs("snapshots take", &[])?;
    let name = taken.split_whitespace().find(|word| word.starts_with("snapshots/~on-demand/"));
    let name = name.and_then(|name| name.strip_prefix("snapshots/")).ok_or(taken.clone())?;
    assert!(taken.contains("Raft index") && taken.contains("SHA-256"), "{taken}");
    let listed = scenario.hcs("snapshots list", &[])?;
    assert!(listed.contains(name), "{name} in {listed}");
    let renewed = scenario.hcs("renew", &[])?;
    assert!(renewed.contains("server 0 serves another certificate, good until"), "{renewed}");
    let stranger = scenario.hcs("renew", &["--server", "7"])?;
    assert!(stranger.contains("there is no server 7: there are 0"), "{stranger}");
    let refused = scenario.hcs("rotate", &["everything"])?;
    assert!(refused.contains("it is one of gossip_key, agent_tokens"), "{refused}");
    scenario.terraform.plan(&[])?.expect_code(0)?;
    Ok(())
}

fn secret(
    scenario: &Scenario,
    account: &str,
    container: &str,
    name: &str,
) -> Result<String, Box<dyn Error>> {
    let bytes = blobs::get(&scenario.azure, account, container, name)?;
    Ok(String::from_utf8(bytes.ok_or_else(|| format!("{container}/{name} is not there"))?)?)
}

fn decoded(text: &str) -> Result<String, Box<dyn Error>> {
    Ok(String::from_utf8(STANDARD.decode(text)?)?)
}
