//! Which Azure this is: the public clouds by name, any other by its metadata host.

use serde_json::Value;
use url::Url;

use crate::http::{BodyError, HttpClient, host_of, parse_json, read_capped};
use crate::transport::NoAnswer;

const METADATA_PATH: &str = "/metadata/endpoints?api-version=2022-09-01";
const METADATA_LIMIT_BYTES: usize = 1024 * 1024;

/// The clouds that need no metadata host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KnownCloud {
    /// Azure.
    #[default]
    Public,
    /// Azure Government (US).
    UsGovernment,
    /// Azure operated by 21Vianet.
    China,
}

impl KnownCloud {
    /// Reads the words of `environment`, and Azure's own names.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "public" | "azurecloud" | "azurepubliccloud" => Some(Self::Public),
            "usgovernment" | "azureusgovernment" | "azureusgovernmentcloud" => {
                Some(Self::UsGovernment)
            }
            "china" | "azurechinacloud" => Some(Self::China),
            _ => None,
        }
    }
}

/// Endpoints of one cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Name for messages.
    pub name: String,
    /// Where ARM answers.
    pub resource_manager: Url,
    /// Where tokens come from.
    pub authority: Url,
    /// What a token for ARM is asked for.
    pub audience: String,
    /// Storage accounts end in this; `None` when the metadata does not say.
    pub storage_suffix: Option<String>,
}

/// A metadata host gave no usable endpoints.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// The host is none, or one of the endpoints is no HTTPS URL.
    #[error("{what} is no HTTPS address: {value:?}")]
    Address {
        /// Which address.
        what: &'static str,
        /// As it was given.
        value: String,
    },
    /// No answer.
    #[error("the metadata host {host} cannot be reached")]
    Unreachable {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: NoAnswer,
    },
    /// An answer without endpoints.
    #[error("the metadata host {host} does not describe an Azure environment: {reason}")]
    NotMetadata {
        /// The host.
        host: String,
        /// What is wrong.
        reason: String,
    },
}

impl Environment {
    /// The endpoints of a known cloud.
    pub fn known(cloud: KnownCloud) -> Result<Self, EnvironmentError> {
        let (name, arm, authority, suffix) = match cloud {
            KnownCloud::Public => (
                "AzureCloud",
                "https://management.azure.com/",
                "https://login.microsoftonline.com/",
                "core.windows.net",
            ),
            KnownCloud::UsGovernment => (
                "AzureUSGovernment",
                "https://management.usgovcloudapi.net/",
                "https://login.microsoftonline.us/",
                "core.usgovcloudapi.net",
            ),
            KnownCloud::China => (
                "AzureChinaCloud",
                "https://management.chinacloudapi.cn/",
                "https://login.chinacloudapi.cn/",
                "core.chinacloudapi.cn",
            ),
        };
        Ok(Self {
            name: name.to_owned(),
            resource_manager: https("the ARM endpoint", arm)?,
            authority: https("the authority", authority)?,
            audience: arm.to_owned(),
            storage_suffix: Some(suffix.to_owned()),
        })
    }

    /// Asks a metadata host, given as `host` or `host:port`.
    pub async fn fetch(
        host: &str,
        cloud: Option<KnownCloud>,
        http: &HttpClient,
    ) -> Result<Self, EnvironmentError> {
        let name = host.trim().trim_start_matches("https://").trim_end_matches('/');
        let base = https("metadata_host", &format!("https://{name}/"))?;
        if base.path() != "/" {
            let value = host.to_owned();
            return Err(EnvironmentError::Address { what: "metadata_host", value });
        }
        let host = host_of(&base);
        let not_metadata =
            |reason: String| EnvironmentError::NotMetadata { host: host.clone(), reason };
        let unreachable = |error: reqwest::Error| {
            let source = NoAnswer::of(&error, &host);
            EnvironmentError::Unreachable { host: host.clone(), source }
        };
        let url = format!("https://{host}{METADATA_PATH}");
        let response = http.raw().get(url).send().await.map_err(&unreachable)?;
        let status = response.status();
        if !status.is_success() {
            return Err(not_metadata(format!("it answered {status}")));
        }
        let body = match read_capped(response.bytes_stream(), METADATA_LIMIT_BYTES).await {
            Ok(body) => body,
            Err(BodyError::Broken(error)) => return Err(unreachable(error)),
            Err(error @ BodyError::TooLarge { .. }) => return Err(not_metadata(error.to_string())),
        };
        let json = parse_json(&body).map_err(|e| not_metadata(e.to_string()))?;
        Self::from_metadata(&json, cloud, &host)
    }

    /// Reads the object form and the list form of the metadata document.
    pub fn from_metadata(
        json: &Value,
        cloud: Option<KnownCloud>,
        host: &str,
    ) -> Result<Self, EnvironmentError> {
        let missing = |what: &str| EnvironmentError::NotMetadata {
            host: host.to_owned(),
            reason: format!("{what} is missing"),
        };
        let entry = match json {
            Value::Array(entries) => {
                choose(entries, cloud, host).ok_or_else(|| missing("an entry for this cloud"))?
            }
            other => other,
        };
        let text = |pointer: &str| {
            entry.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
        };
        let arm = text("/resourceManager").ok_or_else(|| missing("resourceManager"))?;
        let authority =
            text("/authentication/loginEndpoint").ok_or_else(|| missing("loginEndpoint"))?;
        let resource_manager = https("resourceManager", arm)?;
        let audiences = entry.pointer("/authentication/audiences").and_then(Value::as_array);
        let audiences: Vec<&str> =
            audiences.into_iter().flatten().filter_map(Value::as_str).collect();
        let same = |audience: &&&str| {
            audience.trim_end_matches('/').eq_ignore_ascii_case(arm.trim_end_matches('/'))
        };
        let audience = audiences.iter().find(same).or(audiences.first()).copied().unwrap_or(arm);
        Ok(Self {
            name: text("/name").unwrap_or(host).to_owned(),
            resource_manager,
            authority: https("loginEndpoint", authority)?,
            audience: audience.to_owned(),
            storage_suffix: text("/suffixes/storage").map(str::to_owned),
        })
    }

