//! Blobs that were overwritten or deleted and are kept: versions, and what soft delete can bring back.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use super::Call;
use super::errors::{BlobError, NO_BLOB, error};
use super::meta::Meta;
use super::store::Index;
use crate::front::now_ms;
use crate::front::wire::{self, Reply};

/// One of them. Its bytes stay in the file that they were written to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Past {
    pub(crate) meta: Meta,
    pub(crate) form: Form,
    /// When it was deleted; absent for a version that is there for everybody.
    pub(crate) deleted_ms: Option<u64>,
}

/// As what it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Form {
    /// The blob itself, deleted.
    Blob,
    /// What an overwrite replaced, without versions: a snapshot that is deleted at once.
    Snapshot,
    /// A version that is not the current one.
    Version,
}

/// What replaces or deletes a blob.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Overwrite,
    Delete,
}

/// Keeps what is no longer current, or drops its bytes; says whether it can be brought back.
pub(crate) fn retire(call: &Call<'_>, gone: Meta, cause: Cause) -> io::Result<bool> {
    let retention = call.shared.world().retention(&call.account, &call.container);
    let now = now_ms();
    let (form, deleted_ms) = match (retention.versions, retention.deleted_ms, cause) {
        (true, _, _) => (Form::Version, None),
        (false, 0, _) => {
            let path = call.shared.blobs.data(&call.account, &call.container, &gone);
            let _ = fs::remove_file(path);
            return Ok(false);
        }
        (false, _, Cause::Overwrite) => (Form::Snapshot, Some(now)),
        (false, _, Cause::Delete) => (Form::Blob, Some(now)),
    };
    call.shared.blobs.keep(
        &call.account,
        &call.container,
        Past { meta: gone, form, deleted_ms },
    )?;
    call.shared.blobs.prune(&call.account, &call.container, now, retention.deleted_ms);
    Ok(true)
}

/// The versions and deleted blobs of a container that are not over yet.
pub(crate) fn all(call: &Call<'_>) -> Vec<Past> {
    let retention = call.shared.world().retention(&call.account, &call.container);
    let now = now_ms();
    let is_over = |past: &Past| {
        past.deleted_ms.is_some_and(|at| now.saturating_sub(at) >= retention.deleted_ms)
    };
    let (over, kept): (Vec<Past>, Vec<Past>) =
        call.shared.blobs.past(&call.account, &call.container).into_iter().partition(is_over);
    for gone in over {
        call.shared.blobs.forget(&call.account, &call.container, &gone);
    }
    kept
}

/// The version that the query names.
pub(crate) fn version(call: &Call<'_>) -> Option<Meta> {
    let wanted = call.query("versionid");
    let found = all(call).into_iter().find(|past| {
        past.form == Form::Version
            && past.deleted_ms.is_none()
            && past.meta.name == call.blob
            && past.meta.version == wanted
    });
    found.map(|past| past.meta)
}

/// Delete Blob with a version.
pub(crate) fn delete_version(call: &Call<'_>, current: Option<&Meta>) -> Result<Reply, BlobError> {
    let wanted = call.query("versionid");
    if current.is_some_and(|meta| meta.version == wanted) {
        return Err(error(
            403,
            "OperationNotAllowedOnRootBlob",
            "The specified operation is not allowed on a root blob.",
        ));
    }
    let meta = version(call).ok_or(NO_BLOB)?;
    super::write::check_immutable(call, &meta)?;
    let retention = call.shared.world().retention(&call.account, &call.container);
    let past = Past { meta, form: Form::Version, deleted_ms: Some(now_ms()) };
    call.shared.blobs.forget_record(&call.account, &call.container, &past);
    if retention.deleted_ms > 0 {
        call.shared.blobs.keep(&call.account, &call.container, past)?;
    } else {
        call.shared.blobs.forget(&call.account, &call.container, &past);
    }
    Ok(deleted(retention.deleted_ms > 0))
}

/// The answer to a deletion.
pub(crate) fn deleted(is_kept: bool) -> Reply {
    let mut reply = wire::reply(202, "", "");
    wire::set(&mut reply, "x-ms-delete-type-permanent", if is_kept { "false" } else { "true" });
    reply
}

/// Undelete Blob: the blob and everything of it that soft delete still has.
pub(crate) fn undelete(call: &Call<'_>, index: &mut Index) -> Result<Reply, BlobError> {
    let blobs = &call.shared.blobs;
    let mut own: Vec<Past> =
        all(call).into_iter().filter(|past| past.meta.name == call.blob).collect();
    let current = index.get(&call.place()).is_some_and(|blobs| blobs.contains_key(&call.blob));
    if own.is_empty() && !current {
        return Err(NO_BLOB);
    }
    own.retain(|past| past.deleted_ms.is_some());
    own.sort_by_key(|past| past.deleted_ms);
    for past in own {
        match past.form {
            Form::Blob if !current => {
                blobs.forget_record(&call.account, &call.container, &past);
                blobs.save(&call.account, &call.container, &past.meta)?;
                index.entry(call.place()).or_default().insert(call.blob.clone(), past.meta);
            }
            Form::Version => {
                let back = Past { deleted_ms: None, ..past };
                blobs.forget_record(&call.account, &call.container, &back);
                blobs.keep(&call.account, &call.container, back)?;
            }
            // Snapshots are brought back as snapshots, which are not read here.
            Form::Blob | Form::Snapshot => {}
        }
    }
    Ok(wire::reply(200, "", ""))
}
