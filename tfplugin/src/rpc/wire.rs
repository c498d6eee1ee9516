//! Diagnostics, paths and signatures in their wire form.

use tfplugin_proto::tfplugin6 as proto;
use tfplugin_proto::tfplugin6::attribute_path::step::Selector;

use crate::path::{Path, Step};
use crate::provider::RawState;
use crate::server::Server;
use crate::{Context, Deferred, Diagnostic, Diagnostics, Parameter, Severity, Signature};

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

/// Tells the author what the caller can do.
pub(super) fn capable(ctx: &mut Context, capabilities: Option<&proto::ClientCapabilities>) {
    ctx.write_only_allowed =
        capabilities.is_some_and(|capabilities| capabilities.write_only_attributes_allowed);
    ctx.deferral_allowed = capabilities.is_some_and(|capabilities| capabilities.deferral_allowed);
}

/// Why something is put off; an error where the caller does not let it.
pub(super) fn deferred(
    ctx: &Context,
    deferred: Option<Deferred>,
) -> Result<Option<proto::Deferred>, Diagnostics> {
    use proto::deferred::Reason;
    let Some(deferred) = deferred else { return Ok(None) };
    let (reason, text) = match deferred {
        Deferred::ResourceConfigUnknown => {
            (Reason::ResourceConfigUnknown, "its configuration holds a value that is not known yet")
        }
        Deferred::ProviderConfigUnknown => {
            (Reason::ProviderConfigUnknown, "the provider's configuration is not known yet")
        }
        Deferred::AbsentPrerequisite => {
            (Reason::AbsentPrereq, "something that it needs is not there yet")
        }
    };
    if !ctx.deferral_allowed {
        return Err(Diagnostics::error(
            "Not possible yet",
            format!(
                "This has to wait: {text}. This Terraform does not put things off by itself: \
                 first apply what it depends on, with -target, then the rest."
            ),
        ));
    }
    Ok(Some(proto::Deferred { reason: reason.into() }))
}

/// What the module says to the provider.
pub(super) fn meta(
    ctx: &mut Context,
    server: &Server,
    sent: Option<&proto::DynamicValue>,
) -> Result<(), Diagnostics> {
    if let Some(meta) = &server.catalog().meta {
        ctx.provider_meta = meta.decode(sent)?;
    }
    Ok(())
}

/// What this framework can do beyond the base protocol.
pub(super) fn server_capabilities() -> proto::ServerCapabilities {
    proto::ServerCapabilities {
        plan_destroy: true,
        get_provider_schema_optional: true,
        move_resource_state: true,
        generate_resource_config: true,
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
