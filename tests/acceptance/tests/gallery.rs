//! A platform team's image and the room that it reserved, with the real Terraform and Consul.

use std::error::Error;

use hcs_acceptance::scenario::{CLUSTER, GROUP, configuration_dir};
use hcs_acceptance::{Scenario, wait};
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

/// A platform team's object, made by hand.
fn put(scenario: &Scenario, id: &str, version: &str, body: &Value) -> Done {
    let path = format!("{id}?api-version={version}");
    let made = scenario.azure.arm("PUT", &path, Some(&body.to_string()))?;
    assert!(made.status < 300, "{id}: {}", made.text());
    wait("the platform's object", || {
        let state = scenario.azure.arm("GET", &path, None)?.json();
        let state = state.pointer("/properties/provisioningState").and_then(Value::as_str);
        Ok(state.is_none_or(|state| state == "Succeeded"))
    })
}

/// `cargo test -p hcs-acceptance --test gallery -- --ignored --nocapture`
#[test]
#[ignore = "a minute and a half: the law of the provider says the same in the gate"]
fn a_newer_version_in_the_gallery_makes_the_server_anew_beside_a_helper() -> Done {
    let mut scenario = Scenario::start("gallery", "", 60)?;
    let compute = format!("{}/providers/Microsoft.Compute", scenario.azure.group_id(GROUP));
    let gallery = format!("{compute}/galleries/gold");
    let image = format!("{gallery}/images/ubuntu");
    let here = |properties: Value| json!({ "location": "westeurope", "properties": properties });
    put(&scenario, &gallery, "2022-03-03", &here(json!({})))?;
    let definition = json!({
        "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2", "architecture": "x64",
        "features": [{ "name": "SecurityType", "value": "TrustedLaunchSupported" }],
    });
    put(&scenario, &image, "2022-03-03", &here(definition))?;
    for version in ["1.0.0", "1.1.0"] {
        let regions =
            json!({ "publishingProfile": { "targetRegions": [{ "name": "West Europe" }] } });
        put(&scenario, &format!("{image}/versions/{version}"), "2022-03-03", &here(regions))?;
    }
    let group = format!("{compute}/capacityReservationGroups/consul");
    let reserve = |scenario: &Scenario, zone: &str| {
        let body = json!({
            "location": "westeurope", "zones": [zone], "sku": { "name": "Standard_D2s_v5", "capacity": 1 },
        });
        put(scenario, &format!("{group}/capacityReservations/zone-{zone}"), "2024-07-01", &body)
    };
    put(
        &scenario,
        &group,
        "2024-07-01",
        &json!({ "location": "westeurope", "zones": ["1", "2"] }),
    )?;
    reserve(&scenario, "1")?;

    scenario.terraform.copy(&configuration_dir("gallery"))?;
    scenario.terraform.set("TF_VAR_source_image_id", &format!("{image}/versions/1.0.0"));
    scenario.terraform.set("TF_VAR_capacity_reservation_group_id", &group);
    scenario.terraform.init()?;
    let refused = scenario.terraform.plan(&[])?.expect_code(1)?;
    println!("{}", refused.text());
    assert!(
        refused.words().contains("has no reservation for Standard_D2s_v5 in zone 2"),
        "{}",
        refused.text()
    );
    reserve(&scenario, "2")?;
    scenario.before = scenario.azure.objects()?;
    scenario.terraform.apply(&[])?;
    scenario.terraform.plan(&[])?.expect_code(0)?;
    assert_eq!(scenario.terraform.attributes(CLUSTER)?["image_version"], "1.0.0");

    scenario.terraform.set("TF_VAR_source_image_id", &format!("{image}/versions/1.1.0"));
    let plan = scenario.terraform.plan(&[])?.expect_code(2)?;
    println!("{}", plan.text());
    let applied = scenario.terraform.apply(&[])?;
    assert!(applied.text().contains("image_version = \"1.1.0\""), "{}", applied.text());
    scenario.terraform.plan(&[])?.expect_code(0)?;
    assert_eq!(scenario.consul()?.voters(0)?, ["gallery-server-0"]);
    scenario.terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}
