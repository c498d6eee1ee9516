//! What is explored: changes of a cluster, and the estates in which they begin.

use std::collections::BTreeMap;
use std::time::Duration;

use hcs_planner::names::Names;
use hcs_planner::reach::{OutboundType, StorageAccess};
use hcs_planner::spec::{ClusterSpec, ExternalEndpoint};
use hcs_simulator::estate::{Estate, Servers};
use hcs_simulator::{Method, Request, Settings};
use serde_json::{Value, json};

use crate::Failure;
use crate::run::{Drive, End, Subject};

/// When every world begins, milliseconds since the Unix epoch.
const BEGINS_MS: u64 = 1_795_000_000_000;

/// A change of a cluster.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name in reports.
    pub name: &'static str,
    /// The cluster before; `None`: there is none.
    pub from: Option<ClusterSpec>,
    /// What is declared; `None`: it is destroyed.
    pub to: Option<ClusterSpec>,
    /// A server that died before.
    pub lost: Option<u32>,
    /// How many times faster than Azure's own durations pass: machines that restart at once show who does not wait.
    pub azure_speed: u32,
    /// Words for what may differ from a cluster that was made so: what counts when an object is made and never again.
    pub keeps: &'static [&'static str],
}

fn change(name: &'static str, from: Option<ClusterSpec>, to: Option<ClusterSpec>) -> Scenario {
    Scenario { name, from, to, lost: None, azure_speed: 1, keeps: &[] }
}

/// A cluster of so many servers.
pub fn spec(servers: u32) -> ClusterSpec {
    ClusterSpec {
        consul_datacenter: "dc1".into(),
        server_count: servers,
        consul_version: version("1.22.2"),
        ..ClusterSpec::new(&Settings::default().subscription_id, "demo", "rg", "westeurope")
    }
}

fn version(text: &str) -> semver::Version {
    text.parse().unwrap_or(semver::Version::new(0, 0, 0))
}

fn with(mut spec: ClusterSpec, change: impl FnOnce(&mut ClusterSpec)) -> ClusterSpec {
    change(&mut spec);
    spec
}

fn tagged(spec: ClusterSpec) -> ClusterSpec {
    with(spec, |spec| spec.tags = [("team".to_owned(), "blue".to_owned())].into())
}

/// A cluster that is reachable from outside.
pub fn reachable(servers: u32) -> ClusterSpec {
    let allowed_cidrs = "203.0.113.0/24".parse().into_iter().collect();
    with(spec(servers), |spec| spec.external_endpoint = Some(ExternalEndpoint { allowed_cidrs }))
}

/// A cluster whose account is closed.
pub fn private(servers: u32) -> ClusterSpec {
    with(spec(servers), |spec| spec.storage_access = StorageAccess::PrivateEndpoint)
}

/// Every scenario, by name.
pub fn scenarios() -> Vec<Scenario> {
    let larger = with(spec(3), |spec| spec.vm_size = "Standard_D4s_v5".into());
    let larger_disk = with(spec(3), |spec| spec.data_disk_gib = 64);
    let old_consul = with(spec(3), |spec| spec.consul_version = version("1.21.5"));
    vec![
        change("create", None, Some(spec(3))),
        change("3 to 5", Some(spec(3)), Some(spec(5))),
        change("5 to 3", Some(spec(5)), Some(spec(3))),
        change("replace", Some(spec(3)), Some(larger_disk)),
        change("resize", Some(spec(3)), Some(larger)),
        // Who upgrades may well tag in the same breath.
        change("upgrade", Some(old_consul), Some(tagged(spec(3)))),
        change("destroy", Some(spec(3)), None),
    ]
}

/// Smaller ones, for many runs.
pub fn small_scenarios() -> Vec<Scenario> {
    vec![
        change("create 1", None, Some(spec(1))),
        change("tags 1", Some(spec(1)), Some(tagged(spec(1)))),
        change("tags 3", Some(spec(3)), Some(tagged(spec(3)))),
        change("endpoint added", Some(spec(1)), Some(reachable(1))),
        change("endpoint removed", Some(reachable(1)), Some(spec(1))),
        change("1 to 3", Some(spec(1)), Some(spec(3))),
        change(
            "upgrade 1",
            Some(with(spec(1), |s| s.consul_version = version("1.21.5"))),
            Some(spec(1)),
        ),
        change("destroy 1", Some(spec(1)), None),
    ]
}

