//! Logs as Terraform wants them: one JSON object a line on standard error, in hclog's form.
//!
//! Terraform shows them under `TF_LOG` and drops them otherwise, so without it only warnings and
//! errors are written at all. Every line that is written while a call is answered carries the
//! fields of that call, see [`call`].

mod call;

use std::fmt;
use std::io::Write as _;

use serde_json::{Map, Value as Json};
use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Scope};

pub(crate) use call::{call_span, note_subject};

/// Crates below us whose inner workings nobody wants to read, only their warnings.
const QUIET: [&str; 6] = ["h2", "hyper", "hyper_util", "rustls", "tonic", "tower"];

/// Sends the events of this process to standard error, unless the author has arranged otherwise.
pub(crate) fn install() {
    let _ =
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(log_layer()));
}

/// The layer by which Terraform gets a provider's log, for an author who sends spans elsewhere, too: whoever sets a
/// subscriber of their own before they serve puts this one under it. It filters for itself alone.
pub fn log_layer<S: Subscriber + for<'s> LookupSpan<'s>>() -> impl Layer<S> {
    let wanted = ["TF_LOG_PROVIDER", "TF_LOG"].iter().find_map(|name| std::env::var(name).ok());
    let level = level(wanted.as_deref());
    let wanted = filter_fn(move |metadata| {
        let root = metadata.target().split("::").next().unwrap_or_default();
        let level = if QUIET.contains(&root) { level.min(LevelFilter::WARN) } else { level };
        *metadata.level() <= level
    });
    HclogLayer.with_filter(wanted.with_max_level_hint(level))
}

fn level(wanted: Option<&str>) -> LevelFilter {
    match wanted.map(str::to_ascii_uppercase).as_deref() {
        Some("TRACE" | "JSON") => LevelFilter::TRACE,
        Some("DEBUG") => LevelFilter::DEBUG,
        Some("INFO") => LevelFilter::INFO,
        Some("ERROR") => LevelFilter::ERROR,
        Some("OFF") => LevelFilter::OFF,
        _ => LevelFilter::WARN,
    }
}

/// A layer that writes hclog's JSON lines.
struct HclogLayer;

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for HclogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut fields = Fields(Map::new());
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut line = line(event, &ctx, OffsetDateTime::now_utc()).into_bytes();
        line.push(b'\n');
        // One write, so that lines do not mix; there is nowhere to report a failure to.
        let _ = std::io::stderr().write_all(&line);
    }
}

/// One event with the fields of the spans around it; the innermost wins.
fn line<S: Subscriber + for<'s> LookupSpan<'s>>(
    event: &Event<'_>,
    ctx: &Context<'_, S>,
    now: OffsetDateTime,
) -> String {
    let metadata = event.metadata();
    let mut fields = Fields(Map::new());
    for span in ctx.event_scope(event).into_iter().flat_map(Scope::from_root) {
        if let Some(around) = span.extensions().get::<Fields>() {
            fields.0.extend(around.0.clone());
        }
    }
    event.record(&mut fields);
    let mut entry = fields.0;
    entry.insert("@level".to_owned(), level_name(*metadata.level()).into());
    entry.insert("@module".to_owned(), metadata.target().replace("::", ".").into());
    entry.insert("@timestamp".to_owned(), timestamp(now).into());
    Json::Object(entry).to_string()
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::TRACE => "trace",
        Level::DEBUG => "debug",
        Level::INFO => "info",
        Level::WARN => "warn",
        Level::ERROR => "error",
    }
}

/// The time with exactly six places, the only form that the other side reads.
fn timestamp(time: OffsetDateTime) -> String {
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second, micros) = time.to_hms_micro();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// The fields of an event; the message under hclog's name.
struct Fields(Map<String, Json>);

impl Fields {
    fn insert(&mut self, field: &Field, value: impl Into<Json>) {
        let name = if field.name() == "message" { "@message" } else { field.name() };
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Writes lines where a test can read them.
    #[derive(Clone, Default)]
    struct Capture(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Capture {
        fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
            HclogLayer.on_new_span(attributes, id, ctx);
        }

        fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
            HclogLayer.on_record(id, values, ctx);
        }

        fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
            let time = OffsetDateTime::from_unix_timestamp(1_000_000_000).unwrap();
            self.0.lock().unwrap().push(line(event, &ctx, time));
        }
    }

    fn captured(action: impl FnOnce()) -> Vec<String> {
        let capture = Capture::default();
        let subscriber = tracing_subscriber::registry().with(capture.clone());
        tracing::subscriber::with_default(subscriber, action);
        Arc::into_inner(capture.0).unwrap().into_inner().unwrap()
    }

    #[test]
    fn an_event_is_one_line_in_the_form_of_hclog() {
        let lines = captured(|| {
            tracing::warn!(target: "example::boxes", attempt = 2, name = "a\nb", "not yet");
        });
        let expected = concat!(
            r#"{"@level":"warn","@message":"not yet","@module":"example.boxes","#,
            r#""@timestamp":"2001-09-09T01:46:40.000000Z","attempt":2,"name":"a\nb"}"#
        );
        assert_eq!(lines, [expected]);
    }

    #[test]
    fn an_event_carries_the_fields_of_its_call() {
        let lines = captured(|| {
            let span = call_span("read_resource", "req-1");
            let _inside = span.enter();
            note_subject("tf_resource_type", "example_box");
            tracing::info!(target: "example", "looked");
        });
        let line: Json = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["tf_rpc"], "ReadResource");
        assert_eq!(line["tf_req_id"], "req-1");
        assert_eq!(line["tf_resource_type"], "example_box");
        assert_eq!(line["tf_action_type"], Json::Null);
    }

    #[test]
    fn the_level_is_the_one_that_terraform_logs_at() {
        assert_eq!(level(None), LevelFilter::WARN);
        assert_eq!(level(Some("debug")), LevelFilter::DEBUG);
        assert_eq!(level(Some("JSON")), LevelFilter::TRACE);
        assert_eq!(level(Some("off")), LevelFilter::OFF);
    }
}
