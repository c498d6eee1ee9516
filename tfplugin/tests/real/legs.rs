//! What Terraform gives each half of a replacement: read from a provider that writes it down.

use crate::workspace::{Workspace, example};

/// What was written down by one run of Terraform, without repetitions: core plans again and again.
fn told(workspace: &Workspace, arguments: &[&str]) -> Vec<String> {
    let path = workspace.folder("boxes/legs");
    let _ = std::fs::remove_file(&path);
    let output = workspace.try_run(arguments);
    let mut lines: Vec<String> = std::fs::read_to_string(&path)
        .unwrap_or_else(|_| panic!("{output}"))
        .lines()
        .map(str::to_owned)
        .collect();
    lines.dedup();
    lines
}

fn leg(label: &str, name: &str, more: &str) -> String {
    format!("resource \"example_leg\" \"{label}\" {{\n  name = \"{name}\"\n{more}\n}}\n")
}

const APPLY: [&str; 2] = ["apply", "-auto-approve"];
const CREATE_FIRST: &str = "  lifecycle {\n    create_before_destroy = true\n  }";

#[test]
fn a_plain_destroy_is_given_the_bytes_of_its_own_plan() {
    let workspace = example(&leg("x", "a", ""));
    workspace.apply();
    let expected = [r#"plan a1 -> a1 given "kept""#, r#"plan a1 -> - given "kept""#];
    let applied = r#"apply a1 -> - given "planned destroy""#;
    let destroyed = told(&workspace, &["destroy", "-auto-approve"]);
    assert_eq!(destroyed, [expected[0], expected[1], applied]);

    // A block that is taken out, and one that is renamed without `moved`.
    workspace.apply();
    workspace.write(&leg("y", "a", ""));
    let mut orphaned = told(&workspace, &APPLY);
    orphaned.sort();
    orphaned.dedup();
    let created = [r#"apply - -> a? given "planned create""#, r#"plan - -> a? given """#];
    assert_eq!(orphaned, [created[0], applied, created[1], expected[1]]);
}

#[test]
fn the_destroy_of_a_replacement_is_given_the_bytes_of_the_creates_plan() {
    let tainted = leg("x", "a", "  fails = true");
    let workspace = example(&tainted);
    workspace.fails(&APPLY);
    workspace.write(&leg("x", "a", ""));
    let create = [
        r#"plan - -> a? given """#,
        r#"apply a1 -> - given "planned create""#,
        r#"plan - -> a? given """#,
        r#"apply - -> a? given "planned create""#,
    ];
    assert_eq!(told(&workspace, &APPLY), create, "what failed is replaced");

    let replaced = [
        r#"plan a1 -> a1 given "kept""#,
        r#"plan - -> a? given "planned update""#,
        r#"apply a1 -> - given "planned create""#,
        r#"plan - -> a? given """#,
        r#"apply - -> a? given "planned create""#,
    ];
    assert_eq!(told(&workspace, &["apply", "-auto-approve", "-replace=example_leg.x"]), replaced);

    workspace.write(&leg("x", "b", ""));
    let by_attribute = told(&workspace, &APPLY);
    assert_eq!(
        by_attribute,
        replaced.map(|line| line.replace("-> a1", "-> b1").replace("a?", "b?"))
    );
}

#[test]
fn the_destroy_after_a_create_is_planned_within_the_apply_as_a_plain_one() {
    let workspace = example(&leg("x", "a", CREATE_FIRST));
    workspace.apply();
    let deposed = told(&workspace, &["apply", "-auto-approve", "-replace=example_leg.x"]);
    let expected = [
        r#"plan a1 -> a1 given "kept""#,
        r#"plan - -> a? given "planned update""#,
        r#"plan - -> a? given """#,
        r#"apply - -> a? given "planned create""#,
        r#"plan a1 -> - given "kept""#,
        r#"apply a1 -> - given "planned destroy""#,
    ];
    assert_eq!(deposed, expected);
}
