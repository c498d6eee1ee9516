//! Calls a function.

use std::sync::Arc;

use tfplugin_proto::tfplugin6 as proto;
use tfplugin_proto::tfplugin6::call_function::{Request, Response};

use crate::server::{Server, Shape};
use crate::{Context, Diagnostic, Diagnostics, FunctionError, Signature, Value};

pub(super) async fn call(
    server: Arc<Server>,
    _: Context,
    request: Request,
) -> Result<Response, Diagnostics> {
    let function = server.catalog().function(&request.name)?;
    let signature = function.signature();
    let arguments = arguments(&request, &signature)?;
    Ok(match function.call(&arguments) {
        Ok(result) => {
            let result = Shape::of_type(&request.name, signature.result).encode_known(result)?;
            Response { result: Some(result), error: None }
        }
        Err(error) => Response { result: None, error: Some(failure(error)) },
    })
}

fn arguments(request: &Request, signature: &Signature) -> Result<Vec<Value>, Diagnostics> {
    let decode = |(position, argument)| {
        let parameter = signature.parameter_at(position).ok_or_else(|| surplus(&request.name))?;
        Shape::of_type(&parameter.name, parameter.ty.clone()).decode(Some(argument))
    };
    request.arguments.iter().enumerate().map(decode).collect()
}

fn surplus(name: &str) -> Diagnostics {
    Diagnostic::error("Too many arguments", format!("The function {name} takes fewer.")).into()
}

fn failure(error: FunctionError) -> proto::FunctionError {
    let argument = error.argument.and_then(|position| i64::try_from(position).ok());
    proto::FunctionError { text: error.text, function_argument: argument }
}
