//! Bad input: an error while planning that names the attribute and the mend, and nothing is changed.

use std::error::Error;
use std::fmt::Write as _;

use hcs_acceptance::Scenario;
use hcs_acceptance::scenario::GROUP;

type Done = Result<(), Box<dyn Error>>;

const HEAD: &str = r#"
terraform {
  required_providers { hcs = { source = "hcs-community/hcs" } }
}
"#;

fn cluster(lines: &str) -> String {
    let mut text = format!("{HEAD}\nprovider \"hcs\" {{}}\nresource \"hcs_cluster\" \"bad\" {{\n");
    for (name, value) in [("name", "\"bad\""), ("resource_group_name", &format!("\"{GROUP}\""))] {
        if !lines.lines().any(|line| line.trim_start().starts_with(&format!("{name} "))) {
            let _ = writeln!(text, "  {name} = {value}");
        }
    }
    let _ = writeln!(text, "{lines}\n}}");
    text
}

fn policy(lines: &str) -> String {
    let id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/x";
    format!(
        "{HEAD}\nprovider \"hcs\" {{}}\nresource \"hcs_snapshot_policy\" \"bad\" {{\n  cluster_id \
         = \"{id}\"\n{lines}\n}}\n"
    )
}

const CALLERS: &str = "consul_external_endpoint_allowed_cidrs";

fn callers(cidr: &str) -> String {
    format!("  {CALLERS} = [\"{cidr}\"]")
}

fn endpoint(callers: &str) -> String {
    format!("  consul_external_endpoint = true\n{callers}")
}

/// Bad policies, and what is said of each.
fn policies() -> Vec<(String, &'static [&'static str])> {
    vec![
        (policy("  interval = \"10s\""), &["interval", "smallest is \"1m\""]),
        (policy("  interval = \"soon\""), &["interval", "Write e.g."]),
        (policy("  interval = \"-1h\""), &["interval", "negative"]),
        (policy("  interval = \"1h\"\n  retain_count = 0"), &["retain_count", "enabled = false"]),
        (policy(""), &["No schedule", "cron = \"0 2 * * *\""]),
        (policy("  interval = \"1h\"\n  cron = \"@daily\""), &["Two schedules", "Leave one"]),
        (policy("  cron = \"0 25 * * *\""), &["Invalid cron pattern", "\"*/15 * * * *\""]),
        (
            policy("  cron = \"0 2 * * *\"\n  time_zone = \"Berlin\""),
            &["time_zone", "\"Europe/Berlin\""],
        ),
        (policy("  interval = \"1h\"\n  retain_daily = 0"), &["retain_daily", "leave it out"]),
        (
            policy("  interval = \"1h\"\n  stale_after = \"30m\""),
            &["stale_after", "up to 1 h between two"],
        ),
    ]
}

