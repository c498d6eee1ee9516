//! What is kept of a blob besides its bytes, and the conditions and leases on it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::errors::{BAD_HEADER, BlobError, CONDITION, error};
use crate::front::wire::{self, Reply};
use crate::world::fault::http_date;

/// Request headers, names in lower case.
pub(crate) type Headers = BTreeMap<String, String>;

/// Kinds of blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Written whole or by block list.
    BlockBlob,
    /// Grows at its end.
    AppendBlob,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BlockBlob => "BlockBlob",
            Self::AppendBlob => "AppendBlob",
        }
    }
}

/// One blob.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) length: u64,
    pub(crate) etag: String,
    pub(crate) modified_ms: u64,
    pub(crate) created_ms: u64,
    /// `content-type` and the like.
    pub(crate) content: BTreeMap<String, String>,
    pub(crate) metadata: BTreeMap<String, String>,
    /// Committed blocks in order: id and size.
    pub(crate) blocks: Vec<(String, u64)>,
    pub(crate) appends: u32,
    pub(crate) lease: Lease,
    /// File of the bytes, beside this record.
    pub(crate) data: String,
    /// Time and name of this version.
    #[serde(default)]
    pub(crate) version: String,
}

/// Content headers that a writer sets and a reader gets back.
const CONTENT: &[(&str, &str)] = &[
    ("x-ms-blob-content-type", "content-type"),
    ("x-ms-blob-content-encoding", "content-encoding"),
    ("x-ms-blob-content-language", "content-language"),
    ("x-ms-blob-content-disposition", "content-disposition"),
    ("x-ms-blob-cache-control", "cache-control"),
    ("x-ms-blob-content-md5", "content-md5"),
];

/// Content headers of a write. `plain`: the standard names count too (Put Blob).
pub(crate) fn content_of(headers: &Headers, plain: bool) -> BTreeMap<String, String> {
    let mut content = BTreeMap::new();
    for (own, standard) in CONTENT {
        let plain = plain && *standard != "content-encoding";
        let value = headers.get(*own).or_else(|| plain.then(|| headers.get(*standard)).flatten());
        if let Some(value) = value {
            content.insert((*standard).to_owned(), value.clone());
        }
    }
    content.entry("content-type".to_owned()).or_insert("application/octet-stream".to_owned());
    content
}

/// `x-ms-meta-…` of a write.
pub(crate) fn metadata_of(headers: &Headers) -> BTreeMap<String, String> {
    headers
        .iter()
        .filter_map(|(k, v)| Some((k.strip_prefix("x-ms-meta-")?.to_owned(), v.clone())))
        .collect()
}

impl Meta {
    /// Sets the headers that every read of a blob carries.
    pub(crate) fn describe(&self, reply: &mut Reply, now_ms: u64) {
        for (name, value) in &self.content {
            wire::set(reply, name, value);
        }
        for (name, value) in &self.metadata {
            wire::set(reply, &format!("x-ms-meta-{name}"), value);
        }
        self.stamp(reply);
        wire::set(reply, "accept-ranges", "bytes");
        wire::set(reply, "x-ms-blob-type", self.kind.as_str());
        wire::set(reply, "x-ms-creation-time", &http_date(self.created_ms));
        wire::set(reply, "x-ms-server-encrypted", "true");
        let (state, status) = self.lease.state(now_ms).words();
        wire::set(reply, "x-ms-lease-state", state);
        wire::set(reply, "x-ms-lease-status", status);
        if state == "leased" {
            let infinite = self.lease.duration_s < 0;
            let word = if infinite { "infinite" } else { "fixed" };
            wire::set(reply, "x-ms-lease-duration", word);
        }
        if self.kind == Kind::AppendBlob {
            wire::set(reply, "x-ms-blob-committed-block-count", &self.appends.to_string());
        } else {
            wire::set(reply, "x-ms-access-tier", "Hot");
            wire::set(reply, "x-ms-access-tier-inferred", "true");
        }
    }

    /// Sets etag and time of the last write.
    pub(crate) fn stamp(&self, reply: &mut Reply) {
        wire::set(reply, "etag", &self.etag);
        wire::set(reply, "last-modified", &http_date(self.modified_ms));
    }
}

