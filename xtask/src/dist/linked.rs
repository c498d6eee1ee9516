//! Crates that are linked into the programs of a release.
//!
//! Source: `cargo tree` for the very packages, target and features that are built. It leaves out what only compiles
//! (macros, build scripts), which `cargo metadata` and tools that read it do not tell apart. Sums are those of Cargo.lock;
//! where the sources lie is what `cargo metadata` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use hcs_acceptance::tools::run;
use serde_json::Value;

use super::place::Place;
use crate::shell::Failure;

/// Name and version.
pub(super) type Id = (String, String);

/// A crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Crate {
    /// SPDX expression, as its makers state it.
    pub(super) licence: String,
    /// SHA-256 of its archive; none for our own.
    pub(super) sha256: Option<String>,
    /// What it links.
    pub(super) needs: BTreeSet<Id>,
    pub(super) source: Source,
}

/// Where a crate comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    /// With its manifest in it.
    pub(super) folder: PathBuf,
    /// As the manifest has them; empty where it has none.
    pub(super) authors: String,
}

/// Crates by name and version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Linked(BTreeMap<Id, Crate>);

impl Linked {
    /// What programs of these packages link when they are built together for a target.
    pub(super) fn of(place: &Place, triple: &str, packages: &[&str]) -> Result<Self, Failure> {
        let mut cargo = place.cargo();
        cargo.args(["tree", "--locked", "--target", triple, "--edges", "normal,no-proc-macro"]);
        cargo.args(["--prefix", "depth", "--format", "{p}\t{l}", "--charset", "ascii"]);
        for package in packages {
            cargo.args(["--package", package]);
        }
        let sums = sums(&fs::read_to_string(place.tree.join("Cargo.lock"))?);
        let mut linked = Self::read(&run(&mut cargo)?, &sums)?;
        let mut metadata = place.cargo();
        metadata.args(["metadata", "--locked", "--format-version", "1"]);
        let told = run(metadata.args(["--filter-platform", triple]))?;
        for package in
            serde_json::from_str::<Value>(&told)?["packages"].as_array().into_iter().flatten()
        {
            let Some((id, source)) = source(package) else { continue };
            if let Some(found) = linked.0.get_mut(&id) {
                found.source = source;
            }
        }
        Ok(linked)
    }

    /// Reads `1serde v1.0.0\tMIT OR Apache-2.0`, with the depth in front; what was shown before ends in ` (*)`.
    fn read(tree: &str, sums: &BTreeMap<Id, String>) -> Result<Self, Failure> {
        let mut linked = Self::default();
        let mut path: Vec<Id> = Vec::new();
        for line in tree.lines().filter(|line| !line.is_empty()) {
            let (depth, id, licence) =
                row(line).ok_or_else(|| format!("cargo tree says {line:?}"))?;
            if licence.is_empty() {
                return Err(format!("{} {} states no licence", id.0, id.1).into());
            }
            path.truncate(depth);
            if let Some(above) = path.last().and_then(|above| linked.0.get_mut(above)) {
                above.needs.insert(id.clone());
            }
            path.push(id.clone());
            let sha256 = sums.get(&id).cloned();
            let (needs, source) = (BTreeSet::new(), Source::default());
            linked.0.entry(id).or_insert(Crate { licence, sha256, needs, source });
        }
        Ok(linked)
    }

    /// The part of it that one package links, with the package.
    pub(super) fn part(&self, package: &str) -> Self {
        let mut part = Self::default();
        let mut next: Vec<&Id> = self.0.keys().filter(|(name, _)| name == package).collect();
        while let Some(id) = next.pop() {
            if let Some(found) = self.0.get(id).filter(|_| !part.0.contains_key(id)) {
                part.0.insert(id.clone(), found.clone());
                next.extend(&found.needs);
            }
        }
        part
    }

    /// Both together.
    pub(super) fn and(mut self, other: &Self) -> Self {
        for (id, of_other) in &other.0 {
            let known = self.0.entry(id.clone()).or_insert_with(|| of_other.clone());
            known.needs.extend(of_other.needs.iter().cloned());
        }
        self
    }

    /// All of them, by name.
    pub(super) fn crates(&self) -> impl Iterator<Item = (&Id, &Crate)> {
        self.0.iter()
    }
}

