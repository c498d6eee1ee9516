//! Clients: what Terraform hands out is all that a Consul client agent needs, and it hands it to nobody else.

use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hcs_acceptance::canary::{Secret, Sink};
use hcs_acceptance::curl::{self, Request};
use hcs_acceptance::scenario::{self, CLUSTER};
use hcs_acceptance::{Scenario, canary, tools};
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

/// A provisioner may use ephemeral values: it is how the test gets what a user would put into a vault.
const HAND_OUT: &str = r#"
ephemeral "hcs_cluster_client_config" "main" {
  cluster_id = hcs_cluster.main.id
}

ephemeral "hcs_cluster_root_token" "main" {
  cluster_id = hcs_cluster.main.id
}

resource "terraform_data" "hand_out" {
  provisioner "local-exec" {
    command = "umask 077; mkdir -p handed; for name in config ca token root; do printenv \"HANDED_$name\" > \"handed/$name\"; done"
    environment = {
      HANDED_config = ephemeral.hcs_cluster_client_config.main.consul_config_file
      HANDED_ca     = ephemeral.hcs_cluster_client_config.main.consul_ca_file
      HANDED_token  = ephemeral.hcs_cluster_client_config.main.client_token
      HANDED_root   = ephemeral.hcs_cluster_root_token.main.secret_id
    }
  }
}
"#;

#[test]
fn a_client_joins_with_what_an_ephemeral_hands_out_and_nothing_of_it_is_kept() -> Done {
    let mut scenario = Scenario::start("clients", "", 60)?;
    let configuration = scenario::configuration("clients", "", "  server_count = 1");
    scenario.terraform.write("main.tf", &format!("{configuration}{HAND_OUT}"))?;
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
    let handed = |name: &str| -> Result<String, Box<dyn Error>> {
        Ok(fs::read_to_string(dir.join("handed").join(name))?.trim().to_owned())
    };
    let (token, root) = (handed("token")?, handed("root")?);
    let config: Value = serde_json::from_slice(&STANDARD.decode(handed("config")?)?)?;
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

    let servers = scenario.consul()?.addresses;
    let ca = String::from_utf8(STANDARD.decode(handed("ca")?)?)?;
    let client = Client::start(&dir.join("client"), &ca, config, &servers)?;
    client.joins(&root)?;
    assert_eq!(client.ask("PUT", "kv/by-client", &root, Some("yes"))?, (200, "true".to_owned()));
    assert_eq!(client.ask("GET", "kv/by-client?raw", &root, None)?, (200, "yes".to_owned()));
    assert_eq!(client.ask("PUT", "kv/by-client", &token, Some("no"))?.0, 403);
    drop(client);
    scenario.terraform.destroy(&[])?;
    Ok(())
}

/// A Consul client agent of this machine.
struct Client {
    process: Child,
    address: IpAddr,
    log: std::path::PathBuf,
}

impl Client {
    /// The servers of the emulator listen on addresses of their own, where the name to join would lead on Azure.
    fn start(
        dir: &Path,
        ca: &str,
        mut config: Value,
        servers: &[String],
    ) -> Result<Self, Box<dyn Error>> {
        fs::create_dir_all(dir)?;
        let (ca_file, file, log) =
            (dir.join("ca.pem"), dir.join("client.json"), dir.join("consul.log"));
        fs::write(&ca_file, ca)?;
        let text = config.to_string();
        config = serde_json::from_str(
            &text.replace("/etc/consul.d/ca.pem", &ca_file.display().to_string()),
        )?;
        config["retry_join"] = json!(servers);
        fs::write(&file, config.to_string())?;
        let process_id = std::process::id().to_be_bytes();
        let address = IpAddr::from([127, 250, process_id[2], process_id[3].clamp(1, 254)]);
        let output = fs::File::create(&log)?;
        let process = Command::new(tools::consul()?)
            .args(["agent", "-node=app-1", "-disable-host-node-id"])
            .arg(format!("-config-file={}", file.display()))
            .arg(format!("-data-dir={}", dir.join("data").display()))
            .args([format!("-bind={address}"), format!("-client={address}")])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Self { process, address, log })
    }

    fn ask(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<&str>,
    ) -> Result<(u16, String), Box<dyn Error>> {
        let answer = curl::send(&Request {
            method,
            url: format!("http://{}:8500/v1/{path}", self.address),
            headers: vec![("X-Consul-Token", token.to_owned())],
            body,
            ..Request::default()
        })?;
        Ok((answer.status, answer.text().trim().to_owned()))
    }

    /// Waits until the catalog has its node.
    fn joins(&self, root: &str) -> Done {
        let started = Instant::now();
        while started.elapsed() < Duration::from_mins(1) {
            let nodes = self.ask("GET", "catalog/nodes", root, None);
            if nodes.is_ok_and(|(_, nodes)| nodes.contains("\"app-1\"")) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        Err(format!("the client does not join: {log}").into())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
