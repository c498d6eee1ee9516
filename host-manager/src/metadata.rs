//! The instance metadata service: which address and zone this VM has.
//!
//! Never asks for tokens; those belong to the storage access.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the service listens on a real VM.
pub const DEFAULT_ENDPOINT: &str = "http://169.254.169.254";

const API_VERSION: &str = "2021-02-01";

/// What this VM is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Address in the subnet; Consul binds and advertises it.
    pub address: IpAddr,
    /// Availability zone, if the region has zones.
    pub zone: Option<String>,
    /// Name of the VM.
    pub name: String,
}

/// Why the metadata cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// No answer.
    #[error("the instance metadata service at {endpoint} cannot be asked")]
    Unreachable {
        /// Base address.
        endpoint: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// A refusal.
    #[error("the instance metadata service answered {status}")]
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// No address in the answer.
    #[error("the instance metadata names no private address")]
    NoAddress,
}

#[derive(Deserialize)]
struct Document {
    compute: Compute,
    network: Network,
}

#[derive(Deserialize)]
struct Compute {
    #[serde(default)]
    name: String,
    #[serde(default)]
    zone: String,
}

#[derive(Deserialize)]
struct Network {
    #[serde(default)]
    interface: Vec<Interface>,
}

#[derive(Deserialize)]
struct Interface {
    ipv4: Addresses,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Addresses {
    #[serde(default)]
    ip_address: Vec<Address>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Address {
    private_ip_address: IpAddr,
}

/// Asks the service.
pub async fn instance(endpoint: &str) -> Result<Instance, MetadataError> {
    let unreachable = |source| MetadataError::Unreachable { endpoint: endpoint.to_owned(), source };
    // The service is link-local: a proxy could not reach it and must not see the question.
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .build()
        .map_err(unreachable)?;
    let url =
        format!("{}/metadata/instance?api-version={API_VERSION}", endpoint.trim_end_matches('/'));
    let response = client.get(url).header("Metadata", "true").send().await.map_err(unreachable)?;
    if !response.status().is_success() {
        return Err(MetadataError::Refused { status: response.status().as_u16() });
    }
    let document: Document = response.json().await.map_err(unreachable)?;
    read(document)
}

fn read(document: Document) -> Result<Instance, MetadataError> {
    let addresses = document.network.interface.into_iter().flat_map(|i| i.ipv4.ip_address);
    let address =
        addresses.map(|found| found.private_ip_address).next().ok_or(MetadataError::NoAddress)?;
    let zone = Some(document.compute.zone).filter(|zone| !zone.is_empty());
    Ok(Instance { address, zone, name: document.compute.name })
}

/// Whether the endpoint's host is a loopback address: only then may a test scale our schedules.
pub fn is_loopback(endpoint: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(endpoint) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The scale that applies: the wanted one on loopback, real time everywhere else.
pub fn time_scale(wanted: Option<&str>, endpoint: &str) -> Result<f64, ScaleError> {
    let Some(wanted) = wanted else { return Ok(1.0) };
    if !is_loopback(endpoint) {
        return Err(ScaleError::NotLoopback { endpoint: endpoint.to_owned() });
    }
    match wanted.parse::<f64>() {
        Ok(scale) if scale.is_finite() && scale > 0.0 => Ok(scale),
        _ => Err(ScaleError::NotANumber),
    }
}

/// Why `HCS_TIME_SCALE` is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// Only an emulated VM may run faster.
    #[error("HCS_TIME_SCALE is for emulated VMs only, but the metadata service is {endpoint}")]
    NotLoopback {
        /// Base address.
        endpoint: String,
    },
    /// Not a positive number.
    #[error("HCS_TIME_SCALE must be a positive number")]
    NotANumber,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_scale_counts_on_loopback_only() {
        let cases = [
            (None, DEFAULT_ENDPOINT, Ok(1.0)),
            (Some("60"), "http://127.65.0.3:4711", Ok(60.0)),
            (Some("60"), "http://localhost:1/", Ok(60.0)),
            (Some("0"), "http://127.0.0.1:1", Err(ScaleError::NotANumber)),
            (Some("inf"), "http://[::1]:1", Err(ScaleError::NotANumber)),
        ];
        for (wanted, endpoint, expected) in cases {
            assert_eq!(time_scale(wanted, endpoint), expected, "{wanted:?} {endpoint}");
        }
        for endpoint in [DEFAULT_ENDPOINT, "http://127.0.0.1.example.org", "nonsense"] {
            assert!(matches!(time_scale(Some("2"), endpoint), Err(ScaleError::NotLoopback { .. })));
        }
    }

    #[test]
    fn address_and_zone_come_from_the_first_interface() {
        let text = r#"{"compute":{"name":"vm_0","zone":"2","location":"westeurope"},
            "network":{"interface":[{"ipv4":{"ipAddress":[{"privateIpAddress":"10.0.0.4",
            "publicIpAddress":""}]},"macAddress":"00"}]}}"#;
        let found = read(serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(found.address.to_string(), "10.0.0.4");
        assert_eq!(found.zone.as_deref(), Some("2"));
    }

    #[test]
    fn a_region_without_zones_gives_no_zone() {
        let text = r#"{"compute":{"zone":""},"network":{"interface":[
            {"ipv4":{"ipAddress":[{"privateIpAddress":"10.0.0.4"}]}}]}}"#;
        assert_eq!(read(serde_json::from_str(text).unwrap()).unwrap().zone, None);
        let none = r#"{"compute":{},"network":{}}"#;
        assert!(read(serde_json::from_str(none).unwrap()).is_err());
    }
}