fn date_ms(headers: &Headers, name: &str) -> Result<Option<u64>, BlobError> {
    let Some(text) = headers.get(name) else { return Ok(None) };
    let text = text.strip_suffix("GMT").map_or(text.clone(), |t| format!("{t}+0000"));
    let time = jiff::fmt::strtime::parse("%a, %d %b %Y %H:%M:%S %z", &text)
        .and_then(|parsed| parsed.to_timestamp())
        .map_err(|_| BAD_HEADER)?;
    Ok(u64::try_from(time.as_millisecond()).ok())
}

/// Checks the conditional headers. `read`: a failed If-None-Match is 304, not 412.
pub(crate) fn check_conditions(
    headers: &Headers,
    old: Option<&Meta>,
    read: bool,
) -> Result<(), BlobError> {
    let same = |wanted: &str, meta: &Meta| {
        wanted == "*" || wanted.trim_matches('"') == meta.etag.trim_matches('"')
    };
    let not_modified = error(304, "ConditionNotMet", "");
    if let Some(wanted) = headers.get("if-match")
        && !old.is_some_and(|meta| same(wanted, meta))
    {
        return Err(CONDITION);
    }
    if let (Some(wanted), Some(meta)) = (headers.get("if-none-match"), old)
        && same(wanted, meta)
    {
        return Err(match (read, wanted.as_str()) {
            (true, _) => not_modified,
            (false, "*") => super::errors::BLOB_EXISTS,
            (false, _) => CONDITION,
        });
    }
    let Some(meta) = old else { return Ok(()) };
    let second = |ms: u64| ms / 1000;
    if let Some(since) = date_ms(headers, "if-modified-since")?
        && second(meta.modified_ms) <= second(since)
    {
        return Err(if read { not_modified } else { CONDITION });
    }
    if let Some(since) = date_ms(headers, "if-unmodified-since")?
        && second(meta.modified_ms) > second(since)
    {
        return Err(CONDITION);
    }
    Ok(())
}

/// A lease on a blob.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) id: Option<String>,
    /// Negative: for ever.
    pub(crate) duration_s: i64,
    pub(crate) expires_ms: Option<u64>,
    pub(crate) breaks_ms: Option<u64>,
}

/// State of a lease at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseState {
    /// None was taken.
    Available,
    /// Held.
    Leased,
    /// Ran out.
    Expired,
    /// Will be free soon.
    Breaking,
    /// Was broken.
    Broken,
}

impl LeaseState {
    /// State and status as headers and lists name them.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Available => ("available", "unlocked"),
            Self::Leased => ("leased", "locked"),
            Self::Expired => ("expired", "unlocked"),
            Self::Breaking => ("breaking", "locked"),
            Self::Broken => ("broken", "unlocked"),
        }
    }
}

impl Lease {
    pub(crate) fn state(&self, now_ms: u64) -> LeaseState {
        match (&self.id, self.breaks_ms, self.expires_ms) {
            (None, ..) => LeaseState::Available,
            (Some(_), Some(at), _) if at > now_ms => LeaseState::Breaking,
            (Some(_), Some(_), _) => LeaseState::Broken,
            (Some(_), None, Some(at)) if at <= now_ms => LeaseState::Expired,
            _ => LeaseState::Leased,
        }
    }

    /// Refuses a write without the lease that protects the blob.
    pub(crate) fn check_write(&self, headers: &Headers, now_ms: u64) -> Result<(), BlobError> {
        let given = headers.get("x-ms-lease-id");
        let held = matches!(self.state(now_ms), LeaseState::Leased | LeaseState::Breaking);
        match (held, given) {
            (false, None) => Ok(()),
            (false, Some(_)) if self.id.is_some() => Err(error(
                412,
                "LeaseLost",
                "A lease ID was specified, but the lease for the blob has expired.",
            )),
            (false, Some(_)) => Err(error(
                412,
                "LeaseNotPresentWithBlobOperation",
                "There is currently no lease on the blob.",
            )),
            (true, None) => Err(error(
                412,
                "LeaseIdMissing",
                "There is currently a lease on the blob and no lease ID was specified in the \
                 request.",
            )),
            (true, Some(given)) => {
                if self.id.as_ref().is_some_and(|id| id.eq_ignore_ascii_case(given)) {
                    return Ok(());
                }
                Err(error(
                    412,
                    "LeaseIdMismatchWithBlobOperation",
                    "The lease ID specified did not match the lease ID for the blob.",
                ))
            }
        }
    }
}
