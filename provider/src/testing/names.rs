//! Every attribute is named once, by the field of its struct: no other line of the product spells it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tfplugin::schema::Kind;
use tfplugin::{Attribute, Block, Provider as _};

use crate::provider::HcsProvider;

fn names(block: &Block, found: &mut BTreeSet<String>) {
    fn of(attributes: &[Attribute], found: &mut BTreeSet<String>) {
        for attribute in attributes {
            found.insert(attribute.name.clone());
            if let Kind::Nested(_, inner) = &attribute.kind {
                of(inner, found);
            }
        }
    }
    of(&block.attributes, found);
    for nested in &block.blocks {
        // The framework's own, named by it.
        if nested.name != "timeouts" {
            found.insert(nested.name.clone());
            names(&nested.block, found);
        }
    }
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("testing") {
                sources(&path, found);
            }
        } else {
            let text = fs::read_to_string(&path).unwrap();
            let product = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            found.push((path.display().to_string(), product));
        }
    }
}

#[test]
fn no_literal_of_the_product_is_an_attributes_name() {
    let provider = HcsProvider;
    let mut all = BTreeSet::new();
    names(&provider.schema().block, &mut all);
    provider.resources().iter().for_each(|one| names(&one.schema().block, &mut all));
    provider.data_sources().iter().for_each(|one| names(&one.schema().block, &mut all));
    provider.ephemerals().iter().for_each(|one| names(&one.schema().block, &mut all));
    assert!(all.len() > 80, "{}", all.len());
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 25, "{}", files.len());
    let mut found = Vec::new();
    for (path, text) in files {
        // The name of a function or type is its own, whatever attributes are called.
        let mut names_itself = false;
        for (number, line) in (1..).zip(text.lines()) {
            if std::mem::replace(&mut names_itself, line.contains("name(&self) -> &'static str")) {
                continue;
            }
            let code = line.split("//").next().unwrap_or_default();
            let literals = code.split('"').skip(1).step_by(2);
            let named = literals.filter(|literal| all.contains(*literal));
            found.extend(named.map(|literal| format!("{path}:{number}: {literal:?}")));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
