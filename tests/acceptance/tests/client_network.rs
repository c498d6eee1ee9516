//! A client in a network of its own: it gets there what Azure lets it have, and nothing else.

#[path = "client_network/judges.rs"]
mod judges;

use std::collections::BTreeSet;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hcs_acceptance::client::{Client, HandedOut};
use hcs_acceptance::network::{self, Spoke, dns};
use hcs_acceptance::scenario::{CLUSTER, GROUP};
use hcs_acceptance::{Scenario, tools};
use judges::Judges;
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

const SERVERS: &str = "172.25.16.0/24";
const NETWORK_VERSION: &str = "2024-01-01";
const DNS_VERSION: &str = "2024-06-01";

#[test]
fn a_client_in_a_network_of_its_own_joins_by_name_through_the_open_ports_and_no_other_way() -> Done
{
    // What is not here yet is fetched where there is a network.
    tools::consul()?;
    let name =
        "a_client_in_a_network_of_its_own_joins_by_name_through_the_open_ports_and_no_other_way";
    if !network::alone(name)? {
        return Ok(());
    }
    let scenario = Scenario::start_alone("apart", 60)?;
    let spoke = Spoke::new(&scenario.azure, GROUP, &scenario.dir)?;
    let case = Case { scenario, spoke };
    let judges = Judges::of_environment();
    case.declare(json!({}))?;
    case.scenario.terraform.add("clients/hand_out.tf")?;
    case.scenario.terraform.init()?;
    judges.prepare(&case)?;
    case.scenario.terraform.apply(&[])?;
    case.follow()?;
    case.serves()?;
    judges.judge(&case)?;
    case.without_the_port()?;
    case.without_the_link()?;
    case.with_other_addresses()?;
    case.scenario.terraform.destroy(&[])?;
    Ok(())
}

struct Case {
    scenario: Scenario,
    spoke: Spoke,
}

impl Case {
    fn declare(&self, mut more: Value) -> Done {
        more["peer_vnet_ids"] = json!([self.spoke.network_id()]);
        // What the test takes away by hand must not be locked.
        more["lock"] = json!({ "kind": "None" });
        Ok(self.scenario.terraform.declare("apart", more)?)
    }

    fn managed(&self, id: &str) -> String {
        let group = self.scenario.azure.group_id(&format!("{GROUP}-mrg-apart"));
        format!("{group}/providers/Microsoft.Network/{id}")
    }

    fn security_group(&self) -> String {
        self.managed("networkSecurityGroups/apart-nsg")
    }

    fn follow(&self) -> Done {
        Ok(self.spoke.follow(&self.security_group(), SERVERS)?)
    }

    fn client(&self, name: &str) -> Result<(Client, HandedOut), Box<dyn Error>> {
        let handed = HandedOut::read(&self.scenario.terraform.dir)?;
        let dir: PathBuf = self.scenario.dir.join(name);
        let address = IpAddr::from(Spoke::HOST);
        let client = Client::start(&dir, name, &handed, address, Some(&self.spoke))?;
        Ok((client, handed))
    }

    /// It joins by the name, and serves keys and names to its own host.
    fn serves(&self) -> Done {
        let (client, handed) = self.client("app-1")?;
        client.joins(&handed.root)?;
        let written = client.ask("PUT", "kv/from-afar", &handed.root, Some("yes"))?;
        assert_eq!(written, (200, "true".to_owned()));
        assert_eq!(client.ask("GET", "kv/from-afar?raw", &handed.root, None)?.1, "yes");
        assert_eq!(client.ask("PUT", "kv/from-afar", &handed.token, Some("no"))?.0, 403);
        let resolver = SocketAddr::from((client.address, 8600));
        let found = dns::ask(resolver, "consul.service.consul")?;
        let found: BTreeSet<String> = found.iter().map(ToString::to_string).collect();
        // Before 1.17 DNS has no token of its own, and nobody's reads nothing.
        let version = tools::consul_version(&tools::consul()?)?;
        let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
        let has_token = !version.starts_with("1.") || minor >= Some(17);
        let expected = if has_token { self.addresses()? } else { BTreeSet::new() };
        assert_eq!(found, expected, "the client's own DNS");
        // With a token that its owner gives it.
        let told = client.ask("GET", "catalog/service/consul", &handed.root, None)?.1;
        assert!(self.addresses()?.iter().all(|address| told.contains(address)), "{told}");
        Ok(client.leaves(&handed.root)?)
    }

