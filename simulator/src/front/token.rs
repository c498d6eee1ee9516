//! Entra in small: token and discovery endpoints, and the check of tokens.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::now_ms;
use super::state::Shared;
use super::wire::{self, Reply};

/// Seconds that a token of the token endpoint lives, as Entra's.
const LIFETIME_S: u64 = 3599;

/// Who a token speaks for and for which service.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    pub(crate) object_id: String,
    pub(crate) audience: String,
}

/// Signs a token.
pub(crate) fn issue(
    shared: &Shared,
    object_id: &str,
    client_id: &str,
    audience: &str,
    lifetime_s: u64,
) -> String {
    let now_s = now_ms() / 1000;
    let tenant = &shared.identity.tenant_id;
    let header = json!({"typ": "JWT", "alg": "HS256", "kid": "azure-emulator"});
    let claims = json!({
        "aud": audience,
        "iss": format!("https://sts.windows.net/{tenant}/"),
        "iat": now_s, "nbf": now_s.saturating_sub(5), "exp": now_s + lifetime_s,
        "appid": client_id, "appidacr": "1", "idtyp": "app",
        "oid": object_id, "sub": object_id, "tid": tenant, "ver": "1.0",
    });
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let tag = hmac::sign(&shared.token_key, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Checks the `Authorization` header; the error is a sentence for the refusal.
pub(crate) fn check(shared: &Shared, header: Option<&str>) -> Result<Claims, &'static str> {
    let header = header.ok_or("The access token is missing.")?;
    let (scheme, token) = header.split_once(' ').ok_or("The access token is invalid.")?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err("The authentication scheme is not supported.");
    }
    let invalid = "The access token is invalid.";
    let (text, tag) = token.trim().rsplit_once('.').ok_or(invalid)?;
    let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| invalid)?;
    hmac::verify(&shared.token_key, text.as_bytes(), &tag)
        .map_err(|_| "The access token has an invalid signature.")?;
    let claims = text.split_once('.').ok_or(invalid)?.1;
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| invalid)?;
    let claims: Value = serde_json::from_slice(&claims).map_err(|_| invalid)?;
    let now_s = now_ms() / 1000;
    if claims["exp"].as_u64().is_none_or(|exp| exp <= now_s) {
        return Err("The access token expiry UTC time is earlier than current UTC time.");
    }
    if claims["tid"].as_str() != Some(&shared.identity.tenant_id) {
        return Err("The access token is from the wrong issuer.");
    }
    let object_id = claims["oid"].as_str().unwrap_or_default().to_owned();
    if shared.world().principal(&object_id).is_none() {
        return Err("The access token names a principal that does not exist.");
    }
    let audience = claims["aud"].as_str().unwrap_or_default().trim_end_matches('/').to_owned();
    Ok(Claims { object_id, audience })
}

fn refuse(status: u16, error: &str, code: u32, text: &str) -> Reply {
    let body = json!({
        "error": error,
        "error_description": format!("AADSTS{code}: {text} Trace ID: {}", uuid::Uuid::new_v4()),
        "error_codes": [code],
        "timestamp": crate::world::operations::rfc3339(now_ms()),
        "trace_id": uuid::Uuid::new_v4().to_string(),
        "correlation_id": uuid::Uuid::new_v4().to_string(),
    });
    wire::json(status, &body)
}

/// `POST /{tenant}/oauth2/v2.0/token` and the v1 form with `resource`.
pub(crate) fn token(shared: &Shared, tenant: &str, form: &[u8]) -> Reply {
    let fields: std::collections::BTreeMap<String, String> =
        url::form_urlencoded::parse(form).into_owned().collect();
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    let own = &shared.identity;
    if !tenant.eq_ignore_ascii_case(&own.tenant_id) {
        let text = format!("Tenant '{tenant}' not found.");
        return refuse(400, "invalid_request", 90002, &text);
    }
    if field("grant_type") != "client_credentials" {
        let text = "The app requested an unsupported grant type.";
        return refuse(400, "unsupported_grant_type", 70003, text);
    }
    if !field("client_id").eq_ignore_ascii_case(&own.client_id) {
        let text = format!(
            "Application with identifier '{}' was not found in the directory.",
            field("client_id")
        );
        return refuse(400, "unauthorized_client", 700_016, &text);
    }
    if field("client_assertion").is_empty() {
        if field("client_secret").is_empty() {
            let text = "The request body must contain 'client_assertion' or 'client_secret'.";
            return refuse(401, "invalid_client", 7_000_218, text);
        }
        if field("client_secret") != own.client_secret {
            let text = "Invalid client secret provided. Ensure the secret being sent in the \
                        request is the client secret value, not the client secret ID.";
            return refuse(401, "invalid_client", 7_000_215, text);
        }
    } else if field("client_assertion").split('.').count() != 3 {
        let text = "Client assertion is not a well-formed JWT.";
        return refuse(401, "invalid_client", 50_027, text);
    }
    let scope = if field("scope").is_empty() { field("resource") } else { field("scope") };
    let audience = scope.split(' ').next().unwrap_or_default().trim_end_matches(".default");
    let audience = audience.strip_suffix('/').unwrap_or(audience);
    if audience.is_empty() {
        let text = "The provided request must include a 'scope' input parameter.";
        return refuse(400, "invalid_scope", 90_014, text);
    }
    let token = issue(shared, &own.caller_object_id, &own.client_id, audience, LIFETIME_S);
    let body = json!({
        "token_type": "Bearer",
        "expires_in": LIFETIME_S,
        "ext_expires_in": LIFETIME_S,
        "access_token": token,
    });
    wire::json(200, &body)
}

/// `OpenID` configuration of the tenant.
pub(crate) fn discovery(shared: &Shared, tenant: &str) -> Reply {
    let base = format!("{}/{tenant}", shared.endpoint);
    let body = json!({
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": format!("{base}/v2.0"),
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
        "end_session_endpoint": format!("{base}/oauth2/v2.0/logout"),
        "tenant_region_scope": "EU",
        "cloud_instance_name": "127.0.0.1",
    });
    wire::json(200, &body)
}

/// `GET /metadata/endpoints`: an object, or the list of the older form.
pub(crate) fn endpoints(shared: &Shared, version: &str) -> Reply {
    let endpoint = &shared.endpoint;
    let body = json!({
        "name": "HcsEmulator",
        "portal": "https://portal.azure.com/",
        "authentication": {
            "loginEndpoint": format!("{endpoint}/"),
            "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "graph": "https://graph.windows.net/",
        "graphAudience": "https://graph.windows.net/",
        "microsoftGraphResourceId": "https://graph.microsoft.com/",
        "resourceManager": format!("{endpoint}/"),
        "batch": "https://batch.core.windows.net/",
        "media": "https://rest.media.azure.net",
        "gallery": "https://gallery.azure.com/",
        "vmImageAliasDoc": format!("{endpoint}/emulator/aliases.json"),
        "suffixes": {
            "storage": shared.storage_suffix.as_deref().unwrap_or("core.windows.net"),
            "keyVaultDns": "vault.azure.net",
            "sqlServerHostname": "database.windows.net",
            "acrLoginServer": "azurecr.io",
        },
    });
    if version.starts_with("2019") || version.starts_with("2018") {
        return wire::json(200, &json!([body]));
    }
    wire::json(200, &body)
}
