//! Code in the documents: blocks between fences, and spans within a sentence.

use std::fs;
use std::path::{Path, PathBuf};

use hcs_acceptance::HarnessError;
use hcs_acceptance::bins::repository;

/// Code, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    /// `docs/guides/upkeep.md:27`, the line of the fence.
    pub(crate) place: String,
    /// First word after the fence; empty for a span.
    pub(crate) language: String,
    /// The code, without the fence's indentation.
    pub(crate) text: String,
}

/// All documents.
pub(crate) fn documents() -> Result<Vec<PathBuf>, HarnessError> {
    let root = repository();
    let mut paths = Vec::new();
    for name in ["README", "SPECIFICATION", "ARCHITECTURE", "CONTRIBUTING", "SECURITY"] {
        paths.push(root.join(name).with_extension("md"));
    }
    for folder in ["docs", "examples"] {
        collect(&root.join(folder), &mut paths)?;
    }
    Ok(paths)
}

/// All code of all documents.
pub(crate) fn all() -> Result<Vec<Code>, HarnessError> {
    let root = repository();
    let mut found = Vec::new();
    for path in documents()? {
        let text = fs::read_to_string(&path).map_err(HarnessError::file(&path))?;
        let shown = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        found.extend(of_document(&shown, &text)?);
    }
    Ok(found)
}

/// Documents below a folder, sorted.
fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), HarnessError> {
    let entries = fs::read_dir(folder).map_err(HarnessError::file(folder))?;
    let mut entries: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, paths)?;
        } else if path.extension().is_some_and(|ending| ending == "md") {
            paths.push(path);
        }
    }
    Ok(())
}

/// The code of one document.
pub(crate) fn of_document(document: &str, text: &str) -> Result<Vec<Code>, HarnessError> {
    let mut found = Vec::new();
    let mut open: Option<(Code, usize)> = None;
    for (number, line) in text.lines().enumerate() {
        let place = format!("{document}:{}", number + 1);
        let fence = line.trim_start().strip_prefix("```");
        open = match (fence, open) {
            (Some(info), None) => {
                let language = info.split_whitespace().next().unwrap_or_default().to_owned();
                let indent = line.len() - line.trim_start().len();
                Some((Code { place, language, text: String::new() }, indent))
            }
            (Some(_), Some((code, _))) => {
                found.push(code);
                None
            }
            (None, Some((mut code, indent))) => {
                let own = line.len() - line.trim_start().len();
                code.text.push_str(&line[indent.min(own)..]);
                code.text.push('\n');
                Some((code, indent))
            }
            (None, None) => {
                // Every other part between backticks is code.
                let spans = line.split('`').skip(1).step_by(2);
                found.extend(spans.map(|span| Code {
                    place: place.clone(),
                    language: String::new(),
                    text: span.to_owned(),
                }));
                None
            }
        };
    }
    match open {
        Some((code, _)) => Err(HarnessError::Unexpected(format!("{}: no end", code.place))),
        None => Ok(found),
    }
}
