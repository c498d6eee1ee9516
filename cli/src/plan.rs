//! `hcs plan` and `hcs graph`.

use std::fmt::Write as _;

use hcs_planner::placement::{quorum, zone_of};
use hcs_planner::plan::Standing;
use hcs_planner::{cost, plan as planner, render};

use crate::Format;
use crate::input::{CliError, Files, Input};

/// What a command says.
pub(crate) struct Answer {
    /// Standard output.
    pub(crate) text: String,
    /// Whether there is something to do.
    pub(crate) changes: bool,
}

/// The plan from an observed world to a declared cluster.
pub(crate) fn plan(files: &Files<'_>, format: Format) -> Result<Answer, CliError> {
    let input = files.read()?;
    let plan = planner::plan(&input.spec, &input.observed)?;
    let spec = &input.spec;
    let mut text = match format {
        Format::Text => render::text(spec, &plan),
        Format::Json => format!("{}\n", render::json(spec, &plan)),
        Format::Dot => render::dot(&plan),
        Format::Html => render::html(spec, &plan),
    };
    if format == Format::Text {
        if input.is_assumed {
            text.push_str(
                "\nPlanned from what the Terraform state declares: what somebody changed in Azure since is not known here.\n",
            );
        }
        text.push_str(&open_inputs(&input));
    }
    Ok(Answer { text, changes: !plan.is_empty() })
}

/// What a Terraform plan leaves open, and how it was taken.
fn open_inputs(input: &Input) -> String {
    if input.unknown.is_empty() {
        return String::new();
    }
    let names = input.unknown.join(", ");
    format!("\nNot known before the apply, and planned as if it were left out: {names}.\n")
}

/// About what the cluster costs a month, before the change and after it.
pub(crate) fn cost(files: &Files<'_>) -> Result<Answer, CliError> {
    let input = files.read()?;
    let mut text = cost::text(input.observed.stored_spec.as_ref(), &input.spec);
    text.push_str(&open_inputs(&input));
    Ok(Answer { text, changes: false })
}

