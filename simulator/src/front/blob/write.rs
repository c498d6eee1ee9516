//! Everything that changes blobs: Put Blob, blocks, appends, metadata, leases, Delete Blob.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Incoming;

use super::Call;
use super::errors::{BAD_HEADER, BlobError, IMMUTABLE, NO_BLOB, WRONG_TYPE, error};
use super::lease as lease_ops;
use super::meta::{Kind, Lease, Meta, check_conditions, content_of, metadata_of};
use super::past::{self, Cause};
use super::store::Index;
use crate::front::now_ms;
use crate::front::wire::{self, Reply};

const INVALID_BLOCKS: BlobError =
    error(400, "InvalidBlockList", "The specified block list is invalid.");

fn old<'i>(index: &'i Index, call: &Call<'_>) -> Option<&'i Meta> {
    index.get(&call.place()).and_then(|blobs| blobs.get(&call.blob))
}

/// Refuses to change what the container's policy still protects.
pub(crate) fn check_immutable(call: &Call<'_>, meta: &Meta) -> Result<(), BlobError> {
    let retention = call.shared.world().retention(&call.account, &call.container);
    if now_ms().saturating_sub(meta.created_ms) < retention.immutable_ms {
        return Err(IMMUTABLE);
    }
    Ok(())
}

/// Refuses a write that conditions, a policy or a lease forbid.
fn check(call: &Call<'_>, old: Option<&Meta>) -> Result<(), BlobError> {
    check_conditions(&call.headers, old, false)?;
    if let Some(meta) = old {
        check_immutable(call, meta)?;
    }
    check_lease(call, old)
}

fn check_lease(call: &Call<'_>, old: Option<&Meta>) -> Result<(), BlobError> {
    match old {
        Some(meta) => meta.lease.check_write(&call.headers, now_ms()),
        None if call.header("x-ms-lease-id").is_some() => {
            Lease::default().check_write(&call.headers, now_ms())
        }
        None => Ok(()),
    }
}

/// A blob that is about to replace the old one.
fn successor(call: &Call<'_>, kind: Kind, old: Option<&Meta>, plain: bool) -> Meta {
    let now = now_ms();
    let stem = call.shared.blobs.stem(&call.account, &call.container, &call.blob);
    let stem = stem.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Meta {
        name: call.blob.clone(),
        kind,
        length: 0,
        etag: call.shared.blobs.etag(),
        modified_ms: now,
        created_ms: old.map_or(now, |o| o.created_ms),
        content: content_of(&call.headers, plain),
        metadata: metadata_of(&call.headers),
        blocks: Vec::new(),
        appends: 0,
        lease: old.map(|o| o.lease.clone()).unwrap_or_default(),
        data: format!("{stem}.{}", call.shared.blobs.serial()),
        version: call.shared.blobs.version(),
    }
}

/// Puts a new blob into its place and answers 201.
fn install(call: &Call<'_>, index: &mut Index, meta: Meta) -> Result<Reply, BlobError> {
    let blobs = &call.shared.blobs;
    blobs.save(&call.account, &call.container, &meta)?;
    let mut reply = wire::reply(201, "", "");
    meta.stamp(&mut reply);
    if call.shared.world().retention(&call.account, &call.container).versions {
        wire::set(&mut reply, "x-ms-version-id", &meta.version);
    }
    wire::set(&mut reply, "x-ms-request-server-encrypted", "true");
    let replaced = index.entry(call.place()).or_default().insert(call.blob.clone(), meta);
    if let Some(gone) = replaced {
        past::retire(call, gone, Cause::Overwrite)?;
    }
    Ok(reply)
}

