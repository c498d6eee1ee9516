//! The contract between Terraform and a provider, as a judge.
//!
//! Terraform core holds every response against rules, and calls what breaks them a bug of the
//! provider, in the middle of a user's apply. This module has the same rules as functions over
//! schemas and values, so that tests find the bug first: [`plan`], [`apply`], [`refresh`],
//! [`import`] judge one response, [`Driver`] plays Terraform through whole lives of an object.
//!
//! With `TFPLUGIN_ORACLE=1` in its environment a served provider judges itself: each broken rule
//! becomes an error in its response.
//!
//! The rules are those of Terraform 1.11.4, described in our own words at each function.

mod applied;
mod driver;
mod equal;
mod planned;
mod proposed;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::{Diagnostic, Path};

pub use applied::compatible;
pub use driver::Driver;
pub use equal::equal;
pub use planned::plan;
pub use proposed::proposed_new_state;
pub use state::{apply, import, pure, read_data, refresh, upgrade};

/// What a provider must not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A value does not fit the schema.
    Misfit,
    /// A write-only value came back.
    WriteOnlyKept,
    /// A write-only value came back under another name.
    SecretLeaked,
    /// A destroy was planned as anything but null.
    DestroyPlanned,
    /// A configured value was planned as something that is neither it nor the prior one.
    ConfigIgnored,
    /// An attribute that only the configuration sets was planned with a value.
    ValueInvented,
    /// A configured value was planned as unknown.
    KnownMadeUnknown,
    /// Blocks or elements were added, dropped or replaced by null.
    ElementsChanged,
    /// A replacement was asked for an attribute that is not there, or inside a set.
    ReplacePath,
    /// Two plans of the same change differ, or the second contradicts the first.
    PlanUnstable,
    /// After apply something is still unknown.
    UnknownAfterApply,
    /// A planned value is not what came out.
    PlanBroken,
    /// An object vanished in apply, or is still there after a destroy.
    ExistenceWrong,
    /// The plan after an apply is not empty.
    NotSettled,
    /// What was read holds unknowns.
    UnknownRead,
    /// An import gave nothing.
    NothingImported,
    /// State of the current version did not survive an upgrade.
    UpgradeLoss,
    /// A function gave different results for the same arguments.
    Impure,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// Where.
    pub path: Path,
    /// What is wrong, and what must be so.
    pub message: String,
}

impl Violation {
    fn new(rule: Rule, path: &Path, message: impl Into<String>) -> Self {
        Self { rule, path: path.clone(), message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "{:?}: {}", self.rule, self.message)
        } else {
            write!(f, "{:?} at {}: {}", self.rule, self.path, self.message)
        }
    }
}

impl From<Violation> for Diagnostic {
    fn from(violation: Violation) -> Self {
        let summary = format!("Bug in the provider: {:?}", violation.rule);
        let detail =
            format!("{}\n\nPlease report this to the provider's developers.", violation.message);
        Self::error(summary, detail).at(violation.path)
    }
}
