//! Landing zones: the servers live in a subnet that a platform team made, and it stays theirs.

use std::error::Error;

use hcs_acceptance::scenario::{CLUSTER, GROUP};
use hcs_acceptance::{Scenario, wait};
use serde_json::{Value, json};

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
    let within = json!({ "server_count": 1, "subnet_id": format!("{vnet}/subnets/consul") });
    terraform.declare("subnet", within)?;
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

/// A platform team's object, made by hand.
fn platform(scenario: &Scenario, id: &str, version: &str, body: &Value) -> Done {
    let path = format!("{id}?api-version={version}");
    let made = scenario.azure.arm("PUT", &path, Some(&body.to_string()))?;
    assert!(made.status < 300, "{id}: {}", made.text());
    wait("the platform's object", || {
        let state = scenario.azure.arm("GET", &path, None)?.json();
        let state = state.pointer("/properties/provisioningState").and_then(Value::as_str);
        Ok(state == Some("Succeeded"))
    })?;
    Ok(())
}

/// What a security team brings.
struct Keys {
    /// As the variable of the example.
    of_storage: Value,
    of_disks: String,
}

/// A vault with a key, whoever may use it, a set for disks, and the feature that hosts need.
fn keys(scenario: &Scenario) -> Result<Keys, Box<dyn Error>> {
    let group = scenario.azure.group_id(GROUP);
    let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/security");
    let identity =
        format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/storage");
    let of_disks = format!("{group}/providers/Microsoft.Compute/diskEncryptionSets/security");
    let put = |id: &str, version: &str, body: &Value| -> Result<Value, Box<dyn Error>> {
        let path = format!("{id}?api-version={version}");
        let made = scenario.azure.arm("PUT", &path, Some(&body.to_string()))?;
        assert!(made.status < 300, "{id}: {}", made.text());
        Ok(made.json())
    };
    let body = json!({ "location": "westeurope", "properties": {
        "tenantId": "22222222-2222-4222-8222-222222222222", "sku": { "family": "A", "name": "premium" },
        "enableRbacAuthorization": true, "enablePurgeProtection": true,
    } });
    put(&vault, "2023-07-01", &body)?;
    let body = json!({ "properties": { "kty": "RSA-HSM", "keySize": 3072 } });
    put(&format!("{vault}/keys/storage"), "2023-07-01", &body)?;
    let made = put(&identity, "2023-01-31", &json!({ "location": "westeurope" }))?;
    let role = "e147488a-f6f5-4113-8e2d-b22465e65bf6";
    let subscription = group.split("/resourceGroups/").next().unwrap_or_default();
    let body = json!({ "properties": {
        "roleDefinitionId": format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"),
        "principalId": made["properties"]["principalId"], "principalType": "ServicePrincipal",
    } });
    let assignment =
        "providers/Microsoft.Authorization/roleAssignments/0b7f5c4e-5d5e-4e57-9d5b-0c2f60a3d001";
    put(&format!("{vault}/{assignment}"), "2022-04-01", &body)?;
    let body = json!({ "location": "westeurope", "identity": { "type": "SystemAssigned" }, "properties": {
        "activeKey": { "keyUrl": "https://security.vault.azure.net/keys/storage/1" },
        "encryptionType": "EncryptionAtRestWithPlatformAndCustomerKeys",
    } });
    put(&of_disks, "2022-07-02", &body)?;
    let feature =
        "providers/Microsoft.Features/providers/Microsoft.Compute/features/EncryptionAtHost";
    let path = |verb: &str| format!("{subscription}/{feature}{verb}?api-version=2021-07-01");
    scenario.azure.arm("POST", &path("/register"), None)?;
    wait("the feature", || {
        let state = scenario.azure.arm("GET", &path(""), None)?.json();
        Ok(state["properties"]["state"] == "Registered")
    })?;
    let of_storage = json!({
        "key_vault_resource_id": vault, "key_name": "storage",
        "user_assigned_identity": { "resource_id": identity },
    });
    Ok(Keys { of_storage, of_disks })
}

