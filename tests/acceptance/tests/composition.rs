//! The three uses: modules in landing zones, import by block, and a group that the same run makes.

use std::error::Error;

use hcs_acceptance::Scenario;
use hcs_acceptance::docs::CLUSTERS_EXAMPLE;
use hcs_acceptance::scenario::{CLUSTER, GROUP, example_dir};
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

const TIME_SCALE: u32 = 30;

/// Under a platform team's policies: what they forbid is not declared, and what they add stays and is no difference.
#[test]
fn a_module_is_called_twice_with_for_each_under_a_platforms_policies() -> Done {
    let mut scenario =
        Scenario::start_under("landing-zone", "landing-zone", TIME_SCALE, "landing-zone.json")?;
    scenario.azure.create_group("orders-rg", "northeurope")?;
    scenario.before = scenario.azure.objects()?;
    let clusters = json!({
        "billing": { "resource_group_name": GROUP, "location": "westeurope", "vnet_cidr": "10.1.0.0/24" },
        "orders": { "resource_group_name": "orders-rg", "location": "northeurope",
                    "vnet_cidr": "10.2.0.0/24", "server_count": 1 },
    });
    scenario.terraform.set("TF_VAR_clusters", &clusters.to_string());
    scenario.terraform.init()?;
    scenario.terraform.apply(&[])?;
    scenario.terraform.plan(&[])?.expect_code(0)?;
    policies_have_left_their_marks(&scenario)?;
    let output = scenario.terraform.run(&["output", "-json", "consul"])?.expect_code(0)?;
    let output: Value = serde_json::from_str(&output.stdout)?;
    assert_eq!(output["orders"]["url"], "https://consul.orders.hcs.internal:8501");
    let ids = [&output["billing"]["cluster_id"], &output["orders"]["cluster_id"]];
    assert_ne!(ids[0], ids[1]);
    let state = scenario.terraform.attributes("module.consul[\"orders\"].hcs_cluster.this")?;
    assert_eq!(state["tags_all"], json!({ "managed-by": "platform", "service": "consul" }));
    assert_eq!(state["servers"].as_array().map(Vec::len), Some(1));
    a_list_names_the_clusters_of_a_region(&scenario, ids[0])?;
    scenario.terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}

/// The reference's own example, as it stands.
fn a_list_names_the_clusters_of_a_region(scenario: &Scenario, billing: &Value) -> Done {
    let listing = hcs_acceptance::Workspace::new(&scenario.dir.join("listing"), &scenario.azure)?;
    let code = CLUSTERS_EXAMPLE.split("```terraform\n").nth(1).ok_or("no code")?;
    let code = code.split("```").next().unwrap_or_default();
    listing.write("main.tf", &head(&format!("{code}data \"hcs_clusters\" \"all\" {{}}\n")))?;
    listing.init()?;
    listing.apply(&[])?;
    let output = listing.run(&["output", "-json", "billing"])?.expect_code(0)?;
    assert_eq!(serde_json::from_str::<Value>(&output.stdout)?, json!({ "billing": billing }));
    let all = listing.attributes("data.hcs_clusters.all")?["clusters"].clone();
    let names: Vec<&str> =
        all.as_array().ok_or("clusters")?.iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["billing", "orders"]);
    Ok(())
}

#[test]
fn an_import_block_ends_in_an_empty_plan() -> Done {
    let mut scenario = Scenario::start("import", "quickstart", TIME_SCALE)?;
    scenario.terraform.init()?;
    scenario.terraform.apply(&[])?;
    let id = scenario.terraform.attributes(CLUSTER)?["id"].as_str().ok_or("id")?.to_owned();

    // Another folder, another state: only the cluster itself remembers.
    let dir = scenario.dir.join("importing");
    let mut importing = hcs_acceptance::Workspace::new(&dir, &scenario.azure)?;
    importing.copy(&example_dir("import"))?;
    importing.set("TF_VAR_cluster_id", &id);
    importing.set("TF_VAR_name", "quickstart");
    importing.set("TF_VAR_resource_group_name", GROUP);
    importing.init()?;
    let plan = importing.plan(&[])?;
    assert!(
        plan.stdout.contains("2 to import, 0 to add, 0 to change, 0 to destroy"),
        "{}",
        plan.text()
    );
    importing.apply(&[])?;
    importing.plan(&[])?.expect_code(0)?;

    generated_configuration_plans_empty(&scenario, &id)?;
    data_source_sees_the_cluster(&scenario, &id)?;
    scenario.terraform.set("TF_VAR_server_count", "3");
    scenario.terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}

fn policies_have_left_their_marks(scenario: &Scenario) -> Done {
    let objects = scenario.made()?;
    let is_set = |id: &&String| {
        id.to_lowercase().contains("virtualmachinescalesets/") && !id.contains("virtualMachines/")
    };
    let sets: Vec<&String> = objects.iter().filter(is_set).collect();
    assert_eq!(sets.len(), 4);
    for id in sets {
        let path = format!("{id}?api-version=2024-07-01");
        let set = scenario.azure.arm("GET", &path, None)?.json();
        assert_eq!(set["tags"]["cost-center"], "4711", "{id}");
        assert!(set.to_string().contains("AzureMonitorLinuxAgent"), "{id}");
    }
    assert_eq!(scenario.azure.audited()?.len(), 2, "a way out for each cluster");
    Ok(())
}

