//! What only newer clients do: identities, queries, actions. Each test says whom it needs, and under another client sees
//! nothing; `cargo xtask clients` runs them.

use std::process::Command;

use serde_json::{Value, json};

use crate::workspace::{Workspace, example};

/// The client that runs the tests.
struct Client {
    is_tofu: bool,
    minor: u32,
}

impl Client {
    fn here() -> Self {
        let program = std::env::var_os("TFPLUGIN_CLIENT_BIN").unwrap_or_else(|| "terraform".into());
        let said = Command::new(program).arg("version").output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        let mut words = said.split_whitespace();
        let name = words.find(|word| ["OpenTofu", "Terraform"].contains(word)).unwrap();
        let minor = words.next().unwrap().split('.').nth(1).unwrap().parse().unwrap();
        Self { is_tofu: name == "OpenTofu", minor }
    }

    /// Whether it is a Terraform from this minor version on, or an OpenTofu from that one on; otherwise says so.
    fn is_from(&self, terraform: u32, tofu: Option<u32>) -> bool {
        let least = if self.is_tofu { tofu } else { Some(terraform) };
        let fits = least.is_some_and(|least| self.minor >= least);
        if !fits {
            let name = if self.is_tofu { "OpenTofu" } else { "Terraform" };
            println!("{name} 1.{} cannot do this: nothing was seen", self.minor);
        }
        fits
    }
}

fn a_box(more: &str) -> String {
    format!("resource \"example_box\" \"a\" {{\n  name = \"a\"\n{more}\n}}\n")
}

fn instance(workspace: &Workspace) -> Value {
    let state: Value = serde_json::from_str(&workspace.state()).unwrap();
    state["resources"][0]["instances"][0].clone()
}

#[test]
#[ignore = "needs Terraform 1.12 or OpenTofu 1.12: cargo xtask clients"]
fn an_identity_is_stored_lasts_and_is_filled_in_where_it_is_missing_or_old() {
    if !Client::here().is_from(12, Some(12)) {
        return;
    }
    let workspace = example(&a_box(""));
    workspace.apply();
    let made = instance(&workspace);
    assert_eq!(made["identity"], json!({ "id": "box-a" }), "{made}");
    assert_eq!(made["identity_schema_version"], 1);
    assert!(workspace.plan_is_empty());
    workspace.write(&a_box("  weights = [1]"));
    workspace.apply();
    assert_eq!(instance(&workspace)["identity"], json!({ "id": "box-a" }));
    let stored: [(Value, Value); 2] =
        [(Value::Null, Value::Null), (json!(0), json!({ "name": "a" }))];
    for (version, identity) in stored {
        workspace.edit_state(|state| {
            let instance = state["resources"][0]["instances"][0].as_object_mut().unwrap();
            for (name, value) in [("identity_schema_version", &version), ("identity", &identity)] {
                instance.remove(name);
                if !value.is_null() {
                    instance.insert(name.to_owned(), value.clone());
                }
            }
        });
        assert!(workspace.plan_is_empty(), "{version} {identity}");
        workspace.run(&["apply", "-auto-approve", "-refresh-only"]);
        assert_eq!(instance(&workspace)["identity"], json!({ "id": "box-a" }), "{version}");
    }
}

#[test]
#[ignore = "needs Terraform 1.12: cargo xtask clients"]
fn an_object_is_imported_by_its_identity() {
    if !Client::here().is_from(12, Some(12)) {
        return;
    }
    let workspace = example(&a_box(""));
    workspace.apply();
    workspace.run(&["state", "rm", "example_box.a"]);
    let import = "import {\n  to = example_box.a\n  identity = { id = \"box-a\" }\n}\n";
    workspace.write(&format!("{import}{}", a_box("")));
    let applied = workspace.apply();
    assert!(applied.contains("1 imported, 0 added, 0 changed, 0 destroyed"), "{applied}");
    assert!(workspace.plan_is_empty());
}

#[test]
#[ignore = "needs Terraform 1.12 or OpenTofu 1.12: cargo xtask clients"]
fn a_forced_replacement_gets_an_identity_of_its_own() {
    if !Client::here().is_from(12, Some(12)) {
        return;
    }
    let lasting = "  lifecycle {\n    ignore_changes = [weights]\n  }";
    let workspace = example(&a_box(&format!("  weights = [1]\n{lasting}")));
    workspace.apply();
    workspace.write(&a_box(&format!("  weights = [2]\n{lasting}")));
    let applied = workspace.run(&["apply", "-auto-approve", "-replace=example_box.a"]);
    assert!(applied.contains("1 added, 0 changed, 1 destroyed"), "{applied}");
    assert_eq!(instance(&workspace)["identity"], json!({ "id": "box-a" }));
    assert!(workspace.plan_is_empty());
}