/// Others, for kills at every call.
pub fn more_scenarios() -> Vec<Scenario> {
    let larger = |spec| with(spec, |spec| spec.vm_size = "Standard_D4s_v5".into());
    let larger_disk = |spec| with(spec, |spec| spec.data_disk_gib = 64);
    let old_consul = |spec| with(spec, |spec| spec.consul_version = version("1.21.5"));
    let two_zones = with(spec(3), |spec| drop(spec.zones.pop()));
    let lost = |slot, one| Scenario { lost: Some(slot), ..one };
    vec![
        change("larger disk, 1", Some(spec(1)), Some(larger_disk(spec(1)))),
        Scenario {
            keeps: &["publicipaddresses/demo-nat-ip: /zones", ": /sku/name is \"Standard_ZRS\""],
            ..change("zone removed", Some(spec(3)), Some(two_zones))
        },
        change("endpoint added, 3", Some(spec(3)), Some(reachable(3))),
        change("endpoint removed, 3", Some(reachable(3)), Some(spec(3))),
        change("all at once", Some(old_consul(spec(3))), Some(larger_disk(larger(reachable(5))))),
        Scenario {
            azure_speed: 60,
            ..change("resize, on a quick Azure", Some(spec(3)), Some(larger(spec(3))))
        },
        change("create, closed", None, Some(private(1))),
        Scenario {
            keeps: &[": /properties/encryption/"],
            ..change("closes", Some(spec(1)), Some(private(1)))
        },
        Scenario {
            keeps: &[
                ": /properties/encryption/",
                ": /properties/allowedCopyScope",
                ": /properties/isLocalUserEnabled",
            ],
            ..change("opens", Some(private(1)), Some(spec(1)))
        },
        change(
            "the way out goes",
            Some(spec(1)),
            Some(with(spec(1), |spec| spec.outbound_type = OutboundType::None)),
        ),
        lost(1, change("lost server", Some(spec(3)), Some(spec(3)))),
        lost(4, change("lost server, 5 to 3", Some(spec(5)), Some(spec(3)))),
    ]
}

/// An estate with the user's group, and things of others in it and beside it.
fn ground(azure_speed: u32) -> Result<Subject, Failure> {
    // Long URLs are the front's business; here they would only cost time.
    let time_scale = f64::from(azure_speed);
    let settings = Settings {
        poll_url_repeats: 1,
        time_scale,
        // In the servers' network, too, where an account may have its only address.
        caller_network_id: Some("*".to_owned()),
        ..Settings::default()
    };
    let mut estate = Estate::new(settings, BEGINS_MS);
    let subscription = format!("/subscriptions/{}", Settings::default().subscription_id);
    let account = Names::new(&spec(3)).storage_account().name().to_owned();
    estate.servers = Some(Servers::new(&account, BEGINS_MS));
    let mut now_ms = BEGINS_MS;
    let network = json!({
        "location": "westeurope",
        "properties": { "addressSpace": { "addressPrefixes": ["10.9.0.0/16"] } },
    });
    let theirs = [
        ("resourceGroups/rg", "2024-07-01", json!({ "location": "westeurope" })),
        ("resourceGroups/theirs", "2024-07-01", json!({ "location": "westeurope" })),
        (
            "resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/theirs",
            "2024-01-01",
            network.clone(),
        ),
        (
            "resourceGroups/theirs/providers/Microsoft.Network/virtualNetworks/hub",
            "2024-01-01",
            network,
        ),
    ];
    for (path, version, body) in theirs {
        let target = format!("{subscription}/{path}?api-version={version}");
        write(&mut estate, &target, &body, now_ms)?;
        now_ms += 60_000;
        estate.advance(now_ms);
    }
    Ok(Subject { estate, now_ms, incarnation_id: None, runs: 0, secrets: BTreeMap::new() })
}

fn write(estate: &mut Estate, target: &str, body: &Value, now_ms: u64) -> Result<(), Failure> {
    let principal = estate.world.settings().caller_object_id.clone();
    let request = Request::new(Method::Put, target, &principal).with_body(body.clone());
    let response = estate.world.handle(&request, now_ms);
    if response.status < 300 { Ok(()) } else { Err(format!("{target}: {response:?}").into()) }
}

impl Scenario {
    /// An estate in which the scenario can begin.
    pub fn start(&self) -> Result<Subject, Failure> {
        let subject = ground(self.azure_speed)?;
        let Some(from) = &self.from else { return Ok(subject) };
        let mut subject = made(subject, from)?;
        if let (Some(slot), Some(servers)) = (self.lost, &mut subject.estate.servers) {
            servers.kill(&Names::new(from).server(slot));
        }
        let minutes = if self.lost.is_some() { 20 } else { 10 };
        subject.rest(Duration::from_mins(minutes));
        Ok(subject)
    }

    /// An estate in which what is declared was made at once.
    pub fn wanted(&self) -> Result<Subject, Failure> {
        let subject = ground(self.azure_speed)?;
        match &self.to {
            Some(to) => made(subject, to),
            None => Ok(subject),
        }
    }
}

fn made(mut subject: Subject, spec: &ClusterSpec) -> Result<Subject, Failure> {
    let drive = Drive::quiet();
    match subject.apply(spec, &drive) {
        End::Complete => Ok(subject),
        end => Err(format!("the cluster to begin with: {end:?}").into()),
    }
}
