//! Guards the arrows between the rooms (ARCHITECTURE.md) and the words that the repository must not hold.

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::process::Command;

    use hcs_acceptance::bins::repository;
    use serde_json::Value;

    /// Who may depend on whom, among our own packages.
    const ARROWS: [(&str, &[&str]); 15] = [
        ("tfplugin-proto", &[]),
        ("tfplugin", &["tfplugin-derive", "tfplugin-proto"]),
        ("tfplugin-derive", &[]),
        ("hcs-planner", &[]),
        ("hcs-engine", &["hcs-planner"]),
        ("hcs-azure", &["hcs-engine", "hcs-planner"]),
        ("hcs-simulator", &["hcs-engine", "hcs-planner"]),
        // Nothing, ever: what says whether the product is right must not share its opinions.
        ("hcs-judge", &[]),
        ("terraform-provider-hcs", &["tfplugin", "hcs-planner", "hcs-engine", "hcs-azure"]),
        ("hcs-host-manager", &["hcs-planner", "hcs-engine", "hcs-azure"]),
        ("hcs-cli", &["hcs-planner", "hcs-engine", "hcs-azure"]),
        ("hcs-release-maker", &[]),
        ("hcs-acceptance", &["hcs-judge", "hcs-release-maker"]),
        ("hcs-exploration", &["hcs-engine", "hcs-judge", "hcs-planner", "hcs-simulator"]),
        ("xtask", &["hcs-acceptance"]),
    ];

    /// The pure room depends on small value crates only.
    const PURE: [&str; 15] = [
        "base64",
        "croner",
        "ipnet",
        "jiff",
        "percent-encoding",
        "petgraph",
        "semver",
        "serde",
        "serde_json",
        "sha1",
        "sha2",
        "similar",
        "ssh-key",
        "thiserror",
        "uuid",
    ];

    /// What generated code uses, which no source of ours names.
    const GENERATED: [(&str, &str); 3] = [
        ("tfplugin-proto", "prost"),
        ("tfplugin-proto", "prost-types"),
        ("tfplugin-proto", "tonic-prost"),
    ];

    /// What cargo knows of our packages.
    fn packages() -> Vec<Value> {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(repository())
            .output()
            .expect("cargo runs");
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        metadata["packages"].as_array().expect("packages").clone()
    }

    fn text(value: &Value) -> String {
        value.as_str().expect("text").to_owned()
    }

    /// Normal dependencies by package.
    fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
        packages()
            .iter()
            .map(|package| {
                let all = package["dependencies"].as_array().expect("dependencies");
                let normal = all.iter().filter(|dependency| dependency["kind"].is_null());
                (text(&package["name"]), normal.map(|d| text(&d["name"])).collect())
            })
            .collect()
    }

    #[test]
    fn the_house_has_no_other_arrows() {
        let dependencies = dependencies();
        let rooms: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
        for (package, needs) in &dependencies {
            let allowed = rooms.get(package.as_str()).unwrap_or_else(|| {
                panic!("{package} is a new room: give it a place in ARCHITECTURE.md and here")
            });
            for need in needs.iter().filter(|need| rooms.contains_key(need.as_str())) {
                assert!(allowed.contains(&need.as_str()), "{package} must not see {need}");
            }
        }
    }

    #[test]
    fn the_planner_stays_pure() {
        let dependencies = dependencies();
        for need in &dependencies["hcs-planner"] {
            assert!(PURE.contains(&need.as_str()), "{need} in the planner: no I/O, no clock there");
        }
    }

    /// Files that git tracks, as text.
    fn tracked() -> Vec<(String, String)> {
        let output = Command::new("git")
            .args(["ls-files", "-z"])
            .current_dir(repository())
            .output()
            .expect("git runs");
        let names = String::from_utf8(output.stdout).expect("UTF-8");
        names
            .split('\0')
            .filter(|name| !name.is_empty() && !name.ends_with(".lock"))
            .filter_map(|name| {
                Some((name.to_owned(), fs::read_to_string(repository().join(name)).ok()?))
            })
            .collect()
    }

    #[test]
    fn every_dependency_is_used() {
        let files = tracked();
        let root = repository();
        let mut wanted = BTreeSet::new();
        for package in packages() {
            let name = text(&package["name"]);
            let folder = text(&package["manifest_path"]).replace("Cargo.toml", "");
            let folder = folder.trim_start_matches(&format!("{}/", root.display())).to_owned();
            let sources: Vec<&str> = files
                .iter()
                .filter(|(path, _)| path.starts_with(&folder) && path.ends_with(".rs"))
                .map(|(_, text)| text.as_str())
                .collect();
            for dependency in package["dependencies"].as_array().expect("dependencies") {
                let needed = text(&dependency["name"]);
                let word = needed.replace('-', "_");
                let is_named = sources.iter().any(|text| {
                    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
                });
                let is_generated = GENERATED.contains(&(name.as_str(), needed.as_str()));
                assert!(is_named || is_generated, "{name} depends on {needed} and never names it");
                wanted.insert(needed);
            }
        }
        let manifest = &files.iter().find(|(name, _)| name == "Cargo.toml").expect("it").1;
        let shared = manifest.split("[workspace.dependencies]").nth(1).expect("dependencies");
        let shared = shared.split("\n[").next().unwrap_or_default();
        for line in shared.lines() {
            let Some((name, _)) = line.split_once(" = ") else { continue };
            assert!(wanted.contains(name), "Cargo.toml shares {name}, which no package uses");
        }
    }

    #[test]
    fn every_invariant_names_a_test_that_exists() {
        let files = tracked();
        let map = &files.iter().find(|(name, _)| name == "ARCHITECTURE.md").expect("the map").1;
        let invariants = map.split("## Invariants").nth(1).expect("invariants");
        let mut named = 0;
        for word in invariants.split('`').filter(|word| word.contains('_') || word.contains(".rs"))
        {
            let name = word.rsplit([' ', ':']).next().unwrap_or(word);
            let exists = files.iter().any(|(path, text)| {
                path.ends_with(name)
                    || (path.ends_with(".rs") && text.contains(&format!("fn {name}")))
            });
            assert!(exists, "ARCHITECTURE.md names {name}, which is no test");
            named += 1;
        }
        assert!(named >= 16);
    }

    /// The last column of each table of the guide.
    #[test]
    fn every_promise_of_the_guide_on_upkeep_names_a_test_that_exists() {
        let files = tracked();
        let guide = &files.iter().find(|(name, _)| name == "docs/guides/upkeep.md").expect("it").1;
        let rows =
            guide.lines().filter(|line| line.starts_with("| ") && !line.contains("| test |"));
        let mut promises = 0;
        for row in rows {
            let column = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
            let names: Vec<&str> = column.split('`').skip(1).step_by(2).collect();
            assert!(!names.is_empty(), "no test is named: {row}");
            for name in names {
                let is_there = |(path, text): &(String, String)| {
                    path.ends_with(".rs") && text.contains(&format!("fn {name}("))
                };
                assert!(files.iter().any(is_there), "upkeep.md names {name}, which is no test");
            }
            promises += 1;
        }
        assert!(promises >= 16, "{promises}");
    }

    /// Each quoted line of the page is in one line of the product's sources.
    #[test]
    fn every_message_of_the_guide_on_troubleshooting_exists() {
        let files = tracked();
        let guide = files.iter().find(|(name, _)| name == "docs/guides/troubleshooting.md");
        let quoted: Vec<&str> =
            guide.expect("it").1.lines().filter_map(|line| line.strip_prefix("> ")).collect();
        let sources: Vec<&String> = files
            .iter()
            .filter(|(name, _)| name.ends_with(".rs") && name.contains("/src/"))
            .map(|(_, text)| text)
            .collect();
        let gone: Vec<&&str> = quoted
            .iter()
            .filter(|message| !sources.iter().any(|text| text.contains(**message)))
            .collect();
        assert!(
            gone.is_empty() && quoted.len() >= 100,
            "{} messages; gone: {gone:?}",
            quoted.len()
        );
    }

    #[test]
    fn files_are_one_idea_long() {
        let long: Vec<String> = tracked()
            .into_iter()
            .filter(|(name, _)| name.ends_with(".rs"))
            .filter(|(_, text)| text.lines().count() > 600)
            .map(|(name, text)| format!("{name}: {} lines", text.lines().count()))
            .collect();
        assert!(long.is_empty(), "too long for one idea: {long:?}");
    }
}
