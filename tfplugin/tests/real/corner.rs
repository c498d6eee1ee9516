//! Corner cases of the field: what has bitten provider authors before, with the values expected.

use serde_json::json;

use crate::workspace::{Workspace, example};

fn a_box(attributes: &str) -> String {
    format!("resource \"example_box\" \"a\" {{\n  name = \"a\"\n{attributes}\n}}\n")
}

/// Applies a configuration and then others over it; each must plan empty afterwards.
fn applies(configurations: &[&str]) -> Workspace {
    let workspace = example("");
    for attributes in configurations {
        workspace.write(&a_box(attributes));
        workspace.apply();
        assert!(workspace.plan_is_empty(), "after {attributes}");
    }
    workspace
}

#[test]
fn a_float_keeps_every_digit() {
    let workspace = applies(&[
        "size = 0.1",
        "size = 1234567890.123456789",
        "size = 0.1000000000000000055511151231257827",
    ]);
    let state = workspace.state();
    assert!(state.contains("\"size\": 0.1000000000000000055511151231257827"), "{state}");
    workspace.write(&a_box("size = 9007199254740993"));
    workspace.apply();
    assert!(workspace.state().contains("\"size\": 9007199254740993"), "beyond 53 bits");
}

#[test]
fn the_type_of_a_dynamic_value_may_change() {
    let workspace = applies(&[
        "content = \"text\"",
        "content = 12",
        "content = [1, \"two\", null]",
        "content = { a = [], b = {} }",
        "content = toset([\"x\"])",
        "content = null",
        "",
    ]);
    assert_eq!(workspace.object("example_box")["content"], json!(null));
}

#[test]
fn null_is_not_empty() {
    let workspace = applies(&["tags = []"]);
    assert_eq!(workspace.object("example_box")["tags"], json!([]));
    workspace.write(&a_box("tags = null"));
    let plan = workspace.run(&["plan"]);
    assert!(plan.contains("- tags"), "from empty to null is a change: {plan}");
    workspace.apply();
    assert_eq!(workspace.object("example_box")["tags"], json!(null));
    let workspace = applies(&["shelves = {}\n  colour = \"\"", "colour = null", "shelves = {}"]);
    assert_eq!(workspace.object("example_box")["shelves"], json!({}));
    assert_eq!(workspace.object("example_box")["colour"], json!(null));
}

#[test]
fn defaults_inside_sets_find_their_element() {
    let workspace = applies(&[
        "stickers = [{ text = \"a\" }, { text = \"b\", size = 7 }]",
        "stickers = [{ text = \"b\", size = 7 }, { text = \"a\" }]",
        "stickers = [{ text = \"b\" }, { text = \"c\" }, { text = \"a\", size = 1 }]",
        "stickers = []",
        "",
    ]);
    assert_eq!(workspace.object("example_box")["stickers"], json!(null));
    workspace.write(&a_box("stickers = [{ text = \"a\" }, { text = \"b\", size = 7 }]"));
    workspace.apply();
    let stickers = workspace.object("example_box")["stickers"].clone();
    assert_eq!(stickers, json!([{ "text": "a", "size": 3 }, { "text": "b", "size": 7 }]));
}

#[test]
fn unknowns_inside_nested_sets_become_known() {
    let later = r#"
resource "example_timer" "t" {
  seconds = 0
}
resource "example_box" "a" {
  name     = "a"
  stickers = [{ text = example_timer.t.state }, { text = "x", size = length(example_timer.t.state) }]
}
"#;
    let workspace = example(later);
    workspace.apply();
    assert!(workspace.plan_is_empty());
    let stickers = workspace.object("example_box")["stickers"].clone();
    assert_eq!(stickers, json!([{ "text": "done", "size": 3 }, { "text": "x", "size": 4 }]));
}

#[test]
fn a_write_only_value_can_be_set_changed_and_taken_away() {
    let workspace = applies(&["secret = \"one\"", "secret = \"two\"", ""]);
    assert!(!workspace.state().contains("\"one\"") && !workspace.state().contains("\"two\""));
    assert_eq!(workspace.object("example_box")["has_secret"], json!(false));
}

