//! Where in a configuration or state something is.
//!
//! A path is built by authors for diagnostics and replacements and by the decoder for its errors.
//! It knows nothing of values.

use std::fmt;

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// An attribute of an object, or a nested block.
    Attribute(String),
    /// An element of a map.
    Key(String),
    /// An element of a list or tuple.
    Index(i64),
}

/// A path from the root of a resource, data source or provider block to a value inside it.
///
/// The empty path means the whole block.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Vec<Step>);

impl Path {
    /// The path of an attribute or block at the root.
    pub fn root(name: impl Into<String>) -> Self {
        Self(vec![Step::Attribute(name.into())])
    }

    /// The path of the whole block.
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// Goes on to an attribute of an object.
    #[must_use]
    pub fn attr(self, name: impl Into<String>) -> Self {
        self.then(Step::Attribute(name.into()))
    }

    /// Goes on to an element of a list.
    #[must_use]
    pub fn index(self, index: usize) -> Self {
        self.then(Step::Index(i64::try_from(index).unwrap_or(i64::MAX)))
    }

    /// Goes on to an element of a map.
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> Self {
        self.then(Step::Key(key.into()))
    }

    /// Goes on by one step.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether this is the path of the whole block.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, step: Step) {
        self.0.push(step);
    }

    pub(crate) fn pop(&mut self) {
        self.0.pop();
    }
}

impl From<&str> for Path {
    fn from(name: &str) -> Self {
        Self::root(name)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Attribute(name) if position == 0 => write!(f, "{name}")?,
                Step::Attribute(name) => write!(f, ".{name}")?,
                Step::Key(key) => write!(f, "[{key:?}]")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_an_expression_of_the_language() {
        let path = Path::root("a").index(0).attr("b").key("k");
        assert_eq!(path.to_string(), r#"a[0].b["k"]"#);
        assert_eq!(Path::empty().to_string(), "");
    }
}
