//! Keeps tokens until shortly before they expire. Knows nothing of where they come from.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::{Duration, OffsetDateTime};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hcs_engine::cloud::PrincipalType;

/// Tokens are renewed this long before they expire.
const REFRESH_BEFORE: Duration = Duration::minutes(5);
/// After a failed early renewal the old token serves for this long before the next try.
const RENEWAL_PAUSE: Duration = Duration::seconds(30);

/// A token that expires sooner is waited for: it might not survive the request.
const EXPIRES_SOON: Duration = Duration::seconds(10);

/// A [`TokenCredential`] that asks another one as seldom as possible, and lets nobody wait for a renewal while the token
/// at hand is valid: leases are kept alive by requests that must not stand behind a slow sign-in.
pub struct TokenCache {
    credential: Arc<dyn TokenCredential>,
    scopes: Mutex<HashMap<String, Arc<Scope>>>,
}

/// One scope: its token, and whose turn it is to ask for the next.
struct Scope {
    name: String,
    kept: Mutex<Option<Kept>>,
    turn: tokio::sync::Mutex<()>,
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

    fn is_fresh(&self) -> bool {
        OffsetDateTime::now_utc() < self.renew_at
    }

    fn is_valid(&self) -> bool {
        OffsetDateTime::now_utc() + EXPIRES_SOON < self.token.expires_on
    }
}

impl Scope {
    fn kept(&self) -> Option<Kept> {
        lock(&self.kept).clone()
    }

    fn keep(&self, kept: Option<Kept>) {
        *lock(&self.kept) = kept;
    }

    /// Asks, unless somebody has done so meanwhile. A renewal that fails is tried again after a pause.
    async fn renew(&self, credential: &dyn TokenCredential) -> azure_core::Result<AccessToken> {
        let _turn = self.turn.lock().await;
        if let Some(kept) = self.kept().filter(Kept::is_fresh) {
            return Ok(kept.token);
        }
        match credential.get_token(&[&self.name], None).await {
            Ok(token) => {
                self.keep(Some(Kept::new(token.clone(), OffsetDateTime::now_utc())));
                Ok(token)
            }
            Err(error) => match self.kept() {
                Some(kept) if OffsetDateTime::now_utc() < kept.token.expires_on => {
                    tracing::warn!(%error, "the access token could not be renewed yet");
                    let renew_at = OffsetDateTime::now_utc() + RENEWAL_PAUSE;
                    self.keep(Some(Kept { renew_at, ..kept.clone() }));
                    Ok(kept.token)
                }
                _ => Err(error),
            },
        }
    }
}

/// What a panicking thread left behind is whole: each change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("credential", &self.credential).finish_non_exhaustive()
    }
}

impl TokenCache {
    /// Puts a cache in front of a credential.
    pub fn new(credential: Arc<dyn TokenCredential>) -> Self {
        Self { credential, scopes: Mutex::default() }
    }

    fn scope(&self, name: &str) -> Arc<Scope> {
        let mut scopes = lock(&self.scopes);
        let new = || {
            let (kept, turn) = (Mutex::default(), tokio::sync::Mutex::default());
            Arc::new(Scope { name: name.to_owned(), kept, turn })
        };
        Arc::clone(scopes.entry(name.to_owned()).or_insert_with(new))
    }

