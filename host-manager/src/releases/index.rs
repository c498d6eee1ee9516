//! The list of releases and their files, as `HashiCorp` publishes them: `index.json`, and a folder for each version.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Client, Url};
use semver::Version;
use serde_json::Value;

use super::FETCH_MAX;
use crate::metadata;

/// Consul's has some 3 MB.
const INDEX_BYTES_MAX: usize = 32 << 20;
const CONNECT_MAX: Duration = Duration::from_secs(20);

/// Why the index, or a file of it, cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It is no URL, or no client can be made.
    #[error("{0:?} is no release index")]
    NoIndex(String),
    /// No answer, or a refusal.
    #[error("{url} cannot be fetched")]
    Fetch {
        /// What.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Something far larger than it is.
    #[error("{url} has more than {max} bytes")]
    TooLarge {
        /// What.
        url: String,
        /// How large it may be.
        max: usize,
    },
    /// Not a list of releases.
    #[error("{url} is no list of Consul's releases")]
    NotUnderstood {
        /// What.
        url: String,
    },
}

/// Where releases are.
#[derive(Clone, Debug)]
pub struct Index {
    base: String,
    http: Client,
}

impl Index {
    /// At this base URL.
    pub fn new(base: &str) -> Result<Self, IndexError> {
        let told = || IndexError::NoIndex(base.to_owned());
        let url: Url = base.parse().map_err(|_| told())?;
        // A release proves itself, but what is offered does not.
        let is_here = metadata::is_loopback(base);
        if url.scheme() != "https" && !is_here {
            return Err(told());
        }
        let http = Client::builder()
            .connect_timeout(CONNECT_MAX)
            .timeout(FETCH_MAX)
            .https_only(!is_here)
            .build()
            .map_err(|_| told())?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http })
    }

    /// Every release that is offered.
    pub async fn versions(&self) -> Result<Vec<Version>, IndexError> {
        let url = format!("{}/index.json", self.base);
        let bytes = self.fetch(&url, INDEX_BYTES_MAX).await?;
        let read: Option<Vec<Version>> = serde_json::from_slice::<Value>(&bytes)
            .ok()
            .and_then(|index| Some(index.get("versions")?.as_object()?.clone()))
            .map(|versions| versions.keys().filter_map(|text| text.parse().ok()).collect());
        read.ok_or(IndexError::NotUnderstood { url })
    }

    /// A file of a release.
    pub async fn file(
        &self,
        version: &Version,
        name: &str,
        max: usize,
    ) -> Result<Bytes, IndexError> {
        self.fetch(&format!("{}/{version}/{name}", self.base), max).await
    }

    async fn fetch(&self, url: &str, max: usize) -> Result<Bytes, IndexError> {
        let failed = |source| IndexError::Fetch { url: url.to_owned(), source };
        let answer = self.http.get(url).send().await.and_then(reqwest::Response::error_for_status);
        let mut answer = answer.map_err(failed)?;
        let mut bytes = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > max {
                return Err(IndexError::TooLarge { url: url.to_owned(), max });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }
}
