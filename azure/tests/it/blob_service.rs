//! A small blob service in memory: whole writes, block lists, ranges, conditions, paged lists.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

use bytes::{Bytes, BytesMut};

use crate::server::{Reply, Seen};

const MODIFIED: &str = "Fri, 01 Jan 2021 00:00:00 GMT";
const NOW: &str = "Fri, 01 Jan 2021 00:02:00 GMT";

#[derive(Default)]
pub(crate) struct BlobService {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    blobs: BTreeMap<String, (Bytes, String)>,
    blocks: BTreeMap<String, Bytes>,
    writes: u32,
}

fn error(status: u16, code: &str) -> Reply {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
    Reply::new(status, body)
        .header("x-ms-error-code", code)
        .header("content-type", "application/xml")
}

impl BlobService {
    /// Answers requests below `/{account}/{container}`; only the container `config` exists.
    pub(crate) fn answer(&self, seen: &Seen) -> Reply {
        let mut parts = seen.path.splitn(4, '/').skip(1);
        let (_, container, name) = (parts.next(), parts.next().unwrap_or(""), parts.next());
        match (container, name) {
            ("config", None) => self.list(seen),
            ("config", Some(name)) => self.blob(seen, name),
            ("denied", _) => error(403, "AuthorizationPermissionMismatch"),
            ("busy", _) => error(503, "ServerBusy"),
            _ => error(404, "ContainerNotFound"),
        }
    }

    fn blob(&self, seen: &Seen, name: &str) -> Reply {
        let mut state = self.state.lock().unwrap();
        let current = state.blobs.get(name).cloned();
        match (seen.method.as_str(), seen.parameter("comp").as_deref()) {
            ("PUT", Some("block")) => {
                let id = seen.parameter("blockid").unwrap();
                state.blocks.insert(id, seen.body.clone());
                Reply::new(201, "")
            }
            ("PUT", comp) => {
                let etag = current.as_ref().map(|(_, etag)| etag.as_str());
                match (seen.header("if-none-match"), seen.header("if-match")) {
                    ("*", _) if etag.is_some() => return error(409, "BlobAlreadyExists"),
                    (_, wanted) if !wanted.is_empty() && etag != Some(wanted) => {
                        return error(412, "ConditionNotMet");
                    }
                    _ => {}
                }
                let body =
                    if comp.is_some() { state.committed(&seen.body) } else { seen.body.clone() };
                state.writes += 1;
                let etag = format!("\"0x{}\"", state.writes);
                state.blobs.insert(name.to_owned(), (body, etag.clone()));
                Reply::new(201, "").header("etag", etag).header("last-modified", MODIFIED)
            }
            ("GET", _) => match current {
                Some((body, etag)) => ranged(seen, &body, &etag),
                None => error(404, "BlobNotFound"),
            },
            ("DELETE", _) if state.blobs.remove(name).is_some() => Reply::new(202, ""),
            _ => error(404, "BlobNotFound"),
        }
    }

    /// Two rows a page.
    fn list(&self, seen: &Seen) -> Reply {
        let state = self.state.lock().unwrap();
        let prefix = seen.parameter("prefix").unwrap_or_default();
        let marker = seen.parameter("marker").unwrap_or_default();
        let mut rest =
            state.blobs.iter().filter(|(name, _)| name.starts_with(&prefix) && **name >= marker);
        let mut xml =
            String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults><Blobs>");
        for (name, (body, etag)) in rest.by_ref().take(2) {
            let size = body.len();
            let etag = etag.trim_matches('"');
            write!(xml, "<Blob><Name>{name}</Name><Properties><Last-Modified>{MODIFIED}</Last-Modified><Etag>{etag}</Etag><Content-Length>{size}</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>").unwrap();
        }
        let next = rest.next().map(|(name, _)| name.as_str()).unwrap_or_default();
        write!(xml, "</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>").unwrap();
        Reply::new(200, format!("\u{feff}{xml}")).header("content-type", "application/xml")
    }
}

impl State {
    fn committed(&mut self, list: &[u8]) -> Bytes {
        let list = String::from_utf8_lossy(list);
        let mut whole = BytesMut::new();
        for part in list.split("<Latest>").skip(1) {
            let id = part.split("</Latest>").next().unwrap();
            whole.extend_from_slice(&self.blocks[id]);
        }
        self.blocks.clear();
        whole.freeze()
    }
}

fn ranged(seen: &Seen, body: &Bytes, etag: &str) -> Reply {
    let range = [seen.header("x-ms-range"), seen.header("range")];
    let range = range.iter().find_map(|r| r.strip_prefix("bytes="));
    let (status, part, content_range) = match range.and_then(|r| r.split_once('-')) {
        Some(_) if body.is_empty() => return error(416, "InvalidRange"),
        Some((start, end)) => {
            let start: usize = start.parse().unwrap();
            let end = end.parse().unwrap_or(usize::MAX).min(body.len() - 1);
            let header = format!("bytes {start}-{end}/{}", body.len());
            (206, body.slice(start..=end), Some(header))
        }
        None => (200, body.clone(), None),
    };
    let reply = Reply::new(status, part)
        .header("etag", etag)
        .header("date", NOW)
        .header("last-modified", MODIFIED);
    match content_range {
        Some(header) => reply.header("content-range", header),
        None => reply,
    }
}