    /// A token for `scope`; concurrent callers share one request. It goes on when its caller is dropped, and a token that
    /// is valid is handed out meanwhile.
    pub async fn token(&self, scope: &str) -> azure_core::Result<AccessToken> {
        let scope = self.scope(scope);
        let kept = scope.kept();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_fresh()) {
            return Ok(kept.token.clone());
        }
        let is_under_way = scope.turn.try_lock().is_err();
        let credential = Arc::clone(&self.credential);
        let renew = async move { scope.renew(credential.as_ref()).await };
        match kept.filter(Kept::is_valid) {
            Some(kept) => {
                if !is_under_way {
                    tokio::spawn(renew);
                }
                Ok(kept.token)
            }
            None => tokio::spawn(renew).await.unwrap_or_else(|error| {
                let kind = azure_core::error::ErrorKind::Credential;
                Err(azure_core::Error::with_error(kind, error, "the sign-in was cut off"))
            }),
        }
    }

    /// Forgets a token that a service refused, unless it has been replaced meanwhile.
    pub fn invalidate(&self, scope: &str, refused: &AccessToken) {
        let scope = self.scope(scope);
        let mut kept = lock(&scope.kept);
        if kept.as_ref().is_some_and(|kept| kept.token.token == refused.token) {
            *kept = None;
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
    /// Whether a person or a program signed in.
    pub principal_type: Option<PrincipalType>,
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
        // Microsoft's page on access token claims: `idtyp` tells, where it is; else only users have scopes.
        let principal_type = match text("idtyp").as_deref() {
            Some("app") => Some(PrincipalType::ServicePrincipal),
            Some("user") => Some(PrincipalType::User),
            _ if json.get("scp").is_some() => Some(PrincipalType::User),
            _ if json.get("appidacr").is_some() => Some(PrincipalType::ServicePrincipal),
            _ => None,
        };
        Self { object_id: text("oid"), tenant_id: text("tid"), principal_type }
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
        cache.invalidate("x", &old);
        let new = cache.token("x").await.unwrap();
        assert_ne!(old.token, new.token);
        cache.invalidate("x", &old);
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

    /// As if the time for a renewal had come.
    fn make_due(cache: &TokenCache) {
        let scope = cache.scope("x");
        let kept = scope.kept().unwrap();
        scope.keep(Some(Kept { renew_at: OffsetDateTime::now_utc(), ..kept }));
    }

    async fn renewed(cache: &TokenCache) {
        while cache.scope("x").kept().is_none_or(|kept| !kept.is_fresh()) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_token_that_still_holds_survives_a_failed_renewal() {
        let (inner, cache) = cache(Duration::hours(1), 1);
        let first = cache.token("x").await.unwrap();
        make_due(&cache);
        assert_eq!(cache.token("x").await.unwrap().token, first.token);
        renewed(&cache).await;
        assert_eq!(cache.token("x").await.unwrap().token, first.token);
        assert_eq!(inner.calls.load(Ordering::SeqCst), 2, "the next renewal waits");
    }

    #[tokio::test]
    async fn a_valid_token_is_handed_out_while_the_next_is_asked_for() {
        let (inner, cache) = cache(Duration::hours(1), 9);
        let first = cache.token("x").await.unwrap();
        make_due(&cache);
        let turn = cache.scope("x");
        let turn = turn.turn.lock().await;
        for _ in 0..3 {
            assert_eq!(cache.token("x").await.unwrap().token, first.token);
        }
        assert!(cache.token("other").await.is_ok(), "no scope waits for another");
        drop(turn);
        cache.token("x").await.unwrap();
        renewed(&cache).await;
        assert_ne!(cache.token("x").await.unwrap().token, first.token);
        assert_eq!(inner.calls.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_in_outlives_the_caller_that_began_it() {
        #[derive(Debug)]
        struct Slow(Counting);

        #[async_trait::async_trait]
        impl TokenCredential for Slow {
            async fn get_token(
                &self,
                scopes: &[&str],
                options: Option<TokenRequestOptions<'_>>,
            ) -> azure_core::Result<AccessToken> {
                tokio::time::sleep(std::time::Duration::from_secs(30)).await;
                self.0.get_token(scopes, options).await
            }
        }

        let lifetime = Duration::hours(1);
        let inner = Arc::new(Slow(Counting { calls: AtomicUsize::new(0), lifetime, fail_from: 9 }));
        let cache = TokenCache::new(inner.clone());
        let impatient = tokio::time::timeout(std::time::Duration::from_secs(6), cache.token("x"));
        assert!(impatient.await.is_err());
        tokio::time::sleep(std::time::Duration::from_secs(25)).await;
        assert_eq!(cache.token("x").await.unwrap().token.secret(), "token-0");
        assert_eq!(inner.0.calls.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn claims_come_from_the_payload_and_nothing_else() {
        let payload = URL_SAFE_NO_PAD.encode(br#"{"oid":"o-1","tid":"t-1","aud":"x"}"#);
        let claims = Claims::of(&format!("e30.{payload}.sig"));
        assert_eq!(claims.object_id.as_deref(), Some("o-1"));
        assert_eq!(claims.tenant_id.as_deref(), Some("t-1"));
        let kinds = [
            (r#"{"idtyp":"app"}"#, Some(PrincipalType::ServicePrincipal)),
            (r#"{"idtyp":"user","appidacr":"0"}"#, Some(PrincipalType::User)),
            (r#"{"scp":"user_impersonation","appidacr":"0"}"#, Some(PrincipalType::User)),
            (r#"{"appidacr":"2"}"#, Some(PrincipalType::ServicePrincipal)),
            (r#"{"oid":"o-1"}"#, None),
        ];
        for (payload, kind) in kinds {
            let token = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(payload));
            assert_eq!(Claims::of(&token).principal_type, kind, "{payload}");
        }
        for odd in ["", "opaque", "a.b.c", "a.!!.c", "..."] {
            assert_eq!(Claims::of(odd), Claims::default());
        }
    }
}
