//! Blocks: attributes together with further blocks.

use std::ops::{Bound, RangeBounds};

use super::{Attribute, Group, Type};

/// The content of a block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// Its attributes.
    pub attributes: Vec<Attribute>,
    /// The blocks inside it.
    pub blocks: Vec<NestedBlock>,
    /// Rules on several of its attributes together.
    pub groups: Vec<Group>,
    /// What it is for, in Markdown.
    pub description: String,
    /// Why it should no longer be used, and what to use.
    pub deprecated: Option<String>,
}

/// A block inside a block.
///
/// Nested attributes are the better choice for new schemas; blocks are for what users know as
/// blocks, such as `timeouts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NestedBlock {
    /// Its name.
    pub name: String,
    /// How often it may stand.
    pub nesting: BlockNesting,
    /// Its content.
    pub block: Block,
    /// Fewest blocks; lists and sets only.
    pub items_min: i64,
    /// Most blocks; zero for no limit; lists and sets only.
    pub items_max: i64,
    /// The attribute by which blocks of a list are found again, and not by their position.
    pub identified_by: Option<String>,
}

/// How often a nested block may stand, and how its instances are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockNesting {
    /// At most once; null where it is absent.
    Single,
    /// At most once; an object of nulls where it is absent.
    Group,
    /// Any number, in order.
    List,
    /// Any number, without an order.
    Set,
    /// Any number, each with a label.
    Map,
}

impl Block {
    /// A block without attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Describes the block, in Markdown.
    #[must_use]
    pub fn describe(mut self, markdown: impl Into<String>) -> Self {
        self.description = markdown.into();
        self
    }

    /// Marks the block as deprecated and says what to use instead.
    #[must_use]
    pub fn deprecated(mut self, message: impl Into<String>) -> Self {
        self.deprecated = Some(message.into());
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, attribute: Attribute) -> Self {
        self.attributes.push(attribute);
        self
    }

    /// Adds attributes.
    #[must_use]
    pub fn attributes(mut self, attributes: impl IntoIterator<Item = Attribute>) -> Self {
        self.attributes.extend(attributes);
        self
    }

    /// Adds a rule on several attributes together.
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }

    /// Adds a nested block.
    #[must_use]
    pub fn block(mut self, block: NestedBlock) -> Self {
        self.blocks.push(block);
        self
    }

    /// The type of the block's value.
    pub fn implied_type(&self) -> Type {
        let attributes =
            self.attributes.iter().map(|inner| (inner.name.clone(), inner.implied_type()));
        let blocks = self.blocks.iter().map(|inner| (inner.name.clone(), inner.implied_type()));
        Type::object(attributes.chain(blocks))
    }
}

impl NestedBlock {
    /// A block that stands at most once.
    pub fn single(name: impl Into<String>, block: Block) -> Self {
        Self::new(name, BlockNesting::Single, block)
    }

    /// A block that stands at most once and reads as an object of nulls where it is absent.
    pub fn group(name: impl Into<String>, block: Block) -> Self {
        Self::new(name, BlockNesting::Group, block)
    }

    /// Blocks in order.
    pub fn list(name: impl Into<String>, block: Block) -> Self {
        Self::new(name, BlockNesting::List, block)
    }

    /// Blocks without an order.
    pub fn set(name: impl Into<String>, block: Block) -> Self {
        Self::new(name, BlockNesting::Set, block)
    }

    /// Blocks with a label each.
    pub fn map(name: impl Into<String>, block: Block) -> Self {
        Self::new(name, BlockNesting::Map, block)
    }

    fn new(name: impl Into<String>, nesting: BlockNesting, block: Block) -> Self {
        Self { name: name.into(), nesting, block, items_min: 0, items_max: 0, identified_by: None }
    }

    /// Blocks of this list are found again by this attribute of theirs, and not by their position.
    #[must_use]
    pub fn identified_by(mut self, name: impl Into<String>) -> Self {
        self.identified_by = Some(name.into());
        self
    }

    /// Describes it, in Markdown.
    #[must_use]
    pub fn describe(mut self, markdown: impl Into<String>) -> Self {
        self.block = self.block.describe(markdown);
        self
    }

    /// So many blocks of a list or set.
    #[must_use]
    pub fn between(self, items: impl RangeBounds<i64>) -> Self {
        let min = match items.start_bound() {
            Bound::Included(min) => *min,
            Bound::Excluded(min) => min.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let max = match items.end_bound() {
            Bound::Included(max) => *max,
            Bound::Excluded(max) => max.saturating_sub(1),
            Bound::Unbounded => 0,
        };
        self.items(min, max)
    }

    /// Fewest and most blocks of a list or set; zero as the most means no limit.
    #[must_use]
    pub fn items(mut self, min: i64, max: i64) -> Self {
        self.items_min = min;
        self.items_max = max;
        self
    }

    /// The type of the block's value.
    pub fn implied_type(&self) -> Type {
        let object = self.block.implied_type();
        match self.nesting {
            BlockNesting::Single | BlockNesting::Group => object,
            BlockNesting::List => Type::list(object),
            BlockNesting::Set => Type::set(object),
            BlockNesting::Map => Type::map(object),
        }
    }
}
