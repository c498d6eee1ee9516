//! Keeps tokens until shortly before they expire. Knows nothing of where they come from.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::{Duration, OffsetDateTime};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::Mutex;

/// Tokens are renewed this long before they expire.
const REFRESH_BEFORE: Duration = Duration::minutes(5);
/// After a failed early renewal the old token serves for this long before the next try.
const RENEWAL_PAUSE: Duration = Duration::seconds(30);

/// A [`TokenCredential`] that asks another one as seldom as possible.
pub struct TokenCache {
    credential: Arc<dyn TokenCredential>,
    tokens: Mutex<HashMap<String, Kept>>,
}

#[derive(Clone)]
struct Kept {
    token: AccessToken,
    renew_at: OffsetDateTime,
}

impl Kept {
    fn new(token: AccessToken, now: OffsetDateTime) -> Self {
        // A token that lives for less than ten minutes is renewed at half its life.
        let margin = REFRESH_BEFORE.min((token.expires_on - now) / 2);
        let renew_at = token.expires_on - margin;
        Self { token, renew_at }
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("credential", &self.credential).finish_non_exhaustive()
    }
}

impl TokenCache {
    /// Puts a cache in front of a credential.
    pub fn new(credential: Arc<dyn TokenCredential>) -> Self {
        Self { credential, tokens: Mutex::default() }
    }

    /// A token for `scope`; concurrent callers share one request.
    pub async fn token(&self, scope: &str) -> azure_core::Result<AccessToken> {
        let mut tokens = self.tokens.lock().await;
        let now = OffsetDateTime::now_utc();
        if let Some(kept) = tokens.get(scope).filter(|kept| now < kept.renew_at) {
            return Ok(kept.token.clone());
        }
        match self.credential.get_token(&[scope], None).await {
            Ok(token) => {
                let now = OffsetDateTime::now_utc();
                tokens.insert(scope.to_owned(), Kept::new(token.clone(), now));
                Ok(token)
            }
            Err(error) => match tokens.get_mut(scope) {
                Some(kept) if OffsetDateTime::now_utc() < kept.token.expires_on => {
                    tracing::warn!(%error, "the access token could not be renewed yet");
                    kept.renew_at = now + RENEWAL_PAUSE;
                    Ok(kept.token.clone())
                }
                _ => Err(error),
            },
        }
    }

    /// Forgets a token that a service refused, unless it has been replaced meanwhile.
    pub async fn invalidate(&self, scope: &str, refused: &AccessToken) {
        let mut tokens = self.tokens.lock().await;
        if tokens.get(scope).is_some_and(|kept| kept.token.token == refused.token) {
            tokens.remove(scope);
        }
    }
}

#[async_trait::async_trait]
impl TokenCredential for TokenCache {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        self.token(&scopes.join(" ")).await
    }
}

/// What an access token says about its holder. Nothing is verified: the service does that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Object id of the principal in Entra.
    pub object_id: Option<String>,
    /// Tenant that issued the token.
    pub tenant_id: Option<String>,
}

impl Claims {
    /// Reads the payload of a JSON Web Token; anything else has no claims.
    pub fn of(token: &str) -> Self {
        let payload = token.split('.').nth(1).unwrap_or_default().trim_end_matches('=');
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(payload) else {
            return Self::default();
        };
        let Ok(json) = crate::http::parse_json(&bytes) else {
            return Self::default();
        };
        let text = |name: &str| json.get(name).and_then(|v| v.as_str()).map(str::to_owned);
        Self { object_id: text("oid"), tenant_id: text("tid") }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug)]
    struct Counting {
        calls: AtomicUsize,
        lifetime: Duration,
        fail_from: usize,
    }

    #[async_trait::async_trait]
    impl TokenCredential for Counting {
        async fn get_token(
            &self,
            _: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            let call = self.calls.fetch_add(1, Ordering::SeqCst);
            if call >= self.fail_from {
                return Err(azure_core::Error::with_message(
                    azure_core::error::ErrorKind::Credential,
                    "no",
                ));
            }
            let expires_on = OffsetDateTime::now_utc() + self.lifetime;
            Ok(AccessToken::new(format!("token-{call}"), expires_on))
        }
    }

    fn cache(lifetime: Duration, fail_from: usize) -> (Arc<Counting>, TokenCache) {
        let inner = Arc::new(Counting { calls: AtomicUsize::new(0), lifetime, fail_from });
        (inner.clone(), TokenCache::new(inner))
    }

    #[tokio::test]
    async fn one_scope_is_asked_for_once() {
        let (inner, cache) = cache(Duration::hours(1), 9);
        let (a, b) = tokio::join!(cache.token("x"), cache.token("x"));
        assert_eq!(a.unwrap().token, b.unwrap().token);
        cache.token("y").await.unwrap();
        assert_eq!(inner.calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_refused_token_is_asked_for_again_once() {
        let (inner, cache) = cache(Duration::hours(1), 9);
        let old = cache.token("x").await.unwrap();
        cache.invalidate("x", &old).await;
        let new = cache.token("x").await.unwrap();
        assert_ne!(old.token, new.token);
        cache.invalidate("x", &old).await;
        cache.token("x").await.unwrap();
        assert_eq!(inner.calls.load(Ordering::SeqCst), 2, "the late refusal changes nothing");
    }

    #[test]
    fn renewal_is_five_minutes_early_and_earlier_halves_for_short_lives() {
        let now = OffsetDateTime::now_utc();
        for (lifetime, wanted) in [
            (Duration::hours(1), Duration::minutes(55)),
            (Duration::minutes(2), Duration::minutes(1)),
        ] {
            let kept = Kept::new(AccessToken::new("t".to_owned(), now + lifetime), now);
            assert_eq!(kept.renew_at - now, wanted);
        }
    }

    #[tokio::test]
    async fn a_token_that_still_holds_survives_a_failed_renewal() {
        let (inner, cache) = cache(Duration::hours(1), 1);
        let first = cache.token("x").await.unwrap();
        cache.tokens.lock().await.get_mut("x").unwrap().renew_at = OffsetDateTime::now_utc();
        assert_eq!(cache.token("x").await.unwrap().token, first.token);
        cache.token("x").await.unwrap();
        assert_eq!(inner.calls.load(Ordering::SeqCst), 2, "the next renewal waits");
    }

    #[test]
    fn claims_come_from_the_payload_and_nothing_else() {
        let payload = URL_SAFE_NO_PAD.encode(br#"{"oid":"o-1","tid":"t-1","aud":"x"}"#);
        let claims = Claims::of(&format!("e30.{payload}.sig"));
        assert_eq!(claims.object_id.as_deref(), Some("o-1"));
        assert_eq!(claims.tenant_id.as_deref(), Some("t-1"));
        for odd in ["", "opaque", "a.b.c", "a.!!.c", "..."] {
            assert_eq!(Claims::of(odd), Claims::default());
        }
    }
}
