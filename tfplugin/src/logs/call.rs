//! What every line says that is written while one call is answered.
//!
//! The fields are named as in providers on HashiCorp's SDKs, so that what people filter their logs
//! by works here too.

use tracing::Span;
use tracing::field::Empty;

/// The span of one call: its name and an id of its own.
pub(crate) fn call_span(call: &str, request_id: &str) -> Span {
    // At the level of errors, so that whatever is written at all can be told apart.
    tracing::error_span!(
        "call",
        tf_rpc = rpc_name(call),
        tf_req_id = request_id,
        tf_resource_type = Empty,
        tf_data_source_type = Empty,
        tf_ephemeral_resource_type = Empty,
        tf_list_resource_type = Empty,
        tf_action_type = Empty,
        tf_function = Empty,
    )
}

/// Says what the call that runs is about.
pub(crate) fn note_subject(field: &'static str, name: &str) {
    Span::current().record(field, name);
}

/// `read_resource` as the protocol writes it: `ReadResource`.
fn rpc_name(call: &str) -> String {
    let mut name = String::new();
    for word in call.split('_') {
        let (first, rest) = word.split_at(word.len().min(1));
        name.push_str(&first.to_ascii_uppercase());
        name.push_str(rest);
    }
    name
}
