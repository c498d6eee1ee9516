//! The licences of what is linked, in the words that its makers ship.
//!
//! Every file of licences, notices and copyrights in a crate's sources counts, whichever of them one may choose: C code
//! within has one of its own. Not the choice of cargo-about, which keeps one text a crate and takes minutes to compare it
//! with all that it knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::bom::Materials;
use super::linked::{Crate, Id};
use crate::shell::Failure;

/// Its name in archives.
pub(super) const FILE: &str = "LICENSES-THIRD-PARTY.txt";
/// How the files begin that are read.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
/// For crates that ship no text; the first that a crate offers.
const STANDARD: [(&str, &str); 3] = [
    ("Apache-2.0", include_str!("../../../LICENSE")),
    ("MIT", include_str!("licences/MIT.txt")),
    ("BSD-3-Clause", include_str!("licences/BSD-3-Clause.txt")),
];
const LINE: &str =
    "--------------------------------------------------------------------------------";

/// All of them, each text once. Fails for a crate without any.
pub(super) fn text(of: &Materials) -> Result<String, Failure> {
    let mut list = String::from(
        "The programs in this archive contain work of others. What it is, and which licences its makers offer:\n\n",
    );
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (id, found) in of.linked.crates().filter(|(_, found)| found.sha256.is_some()) {
        let name = format!("{} {}", id.0, id.1);
        let _ = writeln!(list, "{name}: {}", found.licence);
        for text in texts_of(id, found)? {
            texts.entry(text).or_default().insert(name.clone());
        }
    }
    for part in &of.parts {
        let name = format!("{} ({})", part.name, part.version);
        let _ = writeln!(list, "{name}: {}", part.licence);
        texts.entry(tidy(&fs::read(&part.text)?)).or_default().insert(name);
    }
    let mut texts: Vec<(String, BTreeSet<String>)> = texts.into_iter().collect();
    texts.sort_by(|(a, of_a), (b, of_b)| (of_a, a).cmp(&(of_b, b)));
    for (text, names) in texts {
        let names: Vec<String> = names.into_iter().collect();
        let _ = write!(list, "\n{LINE}\n{}\n{LINE}\n\n{text}", names.join("\n"));
    }
    Ok(list)
}

/// What a crate ships; the standard's words with its authors where it ships nothing.
fn texts_of((name, version): &Id, found: &Crate) -> Result<Vec<String>, Failure> {
    let mut texts = Vec::new();
    gather(&found.source.folder, &mut texts)?;
    if !texts.is_empty() {
        return Ok(texts);
    }
    let offered: Vec<&str> = found.licence.split(" OR ").collect();
    let standard = STANDARD.iter().find(|(id, _)| offered.contains(id));
    let (id, words) = standard.ok_or_else(|| {
        format!("{name} {version} ships no text of its licence ({})", found.licence)
    })?;
    let authors = match found.source.authors.as_str() {
        "" => format!("the authors of {name}"),
        authors => authors.to_owned(),
    };
    Ok(vec![format!("{id}\n\nCopyright (c) {authors}\n\n{words}")])
}

/// Reads the files of a folder and of those in it; what tests bring is not linked.
fn gather(folder: &Path, texts: &mut Vec<String>) -> Result<(), Failure> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if entry.file_type()?.is_dir() {
            if name != "TESTS" {
                gather(&entry.path(), texts)?;
            }
        } else if NAMES.iter().any(|start| name.starts_with(start)) && !name.ends_with(".RS") {
            texts.push(tidy(&fs::read(entry.path())?));
        }
    }
    Ok(())
}

/// Without what differs between copies of one text: ends of lines, and empty lines around it.
fn tidy(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::compile::{CLI, MANAGER, PROVIDER, SERVERS};
    use super::super::linked::Linked;
    use super::super::place::Place;
    use super::*;

    #[test]
    fn every_linked_crate_has_a_text_and_each_text_is_there_once() {
        let place = Place::here().unwrap();
        let linked = Linked::of(&place, "x86_64-unknown-linux-gnu", &[PROVIDER, CLI]).unwrap();
        let linked = linked.and(&Linked::of(&place, SERVERS, &[MANAGER]).unwrap());
        let of = Materials { programs: vec![CLI], linked, parts: Vec::new() };
        let text = text(&of).unwrap();
        for part in [
            "aws-lc-sys 0.47.0: ISC AND (Apache-2.0 OR ISC)",
            // C code in a crate, under a licence of its own.
            "Daan Leijen",
            // No file in the crate.
            "MIT\n\nCopyright (c) Microsoft\n\nPermission is hereby granted",
            "BSD-3-Clause\n\nCopyright (c) the authors of cx448\n\nRedistribution and use",
        ] {
            assert!(text.contains(part), "{part}");
        }
        assert!(!text.contains("hcs-planner"), "ours");
        let folder = place.tree.display().to_string();
        assert!(!text.contains(&folder), "a folder of this machine");
        let texts: Vec<&str> = text.split(LINE).skip(2).step_by(2).collect();
        assert!(texts.len() > 100, "{}", texts.len());
        assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), texts.len());
    }

    #[test]
    fn a_crate_without_a_text_that_is_known_is_an_error() {
        let id = ("x".to_owned(), "1.0.0".to_owned());
        let folder = Place::here().unwrap().tree.join("xtask/src/dist/licences");
        let source = super::super::linked::Source { folder, authors: String::new() };
        let licence = "MIT AND OFL-1.1".to_owned();
        let found = Crate { licence, sha256: None, needs: BTreeSet::new(), source };
        let error = texts_of(&id, &found).unwrap_err().to_string();
        assert_eq!(error, "x 1.0.0 ships no text of its licence (MIT AND OFL-1.1)");
    }
}
