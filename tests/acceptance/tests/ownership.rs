//! Nothing is lost: protected clusters, failed creates, two owners, unknown and null values, under the real Terraform.

use std::error::Error;

use hcs_acceptance::scenario::{CLUSTER, GROUP, set_consul};
use hcs_acceptance::{Scenario, Workspace};
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

const TIME_SCALE: u32 = 60;

/// Declares one server.
fn declare(terraform: &Workspace, mut more: Value) -> Done {
    more["server_count"] = json!(1);
    Ok(terraform.declare("demo", more)?)
}

/// Another state for the same Azure, with a cluster in this network.
fn workspace(scenario: &Scenario, name: &str, cidr: &str) -> Result<Workspace, Box<dyn Error>> {
    let mut workspace = Workspace::new(&scenario.dir.join(name), &scenario.azure)?;
    set_consul(&mut workspace)?;
    workspace.set("TF_VAR_resource_group_name", GROUP);
    declare(&workspace, json!({ "vnet_cidr": cidr }))?;
    workspace.init()?;
    Ok(workspace)
}

/// Writes to Resource Manager since the last reset.
fn writes(scenario: &Scenario) -> Result<Vec<String>, Box<dyn Error>> {
    let requests = scenario.azure.requests()?;
    Ok(requests
        .into_keys()
        .filter(|key| !key.starts_with("GET ") && !key.starts_with("HEAD "))
        .collect())
}

fn sets(scenario: &Scenario) -> Result<usize, Box<dyn Error>> {
    let is_set = |id: &&String| {
        let id = id.to_lowercase();
        id.split_once("/virtualmachinescalesets/").is_some_and(|(_, name)| !name.contains('/'))
    };
    Ok(scenario.made()?.iter().filter(is_set).count())
}

