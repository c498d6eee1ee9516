//! OTLP traces of runs: a span for each call of Terraform, each step and each request to Resource Manager. Off unless the
//! usual variables name a collector (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`); the other
//! `OTEL_*` variables count as OpenTelemetry describes them.
//!
//! Spans carry ids, codes and times. No body, no header and no URL that Azure signed is in them.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

const SERVICE: &str = "terraform-provider-hcs";
/// Rooms whose spans are told.
const ROOMS: [&str; 3] = ["hcs_engine", "tfplugin", "terraform_provider_hcs"];

/// Sends what is left when it is dropped.
pub(crate) struct Traces(SdkTracerProvider);

impl Drop for Traces {
    fn drop(&mut self) {
        // There is nobody left to be told.
        let _ = self.0.shutdown();
    }
}

/// Whether the variables ask for traces.
fn are_wanted(get: impl Fn(&str) -> Option<String>) -> bool {
    let is = |name: &str, word: &str| get(name).is_some_and(|text| text.eq_ignore_ascii_case(word));
    let has = |name: &str| get(name).is_some_and(|text| !text.trim().is_empty());
    !is("OTEL_SDK_DISABLED", "true")
        && !is("OTEL_TRACES_EXPORTER", "none")
        && (has("OTEL_EXPORTER_OTLP_ENDPOINT") || has("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
}

/// Begins to send traces, if that is wanted. A collector that cannot be used never keeps a run from its work.
pub(crate) fn begin() -> Option<Traces> {
    if !are_wanted(|name| std::env::var(name).ok()) {
        return None;
    }
    let exporter = match SpanExporter::builder().with_http().build() {
        Ok(exporter) => exporter,
        Err(error) => {
            let subscriber = tracing_subscriber::registry().with(tfplugin::log_layer());
            let _ = tracing::subscriber::set_global_default(subscriber);
            tracing::warn!(%error, "no traces: the OTEL_* variables cannot be used");
            return None;
        }
    };
    let named = std::env::var("OTEL_SERVICE_NAME").is_ok();
    let resource = Resource::builder();
    let resource = if named { resource } else { resource.with_service_name(SERVICE) };
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.build())
        .with_batch_exporter(exporter)
        .build();
    let rooms = Targets::new().with_targets(ROOMS.map(|room| (room, LevelFilter::INFO)));
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SERVICE))
        .with_location(false)
        .with_threads(false)
        .with_filter(rooms);
    let subscriber = tracing_subscriber::registry().with(tfplugin::log_layer()).with(spans);
    let _ = tracing::subscriber::set_global_default(subscriber);
    Some(Traces(provider))
}

#[cfg(test)]
mod tests {
    use super::are_wanted;

    #[test]
    fn traces_are_off_unless_a_collector_is_named() {
        let table: [(&[(&str, &str)], bool); 7] = [
            (&[], false),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")], true),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost:4318/v1/traces")], true),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], false),
            (&[("OTEL_SERVICE_NAME", "x")], false),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x"), ("OTEL_SDK_DISABLED", "TRUE")], false),
            (
                &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x"), ("OTEL_TRACES_EXPORTER", "none")],
                false,
            ),
        ];
        for (variables, wanted) in table {
            let get = |name: &str| {
                let found = variables.iter().find(|(own, _)| *own == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(are_wanted(get), wanted, "{variables:?}");
        }
    }
}
