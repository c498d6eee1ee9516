//! What the retired provider hashicorp/hcs left in a state ends in a create that says what is gone, or in a refusal. Nothing
//! that it names is looked for in Azure.

use std::error::Error;
use std::fs;

use hcs_acceptance::bins::{ADDRESSES, repository};
use hcs_acceptance::scenario::{GROUP, configuration_dir};
use hcs_acceptance::{Scenario, copy_tree};
use serde_json::Value;

type Done = Result<(), Box<dyn Error>>;

const THEIRS: &str = "registry.terraform.io/hashicorp/hcs";
const TOKEN: &str = "hcs_cluster_root_token.admin";
const CLUSTER_GONE: &str = "The state's cluster of hashicorp/hcs is gone";
const SNAPSHOT_GONE: &str = "The state's snapshot of hashicorp/hcs is gone";

/// A configuration beside the state that version 0.5 left.
fn begin(name: &str, folder: &str) -> Result<Scenario, Box<dyn Error>> {
    let scenario = Scenario::start(name, "", 60)?;
    let retired = configuration_dir("retired");
    scenario.terraform.copy(&retired.join(folder))?;
    let left = fs::read_to_string(retired.join("left/state.json"))?;
    let left = left.replace("<group>", &scenario.azure.group_id(GROUP));
    scenario.terraform.write("terraform.tfstate", &left)?;
    Ok(scenario)
}

fn replace_provider(scenario: &Scenario) -> Done {
    let words = ["state", "replace-provider", "-no-color", "-auto-approve", THEIRS, ADDRESSES[0]];
    let told = scenario.terraform.run(&words)?.expect_code(0)?;
    assert!(told.stdout.contains("replaced provider for 5 resources"), "{}", told.text());
    Ok(())
}

/// No managed application is read, and nothing is written.
fn nothing_was_looked_for(scenario: &Scenario) -> Done {
    let requests = scenario.azure.requests()?;
    let is_wrong = |word: &&String| word.contains("Solutions") || !word.starts_with("GET ");
    assert_eq!(requests.keys().find(is_wrong), None, "{requests:?}");
    Ok(())
}