#[test]
#[ignore = "needs Terraform 1.14: cargo xtask clients"]
fn a_query_lists_as_many_as_it_is_asked_for() {
    if !Client::here().is_from(14, None) {
        return;
    }
    let names = ["a", "b", "c", "d", "e"];
    let boxes = names
        .map(|name| format!("resource \"example_box\" \"{name}\" {{\n  name = \"{name}\"\n}}\n"));
    let workspace = example(&boxes.concat());
    workspace.apply();
    for (words, expected) in [
        ("", 5),
        ("  limit = 2\n", 2),
        ("  include_resource = true\n", 5),
        ("  config {\n    prefix = \"c\"\n  }\n", 1),
        ("  config {\n    prefix = \"x\"\n  }\n", 0),
    ] {
        let list = format!("list \"example_box\" \"all\" {{\n  provider = example\n{words}}}\n");
        std::fs::write(workspace.folder("all.tfquery.hcl"), list).unwrap();
        let found = workspace.run(&["query"]);
        assert_eq!(found.matches("id=box-").count(), expected, "{words}: {found}");
    }
}

#[test]
#[ignore = "needs Terraform 1.14: cargo xtask clients"]
fn an_action_runs_once_after_a_create_and_when_it_is_invoked() {
    if !Client::here().is_from(14, None) {
        return;
    }
    let bell = "action \"example_bell\" \"b\" {\n  config {\n    times = 2\n  }\n}\n";
    let trigger = "  lifecycle {\n    action_trigger {\n      events  = [after_create]\n      \
                   actions = [action.example_bell.b]\n    }\n  }";
    let workspace = example(&format!("{bell}{}", a_box(trigger)));
    let applied = workspace.apply();
    assert_eq!(applied.matches("2 of 2").count(), 1, "{applied}");
    assert!(workspace.plan_is_empty(), "it is over");
    let invoked = workspace.run(&["apply", "-auto-approve", "-invoke=action.example_bell.b"]);
    assert_eq!(invoked.matches("2 of 2").count(), 1, "{invoked}");
    workspace.write(&format!("{}{}", bell.replace("times = 2", "times = 13"), a_box(trigger)));
    let refused = workspace.fails(&["plan"]);
    assert!(refused.contains("13") && refused.contains("12"), "{refused}");
}

fn bell(name: &str, more: &str) -> String {
    format!("action \"example_bell\" \"{name}\" {{\n  config {{\n    times = 2\n{more}  }}\n}}\n")
}

/// A lifecycle with one trigger.
fn rings(event: &str, bell: &str, more: &str) -> String {
    format!(
        "  lifecycle {{\n    action_trigger {{\n      events  = [{event}]\n      \
         actions = [action.example_bell.{bell}]\n{more}    }}\n  }}\n"
    )
}

#[test]
#[ignore = "needs Terraform 1.16: cargo xtask clients"]
fn an_action_before_a_destroy_runs_while_the_object_is_there() {
    if !Client::here().is_from(16, None) {
        return;
    }
    let workspace = example(&(bell("b", "") + &a_box(&rings("before_destroy", "b", ""))));
    assert_eq!(workspace.apply().matches("2 of 2").count(), 0, "not at a create");
    let destroyed = workspace.run(&["destroy", "-auto-approve"]);
    assert_eq!(destroyed.matches("2 of 2").count(), 1, "{destroyed}");
    assert_eq!(std::fs::read_dir(workspace.folder("boxes")).unwrap().count(), 0);
}

/// What became of the box, and how often the bell rang, when the action after its create fails.
fn after_a_failing_action(on_failure: &str) -> (bool, Value, String) {
    let broken = bell("b", "    sound = \"cracked\"\n");
    let more = if on_failure.is_empty() {
        String::new()
    } else {
        format!("      on_failure = {on_failure}\n")
    };
    let workspace = example(&(broken + &a_box(&rings("after_create", "b", &more))));
    let told = workspace.try_run(&["apply", "-auto-approve"]);
    assert_eq!((told.matches("1 of 2").count(), told.matches("2 of 2").count()), (1, 0), "{told}");
    assert!(told.contains("The bell broke"), "{told}");
    let is_well = told.contains("Apply complete!");
    (is_well, instance(&workspace), told)
}

