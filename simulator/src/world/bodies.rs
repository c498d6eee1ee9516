//! Bodies as Microsoft defines them, at the door of every resource provider.

use serde_json::Value;

use super::World;
use super::errors::{Answer, ArmError};
use super::http::{Method, Request};
use crate::definitions::{Complaint, Definitions, Fault};

impl World {
    /// Refuses a body that is not what its definition says, in the provider's words.
    pub(crate) fn check_body(
        &mut self,
        req: &Request,
        namespace: &str,
        version: &str,
    ) -> Answer<()> {
        let takes_one = matches!(req.method, Method::Put | Method::Patch | Method::Post);
        // What is no object at all is refused by ARM itself.
        if !takes_one || !(req.body.is_object() || req.body.is_null()) {
            return Ok(());
        }
        let definitions = Definitions::built_in();
        let Some(operation) = definitions.find(req.method, &req.path, version) else {
            return Ok(());
        };
        let now = self.visible(&req.path).map(|there| self.render(there));
        let complaints = definitions.judge(operation, &req.path, &req.body, now.as_ref());
        *self.bodies.entry(operation.name.clone()).or_default() += 1;
        complaints.first().map_or(Ok(()), |first| Err(refusal(namespace, first, &req.body)))
    }

    /// How many bodies of each of Microsoft's operations were held against its definition.
    pub fn bodies(&self) -> &std::collections::BTreeMap<String, u64> {
        &self.bodies
    }
}

/// Network's provider wraps what its parser says; the others say it as it is.
fn refusal(namespace: &str, complaint: &Complaint, body: &Value) -> ArmError {
    let path = &complaint.path;
    let (code, text) = match &complaint.fault {
        Fault::Unknown { name, of } => (
            "InvalidJson",
            format!("Could not find member '{name}' on object of type '{of}'. Path '{path}'."),
        ),
        Fault::ReadOnly => {
            ("InvalidParameter", format!("Property '{path}' is read-only and cannot be set."))
        }
        Fault::Word { found, known } => (
            "InvalidParameter",
            format!(
                "The value '{found}' of parameter '{path}' is not allowed. Allowed values are '{known}'."
            ),
        ),
        Fault::Missing => {
            ("MissingJsonPropertyInRequest", format!("Property {path} is missing in the request."))
        }
        Fault::Type { expected } => (
            "InvalidJson",
            format!(
                "Error converting value {} to type '{expected}'. Path '{path}'.",
                at(body, path)
            ),
        ),
        Fault::Range { found } => (
            "InvalidParameter",
            format!("The value {found} of parameter '{path}' is out of range."),
        ),
    };
    if namespace.eq_ignore_ascii_case("Microsoft.Network") {
        return ArmError::new(400, "InvalidRequestFormat", "Cannot parse the request.")
            .detail(code, text);
    }
    if code == "InvalidParameter" {
        return ArmError::new(400, code, text);
    }
    let text = format!("The request content was invalid and could not be deserialized: '{text}'.");
    ArmError::new(400, "InvalidRequestContent", text)
}

/// What stands at a path, for a sentence.
fn at(body: &Value, path: &str) -> String {
    let pointer = path.replace('[', ".").replace(']', "").replace('.', "/");
    body.pointer(&format!("/{pointer}")).map_or_else(String::new, Value::to_string)
}
