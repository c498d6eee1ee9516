//! `longest`: the longest of any number of texts; `repeated`: a text several times.

use tfplugin::{
    Attr, Function, FunctionError, Model, Parameter, Signature, Type, TypedFunction, Value,
};

/// A text several times. With nothing in between unless it is said.
#[derive(Model)]
pub(crate) struct Repeat {
    /// The text.
    #[tf(required)]
    text: Attr<String>,
    /// How often, at most 100.
    #[tf(required)]
    times: Attr<u16>,
    /// What stands in between; may be null.
    between: Attr<String>,
}

pub(crate) struct Repeated;

impl TypedFunction for Repeated {
    type Arguments = Repeat;
    type Output = String;

    fn name(&self) -> &'static str {
        "repeated"
    }

    fn call(&self, Repeat { text, times, between }: Repeat) -> Result<String, FunctionError> {
        let times = times.into_known().unwrap_or_default();
        if times > 100 {
            return Err(FunctionError::new("That is more than 100 times.").at(1));
        }
        let text = text.into_known().unwrap_or_default();
        Ok(vec![text; times.into()].join(&between.into_known().unwrap_or_default()))
    }
}

pub(crate) struct Longest;

impl Function for Longest {
    fn name(&self) -> &'static str {
        "longest"
    }

    fn signature(&self) -> Signature {
        Signature::new(Type::String)
            .describe("The longest text", "Returns the first of the longest texts.")
            .variadic(Parameter::new("texts", Type::String).describe("The texts to choose from."))
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        if let Some(empty) = arguments.iter().position(|text| text.as_str() == Some("")) {
            return Err(FunctionError::new("A text must not be empty.").at(empty));
        }
        arguments
            .iter()
            .rev()
            .max_by_key(|text| text.as_str().map(|text| text.chars().count()))
            .cloned()
            .ok_or_else(|| FunctionError::new("There must be at least one text."))
    }
}
