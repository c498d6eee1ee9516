//! What is known about an unknown value.

use super::Number;

/// Promises about a value that is not known yet. The default promises nothing.
///
/// A provider that returns the unknown as it came keeps its promises; once the value is known it
/// must honour them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Refinement {
    /// `Some(false)`: it will not be null.
    pub null: Option<bool>,
    /// The text will begin like this.
    pub string_prefix: Option<String>,
    /// The number will not be below this.
    pub number_min: Option<Bound>,
    /// The number will not be above this.
    pub number_max: Option<Bound>,
    /// The collection will have at least so many elements.
    pub length_min: Option<i64>,
    /// The collection will have at most so many elements.
    pub length_max: Option<i64>,
}

/// One end of a range of numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// The limit.
    pub value: Number,
    /// Whether the limit itself is allowed.
    pub inclusive: bool,
}

impl Refinement {
    /// The promise that the value will not be null.
    pub fn not_null() -> Self {
        Self { null: Some(false), ..Self::default() }
    }

    /// Whether nothing is promised.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
