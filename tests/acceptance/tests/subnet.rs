//! Landing zones: the servers live in a subnet that a platform team made, and it stays theirs.

use std::error::Error;

use hcs_acceptance::Scenario;
use hcs_acceptance::scenario::{self, CLUSTER, GROUP};
use serde_json::Value;

type Done = Result<(), Box<dyn Error>>;

#[test]
fn a_cluster_lives_in_a_subnet_of_the_users_and_leaves_it_as_it_was() -> Done {
    let scenario = Scenario::start("subnet", "", 60)?;
    let vnet = format!(
        "{}/providers/Microsoft.Network/virtualNetworks/platform",
        scenario.azure.group_id(GROUP)
    );
    let path = format!("{vnet}?api-version=2024-01-01");
    let body = r#"{"location":"westeurope","properties":{"addressSpace":{"addressPrefixes":["10.8.0.0/16"]},"subnets":[{"name":"consul","properties":{"addressPrefix":"10.8.4.0/26"}}]}}"#;
    let made = scenario.azure.arm("PUT", &path, Some(body))?;
    assert!(made.status < 300, "{}", made.text());
    let terraform = &scenario.terraform;
    terraform.write(
        "main.tf",
        &scenario::configuration(
            "subnet",
            "",
            &format!("  server_count = 1\n  subnet_id = \"{vnet}/subnets/consul\""),
        ),
    )?;
    terraform.init()?;
    terraform.apply(&[])?;
    let cluster = terraform.attributes(CLUSTER)?;
    assert_eq!(cluster["vnet_id"].as_str(), Some(vnet.as_str()));
    assert_eq!(cluster["vnet_resource_group_name"], GROUP);
    assert_eq!(cluster["vnet_cidr"], Value::Null);
    let address = cluster["servers"][0]["private_ip"].as_str().unwrap_or_default();
    assert!(address.starts_with("10.8.4."), "{address}");
    let made = scenario.made()?;
    let own = |kind: &str| made.iter().any(|id| id.contains("-mrg-") && id.contains(kind));
    for kind in ["/virtualNetworks/", "/natGateways/", "/networkSecurityGroups/"] {
        assert!(!own(kind), "{kind} in {made:?}");
    }
    terraform.plan(&[])?.expect_code(0)?;
    terraform.destroy(&[])?;
    let after = scenario.azure.arm("GET", &path, None)?.json();
    assert_eq!(after["properties"]["subnets"][0]["properties"]["addressPrefix"], "10.8.4.0/26");
    Ok(())
}
