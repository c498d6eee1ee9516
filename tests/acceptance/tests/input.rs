//! Bad input: an error while planning that names the attribute and the mend, and nothing is changed.

use std::error::Error;

use hcs_acceptance::scenario::{GROUP, configuration_dir};
use hcs_acceptance::{Scenario, Workspace};
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

/// Variables of a configuration, and words that the message must hold: the attribute and the mend.
type Row = (Value, &'static [&'static str]);

const CALLERS: &str = "consul_external_endpoint_allowed_cidrs";

/// Bad clusters. `peer` is a network of somebody, in westeurope.
fn clusters(peer: &str) -> Vec<Row> {
    let small = format!("{peer}/subnets/small");
    vec![
        (json!({ "server_count": 2 }), &["server_count", "1, 3, 5 or 7"]),
        (json!({ "server_count": 9 }), &["server_count", "1, 3, 5 or 7"]),
        (json!({ "vnet_cidr": "ten dot" }), &["vnet_cidr", "CIDR notation"]),
        (json!({ "vnet_cidr": "10.0.0.0/29" }), &["vnet_cidr", "/27 or larger"]),
        (json!({ "peer_vnet_ids": [peer] }), &["peer_vnet_ids", "overlaps", "another vnet_cidr"]),
        (
            json!({ "vm_size": "Standard_Z99" }),
            &["vm_size", "does not have the VM size", "for instance"],
        ),
        (json!({ "location": "atlantis" }), &["location", "no region \"atlantis\"", "westeurope"]),
        (json!({ "zones": ["1", "9"] }), &["zones", "zone 9", "zones 1, 2, 3"]),
        (json!({ "zones": ["one"] }), &["zones", "zones are"]),
        (json!({ "name": "Not_Allowed" }), &["name", "lower-case letters"]),
        (
            json!({ "resource_group_name": "ends." }),
            &["resource_group_name", "not ending with a period"],
        ),
        (
            json!({ "resource_group_name": "missing-rg" }),
            &["resource_group_name", "does not exist", "set location"],
        ),
        (json!({ "consul_version": "1.22" }), &["consul_version", "three numbers"]),
        (json!({ "consul_version": "1.8.99" }), &["consul_version", "artifact_source"]),
        (json!({ "consul_external_endpoint": true }), &[CALLERS, "List the IPv4 ranges"]),
        (
            json!({ "consul_external_endpoint": true, CALLERS: ["203.0.113.7/24"] }),
            &[CALLERS, "the range is 203.0.113.0/24"],
        ),
        (
            json!({ CALLERS: ["203.0.113.0/24"] }),
            &[CALLERS, "no external endpoint", "consul_external_endpoint = true"],
        ),
        (json!({ "lock": { "kind": "ReadOnly" } }), &["lock.kind", "CanNotDelete"]),
        (json!({ "zone_fallback": "maybe" }), &["zone_fallback", "best_effort"]),
        (
            json!({ "vm_size_fallbacks": ["Standard_D2as_v5"] }),
            &["vm_size_fallbacks", "Set zone_fallback"],
        ),
        (
            json!({ "zone_fallback": "prefer", "vm_size_fallbacks": ["Standard_Z99"] }),
            &["vm_size_fallbacks", "does not have the VM size"],
        ),
        (json!({ "subnet_id": "/subscriptions/x" }), &["subnet_id", "not the id of a subnet"]),
        (
            json!({ "subnet_id": format!("{peer}/subnets/s"), "vnet_cidr": "10.0.0.0/24" }),
            &["vnet_cidr", "leave one out"],
        ),
        (json!({ "subnet_id": small }), &["subnet_id", "172.25.0.0/28", "/27 or larger"]),
        (
            json!({ "subnet_id": small, "location": "northeurope" }),
            &["subnet_id", "another region"],
        ),
        (json!({ "vm_size": "Standard_D2ps_v5" }), &["vm_size", "Arm64"]),
        (
            json!({ "server_count": 7, "vm_size": "Standard_D64s_v5" }),
            &["vm_size", "448 more cores", "Raise the quota"],
        ),
    ]
}

