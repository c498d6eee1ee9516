//! One storage account's blobs.
//!
//! Every write retries 5xx, 429 and broken connections a few times. A conditional write whose first
//! try did arrive then reports [`BlobError::ConditionFailed`]: read the blob back to tell.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::policies::Policy;
use azure_core::http::{ClientOptions, Etag};
use azure_core::time::{OffsetDateTime, parse_rfc7231, to_rfc3339};
use azure_storage_blob::models::{
    BlobClientDownloadOptions, BlobClientUploadOptions, BlobContainerClientListBlobsOptions,
    BlockBlobClientCommitBlockListOptions, BlockLookupList, HttpRange, ListBlobsIncludeItem,
};
use azure_storage_blob::{
    BlobClient, BlobClientOptions, BlobContainerClient, BlobContainerClientOptions,
};
use bytes::Bytes;
use futures::TryStreamExt;
use hcs_engine::blob::{BlobContent, BlobEntry, BlobError, BlobStore, BlockStore, WriteCondition};
use url::Url;

use super::failure::{Failure, Place};
use crate::bearer::BearerPolicy;
use crate::http::{BodyError, HttpClient, host_of, read_capped};

/// Larger bodies go up in blocks and come down in ranges of this size.
const PART_BYTES: usize = 4 * 1024 * 1024;
/// Parts under way at the same time.
const PARALLEL: usize = 4;
/// Nothing that a cluster stores is nearly as large.
const BLOB_LIMIT_BYTES: usize = 1024 * 1024 * 1024;
/// A large blob that is replaced while it is read is read again from its start.
const READ_TRIES: usize = 3;

/// One account.
#[derive(Clone, Debug)]
pub struct AzureBlobStore {
    endpoint: Url,
    bearer: Arc<BearerPolicy>,
    http: HttpClient,
}

impl AzureBlobStore {
    pub(super) fn new(endpoint: Url, bearer: Arc<BearerPolicy>, http: HttpClient) -> Self {
        Self { endpoint, bearer, http }
    }

    /// Our bearer policy instead of the SDK's: it refreshes a refused token.
    fn options(&self) -> ClientOptions {
        let bearer: Arc<dyn Policy> = self.bearer.clone();
        ClientOptions { per_try_policies: vec![bearer], ..self.http.retrying_options() }
    }

    fn place(&self, operation: &'static str, container: &str, name: &str) -> Place {
        let account = account(&self.endpoint);
        Place { operation, account, container: container.to_owned(), name: name.to_owned() }
    }

    /// Slashes of a blob's name stay slashes: account, container and name read like a path.
    fn url(&self, place: &Place) -> Result<Url, BlobError> {
        let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        let whole = place.container.is_empty() || place.container.contains('/');
        let parts = || place.name.split('/');
        if whole || (!place.name.is_empty() && !parts().all(is_plain)) {
            return Err(place.refused(0, "InvalidBlobName"));
        }
        let mut url = self.endpoint.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.pop_if_empty().push(&place.container);
                if !place.name.is_empty() {
                    segments.extend(parts());
                }
            }
            Err(()) => return Err(place.refused(0, "InvalidBlobEndpoint")),
        }
        Ok(url)
    }

    fn blob(&self, place: &Place) -> Result<BlobClient, BlobError> {
        if place.name.is_empty() {
            return Err(place.refused(0, "InvalidBlobName"));
        }
        let options = BlobClientOptions { client_options: self.options(), ..Default::default() };
        BlobClient::new(self.url(place)?, None, Some(options))
            .map_err(|error| place.unavailable(&error))
    }

    async fn read_once(&self, client: &BlobClient) -> Result<BlobContent, ReadError> {
        let options = BlobClientDownloadOptions {
            parallel: NonZero::new(PARALLEL),
            partition_size: NonZero::new(PART_BYTES),
            ..Default::default()
        };
        Self::read_range(client, options, BLOB_LIMIT_BYTES).await
    }

    async fn read_range(
        client: &BlobClient,
        options: BlobClientDownloadOptions<'_>,
        bytes_max: usize,
    ) -> Result<BlobContent, ReadError> {
        let result = client.download(Some(options)).await.map_err(ReadError::Azure)?;
        let headers = result.headers;
        let bytes = read_capped(result.body, bytes_max).await.map_err(|e| match e {
            BodyError::Broken(error) => ReadError::Azure(error),
            BodyError::TooLarge { .. } => ReadError::TooLarge,
        })?;
        let etag = result.properties.etag.map(|etag| etag.to_string()).unwrap_or_default();
        let served_unix_s = time(&headers, "date").map(OffsetDateTime::unix_timestamp);
        Ok(BlobContent { bytes, etag, age: age(&headers), served_unix_s })
    }
}

