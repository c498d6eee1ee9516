//! Downloads: each with a deadline, ended by a stop, and no part of a URL that may be secret ever told.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use hcs_engine::error::{EngineError, chain};
use tfplugin::CancellationToken;
use url::Url;

/// Consul's archives are below 100 MB; more than this is something else.
const ARCHIVE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Until the first byte of an answer, and between two of its parts.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// The whole of it: 100 MB on a line of 1 Mbit/s.
const DOWNLOAD_MAX: Duration = Duration::from_mins(15);

/// A URL as it may be told: without user, password, query and fragment, which may hold a signature.
pub(crate) fn without_secrets(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return url.split(['?', '#']).next().unwrap_or_default().to_owned();
    };
    url.set_query(None);
    url.set_fragment(None);
    let _ = (url.set_username(""), url.set_password(None));
    url.into()
}

/// Reads what a URL leads to, whole.
pub(super) async fn download(url: &str, cancel: &CancellationToken) -> Result<Bytes, EngineError> {
    tokio::select! {
        result = tokio::time::timeout(DOWNLOAD_MAX, fetch(url)) => match result {
            Ok(result) => result,
            Err(_) => Err(failed(url, &format!("it took longer than {} minutes", DOWNLOAD_MAX.as_secs() / 60))),
        },
        () = cancel.cancelled() => Err(EngineError::Stopped),
    }
}

async fn fetch(url: &str) -> Result<Bytes, EngineError> {
    // An error of the client repeats the URL.
    let told = |error: reqwest::Error| failed(url, &chain(&error.without_url()));
    let client = reqwest::Client::builder()
        .connect_timeout(SILENCE_MAX)
        .read_timeout(SILENCE_MAX)
        .https_only(true)
        .build()
        .map_err(told)?;
    let response = client.get(url).send().await.map_err(told)?;
    let response = response.error_for_status().map_err(told)?;
    let too_large = || failed(url, "it is too large for a Consul archive");
    if response.content_length().is_some_and(|bytes| bytes > ARCHIVE_BYTES_MAX) {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    let mut parts = response.bytes_stream();
    while let Some(part) = parts.next().await {
        bytes.extend_from_slice(&part.map_err(told)?);
        if bytes.len() as u64 > ARCHIVE_BYTES_MAX {
            return Err(too_large());
        }
    }
    Ok(bytes.freeze())
}

fn failed(url: &str, reason: &str) -> EngineError {
    EngineError::Artifact(format!("cannot download Consul from {}: {reason}", without_secrets(url)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_in_a_url_is_not_told() {
        let table = [
            ("https://h/a.zip?sv=1&sig=s", "https://h/a.zip"),
            ("https://user:word@h/a.zip#x", "https://h/a.zip"),
            ("not a url?sig=s", "not a url"),
        ];
        for (url, told) in table {
            assert_eq!(without_secrets(url), told);
        }
    }

    #[tokio::test]
    async fn a_download_is_ended_by_a_stop_and_tells_no_signature() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/consul.zip?sig=secret", silent.local_addr().unwrap());
        let cancel = CancellationToken::new();
        let (result, ()) = tokio::join!(download(&url, &cancel), async {
            let _ = silent.accept().await;
            cancel.cancel();
        });
        assert!(matches!(result, Err(EngineError::Stopped)));
        drop(silent);
        let told = download(&url, &CancellationToken::new()).await.unwrap_err().to_string();
        assert!(told.contains("/consul.zip") && !told.contains("secret"), "{told}");
    }
}
