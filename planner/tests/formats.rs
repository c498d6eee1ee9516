//! Skew is a contract: what a released version wrote is read for ever, and what a newer one writes makes nobody mute.
//!
//! `formats/N/` holds documents as a version of form N wrote them. They are added to and never changed.

use std::collections::BTreeMap;
use std::path::Path;

use hcs_planner::assumed::assumed;
use hcs_planner::dataplane::{BootstrapConfig, ClusterDocument, FORMAT, ServerPhase, ServerStatus};
use hcs_planner::observed::ReadyDocument;
use hcs_planner::plan::{Action, plan};
use hcs_planner::requests::{Request, RequestAction};
use hcs_planner::snapshots::policy::{OnDelete, SnapshotPolicyDocument};
use hcs_planner::spec::ClusterSpec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Reads a document and writes it again.
type Again = fn(Value) -> serde_json::Result<Value>;

fn again<T: DeserializeOwned + Serialize>(document: Value) -> serde_json::Result<Value> {
    serde_json::to_value(serde_json::from_value::<T>(document)?)
}

const DOCUMENTS: [(&str, Again); 6] = [
    ("bootstrap", again::<BootstrapConfig>),
    ("cluster", again::<ClusterDocument>),
    ("policy", again::<SnapshotPolicyDocument>),
    ("ready", again::<ReadyDocument>),
    ("request", again::<Request>),
    ("status", again::<ServerStatus>),
];

/// Those that a program of another version may write again.
const REWRITTEN: [&str; 2] = ["cluster", "policy"];

fn fixtures(form: u32) -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/formats/{form}"));
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = files.map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    });
    named.collect()
}

#[test]
fn every_released_form_is_read_and_loses_nothing() {
    for form in 1..=FORMAT {
        let documents = fixtures(form);
        assert_eq!(documents.len(), DOCUMENTS.len(), "form {form}");
        for (name, again) in DOCUMENTS {
            let written = &documents[name];
            assert_eq!(&again(written.clone()).unwrap(), written, "form {form}: {name}");
        }
    }
}

/// Unknown fields at every depth, as a newer version writes them, and each field that may be absent taken away.
#[test]
fn what_a_newer_version_adds_is_read_and_kept_where_it_is_written_again() {
    fn grown(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let mut fields: serde_json::Map<String, Value> =
                    fields.iter().map(|(name, value)| (name.clone(), grown(value))).collect();
                fields.insert("added_later".to_owned(), json!({ "deep": [1, "a"] }));
                Value::Object(fields)
            }
            Value::Array(items) => items.iter().map(grown).collect(),
            other => other.clone(),
        }
    }
    let documents = fixtures(FORMAT);
    for (name, again) in DOCUMENTS {
        let mut newer = grown(&documents[name]);
        if newer.get("format").is_some() {
            newer["format"] = json!(FORMAT + 1);
        }
        let read = again(newer.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        if REWRITTEN.contains(&name) {
            assert_eq!(read["added_later"], newer["added_later"], "{name}");
            assert_eq!(read["format"], FORMAT + 1, "{name}");
        }
    }
}

#[test]
fn a_word_of_a_newer_version_makes_no_document_unreadable() {
    let documents = fixtures(FORMAT);
    let with = |name: &str, field: &str| {
        let mut document = documents[name].clone();
        document[field] = json!("something_new");
        document
    };
    let status: ServerStatus = serde_json::from_value(with("status", "phase")).unwrap();
    assert_eq!(status.phase, ServerPhase::Unknown);
    let request: Request = serde_json::from_value(with("request", "action")).unwrap();
    assert_eq!(request.action, RequestAction::Unknown);
    let policy: SnapshotPolicyDocument =
        serde_json::from_value(with("policy", "on_delete")).unwrap();
    assert_eq!(policy.on_delete, OnDelete::Unknown);
}

#[test]
fn an_older_provider_keeps_what_it_does_not_know_and_refuses_what_it_must_not_write() {
    let spec = ClusterSpec::new("00000000-0000-0000-0000-000000000001", "demo", "rg", "westeurope");
    let mut observed = assumed(&spec);
    let document = observed.document.as_mut().unwrap();
    document.form.format = FORMAT + 1;
    document.form.unknown.insert("added_later".to_owned(), json!({ "a": 1 }));
    assert!(plan(&spec, &observed).unwrap().steps().is_empty(), "nothing is to change");
    let longer = ClusterSpec { server_certificate_ttl_seconds: 7200, ..spec.clone() };
    let changed = plan(&longer, &observed).unwrap();
    let written = changed.steps().into_iter().find_map(|(_, step)| match &step.action {
        Action::WriteDocument { name, content, .. } if name == "cluster.json" => Some(content),
        _ => None,
    });
    let written = written.unwrap();
    assert_eq!(written["added_later"], json!({ "a": 1 }));
    assert_eq!(written["format"], FORMAT + 1);

    observed.document.as_mut().unwrap().form.needs_format = FORMAT + 1;
    let refused = plan(&longer, &observed).unwrap_err().to_string();
    assert_eq!(
        refused,
        format!(
            "cluster.json was written by a newer provider (form {}; this one knows {FORMAT}): use that version; \
             nothing was changed",
            FORMAT + 1
        )
    );
    let mut observed = assumed(&spec);
    observed.stored_spec.as_mut().unwrap().needs_format = FORMAT + 1;
    assert!(plan(&spec, &observed).unwrap_err().to_string().starts_with("spec.json was written"));
}