#[test]
fn state_of_an_earlier_version_is_upgraded_json_and_flat_map_alike() {
    let workspace = applies(&["weights = [1, 2.5]"]);
    let expected = workspace.object("example_box");
    workspace.edit_state(|state| {
        let instance = &mut state["resources"][0]["instances"][0];
        instance["schema_version"] = json!(0);
        instance["attributes"] = json!({ "id": "box-a", "title": "a", "weights": ["1", "2.5"] });
        state["serial"] = json!(100);
    });
    workspace.run(&["apply", "-refresh-only", "-auto-approve"]);
    assert_eq!(workspace.object("example_box"), expected);

    workspace.edit_state(|state| {
        let instance = &mut state["resources"][0]["instances"][0];
        instance["schema_version"] = json!(0);
        instance.as_object_mut().unwrap().remove("attributes");
        instance["attributes_flat"] = json!({
            "id": "box-a", "title": "a", "weights.#": "2", "weights.0": "1", "weights.1": "2.5",
        });
        state["serial"] = json!(200);
    });
    assert!(workspace.plan_is_empty());
    workspace.run(&["apply", "-refresh-only", "-auto-approve"]);
    assert_eq!(workspace.object("example_box"), expected);

    workspace.edit_state(|state| {
        state["resources"][0]["instances"][0]["schema_version"] = json!(9);
        state["serial"] = json!(300);
    });
    let refused = workspace.fails(&["plan"]);
    assert!(refused.contains("newer"), "{refused}");
}

#[test]
fn a_timeout_ends_an_operation_and_says_so() {
    let slow = "resource \"example_timer\" \"t\" {\n  seconds = 60\n  timeouts {\n    create = \"1s\"\n  }\n}\n";
    let workspace = example(slow);
    let failed = workspace.fails(&["apply", "-auto-approve"]);
    let failed = failed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(failed.contains("timeouts.create allows 1 s"), "{failed}");
    assert_eq!(workspace.object("example_timer")["state"], json!("waiting"), "and it is kept");
}

#[test]
fn a_module_speaks_to_the_provider_by_provider_meta() {
    let configuration = r#"
terraform {
  provider_meta "example" {
    module = "network/1.2"
  }
}
data "example_boxes" "all" {}
output "asked_by" {
  value = data.example_boxes.all.asked_by
}
"#;
    let applied = example(configuration).apply();
    assert!(applied.contains("asked_by = \"network/1.2\""), "{applied}");
}

#[test]
fn a_box_is_moved_to_another_type_without_being_touched() {
    let workspace = applies(&["colour = \"red\""]);
    workspace.write(
        "moved {\n  from = example_box.a\n  to = example_crate.b\n}\n\
         resource \"example_crate\" \"b\" {\n  label = \"a\"\n}\n",
    );
    let plan = workspace.run(&["plan"]);
    assert!(plan.contains("example_box.a has moved to example_crate.b"), "{plan}");
    assert!(workspace.apply().contains("0 added, 0 changed, 0 destroyed"));
    assert_eq!(workspace.object("example_crate"), json!({ "id": "box-a", "label": "a" }));
}

#[test]
fn eighty_megabytes_pass_create_update_and_read() {
    let text = |letter: &str| {
        format!(
            "colour = join(\"\", [for n in range(80) : join(\"\", [for m in range(1024) : format(\"%1024s\", \"{letter}\")])])"
        )
    };
    let workspace = example(&a_box(&text("a")));
    workspace.apply();
    // The update reads what is there first, and carries the value three times in one message.
    workspace.write(&a_box(&text("b")));
    workspace.apply();
    let stored = workspace.object("example_box")["colour"].as_str().unwrap().to_owned();
    assert_eq!(stored.len(), 80 * 1024 * 1024);
    assert!(stored.ends_with('b'));
}