/// Put Blob.
pub(crate) async fn put(call: &Call<'_>, body: Incoming) -> Result<Reply, BlobError> {
    call.allow("write")?;
    if call.header("x-ms-copy-source").is_some() {
        return Err(error(400, "InvalidHeaderValue", "This emulator copies no blobs."));
    }
    let kind = match call.header("x-ms-blob-type") {
        Some("BlockBlob") => Kind::BlockBlob,
        Some("AppendBlob") => Kind::AppendBlob,
        Some(_) => return Err(BAD_HEADER),
        None => {
            let text = "An HTTP header that's mandatory for this request is not specified.";
            return Err(error(400, "MissingRequiredHeader", text));
        }
    };
    if call.blob.len() > 1024 {
        let text = "The specified resource name length is not within the permissible limits.";
        return Err(error(400, "OutOfRangeInput", text));
    }
    // Early, so that nobody sends 70 MB in vain; again below, under the lock.
    check(call, old(&*call.shared.blobs.index().await, call))?;
    let (part, length) = call.shared.blobs.receive(body).await?;
    let mut index = call.shared.blobs.index().await;
    let before = old(&index, call);
    if let Err(refusal) = check(call, before) {
        let _ = fs::remove_file(part);
        return Err(refusal);
    }
    let mut meta = successor(call, kind, before, true);
    meta.length = length;
    fs::create_dir_all(call.shared.blobs.folder(&call.account, &call.container))?;
    fs::rename(part, call.shared.blobs.data(&call.account, &call.container, &meta))?;
    let blocks = call.shared.blobs.blocks(&call.account, &call.container, &call.blob);
    let _ = fs::remove_dir_all(blocks);
    install(call, &mut index, meta)
}

fn block_file(folder: &Path, id: &str) -> Result<PathBuf, BlobError> {
    let bytes = STANDARD.decode(id).map_err(|_| {
        error(
            400,
            "InvalidBlockId",
            "The specified block ID is invalid. The block ID must be Base64-encoded.",
        )
    })?;
    if bytes.is_empty() || bytes.len() > 64 {
        return Err(error(400, "InvalidBlockId", "The specified block ID has a wrong length."));
    }
    let hex = bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    Ok(folder.join(hex))
}

/// Uncommitted blocks of a folder: id and size, by id.
pub(crate) fn uncommitted(folder: &Path) -> Vec<(String, u64)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut blocks: Vec<(String, u64)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let hex = entry.file_name().into_string().ok()?;
            let bytes: Option<Vec<u8>> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
                .collect();
            Some((STANDARD.encode(bytes?), entry.metadata().ok()?.len()))
        })
        .collect();
    blocks.sort();
    blocks
}

/// Put Block.
pub(crate) async fn put_block(call: &Call<'_>, body: Incoming) -> Result<Reply, BlobError> {
    call.allow("write")?;
    let folder = call.shared.blobs.blocks(&call.account, &call.container, &call.blob);
    let path = block_file(&folder, call.query("blockid"))?;
    let (part, _) = call.shared.blobs.receive(body).await?;
    let index = call.shared.blobs.index().await;
    if let Some(meta) = old(&index, call) {
        if meta.kind != Kind::BlockBlob {
            return Err(WRONG_TYPE);
        }
        meta.lease.check_write(&call.headers, now_ms())?;
    }
    fs::create_dir_all(&folder)?;
    fs::rename(part, path)?;
    let mut reply = wire::reply(201, "", "");
    wire::set(&mut reply, "x-ms-request-server-encrypted", "true");
    Ok(reply)
}

/// One entry of a block list: where to look, and the id.
fn parse_block_list(xml: &str) -> Result<Vec<(&str, &str)>, BlobError> {
    let start = xml.find("<BlockList").ok_or(INVALID_BLOCKS)?;
    let mut rest = xml[start..].split_once('>').ok_or(INVALID_BLOCKS)?.1;
    let mut rows = Vec::new();
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let (tag, tail) = rest.split_once('>').ok_or(INVALID_BLOCKS)?;
        if tag.starts_with('/') {
            break;
        }
        if !["Latest", "Committed", "Uncommitted"].contains(&tag) {
            return Err(INVALID_BLOCKS);
        }
        let (id, tail) = tail.split_once("</").ok_or(INVALID_BLOCKS)?;
        rows.push((tag, id.trim()));
        rest = tail.split_once('>').ok_or(INVALID_BLOCKS)?.1;
    }
    Ok(rows)
}

