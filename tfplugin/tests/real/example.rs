//! The example provider under the real Terraform.

use std::time::Duration;

use crate::workspace::{Workspace, example};
use serde_json::Value as Json;

const BOX: &str = r#"
resource "example_box" "a" {
  name    = "a"
  size    = 12345678901234567890123
  weights = [0.1, 3, 2.5, -0.000001, 12345678901234567890123]
  tags    = ["y", "x"]
  content = { n = 0.1, l = ["a", 1, null], deep = { b = true } }
  shelves = { top = { height = 0.3, label = "fragile" }, low = { height = 1 } }
  secret  = "never stored"
  timeouts {
    create = "3m"
  }
}
"#;

/// The values of the only box in the state.
fn box_values(workspace: &Workspace) -> String {
    let state = workspace.state();
    let start = state.find("\"attributes\"").unwrap();
    state[start..].chars().filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn a_box_is_made_kept_changed_and_removed() {
    let workspace = example(BOX);
    workspace.apply();
    assert!(workspace.folder("boxes").join("box-a.box").exists());
    assert!(workspace.plan_is_empty(), "the plan after an apply is empty");

    workspace.write(&BOX.replace("\"fragile\"", "\"sturdy\""));
    let changed = workspace.apply();
    assert!(changed.contains("0 added, 1 changed, 0 destroyed"), "{changed}");
    assert!(workspace.plan_is_empty());

    workspace.write(&BOX.replace("\"a\"\n", "\"b\"\n"));
    let replaced = workspace.apply();
    assert!(replaced.contains("1 added, 0 changed, 1 destroyed"), "{replaced}");
    assert!(workspace.plan_is_empty());

    workspace.run(&["destroy", "-auto-approve"]);
    assert!(!workspace.folder("boxes").join("box-b.box").exists());
}

#[test]
fn numbers_of_any_size_survive_in_the_state_and_secrets_do_not() {
    let workspace = example(BOX);
    workspace.apply();
    let values = box_values(&workspace);
    assert!(values.contains("\"size\":12345678901234567890123"), "{values}");
    assert!(values.contains("[0.1,3,2.5,-0.000001,12345678901234567890123]"), "{values}");
    assert!(values.contains("\"n\":0.1"), "{values}");
    assert!(values.contains("\"secret\":null") && values.contains("\"has_secret\":true"));
    assert!(!workspace.state().contains("never stored"));
    // The state is read back through the provider and written again.
    workspace.run(&["apply", "-refresh-only", "-auto-approve"]);
    assert_eq!(box_values(&workspace), values);
}

#[test]
fn odd_numbers_are_the_same_to_terraform_after_a_round_trip() {
    let odd = r#"
resource "example_box" "a" {
  name    = "a"
  weights = [
    1 / 3, 2 / 7 * pow(10, 30), pow(2, 64) - 1, -pow(2, 62), 9223372036854775808, 1e300, 1e-7, log(2, 10),
    1180591620717411303424, 0.1 + 0.2, 0.30000000000000004, pow(0.1, 1), -0.5, 0,
  ]
  content = { third = 1 / 3, big = pow(2, 62), list = tolist([0.1, 1e40]) }
}
"#;
    let workspace = example(odd);
    // `pow(2, 63)` is not among them: Terraform itself rounds it on the way to the provider.
    // Terraform compares plan, configuration and state itself, to the last of its 512 bits.
    workspace.apply();
    assert!(workspace.plan_is_empty());
}

#[test]
fn the_schema_shows_nested_attributes_and_descriptions() {
    let workspace = example(BOX);
    let json = workspace.run(&["providers", "schema", "-json"]);
    let json: Json = serde_json::from_str(json.trim()).unwrap();
    let schemas = json["provider_schemas"].as_object().unwrap().values().next().unwrap();
    let schema = &schemas["resource_schemas"]["example_box"];
    assert_eq!(schema["version"], 1);
    let attributes = &schema["block"]["attributes"];
    let shelves = &attributes["shelves"]["nested_type"];
    assert_eq!(shelves["nesting_mode"], "map");
    assert_eq!(shelves["attributes"]["label"]["sensitive"], true);
    assert_eq!(attributes["content"]["type"], "dynamic");
    assert_eq!(attributes["secret"]["write_only"], true);
    assert_eq!(attributes["id"]["description_kind"], "markdown");
    assert_eq!(attributes["colour"]["deprecated"], true);
    assert_eq!(schema["block"]["block_types"]["timeouts"]["nesting_mode"], "single");
}

#[test]
fn an_object_that_exists_is_imported_and_plans_empty() {
    let workspace = example(BOX);
    workspace.apply();
    workspace.run(&["state", "rm", "example_box.a"]);
    workspace.run(&["import", "example_box.a", "box-a"]);
    assert!(workspace.plan_is_empty(), "the plan after an import is empty");

    workspace.run(&["state", "rm", "example_box.a"]);
    let failed = workspace.fails(&["import", "example_box.a", "box-x"]);
    assert!(failed.contains("No such box"), "{failed}");
}

#[test]
fn an_object_that_is_gone_is_made_again() {
    let workspace = example(BOX);
    workspace.apply();
    std::fs::remove_file(workspace.folder("boxes").join("box-a.box")).unwrap();
    assert!(!workspace.plan_is_empty());
    assert!(workspace.apply().contains("1 added"));
}

#[test]
fn a_diagnostic_points_at_the_line() {
    let workspace = example(&BOX.replace("12345678901234567890123\n", "-1\n"));
    let failed = workspace.fails(&["plan"]);
    assert!(failed.contains("`size` must be above zero. It is -1."), "{failed}");
    assert!(failed.contains("4:   size    = -1"), "{failed}");

    workspace.write(&BOX.replace("height = 0.3", "height = -1"));
    let failed = workspace.fails(&["plan"]);
    assert!(failed.contains("`shelves[\"top\"].height` must be above zero"), "{failed}");
}

#[test]
fn a_data_source_is_read() {
    let listing = r#"
data "example_boxes" "all" {
  depends_on = [example_box.a]
}
output "ids" {
  value = data.example_boxes.all.ids
}
"#;
    let workspace = example(&format!("{BOX}{listing}"));
    assert!(workspace.apply().contains("box-a"));
}

#[test]
fn an_interrupt_keeps_what_was_being_made() {
    let workspace = example("resource \"example_timer\" \"t\" {\n  seconds = 3600\n}\n");
    let mut running = workspace.spawn(&["apply", "-auto-approve"]);
    running.wait_for("example_timer.t: Creating...");
    // The provider must be in the middle of the call, which its log tells.
    running.wait_for_log("waiting");
    running.interrupt();
    let output = running.end(Duration::from_mins(1));
    assert!(output.contains("Interrupted"), "{output}");
    let state = workspace.state();
    assert!(state.contains("\"state\": \"waiting\""), "{state}");

    workspace.write("resource \"example_timer\" \"t\" {\n  seconds = 0\n}\n");
    let resumed = workspace.apply();
    assert!(resumed.contains("0 added, 1 changed, 0 destroyed"), "{resumed}");
}

#[test]
fn what_is_not_known_yet_passes_through_a_plan() {
    let later = r#"
resource "example_timer" "t" {
  seconds = 0
}
resource "example_box" "a" {
  name    = "a"
  colour  = "nearly ${example_timer.t.state}"
  tags    = ["x", example_timer.t.state]
  content = { state = example_timer.t.state, list = [1, example_timer.t.seconds] }
  shelves = { (example_timer.t.seconds) = { height = 1, label = example_timer.t.state } }
}
"#;
    let workspace = example(later);
    workspace.apply();
    assert!(workspace.plan_is_empty());
    let values = box_values(&workspace);
    assert!(values.contains("\"colour\":\"nearlydone\""), "{values}");
    assert!(values.contains("\"state\":\"done\""), "{values}");
}

#[test]
fn a_function_is_called_and_blames_an_argument() {
    let call = |arguments| {
        format!("output \"longest\" {{\n  value = provider::example::longest({arguments})\n}}\n")
    };
    let workspace = example(&call("\"a\", \"bcd\", \"efg\""));
    assert!(workspace.apply().contains("longest = \"bcd\""));
    workspace.write(&call("\"a\", \"\""));
    let failed = workspace.fails(&["plan"]);
    assert!(failed.contains("A text must not be empty"), "{failed}");
}

#[test]
fn a_function_over_a_struct_takes_null_where_it_may_and_blames_an_argument() {
    let call = |arguments| {
        format!("output \"repeated\" {{\n  value = provider::example::repeated({arguments})\n}}\n")
    };
    let workspace = example(&call("\"ab\", 2, null"));
    assert!(workspace.apply().contains("repeated = \"abab\""));
    workspace.write(&call("\"ab\", 2, \"-\""));
    assert!(workspace.apply().contains("repeated = \"ab-ab\""));
    for (arguments, told) in
        [("\"ab\", 101, null", "more than 100 times"), ("\"ab\", -1, null", "natural number")]
    {
        workspace.write(&call(arguments));
        let failed = workspace.fails(&["plan"]);
        assert!(failed.contains(told) && failed.contains("times"), "{failed}");
    }
}

#[test]
fn an_ephemeral_value_is_opened_renewed_closed_and_never_stored() {
    let key = r#"
ephemeral "example_key" "k" {
  door = "cellar"
}
resource "example_timer" "t" {
  seconds = 1
}
resource "example_box" "a" {
  name       = "a"
  secret     = ephemeral.example_key.k.key
  depends_on = [example_timer.t]
}
"#;
    let workspace = example(key);
    let mut running = workspace.spawn(&["apply", "-auto-approve"]);
    running.wait_for("Apply complete!");
    for event in ["opened", "renewed", "closed"] {
        running.wait_for_log(event);
    }
    running.end(Duration::from_mins(1));
    assert!(box_values(&workspace).contains("\"has_secret\":true"));
    assert!(!workspace.state().contains("the key to"));
}

#[test]
fn a_connection_without_tls_works_when_terraform_asks_for_it() {
    let workspace = example(BOX).with("TF_DISABLE_PLUGIN_TLS", "1");
    workspace.apply();
    assert!(workspace.plan_is_empty());
}
