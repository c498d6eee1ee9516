//! How each call says that it failed.

use tfplugin_proto::tfplugin6 as proto;

use super::wire;
use crate::Diagnostics;

/// The reply of a call.
pub(super) trait Reply: Send + 'static {
    /// The reply when the call has come to nothing.
    fn failed(diagnostics: Diagnostics) -> Self;

    /// Adds what the author told the user on the way.
    fn tell(&mut self, messages: Diagnostics);
}

macro_rules! replies_with_diagnostics {
    ($($call:ident),* $(,)?) => {$(
        impl Reply for proto::$call::Response {
            fn failed(diagnostics: Diagnostics) -> Self {
                let mut reply = Self::default();
                reply.diagnostics = wire::diagnostics(diagnostics);
                reply
            }

            fn tell(&mut self, messages: Diagnostics) {
                self.diagnostics.extend(wire::diagnostics(messages));
            }
        }
    )*};
}

replies_with_diagnostics!(
    apply_resource_change,
    close_ephemeral_resource,
    configure_provider,
    generate_resource_config,
    get_functions,
    get_metadata,
    get_provider_schema,
    get_resource_identity_schemas,
    import_resource_state,
    move_resource_state,
    open_ephemeral_resource,
    plan_action,
    plan_resource_change,
    read_data_source,
    read_resource,
    renew_ephemeral_resource,
    upgrade_resource_identity,
    upgrade_resource_state,
    validate_action_config,
    validate_data_resource_config,
    validate_ephemeral_resource_config,
    validate_list_resource_config,
    validate_provider_config,
    validate_resource_config,
);

impl Reply for proto::call_function::Response {
    fn failed(diagnostics: Diagnostics) -> Self {
        let error = proto::FunctionError { text: text(&diagnostics), function_argument: None };
        Self { error: Some(error), result: None }
    }

    /// A function has no room for messages.
    fn tell(&mut self, _: Diagnostics) {}
}

impl Reply for proto::stop_provider::Response {
    fn failed(diagnostics: Diagnostics) -> Self {
        Self { error: text(&diagnostics) }
    }

    fn tell(&mut self, _: Diagnostics) {}
}

fn text(diagnostics: &Diagnostics) -> String {
    let texts = diagnostics.iter().map(|diagnostic| match diagnostic.detail.as_str() {
        "" => diagnostic.summary.clone(),
        detail => format!("{}: {detail}", diagnostic.summary),
    });
    texts.collect::<Vec<_>>().join("\n")
}
