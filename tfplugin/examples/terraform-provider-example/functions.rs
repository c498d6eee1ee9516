//! `longest`: the longest of any number of texts.

use tfplugin::{Function, FunctionError, Parameter, Signature, Type, Value};

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