/// Of a package, as `cargo metadata` tells of it.
fn source(package: &Value) -> Option<(Id, Source)> {
    let text = |name: &str| package[name].as_str().map(ToOwned::to_owned);
    let folder = Path::new(package["manifest_path"].as_str()?).parent()?.to_owned();
    let authors: Vec<&str> =
        package["authors"].as_array()?.iter().filter_map(Value::as_str).collect();
    Some(((text("name")?, text("version")?), Source { folder, authors: authors.join(", ") }))
}

fn row(line: &str) -> Option<(usize, Id, String)> {
    let letters = line.find(|c: char| !c.is_ascii_digit())?;
    let (depth, rest) = line.split_at(letters);
    let (package, licence) = rest.split_once('\t')?;
    let mut words = package.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    let licence = licence.trim_end_matches("(*)").trim();
    // As licences were written before SPDX expressions.
    let licence: Vec<&str> = licence.split('/').map(str::trim).collect();
    Some((depth.parse().ok()?, (name.to_owned(), version.to_owned()), licence.join(" OR ")))
}

/// Sums of archives, by the lines that cargo writes into its lock file.
fn sums(lock: &str) -> BTreeMap<Id, String> {
    let mut sums = BTreeMap::new();
    for package in lock.split("[[package]]") {
        let value = |name: &str| {
            let rest = package.lines().find_map(|line| line.strip_prefix(name))?;
            Some(rest.strip_prefix(" = \"")?.trim_end_matches('"').to_owned())
        };
        if let (Some(name), Some(version), Some(sum)) =
            (value("name"), value("version"), value("checksum"))
        {
            sums.insert((name, version), sum);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::super::compile::{CLI, MANAGER, PROVIDER, SERVERS};
    use super::*;

    fn id(name: &str) -> Id {
        (name.to_owned(), "1.0.0".to_owned())
    }

    #[test]
    fn a_tree_is_read_with_what_it_shows_once_only() {
        let tree = "0ours v1.0.0 (/a b/ours)\tApache-2.0\n1a v1.0.0\tMIT/Apache-2.0\n2b v1.0.0\tMIT\n1b v1.0.0\tMIT\n\
                    \n0cli v1.0.0 (/a b/cli)\tApache-2.0\n1a v1.0.0\tMIT/Apache-2.0 (*)\n";
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"0a\"\n\n\
                    [[package]]\nname = \"ours\"\nversion = \"1.0.0\"\n";
        let linked = Linked::read(tree, &sums(lock)).unwrap();
        assert_eq!(linked.0.keys().cloned().collect::<Vec<_>>(), ["a", "b", "cli", "ours"].map(id));
        let a = &linked.0[&id("a")];
        assert_eq!((a.licence.as_str(), a.sha256.as_deref()), ("MIT OR Apache-2.0", Some("0a")));
        assert_eq!(linked.0[&id("ours")].sha256, None);
        let cli = linked.part("cli");
        assert_eq!(cli.0.keys().cloned().collect::<Vec<_>>(), ["a", "b", "cli"].map(id));
        assert_eq!(cli.and(&linked.part("ours")), linked);
        assert!(Linked::read("0x v1.0.0\t", &BTreeMap::new()).is_err(), "no licence");
    }

    #[test]
    fn what_is_not_ours_has_a_sum_and_what_only_compiles_is_not_linked() {
        let place = Place::here().unwrap();
        for (triple, packages) in
            [("x86_64-unknown-linux-gnu", &[PROVIDER, CLI][..]), (SERVERS, &[MANAGER])]
        {
            let linked = Linked::of(&place, triple, packages).unwrap();
            let ours = ["hcs-", "tfplugin", PROVIDER];
            for ((name, version), found) in linked.crates() {
                let is_ours = ours.iter().any(|start| name.starts_with(start));
                assert_eq!(found.sha256.is_none(), is_ours, "{name} {version}");
                assert!(found.source.folder.join("Cargo.toml").is_file(), "{name} {version}");
            }
            let names: BTreeSet<&str> = linked.0.keys().map(|(name, _)| name.as_str()).collect();
            assert!(names.contains("aws-lc-sys") && !names.contains("syn"), "{names:?}");
            assert!(!names.contains("windows-sys"), "{names:?}");
        }
    }
}
