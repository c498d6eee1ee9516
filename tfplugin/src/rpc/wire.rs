//! Diagnostics, paths and signatures in their wire form.

use tfplugin_proto::tfplugin6 as proto;
use tfplugin_proto::tfplugin6::attribute_path::step::Selector;

use crate::path::{Path, Step};
use crate::provider::RawState;
use crate::{Diagnostic, Diagnostics, Parameter, Severity, Signature};

pub(super) fn diagnostics(diagnostics: Diagnostics) -> Vec<proto::Diagnostic> {
    diagnostics.into_iter().map(diagnostic).collect()
}

fn diagnostic(diagnostic: Diagnostic) -> proto::Diagnostic {
    let severity = match diagnostic.severity {
        Severity::Error => proto::diagnostic::Severity::Error,
        Severity::Warning => proto::diagnostic::Severity::Warning,
    };
    proto::Diagnostic {
        severity: severity.into(),
        summary: diagnostic.summary,
        detail: diagnostic.detail,
        attribute: diagnostic.path.filter(|path| !path.is_empty()).map(|path| self::path(&path)),
    }
}

pub(super) fn path(path: &Path) -> proto::AttributePath {
    let steps = path.steps().iter().map(|step| {
        let selector = match step {
            Step::Attribute(name) => Selector::AttributeName(name.clone()),
            Step::Key(key) => Selector::ElementKeyString(key.clone()),
            Step::Index(index) => Selector::ElementKeyInt(*index),
        };
        proto::attribute_path::Step { selector: Some(selector) }
    });
    proto::AttributePath { steps: steps.collect() }
}

pub(super) fn raw_state(raw: Option<proto::RawState>) -> RawState {
    match raw {
        Some(raw) if raw.json.is_empty() && !raw.flatmap.is_empty() => {
            RawState::Flatmap(raw.flatmap)
        }
        Some(raw) if !raw.json.is_empty() => RawState::Json(raw.json),
        _ => RawState::Json(b"null".to_vec()),
    }
}

/// Whether the caller understands write-only attributes.
pub(super) fn write_only_allowed(capabilities: Option<&proto::ClientCapabilities>) -> bool {
    capabilities.is_some_and(|capabilities| capabilities.write_only_attributes_allowed)
}

/// What this framework can do beyond the base protocol.
pub(super) fn server_capabilities() -> proto::ServerCapabilities {
    proto::ServerCapabilities {
        plan_destroy: true,
        get_provider_schema_optional: true,
        move_resource_state: true,
        generate_resource_config: false,
    }
}

/// The wire form of a function's signature.
pub(super) fn function(signature: &Signature) -> proto::Function {
    proto::Function {
        parameters: signature.parameters.iter().map(parameter).collect(),
        variadic_parameter: signature.variadic.as_ref().map(parameter),
        r#return: Some(proto::function::Return { r#type: signature.result.to_json() }),
        summary: signature.summary.clone(),
        description: signature.description.clone(),
        description_kind: proto::StringKind::Markdown.into(),
        deprecation_message: signature.deprecated.clone().unwrap_or_default(),
    }
}

fn parameter(parameter: &Parameter) -> proto::function::Parameter {
    proto::function::Parameter {
        name: parameter.name.clone(),
        r#type: parameter.ty.to_json(),
        allow_null_value: parameter.null_allowed,
        allow_unknown_values: parameter.unknown_allowed,
        description: parameter.description.clone(),
        description_kind: proto::StringKind::Markdown.into(),
    }
}