#[test]
fn what_is_not_known_yet_makes_unknown_what_follows_from_it_only() -> Done {
    let scenario = Scenario::start("unknown", "", TIME_SCALE)?;
    let terraform = &scenario.terraform;
    declare(terraform, json!({ "tags": { "owner": null } }))?;
    terraform.add("ownership/daily.tf")?;
    terraform.init()?;
    terraform.apply(&[])?;
    let before = terraform.attributes(CLUSTER)?;
    assert_eq!(before["tags"], json!({ "owner": null }), "the state keeps what was written");
    terraform.plan(&[])?.expect_code(0)?;

    declare(terraform, json!({}))?;
    terraform.add("ownership/build.tf")?;
    terraform.add("ownership/build_override.tf")?;
    let plan = terraform.plan(&["-out=plan"])?.expect_code(2)?;
    assert!(plan.stdout.contains("2 to add, 1 to change, 0 to destroy"), "{}", plan.text());
    let shown = terraform.run(&["show", "-json", "plan"])?.expect_code(0)?;
    let shown: Value = serde_json::from_str(&shown.stdout)?;
    let changes = shown["resource_changes"].as_array().ok_or("changes")?;
    let of = |kind: &str| changes.iter().find(|change| change["type"] == kind);
    assert_eq!(of("hcs_snapshot_policy").ok_or("policy")?["change"]["actions"], json!(["no-op"]));
    let unknown = &of("hcs_cluster").ok_or("cluster")?["change"]["after_unknown"];
    let names: Vec<&String> = unknown.as_object().ok_or("unknown")?.keys().collect();
    let open: Vec<&&String> =
        names.iter().filter(|name| unknown.get(name.as_str()) == Some(&json!(true))).collect();
    assert_eq!(open, [&"state"], "{unknown}");
    assert_eq!(unknown["tags"], json!({ "build": true }));
    terraform.apply(&[])?;
    terraform.plan(&[])?.expect_code(0)?;
    let after = terraform.attributes(CLUSTER)?;
    for name in ["id", "incarnation_id", "servers", "consul_ca_file", "storage_account_name"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    terraform.destroy(&[])?;
    Ok(())
}

#[test]
fn a_protected_cluster_goes_on_neither_road_and_nothing_is_made_before_it_goes() -> Done {
    let scenario = Scenario::start("protected", "", TIME_SCALE)?;
    let terraform = &scenario.terraform;
    declare(terraform, json!({ "deletion_protection": true }))?;
    terraform.init()?;
    terraform.apply(&[])?;
    let before = scenario.azure.objects()?;
    scenario.azure.reset_requests()?;

    // Dropping the flag in the same change does not count.
    for is_protected in [true, false] {
        let moved = json!({ "deletion_protection": is_protected, "vnet_cidr": "10.7.0.0/24" });
        declare(terraform, moved)?;
        let refused = terraform.plan(&[])?.expect_code(1)?;
        assert!(
            refused.words().contains("Cluster is protected from deletion"),
            "{}",
            refused.text()
        );
        assert!(refused.words().contains("vnet_cidr"), "{}", refused.text());
    }
    // What no plan shows us: the destroy itself refuses.
    declare(terraform, json!({ "deletion_protection": true }))?;
    let replace =
        ["apply", "-no-color", "-input=false", "-auto-approve", "-replace=hcs_cluster.main"];
    let refused = terraform.run(&replace)?.expect_code(1)?;
    assert!(refused.words().contains("so nothing is deleted"), "{}", refused.text());
    assert_eq!(writes(&scenario)?, Vec::<String>::new());
    assert_eq!(scenario.azure.objects()?, before);

    // A replacement that creates first meets its own cluster and ends before anything is touched.
    declare(terraform, json!({ "deletion_protection": false }))?;
    terraform.add("ownership/create_first_override.tf")?;
    terraform.apply(&[])?;
    scenario.azure.reset_requests()?;
    let refused = terraform.run(&replace)?.expect_code(1)?;
    assert!(refused.words().contains("exists already"), "{}", refused.text());
    assert!(refused.words().contains("terraform import hcs_cluster"), "{}", refused.text());
    assert_eq!(writes(&scenario)?, Vec::<String>::new());
    terraform.plan(&[])?.expect_code(0)?;
    terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_failed_create_is_gone_on_with_though_core_replaces_what_is_tainted() -> Done {
    let fault = ["policy:PUT:virtualMachineScaleSets:1:2"];
    let scenario = Scenario::start_with("failed-create", "", TIME_SCALE, &fault)?;
    let terraform = &scenario.terraform;
    terraform.declare("demo", json!({ "deletion_protection": true }))?;
    terraform.init()?;
    let failed = terraform.run(&["apply", "-no-color", "-input=false", "-auto-approve"])?;
    assert_eq!(failed.code, 1);
    assert!(failed.words().contains("RequestDisallowedByPolicy"), "{}", failed.text());
    assert!(failed.words().contains("nothing is made twice"), "{}", failed.text());
    assert_eq!(sets(&scenario)?, 2, "two of three servers");
    let before = scenario.made()?;
    scenario.azure.reset_requests()?;
    let again = terraform.apply(&[])?;
    assert!(again.stdout.contains("1 added, 0 changed, 1 destroyed"), "{}", again.stdout);
    let deletes: Vec<String> =
        writes(&scenario)?.into_iter().filter(|key| key.starts_with("DELETE")).collect();
    assert_eq!(deletes, Vec::<String>::new(), "nothing of it was deleted");
    let after = scenario.made()?;
    assert!(before.iter().all(|id| after.contains(id)));
    assert_eq!(sets(&scenario)?, 3);
    terraform.plan(&[])?.expect_code(0)?;
    assert_eq!(scenario.consul()?.voters(0)?.len(), 3);
    Ok(())
}

#[test]
fn of_two_states_one_owns_the_cluster_whatever_the_other_does() -> Done {
    let scenario = Scenario::start("two-states", "", TIME_SCALE)?;
    let one = workspace(&scenario, "one", "10.1.0.0/24")?;
    let other = workspace(&scenario, "other", "10.2.0.0/24")?;
    let apply = ["apply", "-no-color", "-input=false", "-auto-approve"];
    let mut first = one.spawn("apply", &apply)?;
    let mut second = other.spawn("apply", &apply)?;
    let ended = [first.wait()?.success(), second.wait()?.success()];
    assert_eq!(ended.iter().filter(|well| **well).count(), 1, "{ended:?}");
    let (winner, loser) = if ended[0] { (&one, &other) } else { (&other, &one) };
    let words = std::fs::read_to_string(loser.dir.join("apply.err"))?.replace(['│', '\n'], " ");
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = ["Another run is changing cluster", "exists already", "Half of another"];
    assert!(told.iter().any(|told| words.contains(told)), "{words}");
    let cluster = winner.attributes(CLUSTER)?;

    // The loser goes on without reading: the winner's cluster stays as it is.
    for _ in 0..2 {
        assert_eq!(loser.run(&apply)?.code, 1);
    }
    assert_eq!(loser.run(&["destroy", "-auto-approve", "-no-color"])?.code, 0);
    winner.plan(&[])?.expect_code(0)?;
    assert_eq!(winner.attributes(CLUSTER)?["incarnation_id"], cluster["incarnation_id"]);

    // A block that is renamed without `moved`: core makes and destroys at the same time, in whatever order.
    declare(winner, json!({ "vnet_cidr": "10.1.0.0/24" }))?;
    winner.remove("main.tf")?;
    winner.add("ownership/renamed.tf")?;
    for _ in 0..3 {
        winner.run(&apply)?;
        if winner.plan(&[])?.code == 0 {
            break;
        }
    }
    winner.plan(&[])?.expect_code(0)?;
    let held = winner.attributes("hcs_cluster.renamed")?;
    let group = held["id"].as_str().ok_or("the state holds a cluster")?;
    let found = scenario.azure.arm("GET", &format!("{group}?api-version=2024-07-01"), None)?.json();
    assert_eq!(found["tags"]["hcs-incarnation"], held["incarnation_id"], "state and Azure agree");
    winner.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_program_that_is_not_what_was_declared_is_told_before_the_first_write() -> Done {
    let mut scenario = Scenario::start("wrong-program", "", TIME_SCALE)?;
    scenario.terraform.set("TF_VAR_consul_version", "2.0.2");
    let terraform = &scenario.terraform;
    declare(terraform, json!({}))?;
    terraform.init()?;
    scenario.azure.reset_requests()?;
    let refused = terraform.run(&["apply", "-no-color", "-input=false", "-auto-approve"])?;
    assert_eq!(refused.code, 1);
    assert!(refused.words().contains("is not Consul 2.0.2"), "{}", refused.text());
    assert!(refused.words().contains("Set consul_version"), "{}", refused.text());
    assert_eq!(writes(&scenario)?, Vec::<String>::new());
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}
