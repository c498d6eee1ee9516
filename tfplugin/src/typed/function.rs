//! Functions over a model: the fields are the parameters.

use std::sync::Arc;

use super::{Content, Model};
use crate::path::Step;
use crate::schema::Kind;
use crate::{Function, FunctionError, Parameter, Signature, Value};

/// A function whose parameters are the fields of a Rust struct, in their order, with their docs. A field that is
/// `optional` takes null. The struct's docs are the function's; their first sentence is its summary.
pub trait TypedFunction: Send + Sync + 'static {
    /// What it takes.
    type Arguments: Model;
    /// What it gives.
    type Output: Content;

    /// Its name, without the provider.
    fn name(&self) -> &'static str;

    /// Calls it. Every required argument is known.
    fn call(&self, arguments: Self::Arguments) -> Result<Self::Output, FunctionError>;
}

/// Offers a function over a model to Terraform.
pub fn function(author: impl TypedFunction) -> Arc<dyn Function> {
    Arc::new(Typed(author))
}

struct Typed<F>(F);

impl<F: TypedFunction> Function for Typed<F> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn signature(&self) -> Signature {
        let block = F::Arguments::block();
        let summary = block.description.split_inclusive(". ").next().unwrap_or_default();
        let summary = summary.trim_end().to_owned();
        let signature = Signature::new(F::Output::shape().ty).describe(summary, &block.description);
        block.attributes.into_iter().fold(signature, |signature, attribute| {
            let ty = match &attribute.kind {
                Kind::Plain(ty) => ty.clone(),
                Kind::Nested(..) => attribute.implied_type(),
            };
            let parameter = Parameter::new(attribute.name, ty).describe(attribute.description);
            let takes_null = !attribute.required;
            signature.parameter(if takes_null { parameter.null_allowed() } else { parameter })
        })
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let names = F::Arguments::fields();
        let object =
            Value::object(names.iter().map(|field| field.name).zip(arguments.iter().cloned()));
        let arguments = F::Arguments::from_value(&object).map_err(|error| {
            let position = match error.path.steps().first() {
                Some(Step::Attribute(name)) => names.iter().position(|field| field.name == name),
                _ => None,
            };
            FunctionError { text: error.to_string(), argument: position }
        })?;
        self.0.call(arguments).map(Content::write)
    }
}
