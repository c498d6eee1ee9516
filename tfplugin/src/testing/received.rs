//! What comes back over the wire, as the author's words.

use tfplugin_proto::tfplugin6 as proto;
use tfplugin_proto::tfplugin6::attribute_path::step::Selector;

use crate::path::Step;
use crate::schema::Type;
use crate::{Diagnostic, Diagnostics, Path, Severity, Value};

/// The messages of a response.
pub(super) fn diagnostics(all: Vec<proto::Diagnostic>) -> Diagnostics {
    all.into_iter().map(diagnostic).collect()
}

/// The messages of a response; those that end a call as its failure.
pub(super) fn refused(all: Vec<proto::Diagnostic>) -> Result<(), Diagnostics> {
    let all = diagnostics(all);
    if all.has_errors() { Err(all) } else { Ok(()) }
}

fn diagnostic(sent: proto::Diagnostic) -> Diagnostic {
    let severity = match sent.severity() {
        proto::diagnostic::Severity::Warning => Severity::Warning,
        proto::diagnostic::Severity::Error => Severity::Error,
        other @ proto::diagnostic::Severity::Invalid => {
            panic!("a diagnostic of severity {other:?}")
        }
    };
    Diagnostic {
        severity,
        summary: sent.summary,
        detail: sent.detail,
        path: sent.attribute.map(path),
    }
}

/// A path.
pub(super) fn path(sent: proto::AttributePath) -> Path {
    sent.steps.into_iter().fold(Path::empty(), |path, step| {
        path.then(match step.selector.expect("a step of a path says which kind it is") {
            Selector::AttributeName(name) => Step::Attribute(name),
            Selector::ElementKeyString(key) => Step::Key(key),
            Selector::ElementKeyInt(index) => Step::Index(index),
        })
    })
}

/// A value of this type; one that is absent is null.
pub(super) fn value(sent: Option<&proto::DynamicValue>, ty: &Type) -> Value {
    let Some(sent) = sent else { return Value::Null };
    Value::from_msgpack(&sent.msgpack, ty)
        .unwrap_or_else(|error| panic!("a response holds a value that does not fit: {error}"))
}

/// The wire form of a value, write-only ones included, as Terraform sends it.
pub(super) fn sent(value: &Value, ty: &Type) -> proto::DynamicValue {
    let msgpack = value
        .to_msgpack(ty)
        .unwrap_or_else(|error| panic!("the test's value does not fit the schema: {error}"));
    proto::DynamicValue { msgpack: msgpack.into(), ..Default::default() }
}
