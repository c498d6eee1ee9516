//! Get Blob with ranges, its properties, its block list.

use std::fmt::Write as _;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, SeekFrom};

use super::Call;
use super::errors::{BlobError, NO_BLOB, error, escape};
use super::meta::{Kind, Meta, check_conditions};
use super::past;
use crate::front::now_ms;
use crate::front::wire::{self, Reply};

const CHUNK_BYTES: usize = 256 * 1024;
/// Writes that a read may meet one after the other.
const OPEN_TRIES: u32 = 8;

/// The blob, if the caller may read it and its conditions hold.
async fn find(call: &Call<'_>) -> Result<(Meta, std::path::PathBuf), BlobError> {
    call.allow("read")?;
    let index = call.shared.blobs.index().await;
    let current = index.get(&call.place()).and_then(|blobs| blobs.get(&call.blob)).cloned();
    let wanted = call.query("versionid");
    let current = current.filter(|meta| wanted.is_empty() || meta.version == wanted);
    let meta = current.or_else(|| past::version(call)).ok_or(NO_BLOB)?;
    check_conditions(&call.headers, Some(&meta), true)?;
    let path = call.shared.blobs.data(&call.account, &call.container, &meta);
    Ok((meta, path))
}

/// First and last byte of a range header, if it says something that we follow.
fn range(call: &Call<'_>, length: u64) -> Result<Option<(u64, u64)>, BlobError> {
    let header = call.header("x-ms-range").or_else(|| call.header("range"));
    let Some(text) = header.and_then(|h| h.strip_prefix("bytes=")) else { return Ok(None) };
    let Some((first, last)) = text.split_once('-') else { return Ok(None) };
    let Ok(first) = first.parse::<u64>() else { return Ok(None) };
    let last = last.parse::<u64>().unwrap_or(u64::MAX).min(length.saturating_sub(1));
    if first >= length || last < first {
        return Err(error(
            416,
            "InvalidRange",
            "The range specified is invalid for the current size of the resource.",
        ));
    }
    Ok(Some((first, last)))
}

/// A blob and its content. A write may put another content in its place between two looks: then it is looked for anew, as
/// the service answers with the one or the other.
async fn open(call: &Call<'_>) -> Result<(Meta, tokio::fs::File), BlobError> {
    let mut tries = 0;
    loop {
        let (meta, path) = find(call).await?;
        match tokio::fs::File::open(path).await {
            Ok(file) => return Ok((meta, file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && tries < OPEN_TRIES => {
                tries += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Get Blob and Get Blob Properties.
pub(crate) async fn get(call: &Call<'_>) -> Result<Reply, BlobError> {
    let (meta, mut file) = open(call).await?;
    if call.head {
        let mut reply = wire::reply(200, "", "");
        meta.describe(&mut reply, now_ms());
        wire::set(&mut reply, "content-length", &meta.length.to_string());
        return Ok(reply);
    }
    let range = range(call, meta.length)?;
    let (first, last) = range.unwrap_or((0, meta.length.saturating_sub(1)));
    let count = if meta.length == 0 { 0 } else { last - first + 1 };
    file.seek(SeekFrom::Start(first)).await?;
    let chunks = stream::try_unfold((file, count), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let wanted = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let mut chunk = vec![0; wanted];
        file.read_exact(&mut chunk).await?;
        Ok(Some((Frame::data(Bytes::from(chunk)), (file, left - wanted as u64))))
    });
    let mut reply = http::Response::new(BodyExt::boxed(StreamBody::new(chunks)));
    if range.is_some() {
        *reply.status_mut() = http::StatusCode::PARTIAL_CONTENT;
    }
    meta.describe(&mut reply, now_ms());
    wire::set(&mut reply, "content-length", &count.to_string());
    if range.is_some() {
        let text = format!("bytes {first}-{last}/{}", meta.length);
        wire::set(&mut reply, "content-range", &text);
        // A stored MD5 is the whole blob's.
        if let Some(md5) = reply.headers_mut().remove("content-md5") {
            reply.headers_mut().insert("x-ms-blob-content-md5", md5);
        }
    }
    Ok(reply)
}

/// Get Blob Metadata.
pub(crate) async fn properties(call: &Call<'_>) -> Result<Reply, BlobError> {
    let (meta, _) = find(call).await?;
    let mut reply = wire::reply(200, "", "");
    meta.describe(&mut reply, now_ms());
    Ok(reply)
}

/// Get Block List.
pub(crate) async fn block_list(call: &Call<'_>) -> Result<Reply, BlobError> {
    call.allow("read")?;
    let index = call.shared.blobs.index().await;
    let meta = index.get(&call.place()).and_then(|blobs| blobs.get(&call.blob));
    let folder = call.shared.blobs.blocks(&call.account, &call.container, &call.blob);
    let uncommitted = super::write::uncommitted(&folder);
    if meta.is_none() && uncommitted.is_empty() {
        return Err(NO_BLOB);
    }
    if meta.is_some_and(|m| m.kind != Kind::BlockBlob) {
        return Err(super::errors::WRONG_TYPE);
    }
    let wanted = call.query("blocklisttype").to_ascii_lowercase();
    let rows = |blocks: &[(String, u64)]| {
        blocks.iter().fold(String::new(), |mut rows, (id, size)| {
            let _ = write!(rows, "<Block><Name>{}</Name><Size>{size}</Size></Block>", escape(id));
            rows
        })
    };
    let mut xml = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>".to_owned();
    if ["", "committed", "all"].contains(&wanted.as_str()) {
        let blocks = meta.map_or(&[][..], |m| m.blocks.as_slice());
        let _ = write!(xml, "<CommittedBlocks>{}</CommittedBlocks>", rows(blocks));
    }
    if ["uncommitted", "all"].contains(&wanted.as_str()) {
        let _ = write!(xml, "<UncommittedBlocks>{}</UncommittedBlocks>", rows(&uncommitted));
    }
    xml.push_str("</BlockList>");
    let mut reply = wire::reply(200, "application/xml", xml);
    if let Some(meta) = meta {
        meta.stamp(&mut reply);
        wire::set(&mut reply, "x-ms-blob-content-length", &meta.length.to_string());
    }
    Ok(reply)
}