/// Bad policies.
fn policies() -> Vec<Row> {
    vec![
        (json!({ "interval": "10s" }), &["interval", "smallest is \"1m\""]),
        (json!({ "interval": "soon" }), &["interval", "Write e.g."]),
        (json!({ "interval": "-1h" }), &["interval", "negative"]),
        (json!({ "interval": "1h", "retain_count": 0 }), &["retain_count", "enabled = false"]),
        (json!({}), &["No schedule", "cron = \"0 2 * * *\""]),
        (json!({ "interval": "1h", "cron": "@daily" }), &["Two schedules", "Leave one"]),
        (json!({ "cron": "0 25 * * *" }), &["Invalid cron pattern", "\"*/15 * * * *\""]),
        (
            json!({ "cron": "0 2 * * *", "time_zone": "Berlin" }),
            &["time_zone", "\"Europe/Berlin\""],
        ),
        (json!({ "interval": "1h", "retain_daily": 0 }), &["retain_daily", "leave it out"]),
        (
            json!({ "interval": "1h", "stale_after": "30m" }),
            &["stale_after", "up to 1 h between two"],
        ),
    ]
}

#[test]
fn each_bad_input_is_refused_while_planning() -> Done {
    let scenario = start("input")?;
    let peer = format!(
        "{}/providers/Microsoft.Network/virtualNetworks/peer",
        scenario.azure.group_id(GROUP)
    );
    let body = r#"{"location":"westeurope","properties":{"addressSpace":{"addressPrefixes":["172.25.0.0/16"]},"subnets":[{"name":"small","properties":{"addressPrefix":"172.25.0.0/28"}}]}}"#;
    let made = scenario.azure.arm("PUT", &format!("{peer}?api-version=2024-01-01"), Some(body))?;
    assert!(made.status < 300, "{}", made.text());
    let policy = Workspace::new(&scenario.dir.join("policy"), &scenario.azure)?;
    policy.copy(&configuration_dir("input"))?;
    policy.init()?;
    let before = scenario.azure.objects()?;
    for (variables, expected) in clusters(&peer) {
        let name = variables["name"].as_str().unwrap_or("bad").to_owned();
        scenario.terraform.declare(&name, variables.clone())?;
        is_refused(&scenario.terraform, &variables, expected)?;
    }
    for (variables, expected) in policies() {
        policy.set_variables(&variables)?;
        is_refused(&policy, &variables, expected)?;
    }
    assert_eq!(scenario.azure.objects()?, before, "a refused plan changed something");
    Ok(())
}

/// A cluster that is good so far, of the Consul that is taken where nothing is said.
fn start(name: &str) -> Result<Scenario, Box<dyn Error>> {
    let mut scenario = Scenario::start(name, "", 60)?;
    scenario.terraform.unset("TF_VAR_consul_version");
    scenario.terraform.unset("TF_VAR_consul_archive");
    scenario.terraform.declare("bad", json!({}))?;
    scenario.terraform.init()?;
    Ok(scenario)
}

fn is_refused(terraform: &Workspace, variables: &Value, expected: &[&str]) -> Done {
    let plan = terraform.plan(&[])?;
    let words = plan.words();
    assert_eq!(plan.code, 1, "{variables}\n{words}");
    for word in expected {
        assert!(words.contains(word), "{word:?} is missing in the answer to {variables}\n{words}");
    }
    Ok(())
}

#[test]
fn wrong_credentials_and_endpoints_are_told_without_a_secret() -> Done {
    let mut scenario = start("credentials")?;

    let secret = "this-is-a-wrong-secret-7f3a";
    let right = scenario.azure.variable("ARM_CLIENT_SECRET").to_owned();
    scenario.terraform.set("ARM_CLIENT_SECRET", secret);
    let words = refused(&scenario)?;
    assert!(words.contains("client secret"), "{words}");
    assert!(!words.contains(secret), "the secret is shown");

    scenario.terraform.unset("ARM_CLIENT_SECRET");
    let words = refused(&scenario)?;
    assert!(words.contains("client_secret") || words.contains("client secret"), "{words}");

    scenario.terraform.set("ARM_CLIENT_SECRET", &right);
    scenario.terraform.set("ARM_SUBSCRIPTION_ID", "not-a-guid");
    let words = refused(&scenario)?;
    assert!(words.contains("subscription_id"), "{words}");
    let subscription = "99999999-9999-9999-9999-999999999999";
    scenario.terraform.set("ARM_SUBSCRIPTION_ID", subscription);
    let words = refused(&scenario)?;
    assert!(words.contains(subscription), "{words}");

    let right_id = scenario.azure.variable("ARM_SUBSCRIPTION_ID").to_owned();
    scenario.terraform.set("ARM_SUBSCRIPTION_ID", &right_id);
    scenario.terraform.set("ARM_METADATA_HOSTNAME", "127.0.0.1:1");
    let words = refused(&scenario)?;
    assert!(words.contains("127.0.0.1:1"), "{words}");
    Ok(())
}

fn refused(scenario: &Scenario) -> Result<String, Box<dyn Error>> {
    Ok(scenario.terraform.plan(&[])?.expect_code(1)?.words())
}
