//! The author's side of a function.

use crate::{Type, Value};

/// A pure function for configurations: the same arguments give the same result, always.
pub trait Function: Send + Sync {
    /// Its name, without the provider.
    fn name(&self) -> &'static str;

    /// What it takes and gives.
    fn signature(&self) -> Signature;

    /// Calls it. The arguments fit the parameters; those of the variadic one come last.
    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError>;
}

/// What a function takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// What it takes, in order.
    pub parameters: Vec<Parameter>,
    /// What it takes any number of, after the others.
    pub variadic: Option<Parameter>,
    /// What it gives.
    pub result: Type,
    /// One line about it.
    pub summary: String,
    /// What it is for, in Markdown.
    pub description: String,
    /// Why it should no longer be used, and what to use.
    pub deprecated: Option<String>,
}

/// One parameter of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub ty: Type,
    /// Whether null gets through to the function; else it is an error.
    pub null_allowed: bool,
    /// Whether unknowns get through to the function; else the result is unknown.
    pub unknown_allowed: bool,
    /// What it is for, in Markdown.
    pub description: String,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct FunctionError {
    /// What is wrong.
    pub text: String,
    /// The position of the argument that is to blame, if one is.
    pub argument: Option<usize>,
}

impl Signature {
    /// A function without parameters that gives a value of a type.
    pub fn new(result: Type) -> Self {
        Self {
            parameters: Vec::new(),
            variadic: None,
            result,
            summary: String::new(),
            description: String::new(),
            deprecated: None,
        }
    }

    /// Adds a parameter.
    #[must_use]
    pub fn parameter(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Takes any number of further arguments.
    #[must_use]
    pub fn variadic(mut self, parameter: Parameter) -> Self {
        self.variadic = Some(parameter);
        self
    }

    /// One line about it, and what it is for in Markdown.
    #[must_use]
    pub fn describe(mut self, summary: impl Into<String>, markdown: impl Into<String>) -> Self {
        self.summary = summary.into();
        self.description = markdown.into();
        self
    }

    /// It should no longer be used; the message says what to use instead.
    #[must_use]
    pub fn deprecated(mut self, message: impl Into<String>) -> Self {
        self.deprecated = Some(message.into());
        self
    }

    /// The parameter that takes the argument at a position.
    pub(crate) fn parameter_at(&self, position: usize) -> Option<&Parameter> {
        self.parameters.get(position).or(self.variadic.as_ref())
    }
}

impl Parameter {
    /// A parameter that takes known values only.
    pub fn new(name: impl Into<String>, ty: Type) -> Self {
        Self {
            name: name.into(),
            ty,
            null_allowed: false,
            unknown_allowed: false,
            description: String::new(),
        }
    }

    /// Lets null through.
    #[must_use]
    pub fn null_allowed(mut self) -> Self {
        self.null_allowed = true;
        self
    }

    /// Lets unknowns through.
    #[must_use]
    pub fn unknown_allowed(mut self) -> Self {
        self.unknown_allowed = true;
        self
    }

    /// What it is for, in Markdown.
    #[must_use]
    pub fn describe(mut self, markdown: impl Into<String>) -> Self {
        self.description = markdown.into();
        self
    }
}

impl FunctionError {
    /// A failure of the whole call.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), argument: None }
    }

    /// Blames an argument.
    #[must_use]
    pub fn at(mut self, argument: usize) -> Self {
        self.argument = Some(argument);
        self
    }
}