#[test]
#[ignore = "needs Terraform 1.14: cargo xtask clients"]
fn an_action_that_fails_is_told_and_the_object_is_kept() {
    let client = Client::here();
    if !client.is_from(14, None) {
        return;
    }
    let (is_well, made, told) = after_a_failing_action("");
    assert!(!is_well && made["attributes"]["id"] == "box-a" && made["status"].is_null(), "{told}");
    if !client.is_from(16, None) {
        return;
    }
    let (is_well, made, told) = after_a_failing_action("continue");
    assert!(is_well && made["status"].is_null(), "{told}");
    let (is_well, made, told) = after_a_failing_action("taint");
    assert!(!is_well && made["status"] == "tainted", "{told} {made}");
}

#[test]
#[ignore = "needs Terraform 1.14: cargo xtask clients"]
fn after_a_create_that_failed_no_action_and_no_provisioner_breaks_anything() {
    if !Client::here().is_from(14, None) {
        return;
    }
    let runs = |ring: &str| {
        format!("{ring}  provisioner \"local-exec\" {{\n    command = \"echo provisioned\"\n  }}\n")
    };
    let trigger = runs(&rings("after_create", "b", ""));
    // Nothing is made: a name that is no file's. Something is made and not finished: a timer that is too slow.
    let nothing =
        format!("resource \"example_box\" \"a\" {{\n  name = \"no/where\"\n{trigger}}}\n");
    let half = format!(
        "resource \"example_timer\" \"t\" {{\n  seconds = 20\n{trigger}  timeouts {{\n    create = \"1s\"\n  }}\n}}\n"
    );
    for (configuration, is_kept) in [(nothing, false), (half, true)] {
        let workspace = example(&(bell("b", "") + &configuration));
        let told = workspace.fails(&["apply", "-auto-approve"]);
        assert!(told.contains("cannot be stored") || told.contains("Too slow"), "{told}");
        assert!(!told.contains("panic") && !told.contains("Bug in the provider"), "{told}");
        println!(
            "rang: {}, provisioned: {}",
            told.contains("2 of 2"),
            told.contains("provisioned")
        );
        let state: Value = serde_json::from_str(&workspace.state()).unwrap();
        let kept = &state["resources"][0]["instances"][0];
        assert_eq!(kept["status"] == "tainted", is_kept, "{state}");
    }
}

#[test]
fn blocks_that_a_read_does_not_show_are_no_difference() {
    let workspace = example("resource \"example_trunk\" \"t\" {\n  name = \"a\"\n}\n");
    workspace.apply();
    assert!(workspace.plan_is_empty());
    let shown = workspace.run(&["plan", "-refresh-only", "-detailed-exitcode"]);
    assert!(shown.contains("No changes"), "{shown}");
}

#[test]
#[ignore = "needs a client beside terraform: cargo xtask clients"]
fn a_state_of_terraform_plans_empty_under_another_client() {
    let configuration = a_box("  weights = [1, 2]\n  tags = [\"x\"]\n  content = { a = 1 }");
    let workspace = example(&configuration);
    let made = workspace.by("terraform").run(&["apply", "-auto-approve"]);
    assert!(made.contains("1 added"), "{made}");
    assert!(workspace.plan_is_empty(), "this client reads what terraform wrote");
    workspace.write(&configuration.replace("[1, 2]", "[3]"));
    workspace.apply();
    assert!(workspace.plan_is_empty());
}

#[test]
#[ignore = "needs a client without write-only values, such as OpenTofu 1.10: cargo xtask clients"]
fn a_client_that_keeps_no_secret_is_told_before_anything_is_made() {
    let client = Client::here();
    if !(client.is_tofu && client.minor < 11) {
        println!("this client knows write-only values: nothing was seen");
        return;
    }
    let workspace = example(&a_box("  secret = \"hunter2\""));
    let refused = workspace.fails(&["apply", "-auto-approve"]);
    assert!(refused.contains("write-only") || refused.contains("Write-only"), "{refused}");
    assert_eq!(std::fs::read_dir(workspace.folder("boxes")).unwrap().count(), 0);
}