    /// The scope of a token for ARM.
    pub fn arm_scope(&self) -> String {
        format!("{}/.default", self.audience.trim_end_matches('/'))
    }
}

/// The entry of the asked-for cloud; else the one whose ARM the metadata host is; else the only one.
fn choose<'a>(entries: &'a [Value], cloud: Option<KnownCloud>, host: &str) -> Option<&'a Value> {
    let name =
        |entry: &Value| entry.get("name").and_then(Value::as_str).and_then(KnownCloud::parse);
    let arm_host = |entry: &Value| {
        let arm = entry.get("resourceManager").and_then(Value::as_str)?;
        Url::parse(arm).ok().map(|url| host_of(&url))
    };
    let named = cloud.and_then(|cloud| entries.iter().find(|e| name(e) == Some(cloud)));
    let hosted = || entries.iter().find(|e| arm_host(e).as_deref() == Some(host));
    let only = || {
        if entries.len() == 1 { entries.first() } else { None }
    };
    named.or_else(hosted).or_else(only)
}

fn https(what: &'static str, value: &str) -> Result<Url, EnvironmentError> {
    let address = || EnvironmentError::Address { what, value: value.to_owned() };
    // Some metadata documents name the ARM endpoint without a scheme.
    let text = if value.contains("://") { value.to_owned() } else { format!("https://{value}") };
    let url = Url::parse(&text).map_err(|_| address())?;
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if url.scheme() != "https" || url.host_str().is_none() || !bare {
        return Err(address());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(name: &str, arm: &str) -> Value {
        json!({
            "name": name,
            "resourceManager": arm,
            "authentication": {
                "loginEndpoint": "https://login.example/",
                "audiences": ["https://management.core.example/", arm],
            },
            "suffixes": {"storage": "core.example"},
        })
    }

    #[test]
    fn known_clouds_go_by_several_names() {
        for (text, cloud) in [
            ("public", KnownCloud::Public),
            ("AzureCloud", KnownCloud::Public),
            ("usgovernment", KnownCloud::UsGovernment),
            ("AzureUSGovernment", KnownCloud::UsGovernment),
            (" China ", KnownCloud::China),
        ] {
            assert_eq!(KnownCloud::parse(text), Some(cloud));
        }
        assert_eq!(KnownCloud::parse("german"), None);
    }

    #[test]
    fn known_clouds_have_their_own_hosts_and_scopes() {
        for (cloud, scope) in [
            (KnownCloud::Public, "https://management.azure.com/.default"),
            (KnownCloud::UsGovernment, "https://management.usgovcloudapi.net/.default"),
            (KnownCloud::China, "https://management.chinacloudapi.cn/.default"),
        ] {
            assert_eq!(Environment::known(cloud).unwrap().arm_scope(), scope);
        }
    }

    #[test]
    fn the_object_form_is_read() {
        let json = entry("Local", "https://127.0.0.1:8443/");
        let env = Environment::from_metadata(&json, None, "127.0.0.1:8443").unwrap();
        assert_eq!(env.resource_manager.as_str(), "https://127.0.0.1:8443/");
        assert_eq!(env.authority.as_str(), "https://login.example/");
        assert_eq!(env.arm_scope(), "https://127.0.0.1:8443/.default");
        assert_eq!(env.storage_suffix.as_deref(), Some("core.example"));
    }

    #[test]
    fn the_list_form_is_read_by_cloud_then_by_host_then_if_single() {
        let public = entry("AzureCloud", "https://management.azure.com");
        let china = entry("AzureChinaCloud", "https://management.chinacloudapi.cn");
        let list = json!([public, china]);
        let pick = |cloud, host| Environment::from_metadata(&list, cloud, host).map(|e| e.name);
        assert_eq!(pick(Some(KnownCloud::China), "x").unwrap(), "AzureChinaCloud");
        assert_eq!(pick(None, "management.azure.com").unwrap(), "AzureCloud");
        assert!(pick(None, "x").is_err());
        let single = json!([entry("Stack", "https://arm.stack")]);
        assert!(Environment::from_metadata(&single, None, "x").is_ok());
    }

    #[test]
    fn plain_http_and_missing_parts_are_refused() {
        let mut plain = entry("Local", "https://arm.example/");
        plain["authentication"]["loginEndpoint"] = json!("http://login.example/");
        let error = Environment::from_metadata(&plain, None, "h").unwrap_err();
        assert!(matches!(error, EnvironmentError::Address { what: "loginEndpoint", .. }));
        let mut user = entry("Local", "https://someone:else@arm.example/");
        assert!(Environment::from_metadata(&user, None, "h").is_err());
        user["resourceManager"] = Value::Null;
        let error = Environment::from_metadata(&user, None, "h").unwrap_err();
        assert!(error.to_string().contains("resourceManager is missing"));
        for odd in [json!(null), json!([]), json!("text"), json!({"authentication": []})] {
            assert!(Environment::from_metadata(&odd, None, "h").is_err());
        }
    }

    #[test]
    fn an_audience_is_found_even_when_none_is_named() {
        let mut json = entry("Local", "https://arm.example/");
        json["authentication"]["audiences"] = json!([]);
        let env = Environment::from_metadata(&json, None, "h").unwrap();
        assert_eq!(env.audience, "https://arm.example/");
    }
}
