//! Blobs over the SDK's blob clients: opens accounts for one identity.

mod failure;
mod store;

use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use hcs_engine::blob::{BlobError, BlobStores, BlockStore};
use url::Url;

pub use self::store::AzureBlobStore;
use crate::bearer::BearerPolicy;
use crate::http::HttpClient;
use crate::tenants::Tenants;
use crate::token::TokenCache;

const STORAGE_SCOPE: &str = "https://storage.azure.com/.default";

/// Opens accounts for one identity.
#[derive(Clone, Debug)]
pub struct AzureBlobStores {
    tokens: Arc<TokenCache>,
    http: HttpClient,
}

impl AzureBlobStores {
    /// Uses any credential; its tokens are cached here.
    pub fn new(credential: Arc<dyn TokenCredential>, http: &HttpClient) -> Self {
        Self::with_tokens(Arc::new(TokenCache::new(credential)), http)
    }

    /// Shares an existing cache.
    pub fn with_tokens(tokens: Arc<TokenCache>, http: &HttpClient) -> Self {
        Self { tokens, http: http.clone() }
    }

    /// Like [`BlobStores::open`], with the store's own type.
    pub fn open_store(&self, blob_endpoint: &str) -> Result<AzureBlobStore, BlobError> {
        let refused = |code: &str| BlobError::Refused {
            operation: "open",
            container: String::new(),
            name: String::new(),
            status: 0,
            code: code.to_owned(),
        };
        let endpoint = Url::parse(blob_endpoint).map_err(|_| refused("InvalidBlobEndpoint"))?;
        let bare = endpoint.username().is_empty()
            && endpoint.password().is_none()
            && endpoint.query().is_none();
        if endpoint.scheme() != "https" || endpoint.host_str().is_none() || !bare {
            return Err(refused("InvalidBlobEndpoint"));
        }
        let scope = STORAGE_SCOPE.to_owned();
        let tenants = Arc::new(Tenants::home(Arc::clone(&self.tokens)));
        let bearer = Arc::new(BearerPolicy::new(tenants, scope, &endpoint));
        Ok(AzureBlobStore::new(endpoint, bearer, self.http.clone()))
    }
}

impl BlobStores for AzureBlobStores {
    fn open(&self, blob_endpoint: &str) -> Result<Arc<dyn BlockStore>, BlobError> {
        Ok(Arc::new(self.open_store(blob_endpoint)?))
    }
}
