//! The uses: modules in landing zones, import by block, a group that the same run makes, and other providers' resources that
//! are made of a cluster's outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use hcs_acceptance::docs::CLUSTERS_EXAMPLE;
use hcs_acceptance::scenario::{CLUSTER, GROUP, configuration_dir, example_dir, set_consul};
use hcs_acceptance::{Scenario, Workspace, tools};
use semver::Version;
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
    let listing = Workspace::new(&scenario.dir.join("listing"), &scenario.azure)?;
    let code = CLUSTERS_EXAMPLE.split("```terraform\n").nth(1).ok_or("no code")?;
    let code = code.split("```").next().unwrap_or_default();
    listing.add("landing_zone/main.tf")?;
    listing.write("billing.tf", code)?;
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
    let mut importing = Workspace::new(&dir, &scenario.azure)?;
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
    let mut generating = Workspace::new(&dir, &scenario.azure)?;
    generating.set("TF_VAR_cluster", id);
    generating.add("import_block/main.tf")?;
    generating.add("import_block/generating/import.tf")?;
    generating.init()?;
    let plan = generating.run(&["plan", "-no-color", "-generate-config-out=found.tf"])?;
    assert!(plan.stdout.contains("1 to import, 0 to add, 0 to change"), "{}", plan.text());
    generating.add("import_block/generated/import.tf")?;
    generating.apply(&[])?;
    generating.plan(&[])?.expect_code(0)?;
    Ok(())
}

fn data_source_sees_the_cluster(scenario: &Scenario, id: &str) -> Done {
    let dir = scenario.dir.join("looking");
    let looking = Workspace::new(&dir, &scenario.azure)?;
    looking.add("import_block/looking/main.tf")?;
    looking.set_variables(
        &json!({ "cluster": id, "name": "quickstart", "resource_group_name": GROUP }),
    )?;
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
    let mut scenario = Scenario::start("one-run", "", TIME_SCALE)?;
    let token = scenario.azure.token("https://management.azure.com/.default")?;
    let curl_config = scenario.dir.join("token");
    std::fs::write(&curl_config, format!("header = \"Authorization: Bearer {token}\"\n"))?;
    let url = format!(
        "{}{}?api-version=2024-07-01",
        scenario.azure.url,
        scenario.azure.group_id("new-rg")
    );
    let mut variables = json!({
        "name": "fresh",
        "group_url": url,
        "curl_config": curl_config,
        "ca_file": scenario.azure.ca(),
    });
    // The run makes the group.
    scenario.terraform.unset("TF_VAR_resource_group_name");
    scenario.terraform.add("one_run/main.tf")?;
    scenario.terraform.set_variables(&variables)?;
    scenario.terraform.init()?;
    let plan = scenario.terraform.plan(&[])?.expect_code(2)?;
    assert!(plan.stdout.contains("3 to add"), "{}", plan.stdout);
    scenario.terraform.apply(&[])?;
    scenario.terraform.plan(&[])?.expect_code(0)?;

    // The same with a name that is known while planning: a warning, no error.
    variables["name"] = json!("later");
    variables["resource_group_name"] = json!("later-rg");
    let mut workspace = Workspace::new(&scenario.dir.join("later"), &scenario.azure)?;
    set_consul(&mut workspace)?;
    workspace.add("one_run/main.tf")?;
    workspace.set_variables(&variables)?;
    workspace.init()?;
    let plan = workspace.plan(&[])?.expect_code(2)?;
    assert!(plan.words().contains("\"later-rg\" does not exist yet"), "{}", plan.text());

    scenario.terraform.destroy(&[])?;
    Ok(())
}

/// Arguments of other providers' resources, by their addresses below the module that makes them of a cluster.
type Composed = BTreeMap<String, Value>;

