//! What a schema says about values besides their types: defaults, plan modifiers, validators.

use std::fmt;
use std::sync::Arc;

use crate::validate::Validator;
use crate::value::Value;

/// The rules of one attribute. Framework and author apply them; Terraform never sees them.
#[derive(Clone, Default)]
pub struct Rules {
    /// The planned value where the configuration sets none.
    pub(crate) default: Option<Value>,
    /// The value stays what it was while the configuration leaves it open.
    pub(crate) keeps_prior: bool,
    /// Whether a change needs a new object.
    pub(crate) replaces: Option<Replaces>,
    /// Whether two values that differ mean the same.
    pub(crate) equal: Option<Equal>,
    /// What is planned in place of what the other rules gave.
    pub(crate) modifiers: Vec<Modifier>,
    /// The attribute by which elements of a list are found again.
    pub(crate) identified_by: Option<String>,
    pub(crate) validators: Vec<Arc<dyn Validator>>,
}

/// One attribute before and after, and what the configuration says of it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Change<'v> {
    /// The value in the state; null where there is no object.
    pub prior: &'v Value,
    /// The value that is planned.
    pub planned: &'v Value,
    /// The value in the configuration.
    pub config: &'v Value,
}

/// Decides whether a change needs a new object.
pub(crate) type Replaces = Arc<dyn Fn(Change<'_>) -> bool + Send + Sync>;
/// Decides whether two values mean the same.
pub(crate) type Equal = Arc<dyn Fn(&Value, &Value) -> bool + Send + Sync>;
/// Gives another planned value, or none.
pub(crate) type Modifier = Arc<dyn Fn(Change<'_>) -> Option<Value> + Send + Sync>;

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checks: Vec<String> = self.validators.iter().map(|each| each.describe()).collect();
        f.debug_struct("Rules")
            .field("default", &self.default)
            .field("keeps_prior", &self.keeps_prior)
            .field("replaces", &self.replaces.is_some())
            .field("equal", &self.equal.is_some())
            .field("modifiers", &self.modifiers.len())
            .field("identified_by", &self.identified_by)
            .field("validators", &checks)
            .finish()
    }
}

/// Rules are code: two schemas are the same when Terraform cannot tell them apart.
impl PartialEq for Rules {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Rules {}

/// A rule on several attributes of one block together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub(crate) kind: GroupKind,
    pub(crate) names: Vec<String>,
}

/// How many attributes of a group may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupKind {
    ExactlyOne,
    AtMostOne,
    AtLeastOne,
    Together,
}

impl Group {
    fn new(kind: GroupKind, names: &[&str]) -> Self {
        Self { kind, names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    /// One of them must be set, and only one.
    pub fn exactly_one(names: &[&str]) -> Self {
        Self::new(GroupKind::ExactlyOne, names)
    }

    /// They exclude each other.
    pub fn at_most_one(names: &[&str]) -> Self {
        Self::new(GroupKind::AtMostOne, names)
    }

    /// One of them must be set, or several.
    pub fn at_least_one(names: &[&str]) -> Self {
        Self::new(GroupKind::AtLeastOne, names)
    }

    /// All of them or none.
    pub fn together(names: &[&str]) -> Self {
        Self::new(GroupKind::Together, names)
    }
}