/// A condition as the headers of a write.
struct Conditions {
    if_match: Option<Etag>,
    if_none_match: Option<Etag>,
}

impl From<WriteCondition> for Conditions {
    fn from(condition: WriteCondition) -> Self {
        let (if_match, if_none_match) = match condition {
            WriteCondition::Always => (None, None),
            WriteCondition::Absent => (None, Some("*".into())),
            WriteCondition::Matches(etag) => (Some(etag.into()), None),
        };
        Self { if_match, if_none_match }
    }
}

fn unwritten(place: &Place, is_conditional: bool, error: &azure_core::Error) -> BlobError {
    match Failure::of(error) {
        failure if is_conditional && failure.is_condition() => place.condition_failed(),
        failure => place.error(&failure, error),
    }
}

enum ReadError {
    Azure(azure_core::Error),
    TooLarge,
}

#[async_trait]
impl BlobStore for AzureBlobStore {
    async fn get(&self, container: &str, name: &str) -> Result<Option<BlobContent>, BlobError> {
        let place = self.place("get", container, name);
        let client = self.blob(&place)?;
        for last in (0..READ_TRIES).map(|n| n + 1 == READ_TRIES) {
            let error = match self.read_once(&client).await {
                Ok(content) => return Ok(Some(content)),
                Err(ReadError::TooLarge) => return Err(place.refused(200, "BlobTooLarge")),
                Err(ReadError::Azure(error)) => error,
            };
            match Failure::of(&error) {
                Failure::BlobMissing => return Ok(None),
                Failure::Refused { status: 412, .. } if !last => {}
                failure => return Err(place.error(&failure, &error)),
            }
        }
        Err(place.refused(412, "ChangedWhileRead"))
    }

    async fn put(
        &self,
        container: &str,
        name: &str,
        bytes: Bytes,
        condition: WriteCondition,
    ) -> Result<String, BlobError> {
        let place = self.place("put", container, name);
        let client = self.blob(&place)?;
        let is_conditional = condition != WriteCondition::Always;
        let Conditions { if_match, if_none_match } = condition.into();
        let options = BlobClientUploadOptions {
            parallel: NonZero::new(PARALLEL),
            partition_size: NonZero::new(PART_BYTES as u64),
            if_match,
            if_none_match,
            ..Default::default()
        };
        let written = client.upload(bytes.into(), Some(options)).await;
        let written = written.map_err(|error| unwritten(&place, is_conditional, &error))?;
        Ok(written.etag.map(|etag| etag.to_string()).unwrap_or_default())
    }

    async fn delete(&self, container: &str, name: &str) -> Result<bool, BlobError> {
        let place = self.place("delete", container, name);
        match self.blob(&place)?.delete(None).await {
            Ok(_) => Ok(true),
            Err(error) => match Failure::of(&error) {
                Failure::BlobMissing => Ok(false),
                failure => Err(place.error(&failure, &error)),
            },
        }
    }

    async fn set_metadata(
        &self,
        container: &str,
        name: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), BlobError> {
        let place = self.place("set metadata", container, name);
        let metadata = metadata.clone().into_iter().collect();
        let set = self.blob(&place)?.set_metadata(&metadata, None).await;
        set.map(drop).map_err(|error| place.error(&Failure::of(&error), &error))
    }