/// All keys are known before the cluster is there, and a list of clusters gives the same as the resource.
#[test]
fn what_a_module_author_wants_is_in_the_outputs() -> Done {
    let mut scenario = Scenario::start("composed", "", TIME_SCALE)?;
    let version: Version = tools::consul_version(&tools::consul()?)?.parse()?;
    // HashiCorp's chart takes no older one; `examples.rs` has what is said then.
    let has_chart = version >= Version::new(1, 14, 0);
    scenario.terraform.set("TF_VAR_with_helm_values", &has_chart.to_string());
    let terraform = &scenario.terraform;
    terraform.copy(&configuration_dir("composition"))?;
    terraform.init()?;
    terraform.plan(&["-out=create.tfplan"])?.expect_code(2)?;
    let planned = composed(terraform, &["create.tfplan"])?;
    terraform.apply(&["create.tfplan"])?;
    terraform.plan(&[])?.expect_code(0)?;
    let made = composed(terraform, &[])?;
    assert_eq!(planned.keys().collect::<Vec<_>>(), made.keys().collect::<Vec<_>>());
    arguments_are_the_clusters(&made, &terraform.attributes(CLUSTER)?);
    scopes_are_objects_of_azure(&scenario, &made)?;
    if has_chart {
        let release = terraform.attributes("terraform_data.helm_release[0]")?;
        let values = release["input"]["values"][0].as_str().unwrap_or_default();
        assert!(values.contains("consul.composed.hcs.internal"), "{values}");
    }

    // Another state, in the folder beside the module.
    let dir = terraform.dir.join("platform");
    let platform = Workspace::new(&dir, &scenario.azure)?;
    platform.init()?;
    platform.apply(&[])?;
    platform.plan(&[])?.expect_code(0)?;
    assert_eq!(composed(&platform, &[])?, made);
    terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}

/// What stands in the modules of the state, or of a plan.
fn composed(terraform: &Workspace, plan: &[&str]) -> Result<Composed, Box<dyn Error>> {
    let shown = terraform.run(&[&["show", "-json"][..], plan].concat())?.expect_code(0)?;
    let shown: Value = serde_json::from_str(&shown.stdout)?;
    let whole = shown.get("planned_values").unwrap_or(&shown["values"]);
    let modules = whole["root_module"]["child_modules"].as_array().into_iter().flatten();
    let resources = modules.filter_map(|module| module["resources"].as_array()).flatten();
    let arguments = resources.filter_map(|resource| {
        let (_, name) = resource["address"].as_str()?.split_once(".terraform_data.")?;
        Some((name.to_owned(), resource["values"]["input"].clone()))
    });
    Ok(arguments.collect())
}

fn arguments_are_the_clusters(made: &Composed, cluster: &Value) {
    let input = |kind: &str, key: &str| {
        made.get(&format!("{kind}[\"{key}\"]")).cloned().unwrap_or_default()
    };
    let of_servers = |name: &str| -> Vec<Value> {
        let servers = cluster["servers"].as_array().into_iter().flatten();
        servers.map(|server| server[name].clone()).collect()
    };
    let addresses = of_servers("private_ip");
    assert!(addresses.len() == 3 && addresses.iter().all(Value::is_string), "{addresses:?}");
    let all = input("private_dns_a_record", "consul");
    assert_eq!((&all["name"], &all["records"]), (&json!("consul.composed"), &json!(addresses)));
    assert_eq!(input("private_dns_a_record", "server-2")["records"], json!([addresses[2]]));

    let api = input("network_security_rule", "consul-https");
    let balancer = &cluster["consul_private_endpoint_ip_address"];
    let reached: Vec<&Value> = addresses.iter().chain([balancer]).collect();
    assert_eq!(api["destination_address_prefixes"], json!(reached));
    assert_eq!(api["destination_port_range"], "8501");
    let account = cluster["storage_account_name"].as_str().unwrap_or_default();
    let account = format!("{account}.blob.core.windows.net");
    let way_out = input("firewall_application_rule_collection", &format!("{account}:443"));
    let rule = &way_out["rule"][0];
    assert_eq!(rule["target_fqdns"], json!([account]), "{made:#?}");
    assert_eq!(rule["protocol"], json!([{ "port": 443, "type": "Https" }]));

    let alert = input("monitor_metric_alert", "composed-server-1");
    assert_eq!(alert["scopes"], json!([of_servers("vmss_id")[1]]));
    let of_somebody = made.keys().find(|name| name.starts_with("role_assignment_of_server"));
    assert_eq!(of_somebody, None, "the apply assigns these");
}

/// Ids that are put together by hand are ids that Azure has.
fn scopes_are_objects_of_azure(scenario: &Scenario, made: &Composed) -> Done {
    let objects = scenario.azure.objects()?;
    let objects: BTreeSet<String> = objects.iter().map(|id| id.to_lowercase()).collect();
    let scope = |input: &Value| {
        let scope = input.get("scope").or_else(|| input["scopes"].get(0))?;
        scope.as_str().map(str::to_owned)
    };
    let scopes: Vec<String> = made.values().filter_map(scope).collect();
    // The group, seven containers, three servers, the balancer and the account; blobs, balancer, rules and network.
    assert_eq!(scopes.len(), 17, "{scopes:?}");
    for scope in scopes {
        assert!(objects.contains(&scope.to_lowercase()), "{scope} is nothing in Azure");
    }
    Ok(())
}