#[test]
fn each_bad_input_is_refused_while_planning() -> Done {
    let scenario = Scenario::start("input", "", 60)?;
    let peer = format!(
        "{}/providers/Microsoft.Network/virtualNetworks/peer",
        scenario.azure.group_id(GROUP)
    );
    let body = r#"{"location":"westeurope","properties":{"addressSpace":{"addressPrefixes":["172.25.0.0/16"]},"subnets":[{"name":"small","properties":{"addressPrefix":"172.25.0.0/28"}}]}}"#;
    let made = scenario.azure.arm("PUT", &format!("{peer}?api-version=2024-01-01"), Some(body))?;
    assert!(made.status < 300, "{}", made.text());
    let peers = format!("  peer_vnet_ids = [\"{peer}\"]");
    // Configuration, and words that the message must hold: the attribute and the mend.
    let table: Vec<(String, &[&str])> = vec![
        (cluster("  server_count = 2"), &["server_count", "1, 3, 5 or 7"]),
        (cluster("  server_count = 9"), &["server_count", "1, 3, 5 or 7"]),
        (cluster("  vnet_cidr = \"ten dot\""), &["vnet_cidr", "CIDR notation"]),
        (cluster("  vnet_cidr = \"10.0.0.0/29\""), &["vnet_cidr", "/27 or larger"]),
        (cluster(&peers), &["peer_vnet_ids", "overlaps", "another vnet_cidr"]),
        (
            cluster("  vm_size = \"Standard_Z99\""),
            &["vm_size", "does not have the VM size", "for instance"],
        ),
        (
            cluster("  location = \"atlantis\""),
            &["location", "no region \"atlantis\"", "westeurope"],
        ),
        (cluster("  zones = [\"1\", \"9\"]"), &["zones", "zone 9", "zones 1, 2, 3"]),
        (cluster("  zones = [\"one\"]"), &["zones", "zones are"]),
        (cluster("  name = \"Not_Allowed\""), &["name", "lower-case letters"]),
        (
            cluster("  resource_group_name = \"ends.\""),
            &["resource_group_name", "not ending with a period"],
        ),
        (
            cluster("  resource_group_name = \"missing-rg\""),
            &["resource_group_name", "does not exist", "set location"],
        ),
        (cluster("  consul_version = \"1.22\""), &["consul_version", "three numbers"]),
        (cluster("  consul_version = \"1.8.99\""), &["consul_version", "artifact_source"]),
        (cluster(&endpoint("")), &[CALLERS, "List the IPv4 ranges"]),
        (cluster(&endpoint(&callers("203.0.113.7/24"))), &[CALLERS, "the range is 203.0.113.0/24"]),
        (
            cluster(&callers("203.0.113.0/24")),
            &[CALLERS, "no external endpoint", "consul_external_endpoint = true"],
        ),
        (cluster("  lock = { kind = \"ReadOnly\" }"), &["lock.kind", "CanNotDelete"]),
        (cluster("  zone_fallback = \"maybe\""), &["zone_fallback", "best_effort"]),
        (
            cluster("  vm_size_fallbacks = [\"Standard_D2as_v5\"]"),
            &["vm_size_fallbacks", "Set zone_fallback"],
        ),
        (
            cluster("  zone_fallback = \"prefer\"\n  vm_size_fallbacks = [\"Standard_Z99\"]"),
            &["vm_size_fallbacks", "does not have the VM size"],
        ),
        (cluster("  subnet_id = \"/subscriptions/x\""), &["subnet_id", "not the id of a subnet"]),
        (
            cluster(&format!("  subnet_id = \"{peer}/subnets/s\"\n  vnet_cidr = \"10.0.0.0/24\"")),
            &["vnet_cidr", "leave one out"],
        ),
        (
            cluster(&format!("  subnet_id = \"{peer}/subnets/small\"")),
            &["subnet_id", "172.25.0.0/28", "/27 or larger"],
        ),
        (
            cluster(&format!(
                "  subnet_id = \"{peer}/subnets/small\"\n  location = \"northeurope\""
            )),
            &["subnet_id", "another region"],
        ),
        (cluster("  vm_size = \"Standard_D2ps_v5\""), &["vm_size", "Arm64"]),
        (
            cluster("  server_count = 7\n  vm_size = \"Standard_D64s_v5\""),
            &["vm_size", "448 more cores", "Raise the quota"],
        ),
    ];
    let before = scenario.azure.objects()?;
    for (configuration, expected) in table.into_iter().chain(policies()) {
        scenario.terraform.write("main.tf", &configuration)?;
        scenario.terraform.init()?;
        let plan = scenario.terraform.plan(&[])?;
        let words = plan.words();
        assert_eq!(plan.code, 1, "{configuration}\n{words}");
        for word in expected {
            assert!(
                words.contains(word),
                "{word:?} is missing in the answer to\n{configuration}\n{words}"
            );
        }
    }
    assert_eq!(scenario.azure.objects()?, before, "a refused plan changed something");
    Ok(())
}

#[test]
fn wrong_credentials_and_endpoints_are_told_without_a_secret() -> Done {
    let mut scenario = Scenario::start("credentials", "", 60)?;
    scenario.terraform.write("main.tf", &cluster(""))?;
    scenario.terraform.init()?;

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
    let plan = scenario.terraform.plan(&[])?;
    assert_eq!(plan.code, 1, "{}", plan.text());
    Ok(plan.words())
}
