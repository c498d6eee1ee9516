//! List Blobs: XML, by prefix, in pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::Call;
use super::errors::{BAD_HEADER, BlobError, escape};
use super::meta::Meta;
use super::past::{self, Form, Past};
use crate::front::now_ms;
use crate::front::wire::{self, Reply};
use crate::world::fault::http_date;

const MAX_RESULTS: usize = 5000;

/// List Blobs.
pub(crate) async fn blobs(call: &Call<'_>) -> Result<Reply, BlobError> {
    call.allow("read")?;
    let (prefix, delimiter) = (call.query("prefix"), call.query("delimiter"));
    let marker = call.query("marker");
    let wanted = match call.query("maxresults") {
        "" => MAX_RESULTS,
        text => text.parse::<usize>().ok().filter(|n| *n > 0).ok_or(BAD_HEADER)?,
    };
    let includes = |wanted: &str| call.query("include").split(',').any(|word| word == wanted);
    let with_metadata = includes("metadata");
    let mut kept = Kept::default();
    for past in past::all(call) {
        let is_shown = match (past.deleted_ms, past.form) {
            (None, _) => includes("versions"),
            (Some(_), Form::Blob) => includes("deleted"),
            (Some(_), Form::Version) => includes("deleted") && includes("versions"),
            (Some(_), Form::Snapshot) => includes("deleted") && includes("snapshots"),
        };
        if is_shown {
            kept.entry(past.meta.name.clone()).or_default().push(past);
        }
    }
    let index = call.shared.blobs.index().await;
    let mut rows = String::new();
    let (mut count, mut next, mut folder) = (0, String::new(), String::new());
    let none = BTreeMap::new();
    let blobs = index.get(&call.place()).unwrap_or(&none);
    let from = if marker.is_empty() { prefix } else { marker };
    let names: BTreeSet<&String> = blobs.keys().chain(kept.keys()).collect();
    for name in names.into_iter().filter(|name| name.as_str() >= from) {
        let Some(rest) = name.strip_prefix(prefix) else {
            if name.as_str() > prefix && !name.starts_with(prefix) {
                break;
            }
            continue;
        };
        let split = (!delimiter.is_empty()).then(|| rest.find(delimiter)).flatten();
        if let Some(at) = split {
            let own = &name[..prefix.len() + at + delimiter.len()];
            if own == folder {
                continue;
            }
        }
        if count == wanted.min(MAX_RESULTS) {
            next.clone_from(name);
            break;
        }
        count += 1;
        if let Some(at) = split {
            name[..prefix.len() + at + delimiter.len()].clone_into(&mut folder);
            let _ = write!(rows, "<BlobPrefix><Name>{}</Name></BlobPrefix>", escape(&folder));
        } else {
            for past in kept.get(name).into_iter().flatten() {
                row(&mut rows, &past.meta, Some(past), "", with_metadata);
            }
            if let Some(meta) = blobs.get(name) {
                let version = if includes("versions") { meta.version.as_str() } else { "" };
                row(&mut rows, meta, None, version, with_metadata);
            }
        }
    }
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults \
         ServiceEndpoint=\"{}/{}/\" ContainerName=\"{}\"><Prefix>{}</Prefix><Marker>{}</Marker>\
         <MaxResults>{wanted}</MaxResults><Blobs>{rows}</Blobs><NextMarker>{}</NextMarker>\
         </EnumerationResults>",
        call.shared.endpoint,
        call.account,
        escape(&call.container),
        escape(prefix),
        escape(marker),
        escape(&next)
    );
    Ok(wire::reply(200, "application/xml", xml))
}

type Kept = BTreeMap<String, Vec<Past>>;

/// One blob. `past`: as what it is kept; `version`: the current version, where versions are asked for.
fn row(rows: &mut String, meta: &Meta, past: Option<&Past>, version: &str, with_metadata: bool) {
    let (state, status) = meta.lease.state(now_ms()).words();
    let mut marks = String::new();
    match past.map(|past| past.form) {
        Some(Form::Version) => {
            let _ = write!(marks, "<VersionId>{}</VersionId>", meta.version);
        }
        Some(Form::Snapshot) => {
            let _ = write!(marks, "<Snapshot>{}</Snapshot>", meta.version);
        }
        None if !version.is_empty() => {
            let _ = write!(
                marks,
                "<VersionId>{version}</VersionId><IsCurrentVersion>true</IsCurrentVersion>"
            );
        }
        _ => {}
    }
    let mut times = String::new();
    if let Some(at) = past.and_then(|past| past.deleted_ms) {
        marks.push_str("<Deleted>true</Deleted>");
        let _ = write!(times, "<DeletedTime>{}</DeletedTime>", http_date(at));
    }
    let content = |name: &str| meta.content.get(name).map_or(String::new(), |v| escape(v));
    // Writing to a string cannot fail.
    let _ = write!(
        rows,
        "<Blob><Name>{}</Name>{marks}<Properties><Creation-Time>{}</Creation-Time>\
         <Last-Modified>{}</Last-Modified><Etag>{}</Etag><Content-Length>{}</Content-Length>\
         <Content-Type>{}</Content-Type><Content-Encoding>{}</Content-Encoding>\
         <Content-Language>{}</Content-Language><Content-MD5>{}</Content-MD5>\
         <Cache-Control>{}</Cache-Control><Content-Disposition>{}</Content-Disposition>\
         <BlobType>{}</BlobType><LeaseStatus>{status}</LeaseStatus>\
         <LeaseState>{state}</LeaseState><ServerEncrypted>true</ServerEncrypted>{times}</Properties>",
        escape(&meta.name),
        http_date(meta.created_ms),
        http_date(meta.modified_ms),
        meta.etag.trim_matches('"'),
        meta.length,
        content("content-type"),
        content("content-encoding"),
        content("content-language"),
        content("content-md5"),
        content("cache-control"),
        content("content-disposition"),
        meta.kind.as_str(),
    );
    if with_metadata {
        rows.push_str("<Metadata>");
        for (name, value) in &meta.metadata {
            let _ = write!(rows, "<{name}>{}</{name}>", escape(value));
        }
        rows.push_str("</Metadata>");
    }
    rows.push_str("<OrMetadata /></Blob>");
}
