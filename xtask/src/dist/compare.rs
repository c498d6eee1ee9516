//! Two builds of one commit are the same, byte for byte.

use std::fs;
use std::path::{Path, PathBuf};

use hcs_acceptance::packages::members;

use crate::shell::Failure;

/// Fails with the first file that differs, and for an archive with what differs in it. Files are paired by their order.
pub(super) fn same(first: &[PathBuf], second: &[PathBuf]) -> Result<(), Failure> {
    let names = |files: &[PathBuf]| -> Vec<_> {
        files.iter().map(|file| file.file_name().map(ToOwned::to_owned)).collect()
    };
    if names(first) != names(second) {
        return Err(format!("one build wrote {first:?}, the other {second:?}").into());
    }
    for (first, second) in first.iter().zip(second) {
        if let Some(at) = first_difference(&fs::read(first)?, &fs::read(second)?) {
            let within = within(first, second).unwrap_or_default();
            let (first, second) = (first.display(), second.display());
            return Err(format!("{first} and {second} differ from byte {at} on{within}").into());
        }
    }
    Ok(())
}

/// Which file of two archives differs.
fn within(first: &Path, second: &Path) -> Option<String> {
    let (first, second) = (members(first).ok()?, members(second).ok()?);
    let different = first.iter().zip(&second).find(|(one, other)| one != other);
    let ((name, one), (_, other)) = different?;
    let at = first_difference(one, other)?;
    Some(format!(": {name}, from its byte {at} on"))
}

fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    let length = one.len().min(other.len());
    let different = one.iter().zip(other).position(|(a, b)| a != b);
    different.or_else(|| (one.len() != other.len()).then_some(length))
}

#[cfg(test)]
mod tests {
    use hcs_acceptance::packages::{Packed, pack};

    use super::super::place::Place;
    use super::*;

    #[test]
    fn the_first_difference_is_named_down_to_the_file_in_an_archive() {
        let dir = Place::here().unwrap().target.join("tmp/two-builds");
        let archive = |folder: &str, content: &str| {
            let from = dir.join(folder).join("program");
            fs::create_dir_all(from.parent().unwrap()).unwrap();
            fs::write(&from, content).unwrap();
            let archive = dir.join(folder).join("a.zip");
            pack(&archive, &[Packed { from, name: "p".to_owned(), is_program: true }]).unwrap();
            [archive]
        };
        let [one, same_again, other] =
            [("one", "abc"), ("two", "abc"), ("three", "abd")].map(|(f, c)| archive(f, c));
        same(&one, &same_again).unwrap();
        let error = same(&one, &other).unwrap_err().to_string();
        assert!(error.contains("a.zip differ from byte"), "{error}");
        assert!(error.ends_with(": p, from its byte 2 on"), "{error}");
        assert!(same(&one, &[]).is_err());
        assert_eq!(first_difference(b"ab", b"abc"), Some(2));
        fs::remove_dir_all(dir).unwrap();
    }
}
