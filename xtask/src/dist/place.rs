//! Where a release is built: a checkout, a folder for what is compiled, and one for what is handed out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hcs_acceptance::bins::{repository, target};
use hcs_acceptance::tools;

use crate::shell::{Failure, cargo_command};

/// A checkout and its two folders; a second one has none of them in common with the first.
pub(super) struct Place {
    pub(super) tree: PathBuf,
    pub(super) target: PathBuf,
    pub(super) dist: PathBuf,
}

/// When the last commit was made: the only time that a release may contain.
pub(super) struct Moment {
    /// Seconds of Unix time, for `SOURCE_DATE_EPOCH`.
    pub(super) seconds: String,
    /// As RFC 3339 writes it, in UTC.
    pub(super) text: String,
}

impl Place {
    /// The working tree.
    pub(super) fn here() -> Result<Self, Failure> {
        Self::of(repository(), &target(), &target().join("dist"))
    }

    /// A fresh checkout of the last commit. Fails where the working tree is not that commit: the two would differ.
    pub(super) fn elsewhere() -> Result<Self, Failure> {
        let changed = git(&repository(), &["status", "--porcelain"])?;
        if let Some(first) = changed.lines().next() {
            let file = first.trim();
            return Err(format!(
                "`--twice` builds the last commit again, and the working tree is another one ({file}): commit first"
            )
            .into());
        }
        let root = elsewhere();
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        let tree = root.join("checkout");
        let to = tree.display().to_string();
        git(&repository(), &["clone", "--quiet", "--shared", ".", &to])?;
        Self::of(tree, &root.join("compiled"), &root.join("dist"))
    }

    /// Deletes the second place.
    pub(super) fn clear_elsewhere() -> Result<(), Failure> {
        Ok(fs::remove_dir_all(elsewhere())?)
    }

    fn of(tree: PathBuf, target: &Path, dist: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(target)?;
        fs::create_dir_all(dist)?;
        Ok(Self { tree, target: target.canonicalize()?, dist: dist.canonicalize()? })
    }

    /// Cargo, in this place.
    pub(super) fn cargo(&self) -> Command {
        let mut cargo = cargo_command();
        cargo.current_dir(&self.tree).env("CARGO_TARGET_DIR", &self.target);
        cargo
    }

    /// When its last commit was made.
    pub(super) fn moment(&self) -> Result<Moment, Failure> {
        let form = ["log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%ct %cd"];
        let told = git(&self.tree, &form)?;
        let (seconds, text) = told.trim().split_once(' ').ok_or("git tells no time")?;
        Ok(Moment { seconds: seconds.to_owned(), text: text.to_owned() })
    }
}

fn elsewhere() -> PathBuf {
    target().join("dist-elsewhere")
}

fn git(tree: &Path, words: &[&str]) -> Result<String, Failure> {
    let mut git = Command::new("git");
    Ok(tools::run(git.args(words).current_dir(tree).env("TZ", "UTC"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_release_is_that_of_its_commit() {
        let moment = Place::here().unwrap().moment().unwrap();
        assert!(moment.seconds.parse::<u64>().unwrap() > 1_700_000_000);
        let shape: String =
            moment.text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00Z");
    }
}
