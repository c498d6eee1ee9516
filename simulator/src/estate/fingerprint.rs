//! One number for everything in an estate that whoever plans next could tell from another: two estates of the same
//! fingerprint lead to the same next run. Times, etags, run ids and what the servers said last are left out.

use std::hash::{Hash, Hasher};

use hcs_planner::dataplane::{blob, container};
use serde_json::Value;

use super::Estate;
use crate::trace::TraceHasher;

/// See the head of this file.
pub fn fingerprint(estate: &Estate) -> u64 {
    let mut hash = TraceHasher::default();
    for (key, resource) in estate.world.resources.iter() {
        (key, resource.state.as_str(), resource.hidden, resource.busy.is_some()).hash(&mut hash);
        value(&resource.body, &mut hash);
        value(&resource.secret, &mut hash);
    }
    for (account, container, name, blob) in estate.blobs.all() {
        if container.starts_with("status-") {
            continue;
        }
        (account, container, name).hash(&mut hash);
        if is_document(container) {
            match serde_json::from_slice::<Value>(&blob.bytes) {
                Ok(mut body) => {
                    // What a closed record was about is history.
                    let volatile: &[&str] = match (name, body["phase"].as_str()) {
                        (blob::RUN, Some("closed")) => {
                            &["run_id", "beats", "generation", "holder", "step", "operation"]
                        }
                        (blob::RUN, _) => &["run_id", "beats", "generation", "holder", "step"],
                        _ => &["generation"],
                    };
                    for field in volatile {
                        body.as_object_mut().map(|body| body.remove(*field));
                    }
                    value(&body, &mut hash);
                }
                Err(_) => blob.bytes.hash(&mut hash),
            }
        }
    }
    hash.finish()
}

/// Keys and certificates count by their names: two that were made at different moments serve as well as each other.
fn is_document(name: &str) -> bool {
    name == container::CONFIG || name == container::REQUESTS
}

fn value(body: &Value, hash: &mut impl Hasher) {
    match body {
        Value::String(text) if is_time(text) => 1_u8.hash(hash),
        Value::Array(items) => {
            items.len().hash(hash);
            for item in items {
                value(item, hash);
            }
        }
        Value::Object(fields) => {
            fields.len().hash(hash);
            for (name, field) in fields {
                name.hash(hash);
                value(field, hash);
            }
        }
        other => other.hash(hash),
    }
}

/// `2026-11-27T…`
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[7] == b'-' && bytes[10] == b'T'
}
