//! The bill of materials of an archive, as `CycloneDX` 1.5 in JSON.
//!
//! Ours, and not that of cargo-cyclonedx: that one names components by folders of the machine, and lists what only
//! compiles. There is no serial number, and the time is that of the commit: the same commit gives the same bytes.

use std::path::Path;

use hcs_acceptance::packages::sha256;
use serde_json::{Value, json};

use super::linked::{Crate, Id, Linked};
use super::runtime::Part;
use crate::shell::Failure;

/// What an archive consists of.
pub(super) struct Materials {
    /// Packages of its programs.
    pub(super) programs: Vec<&'static str>,
    /// Crates in them, the packages among these.
    pub(super) linked: Linked,
    /// What came with the compilers.
    pub(super) parts: Vec<Part>,
}

/// The document, for an archive that is written. `time` is RFC 3339.
pub(super) fn bill(archive: &Path, of: &Materials, time: &str) -> Result<String, Failure> {
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    let version = env!("CARGO_PKG_VERSION");
    let roots: Vec<String> = of
        .linked
        .crates()
        .filter(|((name, _), _)| of.programs.contains(&name.as_str()))
        .map(|(id, found)| purl(id, found))
        .collect();
    let mut components: Vec<Value> =
        of.linked.crates().map(|(id, found)| component(id, found, &of.programs)).collect();
    components.extend(of.parts.iter().map(part));
    let mut dependencies = vec![json!({ "ref": name, "dependsOn": roots })];
    for (id, found) in of.linked.crates() {
        let needs = of.linked.crates().filter(|(other, _)| found.needs.contains(*other));
        let needs: Vec<String> = needs.map(|(id, found)| purl(id, found)).collect();
        dependencies.push(json!({ "ref": purl(id, found), "dependsOn": needs }));
    }
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time,
            "lifecycles": [{ "phase": "build" }],
            "component": {
                "type": "application",
                "bom-ref": name,
                "name": name,
                "version": version,
                "licenses": [{ "expression": env!("CARGO_PKG_LICENSE") }],
                "hashes": hashes(&sha256(archive)?),
                "externalReferences": [{ "type": "vcs", "url": env!("CARGO_PKG_REPOSITORY") }],
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    Ok(format!("{bill:#}\n"))
}

fn component(id: &Id, found: &Crate, programs: &[&str]) -> Value {
    let (name, version) = id;
    let kind = if programs.contains(&name.as_str()) { "application" } else { "library" };
    let purl = purl(id, found);
    let mut component = json!({
        "type": kind,
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "licenses": [{ "expression": found.licence }],
    });
    if let Some(sum) = &found.sha256 {
        component["hashes"] = hashes(sum);
    }
    component
}

fn part(part: &Part) -> Value {
    json!({
        "type": "library",
        "bom-ref": part.purl,
        "name": part.name,
        "version": part.version,
        "purl": part.purl,
        "licenses": [{ "expression": part.licence }],
    })
}

fn hashes(sha256: &str) -> Value {
    json!([{ "alg": "SHA-256", "content": sha256 }])
}

/// Where it comes from: crates.io, or for our own the repository.
fn purl((name, version): &Id, found: &Crate) -> String {
    let purl = format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"));
    match found.sha256 {
        Some(_) => purl,
        None => format!("{purl}?vcs_url=git%2B{}", env!("CARGO_PKG_REPOSITORY")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::super::compile::{MANAGER, SERVERS};
    use super::super::place::Place;
    use super::*;

    #[test]
    fn a_bill_names_each_crate_once_with_its_sum_and_only_what_it_lists() {
        let place = Place::here().unwrap();
        let linked = Linked::of(&place, SERVERS, &[MANAGER]).unwrap();
        let archive = place.target.join("tmp/bill-of-materials.zip");
        fs::create_dir_all(archive.parent().unwrap()).unwrap();
        fs::write(&archive, "").unwrap();
        let materials = Materials { programs: vec![MANAGER], linked, parts: Vec::new() };
        let text = bill(&archive, &materials, "2026-01-02T03:04:05Z").unwrap();
        assert_eq!(text, bill(&archive, &materials, "2026-01-02T03:04:05Z").unwrap());
        assert!(!text.contains(&place.tree.display().to_string()), "a folder of this machine");
        let bill: Value = serde_json::from_str(&text).unwrap();
        let listed: Vec<&str> = bill["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|component| component["bom-ref"].as_str().unwrap())
            .collect();
        let once: BTreeSet<&str> = listed.iter().copied().collect();
        assert_eq!((once.len(), listed.len()), (materials.linked.crates().count(), listed.len()));
        for edge in bill["dependencies"].as_array().unwrap() {
            for needed in edge["dependsOn"].as_array().unwrap() {
                assert!(once.contains(needed.as_str().unwrap()), "{needed}");
            }
        }
        assert!(bill["dependencies"][0]["dependsOn"][0].as_str().unwrap().contains(MANAGER));
        let tokio =
            bill["components"].as_array().unwrap().iter().find(|c| c["name"] == "tokio").unwrap();
        assert_eq!(tokio["licenses"][0]["expression"], "MIT");
        assert_eq!(tokio["hashes"][0]["content"].as_str().unwrap().len(), 64);
        let _ = fs::remove_file(archive);
    }
}
