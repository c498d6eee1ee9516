//! Clients: what Terraform hands out is all that a Consul client agent needs, and it hands it to nobody else.

use std::error::Error;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hcs_acceptance::canary::{Secret, Sink};
use hcs_acceptance::client::{Client, HandedOut};
use hcs_acceptance::scenario::CLUSTER;
use hcs_acceptance::{Scenario, canary};
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

#[test]
fn a_client_joins_with_what_an_ephemeral_hands_out_and_nothing_of_it_is_kept() -> Done {
    let mut scenario = Scenario::start("clients", "", 60)?;
    scenario.terraform.declare("clients", json!({ "server_count": 1 }))?;
    scenario.terraform.add("clients/hand_out.tf")?;
    let trace = scenario.terraform.dir.join("trace.log").display().to_string();
    scenario.terraform.set("TF_LOG_PATH", &trace);
    scenario.terraform.set("TF_LOG", "TRACE");
    scenario.terraform.init()?;
    let planned =
        scenario.terraform.run(&["plan", "-no-color", "-input=false", "-out=first.plan"])?;
    let applied = scenario.terraform.apply(&[])?;
    scenario.azure.reset_requests()?;
    // The ephemerals are opened by this plan: opening is a read.
    scenario.terraform.plan(&["-out=second.plan"])?.expect_code(0)?;
    let writes: Vec<String> =
        scenario.azure.requests()?.into_keys().filter(|key| !key.starts_with("GET ")).collect();
    assert_eq!(writes, [""; 0]);

    let dir = scenario.terraform.dir.clone();
    let handed = HandedOut::read(&dir)?;
    let HandedOut { config, token, root, .. } = handed.clone();
    let gossip_key = config["encrypt"].as_str().unwrap_or_default().to_owned();
    let secret = |name: &str, text: &str| Secret { name: name.to_owned(), text: text.to_owned() };
    let secrets = [
        secret("client token", &token),
        secret("management token", &root),
        secret("gossip key", &gossip_key),
    ];
    assert!(secrets.iter().all(|secret| secret.text.len() >= 36), "they are handed out");
    let sink = |name: &str, text: String| Sink { name: name.to_owned(), bytes: text.into() };
    let mut sinks = vec![
        sink("first plan", planned.text()),
        sink("apply", applied.text()),
        sink("state as JSON", scenario.terraform.run(&["show", "-json"])?.stdout),
        sink("plan as JSON", scenario.terraform.run(&["show", "-json", "second.plan"])?.stdout),
    ];
    for file in ["first.plan", "second.plan", "terraform.tfstate", "trace.log"] {
        sinks.push(canary::file(file, &dir.join(file)));
    }
    assert!(sinks.iter().all(|sink| !sink.bytes.is_empty()));
    assert_eq!(canary::leaks(&secrets, &sinks), [""; 0]);

    let public = scenario.terraform.attributes(CLUSTER)?;
    let public = STANDARD.decode(public["consul_config_file"].as_str().unwrap_or_default())?;
    let mut without_secrets = config.clone();
    for (place, key) in [("", "encrypt"), ("/acl", "tokens")] {
        let object = without_secrets.pointer_mut(place).and_then(Value::as_object_mut);
        object.map(|object| object.remove(key));
    }
    assert_eq!(serde_json::from_slice::<Value>(&public)?, without_secrets);

    // The servers of the emulator listen on addresses of their own, where the name to join would lead on Azure.
    let mut handed = handed;
    handed.config["retry_join"] = json!(scenario.consul()?.addresses);
    let process_id = std::process::id().to_be_bytes();
    let address = IpAddr::from([127, 250, process_id[2], process_id[3].clamp(1, 254)]);
    let client = Client::start(&dir.join("client"), "app-1", &handed, address, None)?;
    client.joins(&root)?;
    assert_eq!(client.ask("PUT", "kv/by-client", &root, Some("yes"))?, (200, "true".to_owned()));
    assert_eq!(client.ask("GET", "kv/by-client?raw", &root, None)?, (200, "yes".to_owned()));
    assert_eq!(client.ask("PUT", "kv/by-client", &token, Some("no"))?.0, 403);
    drop(client);
    scenario.terraform.destroy(&[])?;
    Ok(())
}
