//! The provider on one page: everything that a schema and a struct give without further code.

use serde_json::json;

use crate::workspace::of;

const NOTE: &str = r#"
resource "notes_note" "a" {
  title = "shopping"
  text  = "milk and bread"
  tags  = ["home", "food"]
}
"#;

#[test]
fn a_note_lives_from_create_to_destroy() {
    let workspace = of("notes", NOTE);
    let plan = workspace.run(&["plan"]);
    assert!(plan.contains("+ mood  = \"calm\""), "a default is planned: {plan}");
    assert!(plan.contains("+ words = (known after apply)"), "{plan}");
    workspace.apply();
    assert!(workspace.plan_is_empty());
    let expected = json!({
        "id": "shopping", "title": "shopping", "text": "milk and bread", "mood": "calm",
        "tags": ["food", "home"], "words": 3, "timeouts": null,
    });
    assert_eq!(workspace.object("notes_note"), expected);

    workspace.write(&NOTE.replace("milk and bread", "milk"));
    let plan = workspace.run(&["plan"]);
    assert!(plan.contains("~ words = 3 -> (known after apply)"), "{plan}");
    assert!(plan.contains("        id    = \"shopping\""), "the id keeps its value: {plan}");
    assert!(workspace.apply().contains("0 added, 1 changed, 0 destroyed"));

    workspace.write(&NOTE.replace("shopping", "list"));
    assert!(workspace.run(&["plan"]).contains("# forces replacement"));
    assert!(workspace.apply().contains("1 added, 0 changed, 1 destroyed"));

    // Somebody changes and then removes the file behind Terraform's back.
    std::fs::write(workspace.folder("boxes/list.note"), "something else").unwrap();
    let plan = workspace.run(&["plan"]);
    assert!(plan.contains("~ text  = \"something else\" -> \"milk and bread\""), "{plan}");
    std::fs::remove_file(workspace.folder("boxes/list.note")).unwrap();
    assert!(workspace.apply().contains("1 added"));
    workspace.run(&["destroy", "-auto-approve"]);
    assert!(!workspace.folder("boxes/list.note").exists());
}

#[test]
fn a_bad_configuration_is_refused_with_place_reason_and_value() {
    let title = "x".repeat(41);
    let cases = [
        (NOTE.replace("shopping", &title), "`title` must be 1 to 40 characters long. It is"),
        (
            NOTE.replace("tags ", "mood = \"sad\"\n  tags "),
            "`mood` must be \"calm\" or \"cheerful\". It is \"sad\".",
        ),
        (
            NOTE.replace("tags ", "timeouts {\n create = \"soon\"\n }\n tags "),
            "timeouts.create is \"soon\"",
        ),
        (
            NOTE.replace("tags ", "words = 3\n tags "),
            "`words` is decided by the provider. Remove it.",
        ),
    ];
    for (configuration, told) in cases {
        let refused = of("notes", &configuration).fails(&["validate"]);
        let refused = refused.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(refused.contains(told), "{told}: {refused}");
    }
}

#[test]
fn a_note_that_exists_is_not_overwritten_and_can_be_imported_with_its_configuration() {
    let workspace = of("notes", NOTE);
    std::fs::write(workspace.folder("boxes/shopping.note"), "milk and bread").unwrap();
    let refused = workspace.fails(&["apply", "-auto-approve"]);
    assert!(refused.contains("Import it: its id is its title"), "{refused}");
    assert!(!workspace.folder("terraform.tfstate").exists() || !workspace.state().contains("milk"));

    // Where there is no block yet, the import says whose it is; beside a block it must not.
    let import =
        |more: &str| format!("import {{\n  to = notes_note.a\n  id = \"shopping\"\n{more}}}\n");
    workspace.write(&import("  provider = notes\n"));
    workspace.run(&["plan", "-generate-config-out=generated.tf"]);
    let generated = std::fs::read_to_string(workspace.folder("generated.tf")).unwrap();
    assert!(
        generated.contains("\"milk and bread\"") && !generated.contains("words"),
        "{generated}"
    );
    workspace.write(&import(""));
    assert!(workspace.apply().contains("1 imported, 0 added, 0 changed, 0 destroyed"));
    assert!(workspace.plan_is_empty());
}

#[test]
fn what_another_resource_makes_may_be_unknown_in_every_attribute() {
    let chain = r#"
resource "notes_note" "first" {
  title = "first"
  text  = "two words"
}
resource "notes_note" "a" {
  title = "about ${notes_note.first.words}"
  text  = notes_note.first.mood
  mood  = notes_note.first.words > 1 ? "cheerful" : "calm"
  tags  = [for n in range(notes_note.first.words) : "t${n}"]
}
"#;
    let workspace = of("notes", chain);
    workspace.apply();
    assert!(workspace.plan_is_empty());
    assert!(workspace.state().contains("\"title\": \"about 2\""));
}