#[test]
fn a_state_whose_provider_was_replaced_is_made_anew_and_says_what_is_gone() -> Done {
    let scenario = begin("retired", "translated")?;
    let terraform = &scenario.terraform;
    replace_provider(&scenario)?;
    terraform.init()?;
    terraform.run(&["state", "rm", TOKEN])?.expect_code(0)?;
    scenario.azure.reset_requests()?;
    let plan = terraform.plan(&[])?.expect_code(2)?;
    let words = plan.words();
    assert!(words.contains("Plan: 2 to add, 0 to change, 0 to destroy"), "{}", plan.text());
    for told in [CLUSTER_GONE, SNAPSHOT_GONE, "name it in restore_from_snapshot_id"] {
        assert!(words.contains(told), "{told}: {}", plan.text());
    }
    nothing_was_looked_for(&scenario)?;
    let destroy = terraform.run(&["plan", "-no-color", "-destroy"])?.expect_code(0)?;
    assert!(destroy.words().contains("without changing any real infra"), "{}", destroy.text());
    nothing_was_looked_for(&scenario)?;

    let applied = terraform.apply(&[])?;
    assert!(applied.words().contains(CLUSTER_GONE), "{}", applied.text());
    let again = terraform.plan(&[])?.expect_code(0)?;
    assert!(!again.words().contains("hashicorp/hcs"), "{}", again.text());
    let state = fs::read_to_string(terraform.dir.join("terraform.tfstate"))?;
    for of_before in ["retired-secret", "Microsoft.Solutions", "hcs_plan_defaults", THEIRS] {
        assert!(!state.contains(of_before), "{of_before} is left: {state}");
    }
    terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn moved_blocks_end_in_the_same_create_whether_or_not_the_provider_was_replaced() -> Done {
    for is_replaced in [true, false] {
        let scenario = begin(&format!("retired-moved-{is_replaced}"), "renamed")?;
        let terraform = &scenario.terraform;
        if is_replaced {
            replace_provider(&scenario)?;
        } else {
            // Terraform wants the provider that the state names; nothing is asked of it, so ours stands in.
            let mirror = terraform.dir.join(".mirror");
            for address in ADDRESSES {
                let theirs = address.replace("hcs-community", "hashicorp");
                let own = mirror.join(address).join(env!("CARGO_PKG_VERSION"));
                copy_tree(&own, &mirror.join(theirs).join("0.5.1"))?;
            }
            let config = fs::read_to_string(terraform.dir.join(".terraformrc"))?;
            let both = "[\"hashicorp/hcs\", \"hcs-community/hcs\"]";
            terraform.write(".terraformrc", &config.replace("[\"hcs-community/hcs\"]", both))?;
        }
        terraform.init()?;
        terraform.run(&["state", "rm", TOKEN])?.expect_code(0)?;
        scenario.azure.reset_requests()?;
        let plan = terraform.plan(&[])?.expect_code(2)?;
        let words = plan.words();
        for told in [
            "hcs_cluster.main will be created # (moved from hcs_cluster.old)",
            "hcs_snapshot.before_migration will be created # (moved from hcs_snapshot.before_upgrade)",
            "Plan: 2 to add, 0 to change, 0 to destroy",
            CLUSTER_GONE,
            SNAPSHOT_GONE,
        ] {
            assert!(words.contains(told), "{told}: {}", plan.text());
        }
        nothing_was_looked_for(&scenario)?;
    }
    Ok(())
}

#[test]
fn what_cannot_be_taken_over_is_refused() -> Done {
    let scenario = begin("retired-refused", "translated")?;
    let terraform = &scenario.terraform;
    replace_provider(&scenario)?;
    terraform.init()?;
    scenario.azure.reset_requests()?;
    // No provider is asked about a type that it has not: these are Terraform's own words.
    let plan = terraform.plan(&[])?.expect_code(1)?;
    let told = format!("no schema available for {TOKEN} while reading state");
    assert!(plan.words().contains(&told), "{}", plan.text());
    terraform.run(&["state", "rm", TOKEN, "data.hcs_plan_defaults.default"])?.expect_code(0)?;

    let own = "The state is of the retired provider hashicorp/hcs";
    let snapshot = "-target=hcs_snapshot.before_upgrade";
    let application = format!(
        "{}/providers/Microsoft.Solutions/applications/old",
        scenario.azure.group_id(GROUP)
    );
    let with_name = format!("{application}:old");
    for (words, told) in [
        (&["plan", "-refresh=false"][..], own),
        (&["plan", "-destroy", "-refresh=false"], own),
        (&["apply", "-destroy", "-refresh=false", "-auto-approve", snapshot], own),
        (&["import", "hcs_cluster.other", &application], "Invalid import id"),
        (&["import", "hcs_cluster.other", &with_name], "Invalid import id"),
    ] {
        if words[0] == "import" {
            let other = configuration_dir("documents").join("hcs_cluster.main.tf");
            let other = fs::read_to_string(other)?.replace("\"main\" {", "\"other\" {");
            terraform.write("other.tf", &other)?;
        }
        let refused = terraform.run(&[words, &["-no-color"]].concat())?.expect_code(1)?;
        assert!(refused.words().contains(told), "{words:?}: {}", refused.text());
    }
    nothing_was_looked_for(&scenario)?;
    // The count would have it.
    scenario.azure.arm("GET", &format!("{application}?api-version=2021-07-01"), None)?;
    let requests = scenario.azure.requests()?;
    assert!(requests.keys().any(|word| word.contains("Solutions")), "{requests:?}");
    Ok(())
}

#[test]
fn a_configuration_that_was_not_translated_is_refused_by_its_names() -> Done {
    let scenario = begin("retired-untranslated", "untranslated")?;
    replace_provider(&scenario)?;
    scenario.terraform.init()?;
    scenario.azure.reset_requests()?;
    let refused = scenario.terraform.run(&["validate", "-no-color"])?.expect_code(1)?;
    for told in [
        "An argument named \"managed_application_name\" is not expected here",
        "An argument named \"cluster_mode\" is not expected here",
        "An argument named \"snapshot_name\" is not expected here",
        "does not support resource type \"hcs_cluster_root_token\"",
        "does not support data source \"hcs_plan_defaults\"",
    ] {
        assert!(refused.words().contains(told), "{told}: {}", refused.text());
    }
    nothing_was_looked_for(&scenario)
}

#[test]
fn the_guide_says_where_every_name_went_that_is_not_the_same() -> Done {
    let docs = repository().join("docs");
    let guide = fs::read_to_string(docs.join("guides/from-hashicorp-hcs.md"))?;
    let left = fs::read_to_string(configuration_dir("retired").join("left/state.json"))?;
    let left: Value = serde_json::from_str(&left)?;
    let mut seen = 0;
    for resource in left["resources"].as_array().ok_or("resources")? {
        let ty = resource["type"].as_str().ok_or("type")?;
        let folder = if resource["mode"] == "data" { "data-sources" } else { "resources" };
        let page = docs.join(folder).join(ty.trim_start_matches("hcs_")).with_extension("md");
        // A kind that is not here is told of as a whole.
        let Ok(page) = fs::read_to_string(page) else {
            assert!(guide.contains(&format!("`{ty}`")), "{ty}");
            continue;
        };
        let attributes = resource["instances"][0]["attributes"].as_object().ok_or("attributes")?;
        for name in attributes.keys().filter(|name| *name != "timeouts") {
            let is_same = page.contains(&format!("\n- `{name}` ("));
            // Alone, or with a value.
            let is_told = ["`", " = "].iter().any(|end| guide.contains(&format!("`{name}{end}")));
            assert!(is_same || is_told, "{ty}.{name}");
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen} names were seen");
    Ok(())
}
