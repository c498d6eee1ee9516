//! List Blobs: XML, by prefix, in pages.

use std::fmt::Write as _;

use super::Call;
use super::errors::{BAD_HEADER, BlobError, escape};
use super::meta::Meta;
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
    let with_metadata = call.query("include").split(',').any(|word| word == "metadata");
    let index = call.shared.blobs.index().await;
    let mut rows = String::new();
    let (mut count, mut next, mut folder) = (0, String::new(), String::new());
    let blobs = index.get(&call.place());
    let from = if marker.is_empty() { prefix } else { marker };
    for (name, meta) in blobs.into_iter().flat_map(|b| b.range(from.to_owned()..)) {
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
            row(&mut rows, meta, with_metadata);
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

fn row(rows: &mut String, meta: &Meta, with_metadata: bool) {
    let (state, status) = meta.lease.state(now_ms()).words();
    let content = |name: &str| meta.content.get(name).map_or(String::new(), |v| escape(v));
    // Writing to a string cannot fail.
    let _ = write!(
        rows,
        "<Blob><Name>{}</Name><Properties><Creation-Time>{}</Creation-Time>\
         <Last-Modified>{}</Last-Modified><Etag>{}</Etag><Content-Length>{}</Content-Length>\
         <Content-Type>{}</Content-Type><Content-Encoding>{}</Content-Encoding>\
         <Content-Language>{}</Content-Language><Content-MD5>{}</Content-MD5>\
         <Cache-Control>{}</Cache-Control><Content-Disposition>{}</Content-Disposition>\
         <BlobType>{}</BlobType><LeaseStatus>{status}</LeaseStatus>\
         <LeaseState>{state}</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties>",
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
