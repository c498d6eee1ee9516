//! Links within the repository: the file is there, and the heading in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use hcs_acceptance::HarnessError;

/// How many links lead within the repository, and those that lead nowhere.
pub(crate) fn lost(documents: &[std::path::PathBuf]) -> Result<(usize, Vec<String>), HarnessError> {
    let (mut count, mut lost) = (0, Vec::new());
    for document in documents {
        let text = fs::read_to_string(document).map_err(HarnessError::file(document))?;
        for (line, target) in links(&text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
            let folder = document.parent().unwrap_or(document);
            let path = if file.is_empty() { document.clone() } else { folder.join(file) };
            if !leads_somewhere(&path, heading)? {
                lost.push(format!("{}:{line}: {target}", document.display()));
            }
        }
    }
    Ok((count, lost))
}

fn leads_somewhere(path: &Path, heading: &str) -> Result<bool, HarnessError> {
    if !path.exists() || heading.is_empty() {
        return Ok(path.exists());
    }
    let text = fs::read_to_string(path).map_err(HarnessError::file(path))?;
    Ok(headings(&text).contains(heading))
}

/// Targets of links, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for part in line.split("](").skip(1) {
            found.extend(part.split_once(')').map(|(target, _)| (number, target.to_owned())));
        }
    }
    found
}

/// Headings, as a link names them: lower case, words with hyphens between them, and nothing else; one that comes again has a
/// number.
fn headings(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, line) in prose(text).filter(|(_, line)| line.starts_with('#')) {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let slug: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (1..).map(|number| format!("{slug}-{number}"));
        let own = std::iter::once(slug.clone()).chain(again).find(|name| !found.contains(name));
        found.extend(own);
    }
    found
}

/// Lines outside of fences, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((at + 1, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_named_as_links_name_them() {
        let text = "# What `hcs` does\n## `.consul` for peers, and on-premises\n```\n# no heading\n```\n## Twice\n## Twice\n";
        let expected = ["consul-for-peers-and-on-premises", "twice", "twice-1", "what-hcs-does"];
        assert_eq!(headings(text), expected.map(str::to_owned).into());
        assert_eq!(
            links("[a](b.md#c) and [d](e)\n"),
            [(1, "b.md#c".to_owned()), (1, "e".to_owned())]
        );
    }
}
