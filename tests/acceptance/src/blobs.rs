//! Blobs of a cluster, read as the configured principal.

use std::path::Path;

use serde_json::Value;

use crate::curl::{self, Answer, Request};
use crate::{Emulator, HarnessError};

const VERSION: &str = "2021-12-02";

/// One blob's content; `None` when it does not exist.
pub fn get(
    emulator: &Emulator,
    account: &str,
    container: &str,
    name: &str,
) -> Result<Option<Vec<u8>>, HarnessError> {
    let answer = request(emulator, &format!("{account}/{container}/{name}"))?;
    match answer.status {
        200 => Ok(Some(answer.body)),
        404 => Ok(None),
        status => Err(HarnessError::Unexpected(format!("{container}/{name}: {status}"))),
    }
}

/// One JSON blob.
pub fn json(
    emulator: &Emulator,
    account: &str,
    container: &str,
    name: &str,
) -> Result<Option<Value>, HarnessError> {
    let content = get(emulator, account, container, name)?;
    Ok(content.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Names of the blobs in a container, sorted.
pub fn list(
    emulator: &Emulator,
    account: &str,
    container: &str,
) -> Result<Vec<String>, HarnessError> {
    let answer = request(emulator, &format!("{account}/{container}?restype=container&comp=list"))?;
    let text = answer.text();
    let names = text.split("<Name>").skip(1).filter_map(|rest| rest.split("</Name>").next());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

/// Writes a blob from a file.
pub fn put(
    emulator: &Emulator,
    account: &str,
    container: &str,
    name: &str,
    file: &Path,
) -> Result<(), HarnessError> {
    let ca = emulator.ca();
    let token = emulator.token("https://storage.azure.com/.default")?;
    let headers = vec![
        ("Authorization", format!("Bearer {token}")),
        ("x-ms-version", VERSION.to_owned()),
        ("x-ms-blob-type", "BlockBlob".to_owned()),
        ("Content-Type", "application/octet-stream".to_owned()),
    ];
    let url = format!("{}/{account}/{container}/{name}", emulator.url);
    let (ca, body_file) = (Some(ca.as_path()), Some(file));
    let request = Request { method: "PUT", url, ca, headers, body_file, ..Request::default() };
    match curl::send(&request)? {
        Answer { status: 201, .. } => Ok(()),
        other => Err(HarnessError::Unexpected(format!("PUT {container}/{name}: {}", other.text()))),
    }
}

/// Brings back a blob that was deleted, as `az storage blob undelete` does.
pub fn undelete(
    emulator: &Emulator,
    account: &str,
    container: &str,
    name: &str,
) -> Result<(), HarnessError> {
    let path = format!("{account}/{container}/{name}?comp=undelete");
    match ask(emulator, "PUT", &path)? {
        Answer { status: 200, .. } => Ok(()),
        other => Err(HarnessError::Unexpected(format!("undelete {name}: {}", other.text()))),
    }
}

fn request(emulator: &Emulator, path: &str) -> Result<Answer, HarnessError> {
    ask(emulator, "GET", path)
}

fn ask(emulator: &Emulator, method: &str, path: &str) -> Result<Answer, HarnessError> {
    let ca = emulator.ca();
    let token = emulator.token("https://storage.azure.com/.default")?;
    let headers =
        vec![("Authorization", format!("Bearer {token}")), ("x-ms-version", VERSION.to_owned())];
    let url = format!("{}/{path}", emulator.url);
    curl::send(&Request { method, url, ca: Some(&ca), headers, ..Request::default() })
}