/// The rules are those of Azure Landing Zones at the levels landing-zones and corp, its guardrails enforced
/// (`docs/guides/landing-zones.md` has the table).
#[test]
fn a_corporate_cluster_lives_under_the_rules_of_a_landing_zone() -> Done {
    let mut scenario = Scenario::start_within("corp", "byo-network", 60, "corp.json")?;
    let group = scenario.azure.group_id(GROUP);
    let network =
        |kind: &str, name: &str| format!("{group}/providers/Microsoft.Network/{kind}/{name}");
    let (nsg, vnet) =
        (network("networkSecurityGroups", "spoke"), network("virtualNetworks", "spoke"));
    let routes = network("routeTables", "to-the-firewall");
    let (blob, names) = (
        network("privateDnsZones", "privatelink.blob.core.windows.net"),
        network("privateDnsZones", "consul.corp.example"),
    );
    platform(
        &scenario,
        &nsg,
        "2024-01-01",
        &json!({ "location": "westeurope", "properties": { "securityRules": [] } }),
    )?;
    let subnet = |name: &str, prefix: &str| {
        json!({ "name": name, "properties": {
            "addressPrefix": prefix, "networkSecurityGroup": { "id": nsg }, "routeTable": { "id": routes },
        } })
    };
    let subnets = [
        subnet("consul", "10.8.4.0/26"),
        subnet("zone-2", "10.8.5.0/28"),
        subnet("zone-3", "10.8.6.0/28"),
    ];
    let space = json!({ "addressPrefixes": ["10.8.0.0/16"] });
    let body = json!({ "location": "westeurope",
        "properties": { "addressSpace": space, "subnets": subnets } });
    platform(&scenario, &vnet, "2024-01-01", &body)?;
    for zone in [&blob, &names] {
        platform(
            &scenario,
            zone,
            "2024-06-01",
            &json!({ "location": "global", "tags": { "owner": "hub" } }),
        )?;
        let link = json!({ "location": "global",
            "properties": { "virtualNetwork": { "id": vnet }, "registrationEnabled": false } });
        platform(&scenario, &format!("{zone}/virtualNetworkLinks/spoke"), "2024-06-01", &link)?;
    }
    let keys = keys(&scenario)?;
    scenario.before = scenario.azure.objects()?;
    let terraform = &mut scenario.terraform;
    terraform.set("TF_VAR_customer_managed_key", &keys.of_storage.to_string());
    terraform.set("TF_VAR_disk_encryption_set_id", &keys.of_disks);
    terraform.set("TF_VAR_encryption_at_host_enabled", "true");
    terraform.set("TF_VAR_subnet_id", &format!("{vnet}/subnets/consul"));
    terraform.set("TF_VAR_blob_private_dns_zone_id", &blob);
    terraform.set("TF_VAR_consul_private_dns_zone_id", &names);
    terraform.set("TF_VAR_server_count", "1");
    terraform.init()?;
    terraform.apply(&[])?;
    terraform.plan(&[])?.expect_code(0)?;
    let made = scenario.made()?;
    for kind in [
        "/publicIPAddresses/",
        "/natGateways/",
        "/virtualNetworks/",
        "/privateDnsZones/privatelink",
    ] {
        let own = made.iter().filter(|id| id.contains("-mrg-")).find(|id| id.contains(kind));
        assert_eq!(own, None, "{kind}");
    }
    let cluster = scenario.terraform.attributes(CLUSTER)?;
    let account = cluster["storage_account_name"].as_str().unwrap_or_default();
    let rules = scenario.terraform.run(&["output", "-json", "firewall_rules"])?.expect_code(0)?;
    assert_eq!(
        serde_json::from_str::<Value>(&rules.stdout)?,
        json!([format!("{account}.blob.core.windows.net:443")])
    );
    let told = scenario.hcs("doctor", &[])?;
    assert!(told.contains("let that through where your routes lead"), "{told}");
    assert!(told.contains("0 problems"), "{told}");
    // Another declaration, under the same rules: more servers, each in the subnet of its zone where there is one.
    let of_zone = |zone: &str| format!("{vnet}/subnets/zone-{zone}");
    let by_zone = json!({ "2": of_zone("2"), "3": of_zone("3") });
    scenario.terraform.set("TF_VAR_zone_subnet_ids", &by_zone.to_string());
    scenario.terraform.set("TF_VAR_server_count", "3");
    scenario.terraform.apply(&[])?;
    scenario.terraform.plan(&[])?.expect_code(0)?;
    let servers = scenario.terraform.attributes(CLUSTER)?["servers"].clone();
    let addresses: Vec<&str> = servers
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["private_ip"].as_str())
        .collect();
    let network_of = |address: &&str| address.rsplit_once('.').map(|(start, _)| start.to_owned());
    let networks: Vec<String> = addresses.iter().filter_map(network_of).collect();
    assert_eq!(networks, ["10.8.4", "10.8.5", "10.8.6"], "{addresses:?}");
    assert_eq!(scenario.consul()?.voters(0)?.len(), 3);
    let told = scenario.hcs("doctor", &[])?;
    assert!(told.contains("0 problems"), "{told}");
    scenario.terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}