/// Put Block List.
pub(crate) async fn put_block_list(call: &Call<'_>, body: Incoming) -> Result<Reply, BlobError> {
    call.allow("write")?;
    let bytes = wire::collect(body).await?;
    let xml = std::str::from_utf8(&bytes).map_err(|_| INVALID_BLOCKS)?;
    let wanted = parse_block_list(xml)?;
    let blobs = &call.shared.blobs;
    let mut index = blobs.index().await;
    let before = old(&index, call);
    check(call, before)?;
    if before.is_some_and(|b| b.kind != Kind::BlockBlob) {
        return Err(WRONG_TYPE);
    }
    let folder = blobs.blocks(&call.account, &call.container, &call.blob);
    let mut meta = successor(call, Kind::BlockBlob, before, false);
    let target = blobs.data(&call.account, &call.container, &meta);
    fs::create_dir_all(blobs.folder(&call.account, &call.container))?;
    // Where the committed blocks lie in the present bytes.
    let mut committed = BTreeMap::new();
    let mut offset = 0;
    for (id, size) in before.map_or(&[][..], |b| b.blocks.as_slice()) {
        committed.insert(id.as_str(), (offset, *size));
        offset += size;
    }
    let source = before.map(|b| blobs.data(&call.account, &call.container, b));
    let result = (|| -> Result<(), BlobError> {
        let mut out = io::BufWriter::with_capacity(1 << 18, fs::File::create(&target)?);
        for (place, id) in &wanted {
            let file = block_file(&folder, id)?;
            let fresh = *place != "Committed" && file.exists();
            let size = if fresh {
                io::copy(&mut fs::File::open(file)?, &mut out)?
            } else {
                let found = committed.get(id).filter(|_| *place != "Uncommitted");
                let ((at, size), source) = found.zip(source.as_ref()).ok_or(INVALID_BLOCKS)?;
                copy_range(source, *at, *size, &mut out)?;
                *size
            };
            meta.length += size;
            meta.blocks.push(((*id).to_owned(), size));
        }
        io::Write::flush(&mut out)?;
        Ok(())
    })();
    if let Err(refusal) = result {
        let _ = fs::remove_file(&target);
        return Err(refusal);
    }
    let _ = fs::remove_dir_all(folder);
    install(call, &mut index, meta)
}

fn copy_range(path: &Path, at: u64, size: u64, out: &mut impl io::Write) -> io::Result<()> {
    use io::{Read as _, Seek as _};
    let mut file = fs::File::open(path)?;
    file.seek(io::SeekFrom::Start(at))?;
    io::copy(&mut file.take(size), out).map(|_| ())
}

/// Append Block.
pub(crate) async fn append(call: &Call<'_>, body: Incoming) -> Result<Reply, BlobError> {
    call.allow("add/action").or_else(|_| call.allow("write"))?;
    let (part, length) = call.shared.blobs.receive(body).await?;
    let mut index = call.shared.blobs.index().await;
    let mut meta = old(&index, call).cloned().ok_or(NO_BLOB)?;
    check_conditions(&call.headers, Some(&meta), false)?;
    if !call.shared.world().retention(&call.account, &call.container).appends {
        check_immutable(call, &meta)?;
    }
    check_lease(call, Some(&meta))?;
    if meta.kind != Kind::AppendBlob {
        return Err(WRONG_TYPE);
    }
    let number = |name: &str| call.header(name).and_then(|v| v.parse::<u64>().ok());
    if number("x-ms-blob-condition-appendpos").is_some_and(|at| at != meta.length) {
        return Err(error(
            412,
            "AppendPositionConditionNotMet",
            "The append position condition specified was not met.",
        ));
    }
    if number("x-ms-blob-condition-maxsize").is_some_and(|max| meta.length + length > max) {
        return Err(error(
            412,
            "MaxBlobSizeConditionNotMet",
            "The max blob size condition specified was not met.",
        ));
    }
    let path = call.shared.blobs.data(&call.account, &call.container, &meta);
    let mut file = fs::OpenOptions::new().append(true).open(path)?;
    io::copy(&mut fs::File::open(&part)?, &mut file)?;
    let _ = fs::remove_file(part);
    let offset = meta.length;
    meta.length += length;
    meta.appends += 1;
    meta.etag = call.shared.blobs.etag();
    meta.modified_ms = now_ms();
    call.shared.blobs.save(&call.account, &call.container, &meta)?;
    let mut reply = wire::reply(201, "", "");
    meta.stamp(&mut reply);
    wire::set(&mut reply, "x-ms-blob-append-offset", &offset.to_string());
    wire::set(&mut reply, "x-ms-blob-committed-block-count", &meta.appends.to_string());
    wire::set(&mut reply, "x-ms-request-server-encrypted", "true");
    index.entry(call.place()).or_default().insert(call.blob.clone(), meta);
    Ok(reply)
}