fn generated_configuration_plans_empty(scenario: &Scenario, id: &str) -> Done {
    let dir = scenario.dir.join("generating");
    let generating = hcs_acceptance::Workspace::new(&dir, &scenario.azure)?;
    let import = |provider: &str| {
        head(&format!("import {{\n  to = hcs_cluster.found\n  id = \"{id}\"\n{provider}}}\n"))
    };
    // Where there is no block yet, the import says whose it is; beside a block it must not.
    generating.write("main.tf", &import("  provider = hcs\n"))?;
    generating.init()?;
    let plan = generating.run(&["plan", "-no-color", "-generate-config-out=found.tf"])?;
    assert!(plan.stdout.contains("1 to import, 0 to add, 0 to change"), "{}", plan.text());
    generating.write("main.tf", &import(""))?;
    generating.apply(&[])?;
    generating.plan(&[])?.expect_code(0)?;
    Ok(())
}

fn data_source_sees_the_cluster(scenario: &Scenario, id: &str) -> Done {
    let dir = scenario.dir.join("looking");
    let looking = hcs_acceptance::Workspace::new(&dir, &scenario.azure)?;
    let text = format!(
        "data \"hcs_cluster\" \"by_id\" {{\n  id = \"{id}\"\n}}\n\
         data \"hcs_cluster\" \"by_name\" {{\n  name = \"quickstart\"\n  resource_group_name = \"{GROUP}\"\n}}\n\
         output \"same\" {{\n  value = data.hcs_cluster.by_id.vnet_id == data.hcs_cluster.by_name.vnet_id\n}}\n\
         output \"servers\" {{\n  value = length(data.hcs_cluster.by_name.servers)\n}}\n"
    );
    looking.write("main.tf", &head(&text))?;
    looking.init()?;
    looking.apply(&[])?;
    let output = looking.run(&["output", "-json"])?.expect_code(0)?;
    let output: Value = serde_json::from_str(&output.stdout)?;
    assert_eq!(output["same"]["value"], true);
    assert_eq!(output["servers"]["value"], 3);
    Ok(())
}

/// A group that a provisioner makes stands for any resource that makes it in the same run.
#[test]
fn group_cluster_and_policy_are_made_in_one_run() -> Done {
    let scenario = Scenario::start("one-run", "", TIME_SCALE)?;
    let token = scenario.azure.token("https://management.azure.com/.default")?;
    std::fs::write(
        scenario.dir.join("token"),
        format!("header = \"Authorization: Bearer {token}\"\n"),
    )?;
    let url = format!(
        "{}{}?api-version=2024-07-01",
        scenario.azure.url,
        scenario.azure.group_id("new-rg")
    );
    let command = format!(
        "curl -fsS -K {} --cacert {} -X PUT -H 'Content-Type: application/json' -d '{{\\\"location\\\":\\\"westeurope\\\"}}' '{url}'",
        scenario.dir.join("token").display(),
        scenario.azure.ca().display(),
    );
    let text = format!(
        r#"
variable "consul_version" {{ type = string }}
variable "consul_archive" {{ type = string }}
variable "resource_group_name" {{ type = string }}
resource "terraform_data" "group" {{
  input = "new-rg"
  provisioner "local-exec" {{
    command = "{command}"
  }}
}}
resource "hcs_cluster" "main" {{
  name                = "fresh"
  resource_group_name = terraform_data.group.output
  location            = "westeurope"
  server_count        = 1
  consul_version      = var.consul_version
  artifact_source     = {{ location = var.consul_archive }}
}}
resource "hcs_snapshot_policy" "hourly" {{
  cluster_id = hcs_cluster.main.id
  interval   = "1h"
}}
"#
    );
    scenario.terraform.write("main.tf", &head(&text))?;
    scenario.terraform.init()?;
    let plan = scenario.terraform.plan(&[])?.expect_code(2)?;
    assert!(plan.stdout.contains("3 to add"), "{}", plan.stdout);
    scenario.terraform.apply(&[])?;
    scenario.terraform.plan(&[])?.expect_code(0)?;

    // The same with a name that is known while planning: a warning, no error.
    let known = text
        .replace("terraform_data.group.output", "\"later-rg\"")
        .replace("\"fresh\"", "\"later\"");
    let later = scenario.dir.join("later");
    let mut workspace = hcs_acceptance::Workspace::new(&later, &scenario.azure)?;
    hcs_acceptance::scenario::set_consul(&mut workspace)?;
    workspace.set("TF_VAR_resource_group_name", GROUP);
    workspace.write("main.tf", &head(&known))?;
    workspace.init()?;
    let plan = workspace.plan(&[])?.expect_code(2)?;
    assert!(plan.words().contains("\"later-rg\" does not exist yet"), "{}", plan.text());

    scenario.terraform.destroy(&[])?;
    Ok(())
}

fn head(text: &str) -> String {
    format!(
        "terraform {{\n  required_providers {{ hcs = {{ source = \"hcs-community/hcs\" }} }}\n}}\n\
         provider \"hcs\" {{}}\n{text}"
    )
}
