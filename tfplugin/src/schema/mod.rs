//! Schemas: what a block may hold.
//!
//! Built by the author in code, checked by [`check`], turned into wire form by `proto`. A schema
//! never holds values.

mod attribute;
mod block;
mod check;
mod model;
mod proto;
mod rules;
mod ty;
mod write_only;

pub use attribute::{Attribute, Kind, Nesting};
pub use block::{Block, BlockNesting, NestedBlock};
pub use check::check;
pub(crate) use proto::schema_to_proto;
pub(crate) use rules::GroupKind;
pub use rules::{Change, Group, Rules};
pub use ty::{Type, TypeError};
pub(crate) use write_only::{copy_write_only, empty_blocks, null_write_only};

use crate::typed::{Model, ModelField};

/// The schema of a provider, resource or data source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// Version of the stored state; raise it when [`crate::Resource::upgrade`] has to do something.
    pub version: i64,
    /// What the block holds.
    pub block: Block,
    /// The fields of the struct that its values are read into, if there is one.
    pub(crate) model: Option<Vec<ModelField>>,
}

impl Schema {
    /// A schema without attributes.
    pub fn new(version: i64) -> Self {
        Self { version, ..Self::default() }
    }

    /// Describes the whole, in Markdown.
    #[must_use]
    pub fn describe(mut self, markdown: impl Into<String>) -> Self {
        self.block = self.block.describe(markdown);
        self
    }

    /// Marks the whole as deprecated and says what to use instead.
    #[must_use]
    pub fn deprecated(mut self, message: impl Into<String>) -> Self {
        self.block = self.block.deprecated(message);
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, attribute: Attribute) -> Self {
        self.block = self.block.attribute(attribute);
        self
    }

    /// Adds attributes.
    #[must_use]
    pub fn attributes(mut self, attributes: impl IntoIterator<Item = Attribute>) -> Self {
        self.block = self.block.attributes(attributes);
        self
    }

    /// Adds a nested block.
    #[must_use]
    pub fn block(mut self, block: NestedBlock) -> Self {
        self.block = self.block.block(block);
        self
    }

    /// Adds nested blocks.
    #[must_use]
    pub fn blocks(mut self, blocks: impl IntoIterator<Item = NestedBlock>) -> Self {
        self.block.blocks.extend(blocks);
        self
    }

    /// Adds a rule on several attributes together.
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        self.block = self.block.group(group);
        self
    }

    /// Its values are read into this struct: both must name the same attributes.
    #[must_use]
    pub(crate) fn model<M: Model>(mut self) -> Self {
        self.model = Some(M::fields());
        self
    }

    /// Names of the attributes at the root whose change may need a new object.
    pub fn replacing(&self) -> Vec<&str> {
        let attributes = self.block.attributes.iter();
        attributes.filter(|one| one.rules.replaces.is_some()).map(|one| one.name.as_str()).collect()
    }

    /// The type of a value of this schema.
    pub fn implied_type(&self) -> Type {
        self.block.implied_type()
    }
}