    async fn list(&self, container: &str, prefix: &str) -> Result<Vec<BlobEntry>, BlobError> {
        let place = self.place("list", container, "");
        let failed = |error: azure_core::Error| place.error(&Failure::of(&error), &error);
        let client_options = self.options();
        let options = BlobContainerClientOptions { client_options, ..Default::default() };
        let client = BlobContainerClient::new(self.url(&place)?, None, Some(options))
            .map_err(|error| place.unavailable(&error))?;
        let prefix = if prefix.is_empty() { None } else { Some(prefix.to_owned()) };
        let include = Some(vec![ListBlobsIncludeItem::Metadata]);
        let options = BlobContainerClientListBlobsOptions { prefix, include, ..Default::default() };
        let mut pages = client.list_blobs(Some(options)).map_err(failed)?.into_pages();
        let mut entries = Vec::new();
        while let Some(page) = pages.try_next().await.map_err(failed)? {
            for item in page.into_model().map_err(failed)?.blob_items {
                let Some(name) = item.name else { continue };
                let properties = item.properties.unwrap_or_default();
                entries.push(BlobEntry {
                    name,
                    size_bytes: properties.content_length.unwrap_or_default(),
                    last_modified: properties.last_modified.as_ref().map(to_rfc3339),
                    metadata: item
                        .metadata
                        .and_then(|metadata| metadata.values)
                        .unwrap_or_default()
                        .into_iter()
                        .collect(),
                });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }
}

#[async_trait]
impl BlockStore for AzureBlobStore {
    async fn stage(
        &self,
        container: &str,
        name: &str,
        block_id: &str,
        bytes: Bytes,
    ) -> Result<(), BlobError> {
        let place = self.place("put", container, name);
        let client = self.blob(&place)?.block_blob_client();
        let length = bytes.len() as u64;
        let staged = client.stage_block(block_id.as_bytes(), length, bytes.into(), None).await;
        staged.map(drop).map_err(|error| place.error(&Failure::of(&error), &error))
    }

    async fn commit(
        &self,
        container: &str,
        name: &str,
        block_ids: &[String],
        metadata: &BTreeMap<String, String>,
        condition: WriteCondition,
    ) -> Result<String, BlobError> {
        let place = self.place("put", container, name);
        let client = self.blob(&place)?.block_blob_client();
        let latest = block_ids.iter().map(|id| id.clone().into_bytes()).collect();
        let blocks = BlockLookupList { latest: Some(latest), ..Default::default() };
        let blocks = blocks.try_into().map_err(|error| place.unavailable(&error))?;
        let metadata = Some(metadata.clone().into_iter().collect());
        let is_conditional = condition != WriteCondition::Always;
        let Conditions { if_match, if_none_match } = condition.into();
        let options = BlockBlobClientCommitBlockListOptions {
            metadata,
            if_match,
            if_none_match,
            ..Default::default()
        };
        let committed = client.commit_block_list(blocks, Some(options)).await;
        let response = committed.map_err(|error| unwritten(&place, is_conditional, &error))?;
        let etag = HeaderName::from_static("etag");
        Ok(response.headers().get_optional_string(&etag).unwrap_or_default())
    }

    async fn read_part(
        &self,
        container: &str,
        name: &str,
        offset: u64,
        bytes_max: usize,
        etag: Option<&str>,
    ) -> Result<Option<BlobContent>, BlobError> {
        let place = self.place("get", container, name);
        let client = self.blob(&place)?;
        let options = BlobClientDownloadOptions {
            parallel: NonZero::new(1),
            partition_size: NonZero::new(bytes_max.max(1)),
            range: Some(HttpRange::new(offset, bytes_max.max(1) as u64)),
            if_match: etag.map(|etag| etag.to_owned().into()),
            ..Default::default()
        };
        let error = match Self::read_range(&client, options, bytes_max).await {
            Ok(content) => return Ok(Some(content)),
            Err(ReadError::TooLarge) => return Err(place.refused(200, "BlobTooLarge")),
            Err(ReadError::Azure(error)) => error,
        };
        match Failure::of(&error) {
            Failure::BlobMissing => Ok(None),
            // It ends before.
            Failure::Refused { status: 416, .. } => Ok(Some(BlobContent {
                bytes: Bytes::new(),
                etag: etag.unwrap_or_default().to_owned(),
                age: None,
                served_unix_s: None,
            })),
            failure => Err(place.error(&failure, &error)),
        }
    }
}

/// The account's name in messages: its host, and its path where several share one host.
fn account(endpoint: &Url) -> String {
    format!("{}{}", host_of(endpoint), endpoint.path().trim_end_matches('/'))
}

fn time(headers: &Headers, name: &'static str) -> Option<OffsetDateTime> {
    parse_rfc7231(headers.get_optional_str(&HeaderName::from_static(name))?).ok()
}

/// Time since the last write by the service's own clock.
fn age(headers: &Headers) -> Option<Duration> {
    let age = time(headers, "date")? - time(headers, "last-modified")?;
    Some(Duration::from_secs(u64::try_from(age.whole_seconds()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use azure_core::credentials::TokenCredential;

    use super::*;
    use crate::blob::AzureBlobStores;

    fn store(endpoint: &str) -> Result<AzureBlobStore, BlobError> {
        #[derive(Debug)]
        struct NoToken;
        #[async_trait]
        impl TokenCredential for NoToken {
            async fn get_token(
                &self,
                _: &[&str],
                _: Option<azure_core::credentials::TokenRequestOptions<'_>>,
            ) -> azure_core::Result<azure_core::credentials::AccessToken> {
                Err(azure_core::Error::with_message(
                    azure_core::error::ErrorKind::Credential,
                    "none",
                ))
            }
        }
        let http = HttpClient::new(&crate::HttpSettings::default()).unwrap();
        AzureBlobStores::new(Arc::new(NoToken), &http).open_store(endpoint)
    }

    #[test]
    fn both_styles_of_endpoint_are_used_verbatim() {
        for (endpoint, wanted) in [
            (
                "https://acct.blob.core.windows.net/",
                "https://acct.blob.core.windows.net/c/a/b.json",
            ),
            ("https://acct.blob.core.windows.net", "https://acct.blob.core.windows.net/c/a/b.json"),
            ("https://127.0.0.1:9443/acct/", "https://127.0.0.1:9443/acct/c/a/b.json"),
            ("https://127.0.0.1:9443/acct", "https://127.0.0.1:9443/acct/c/a/b.json"),
        ] {
            let store = store(endpoint).unwrap();
            assert_eq!(store.url(&store.place("get", "c", "a/b.json")).unwrap().as_str(), wanted);
        }
    }

    #[test]
    fn names_cannot_leave_their_container() {
        let store = store("https://127.0.0.1:9443/acct/").unwrap();
        for (container, name) in
            [("c", "../x"), ("c", "a//b"), ("c", "a/./b"), ("", "a"), ("c/d", "a"), ("c", "a/..")]
        {
            let place = store.place("get", container, name);
            assert!(store.url(&place).is_err(), "{container} {name}");
        }
        let odd = store.url(&store.place("get", "c", "a b?x#y%2e")).unwrap();
        assert_eq!(odd.as_str(), "https://127.0.0.1:9443/acct/c/a%20b%3Fx%23y%252e");
    }

    #[test]
    fn endpoints_without_tls_or_with_more_than_a_path_are_refused() {
        for endpoint in ["http://acct.blob/", "acct", "https://u:p@h/", "https://h/?sig=1", ""] {
            assert!(store(endpoint).is_err(), "{endpoint}");
        }
    }

    #[test]
    fn age_needs_both_dates_and_is_never_negative() {
        let headers = |date: &'static str, modified: &'static str| {
            let mut headers = Headers::new();
            headers.insert("date", date);
            headers.insert("last-modified", modified);
            headers
        };
        let (early, late) = ("Fri, 01 Jan 2021 00:00:00 GMT", "Fri, 01 Jan 2021 00:01:40 GMT");
        assert_eq!(age(&headers(late, early)), Some(Duration::from_secs(100)));
        assert_eq!(age(&headers(early, late)), Some(Duration::ZERO));
        assert_eq!(age(&headers("soon", early)), None);
        assert_eq!(age(&Headers::new()), None);
    }
}
