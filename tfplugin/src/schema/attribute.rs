//! Attributes and their builders.

use std::sync::Arc;

use super::{Change, Rules, Type};
use crate::validate::Validator;
use crate::value::Value;

/// One attribute of a block or of another attribute's object.
///
/// ```
/// use tfplugin::Attribute;
/// let name = Attribute::string("name").required().describe("Name of the box.");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are the independent flags of the protocol"
)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// The configuration must set it.
    pub required: bool,
    /// The configuration may set it.
    pub optional: bool,
    /// The provider may set it.
    pub computed: bool,
    /// Its value is hidden on screens.
    pub sensitive: bool,
    /// Its value reaches the provider and is never stored.
    pub write_only: bool,
    /// Why it should no longer be used, and what to use.
    pub deprecated: Option<String>,
    /// What it is for, in Markdown.
    pub description: String,
    /// Its default, plan modifiers and validators.
    pub rules: Rules,
}

/// What an attribute holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A value of a type.
    Plain(Type),
    /// Objects that have attributes with flags and descriptions of their own.
    Nested(Nesting, Vec<Attribute>),
}

/// How many objects a nested attribute holds, and how they are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nesting {
    /// One object.
    Single,
    /// Objects in order.
    List,
    /// Objects without an order.
    Set,
    /// Objects by name.
    Map,
}

impl Attribute {
    /// An attribute of any type.
    pub fn of(name: impl Into<String>, ty: Type) -> Self {
        Self::new(name, Kind::Plain(ty))
    }

    /// A text.
    pub fn string(name: impl Into<String>) -> Self {
        Self::of(name, Type::String)
    }

    /// A number.
    pub fn number(name: impl Into<String>) -> Self {
        Self::of(name, Type::Number)
    }

    /// A truth value.
    pub fn bool(name: impl Into<String>) -> Self {
        Self::of(name, Type::Bool)
    }

    /// A list of elements of a type.
    pub fn list(name: impl Into<String>, element: Type) -> Self {
        Self::of(name, Type::list(element))
    }

    /// A set of elements of a type.
    pub fn set(name: impl Into<String>, element: Type) -> Self {
        Self::of(name, Type::set(element))
    }

    /// A map of elements of a type.
    pub fn map(name: impl Into<String>, element: Type) -> Self {
        Self::of(name, Type::map(element))
    }

    /// A value of whatever type the configuration gives.
    pub fn dynamic(name: impl Into<String>) -> Self {
        Self::of(name, Type::Dynamic)
    }

    /// One object.
    pub fn nested_single(
        name: impl Into<String>,
        attributes: impl IntoIterator<Item = Self>,
    ) -> Self {
        Self::nested(name, Nesting::Single, attributes)
    }

    /// A list of objects.
    pub fn nested_list(
        name: impl Into<String>,
        attributes: impl IntoIterator<Item = Self>,
    ) -> Self {
        Self::nested(name, Nesting::List, attributes)
    }

    /// A set of objects.
    pub fn nested_set(name: impl Into<String>, attributes: impl IntoIterator<Item = Self>) -> Self {
        Self::nested(name, Nesting::Set, attributes)
    }

    /// A map of objects.
    pub fn nested_map(name: impl Into<String>, attributes: impl IntoIterator<Item = Self>) -> Self {
        Self::nested(name, Nesting::Map, attributes)
    }

    /// Objects with a nesting that is known at run time only.
    pub fn nested(
        name: impl Into<String>,
        nesting: Nesting,
        attributes: impl IntoIterator<Item = Self>,
    ) -> Self {
        Self::new(name, Kind::Nested(nesting, attributes.into_iter().collect()))
    }

    fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            required: false,
            optional: false,
            computed: false,
            sensitive: false,
            write_only: false,
            deprecated: None,
            description: String::new(),
            rules: Rules::default(),
        }
    }

    /// The configuration must set it.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The configuration may set it.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The provider sets it, or may set it where it is optional too.
    #[must_use]
    pub fn computed(mut self) -> Self {
        self.computed = true;
        self
    }

    /// Its value is hidden on screens; it is stored all the same.
    #[must_use]
    pub fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// Its value reaches the provider and is never stored.
    #[must_use]
    pub fn write_only(mut self) -> Self {
        self.write_only = true;
        self
    }

    /// It should no longer be used; the message says what to use instead.
    #[must_use]
    pub fn deprecated(mut self, message: impl Into<String>) -> Self {
        self.deprecated = Some(message.into());
        self
    }

    /// What it is for, in Markdown.
    #[must_use]
    pub fn describe(mut self, markdown: impl Into<String>) -> Self {
        self.description = markdown.into();
        self
    }

    /// Plans this value where the configuration sets none; the attribute is optional and computed.
    #[must_use]
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        (self.optional, self.computed) = (true, true);
        self.rules.default = Some(value.into());
        self
    }

    /// Plans the prior value while the configuration leaves it open, instead of "known after
    /// apply": for what never changes, such as an id.
    #[must_use]
    pub fn keeps_prior(mut self) -> Self {
        self.rules.keeps_prior = true;
        self
    }

    /// A change of it needs a new object.
    #[must_use]
    pub fn replaces(self) -> Self {
        self.replaces_if(|_| true)
    }

    /// A change of it needs a new object if prior and planned value, which differ, and the configured one say so.
    #[must_use]
    pub fn replaces_if(
        mut self,
        needs: impl Fn(Change<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.rules.replaces = Some(Arc::new(needs));
        self
    }

    /// Elements of this list of objects are found again by this attribute of theirs, and not by their position.
    #[must_use]
    pub fn identified_by(mut self, name: impl Into<String>) -> Self {
        self.rules.identified_by = Some(name.into());
        self
    }

    /// A plan modifier of one's own, after defaults, equality and `keeps_prior`: another planned value, or none. What is
    /// configured has to stay as it is; Terraform refuses anything else.
    #[must_use]
    pub fn modify_plan(
        mut self,
        modify: impl Fn(Change<'_>) -> Option<Value> + Send + Sync + 'static,
    ) -> Self {
        self.rules.modifiers.push(Arc::new(modify));
        self
    }

    /// Two values mean the same if this says so, although they differ: then the prior one stays, in plans and in what is
    /// read. See [`crate::plan::equality`] for the usual ones.
    #[must_use]
    pub fn equal_if(
        mut self,
        equal: impl Fn(&Value, &Value) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.rules.equal = Some(Arc::new(equal));
        self
    }

    /// Adds a check of configured values, see [`crate::validate`].
    #[must_use]
    pub fn validate(mut self, validator: impl Validator + 'static) -> Self {
        self.rules.validators.push(Arc::new(validator));
        self
    }

    /// The type of its value.
    pub fn implied_type(&self) -> Type {
        match &self.kind {
            Kind::Plain(ty) => ty.clone(),
            Kind::Nested(nesting, attributes) => {
                let object = Type::object(
                    attributes.iter().map(|inner| (inner.name.clone(), inner.implied_type())),
                );
                match nesting {
                    Nesting::Single => object,
                    Nesting::List => Type::list(object),
                    Nesting::Set => Type::set(object),
                    Nesting::Map => Type::map(object),
                }
            }
        }
    }
}