/// What breaks when a zone is gone: now, and while the plan runs.
pub(crate) fn lose_zone(files: &Files<'_>, zone: &str) -> Result<Answer, CliError> {
    let input = files.read()?;
    let spec = &input.spec;
    if !spec.zones.iter().any(|own| own == zone) {
        let zones = if spec.zones.is_empty() { "none".to_owned() } else { spec.zones.join(", ") };
        return Err(CliError::NoZone { zone: zone.to_owned(), zones });
    }
    let slots = 0..spec.server_count;
    let (lost, left): (Vec<u32>, Vec<u32>) =
        slots.partition(|slot| zone_of(*slot, &spec.zones) == Some(zone));
    let needed = quorum(spec.server_count);
    let names = |slots: &[u32]| {
        let names: Vec<String> =
            slots.iter().map(|slot| format!("{}-server-{slot}", spec.name)).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let count = u32::try_from(left.len()).unwrap_or(u32::MAX);
    let mut text = format!(
        "Without zone {zone} of cluster {}:\n  lost      {}\n  left      {}\n",
        spec.name,
        names(&lost),
        names(&left)
    );
    let _ = writeln!(text, "  consul    {}", consul(count, spec.server_count, needed));
    let redundant = spec.zones.len() >= 3;
    let _ = writeln!(
        text,
        "  storage   {}",
        if redundant {
            "stays: three copies in three zones, snapshots and keys included"
        } else {
            "may be away: all copies are in one zone. Running servers go on without it; nothing new starts"
        }
    );
    if spec.subnet_id.is_none() {
        let _ = writeln!(
            text,
            "  way out   {}",
            if redundant {
                "stays: the NAT address is in all zones"
            } else {
                "may be away: the NAT address is in one zone"
            }
        );
    }
    let plan = planner::plan(spec, &input.observed)?;
    let verdict = plan.verdict();
    if verdict.before.voters > 0 && !plan.is_empty() {
        let word = |standing: &Standing| {
            if standing.zone_losses.iter().any(|own| own == zone) { "goes on" } else { "stops" }
        };
        let _ = writeln!(
            text,
            "\nWith the plan of {} steps: before it the cluster {}, at its weakest it {}, afterwards it {}.",
            plan.len(),
            word(&verdict.before),
            word(&verdict.during),
            word(&verdict.after)
        );
    }
    Ok(Answer { text, changes: false })
}

fn consul(left: u32, servers: u32, needed: u32) -> String {
    if left >= needed {
        format!(
            "goes on: {left} of {servers} voters are left, {needed} are needed; {} more may be lost",
            left - needed
        )
    } else {
        format!(
            "stops: {left} of {servers} voters are left, {needed} are needed. Reads with ?stale still work; \
             writes wait until the zone is back"
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn files(file: &tempfile::NamedTempFile) -> Files<'_> {
        Files { declared: file.path(), observed: None, address: None }
    }

    const DEMO: &str = r#"{ "name": "demo", "resource_group_name": "rg", "location": "westeurope",
        "subscription_id": "00000000-0000-0000-0000-000000000000" }"#;

    fn demo(server_count: u32, size: &str) -> Value {
        json!({ "name": "demo", "resource_group_name": "rg", "location": "westeurope",
                "server_count": server_count, "vm_size": size, "tags": null })
    }

    fn terraform(changes: &[(&str, Value, Value)]) -> tempfile::NamedTempFile {
        let change = |(address, before, after): &(&str, Value, Value)| {
            json!({ "address": address, "type": "hcs_cluster", "mode": "managed",
                    "change": { "actions": ["update"], "before": before, "after": after } })
        };
        let changes: Vec<Value> = changes.iter().map(change).collect();
        file(&json!({ "resource_changes": changes }).to_string())
    }

    #[test]
    fn every_format_shows_the_three_servers() {
        let file = file(DEMO);
        for format in [Format::Text, Format::Json, Format::Dot, Format::Html] {
            let answer = plan(&files(&file), format).unwrap();
            assert!(answer.changes);
            for slot in 0..3 {
                assert!(answer.text.contains(&format!("create server_{slot}")), "{format:?}");
            }
        }
    }

    #[test]
    fn a_terraform_plan_is_planned_from_what_its_state_declares() {
        let resize = ("hcs_cluster.a", demo(3, "Standard_D2s_v5"), demo(3, "Standard_D4s_v5"));
        let text =
            plan(&files(&terraform(std::slice::from_ref(&resize))), Format::Text).unwrap().text;
        assert!(text.contains("restart server_2") && !text.contains("create server_0"), "{text}");
        assert!(text.contains("Planned from what the Terraform state declares"), "{text}");
        let same = ("hcs_cluster.b", demo(3, "s"), demo(3, "s"));
        let both = terraform(&[resize, same]);
        let error = plan(&files(&both), Format::Text).err().unwrap().to_string();
        assert!(
            error.contains("choose one with --address: hcs_cluster.a, hcs_cluster.b"),
            "{error}"
        );
        let chosen = Files { address: Some("hcs_cluster.b"), ..files(&both) };
        assert!(!plan(&chosen, Format::Text).unwrap().changes);
    }

    /// A state keeps a null element, and what this run makes is not known yet.
    #[test]
    fn a_terraform_plan_with_null_elements_and_unknown_ids_is_read() {
        let network =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n";
        let zone = |name: &str| format!("{network}/subnets/{name}");
        let within = |subnet: Value, second: Value| {
            let mut cluster = demo(3, "Standard_D2s_v5");
            cluster["subnet_id"] = subnet;
            cluster["outbound_type"] = json!("user_defined_routing");
            cluster["zone_subnet_ids"] = json!({ "1": zone("one"), "2": second });
            cluster
        };
        let before = within(json!(zone("all")), Value::Null);
        let after = within(json!(zone("all")), json!(zone("two")));
        let change = terraform(&[("hcs_cluster.a", before, after)]);
        let text = plan(&files(&change), Format::Text).unwrap().text;
        assert!(text.contains("delete server_1") && !text.contains("delete server_0"), "{text}");

        let mut after = within(Value::Null, json!(zone("two")));
        after.as_object_mut().unwrap().remove("subnet_id");
        let change = json!({ "address": "hcs_cluster.a", "type": "hcs_cluster", "mode": "managed",
            "change": { "actions": ["create"], "before": null, "after": after,
                        "after_unknown": { "subnet_id": true } } });
        let change = file(&json!({ "resource_changes": [change] }).to_string());
        let text = plan(&files(&change), Format::Text).unwrap().text;
        assert!(text.contains("as if it were left out: subnet_id."), "{text}");
        assert!(text.contains("create server_2"), "{text}");
    }

    #[test]
    fn an_empty_map_is_an_input_like_others() {
        for line in ["\"zone_subnet_ids\": {}", "\"source_image_id\": null"] {
            let empty = file(&DEMO.replace("\"name\"", &format!("{line}, \"name\"")));
            assert!(plan(&files(&empty), Format::Text).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_resize_is_told_with_its_price() {
        let file = file(DEMO);
        let text = cost(&files(&file)).unwrap().text;
        assert!(text.contains("total") && !text.contains("->"), "{text}");
        let resize = ("hcs_cluster.a", demo(3, "Standard_D2s_v5"), demo(3, "Standard_D4s_v5"));
        let text = cost(&files(&terraform(&[resize]))).unwrap().text;
        assert!(text.contains("210.24  ->    420.48  3 x Standard_D4s_v5"), "{text}");
    }

    #[test]
    fn three_zones_survive_one_and_two_zones_do_not() {
        let three = file(DEMO);
        let answer = lose_zone(&files(&three), "2").unwrap();
        assert!(answer.text.contains("goes on: 2 of 3 voters"), "{}", answer.text);
        let two = file(&DEMO.replace("\"name\"", "\"zones\": [\"1\", \"2\"], \"name\""));
        let answer = lose_zone(&files(&two), "1").unwrap();
        assert!(answer.text.contains("stops: 1 of 3 voters"), "{}", answer.text);
        assert!(answer.text.contains("may be away"), "{}", answer.text);
        assert!(lose_zone(&files(&two), "3").is_err());
    }

    #[test]
    fn a_zone_may_be_lost_before_a_resize_and_not_during_it() {
        let resize =
            terraform(&[("hcs_cluster.a", demo(3, "Standard_D2s_v5"), demo(3, "Standard_D4s_v5"))]);
        let answer = lose_zone(&files(&resize), "1").unwrap();
        let expected =
            "before it the cluster goes on, at its weakest it stops, afterwards it goes on";
        assert!(answer.text.contains(expected), "{}", answer.text);
    }

    #[test]
    fn a_wrong_file_is_told_with_its_path() {
        let broken = file("{ \"name\": 1 }");
        let error = plan(&files(&broken), Format::Text).err().unwrap().to_string();
        assert!(error.contains("does not describe a cluster: name: invalid type"), "{error}");
    }

    #[test]
    fn each_wrong_attribute_is_named_with_the_mend() {
        let table = [
            ("\"server_count\": 4", "server_count: server_count is 4; it is 1, 3, 5 or 7"),
            ("\"server_count\": \"3\"", "server_count: invalid type: string"),
            ("\"vm_sizes\": \"x\"", "did you mean \"vm_size\"?"),
            ("\"zones\": [\"1\", \"1\"]", "zones[1]: Zone 1 is listed twice"),
            ("\"image\": { \"publisher\": 1 }", "image.publisher: invalid type"),
            ("\"vnet_cidr\": \"10.0.0.0/30\"", "vnet_cidr: 10.0.0.0/30 is too small"),
            (
                "\"external_endpoint\": { \"allowed_cidrs\": [] }",
                "allowed_cidrs: Consul would be open",
            ),
            ("\"vm_size_fallbacks\": [\"s\"]", "vm_size_fallbacks: With zone_fallback"),
            ("\"consul_version\": \"1.7.4\"", "consul_version: Consul 1.7.4 is too old"),
            ("\"tags\": { \"hcs-x\": \"y\" }", "tags: Tag \"hcs-x\""),
        ];
        for (line, expected) in table {
            let wrong = file(&DEMO.replace("\"name\"", &format!("{line}, \"name\"")));
            let error = plan(&files(&wrong), Format::Text).err().unwrap().to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
