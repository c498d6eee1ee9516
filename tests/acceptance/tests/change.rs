//! Changes by the user and by others: in place, shown while planning, and nothing of anybody else's is lost.

use std::error::Error;

use hcs_acceptance::Scenario;
use hcs_acceptance::scenario::CLUSTER;
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

#[test]
fn changes_are_made_in_place_and_drift_is_put_back() -> Done {
    let mut scenario = Scenario::start("change", "", 30)?;
    scenario.terraform.set("TF_VAR_server_count", "1");
    scenario.terraform.set("TF_VAR_default_tags", r#"{ "owner": "platform" }"#);
    let terraform = &scenario.terraform;
    terraform.declare("change", json!({ "tags": { "team": "a", "old": "1" } }))?;
    terraform.init()?;
    let applied = terraform.apply(&[])?;
    assert!(applied.words().contains("survives less than it could"), "{}", applied.text());
    tags(&scenario)?;
    drift(&scenario)?;
    protection(&scenario)?;
    fixed(&scenario)
}

fn tags(scenario: &Scenario) -> Done {
    let terraform = &scenario.terraform;
    let account = object(scenario, "Microsoft.Storage/storageAccounts")?;
    let tagged = tags_of(scenario, &account)?;
    assert_eq!((&tagged["team"], &tagged["owner"]), (&json!("a"), &json!("platform")));

    terraform.declare("change", json!({ "tags": { "team": "b" } }))?;
    let plan = terraform.plan(&[])?.expect_code(2)?;
    assert!(plan.stdout.contains("0 to add, 1 to change, 0 to destroy"), "{}", plan.stdout);
    scenario.azure.reset_requests()?;
    terraform.apply(&[])?;
    let requests = scenario.azure.requests()?;
    let deletes: Vec<_> = requests.keys().filter(|key| key.starts_with("DELETE")).collect();
    assert!(deletes.is_empty(), "a tag deletes nothing: {deletes:?}");
    let tagged = tags_of(scenario, &account)?;
    assert_eq!(tagged["team"], "b");
    assert_eq!(tagged.get("old"), None, "a tag that is no longer declared goes");
    terraform.plan(&[])?.expect_code(0)?;
    Ok(())
}

fn drift(scenario: &Scenario) -> Done {
    let terraform = &scenario.terraform;
    let cluster = terraform.attributes(CLUSTER)?;
    let group = cluster["id"].as_str().ok_or("id")?;
    let lock = format!("{group}/providers/Microsoft.Authorization/locks/hcs-cannot-delete");
    let gone = scenario.azure.arm("DELETE", &format!("{lock}?api-version=2020-05-01"), None)?;
    assert!(gone.status < 300, "{}", gone.text());
    let nsg = object(scenario, "Microsoft.Network/networkSecurityGroups")?;
    let path = format!("{nsg}?api-version=2024-01-01");
    let mut body = scenario.azure.arm("GET", &path, None)?.json();
    let rules = body["properties"]["securityRules"].as_array_mut().ok_or("rules")?;
    rules.retain(|rule| rule["name"] != "consul-rpc");
    rules.push(json!({ "name": "audit", "properties": {
        "priority": 3000, "direction": "Inbound", "access": "Deny", "protocol": "Udp",
        "sourceAddressPrefix": "*", "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": "9999" } }));
    body["tags"]["cost-center"] = json!("42");
    let put = scenario.azure.arm("PUT", &path, Some(&body.to_string()))?;
    assert!(put.status < 300, "{}", put.text());

    let plan = terraform.plan(&[])?.expect_code(2)?;
    let words = plan.words();
    assert!(words.contains("hcs-cannot-delete is missing."), "{words}");
    assert!(words.contains("securityRules[consul-rpc]"), "{words}");
    assert!(!words.contains("must be replaced"), "{words}");
    terraform.apply(&[])?;
    terraform.plan(&[])?.expect_code(0)?;
    let body = scenario.azure.arm("GET", &path, None)?.json();
    let rules = body["properties"]["securityRules"].as_array().ok_or("rules")?;
    for name in ["consul-rpc", "audit"] {
        assert!(rules.iter().any(|rule| rule["name"] == name), "{name} in {rules:?}");
    }
    assert_eq!(body["tags"]["cost-center"], "42", "somebody's tag stays");
    assert!(scenario.made()?.iter().any(|id| id.eq_ignore_ascii_case(&lock)), "the lock is back");
    Ok(())
}

fn protection(scenario: &Scenario) -> Done {
    let terraform = &scenario.terraform;
    terraform.declare("change", json!({ "tags": { "team": "b" }, "deletion_protection": true }))?;
    terraform.apply(&[])?;
    let refused = terraform.run(&["destroy", "-no-color", "-auto-approve"])?;
    assert_eq!(refused.code, 1);
    assert!(refused.words().contains("set deletion_protection = false"), "{}", refused.text());
    Ok(())
}

/// What Azure never changes makes another cluster, and Terraform says so.
fn fixed(scenario: &Scenario) -> Done {
    let terraform = &scenario.terraform;
    terraform.declare("change", json!({}))?;
    terraform.apply(&[])?;
    terraform.declare("change", json!({ "vnet_cidr": "10.9.0.0/24" }))?;
    let replaced = terraform.plan(&[])?.expect_code(2)?;
    assert!(replaced.words().contains("must be replaced"), "{}", replaced.text());
    terraform.declare("change", json!({}))?;
    terraform.apply(&[])?;
    terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}

fn object(scenario: &Scenario, kind: &str) -> Result<String, Box<dyn Error>> {
    let marker = format!("/providers/{kind}/").to_lowercase();
    let ids = scenario.made()?;
    let found = ids.into_iter().find(|id| {
        let lower = id.to_lowercase();
        lower.find(&marker).is_some_and(|at| !lower[at + marker.len()..].contains('/'))
    });
    Ok(found.ok_or_else(|| format!("no {kind}"))?)
}

fn tags_of(scenario: &Scenario, id: &str) -> Result<Value, Box<dyn Error>> {
    let answer = scenario.azure.arm("GET", &format!("{id}?api-version=2023-05-01"), None)?;
    Ok(answer.json()["tags"].clone())
}