    /// Addresses of the servers, as the state has them.
    fn addresses(&self) -> Result<BTreeSet<String>, Box<dyn Error>> {
        let cluster = self.scenario.terraform.attributes(CLUSTER)?;
        let servers = cluster["servers"].as_array().cloned().unwrap_or_default();
        Ok(servers.iter().filter_map(|s| s["private_ip"].as_str().map(str::to_owned)).collect())
    }

    /// A client that has no way in says so in these words, and joins when an apply has put back what was taken away.
    fn joins_after_the_mend(&self, name: &str, words: &[&str], drift: &str) -> Done {
        let (client, handed) = self.client(name)?;
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(12) {
            assert!(!client.has_joined(&handed.root), "{name} joined: {}", client.log());
            std::thread::sleep(Duration::from_millis(500));
        }
        let log = client.log();
        assert!(words.iter().any(|words| log.contains(words)), "{words:?} in {log}");
        let plan = self.scenario.terraform.plan(&[])?.expect_code(2)?;
        assert!(plan.words().contains(drift), "{drift} in {}", plan.words());
        self.scenario.terraform.apply(&[])?;
        self.follow()?;
        client.joins(&handed.root)?;
        Ok(client.leaves(&handed.root)?)
    }

    fn without_the_port(&self) -> Done {
        let path = format!("{}?api-version={NETWORK_VERSION}", self.security_group());
        let mut group = self.scenario.azure.arm("GET", &path, None)?.json();
        if let Some(rules) = group["properties"]["securityRules"].as_array_mut() {
            rules.retain(|rule| rule["name"] != "consul-gossip");
        }
        let body = json!({
            "location": group["location"], "tags": group["tags"],
            "properties": { "securityRules": group["properties"]["securityRules"] },
        });
        let written = self.scenario.azure.arm("PUT", &path, Some(&body.to_string()))?;
        assert!(written.status < 300, "{}", written.text());
        self.follow()?;
        self.joins_after_the_mend("app-2", &["permission denied"], "network_security_group")
    }

    fn without_the_link(&self) -> Done {
        let zone = self.managed("privateDnsZones/apart.hcs.internal");
        let links = format!("{zone}/virtualNetworkLinks?api-version={DNS_VERSION}");
        let links = self.scenario.azure.arm("GET", &links, None)?.json();
        let to_here =
            |link: &&Value| link["properties"]["virtualNetwork"]["id"] == self.spoke.network_id();
        let link = links["value"].as_array().into_iter().flatten().find(to_here);
        let link = link.and_then(|link| link["id"].as_str()).ok_or("no link")?;
        let path = format!("{link}?api-version={DNS_VERSION}");
        self.scenario.azure.arm("DELETE", &path, None)?;
        while self.scenario.azure.arm("GET", &path, None)?.status != 404 {
            std::thread::sleep(Duration::from_millis(200));
        }
        let words = ["no such host", "server misbehaving"];
        self.joins_after_the_mend("app-3", &words, "dns_link_0")
    }

    /// Every server is made anew, one at a time: a client that runs stays in, and one that comes finds them.
    fn with_other_addresses(&self) -> Done {
        let (client, handed) = self.client("app-4")?;
        client.joins(&handed.root)?;
        let before = self.addresses()?;
        self.declare(json!({ "data_disk_gib": 64 }))?;
        self.scenario.terraform.apply(&[])?;
        let after = self.addresses()?;
        assert_eq!(after.len(), 3);
        assert!(before.is_disjoint(&after), "{before:?} and {after:?}");
        assert_eq!(client.ask("GET", "kv/from-afar?raw", &handed.root, None)?.1, "yes");
        let peers = client.ask("GET", "status/peers", &handed.root, None)?.1;
        let told = after.iter().all(|address| peers.contains(&format!("{address}:8300")));
        assert!(told, "{peers} are not {after:?}");
        client.leaves(&handed.root)?;
        let (late, handed) = self.client("app-5")?;
        late.joins(&handed.root)?;
        assert_eq!(late.ask("GET", "kv/from-afar?raw", &handed.root, None)?.1, "yes");
        Ok(())
    }
}