/// Changes a blob's record in place. `touch`: the write shows in etag and time.
async fn change(
    call: &Call<'_>,
    touch: bool,
    edit: impl FnOnce(&mut Meta) -> Result<Reply, BlobError>,
) -> Result<Reply, BlobError> {
    call.allow("write")?;
    let mut index = call.shared.blobs.index().await;
    let mut meta = old(&index, call).cloned().ok_or(NO_BLOB)?;
    check_conditions(&call.headers, Some(&meta), false)?;
    if touch {
        check_immutable(call, &meta)?;
        meta.lease.check_write(&call.headers, now_ms())?;
        meta.etag = call.shared.blobs.etag();
        meta.modified_ms = now_ms();
    }
    let mut reply = edit(&mut meta)?;
    meta.stamp(&mut reply);
    call.shared.blobs.save(&call.account, &call.container, &meta)?;
    index.entry(call.place()).or_default().insert(call.blob.clone(), meta);
    Ok(reply)
}

/// Set Blob Metadata.
pub(crate) async fn set_metadata(call: &Call<'_>) -> Result<Reply, BlobError> {
    change(call, true, |meta| {
        meta.metadata = metadata_of(&call.headers);
        Ok(wire::reply(200, "", ""))
    })
    .await
}

/// Set Blob Properties.
pub(crate) async fn set_properties(call: &Call<'_>) -> Result<Reply, BlobError> {
    change(call, true, |meta| {
        meta.content = content_of(&call.headers, false);
        Ok(wire::reply(200, "", ""))
    })
    .await
}

/// Lease Blob.
pub(crate) async fn lease(call: &Call<'_>) -> Result<Reply, BlobError> {
    change(call, false, |meta| lease_ops::run(&mut meta.lease, &call.headers, now_ms())).await
}

/// Delete Blob.
pub(crate) async fn delete(call: &Call<'_>) -> Result<Reply, BlobError> {
    call.allow("delete")?;
    let mut index = call.shared.blobs.index().await;
    if !call.query("versionid").is_empty() {
        return past::delete_version(call, old(&index, call));
    }
    let meta = old(&index, call).cloned().ok_or(NO_BLOB)?;
    check(call, Some(&meta))?;
    if let Some(blobs) = index.get_mut(&call.place()) {
        blobs.remove(&call.blob);
    }
    call.shared.blobs.erase_record(&call.account, &call.container, &meta);
    let is_kept = past::retire(call, meta, Cause::Delete)?;
    Ok(past::deleted(is_kept))
}

/// Undelete Blob.
pub(crate) async fn undelete(call: &Call<'_>) -> Result<Reply, BlobError> {
    call.allow("write")?;
    let mut index = call.shared.blobs.index().await;
    past::undelete(call, &mut index)
}

#[cfg(test)]
mod tests {
    use super::parse_block_list;

    #[test]
    fn a_block_list_is_read_in_order() {
        let xml = "<?xml version=\"1.0\"?>\n<BlockList>\n <Latest>YQ==</Latest>\n\
                   <Committed>Yg==</Committed></BlockList>";
        let rows = parse_block_list(xml).unwrap();
        assert_eq!(rows, [("Latest", "YQ=="), ("Committed", "Yg==")]);
        assert!(parse_block_list("<BlockList><Bad>x</Bad></BlockList>").is_err());
        assert!(parse_block_list("<BlockList></BlockList>").unwrap().is_empty());
    }
}
