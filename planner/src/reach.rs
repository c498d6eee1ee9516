//! What the servers reach beyond their network, and by which way.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arm::{ArmId, Kind};
use crate::names::{Names, by_cloud};
use crate::spec::ClusterSpec;
use crate::upgrade::{Channel, NO_INDEX, RELEASE_INDEX};

/// HTTPS of everybody else than Consul.
const HTTPS_PORT: u16 = 443;

/// The servers' way out; the words are AKS's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutboundType {
    /// A NAT gateway with a public address.
    #[default]
    NatGateway,
    /// The route table of the user's subnet, to a firewall say.
    UserDefinedRouting,
    /// None.
    None,
}

impl OutboundType {
    /// Every word that a configuration may have.
    pub const ALL: [Self; 3] = [Self::NatGateway, Self::UserDefinedRouting, Self::None];

    /// The word in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NatGateway => "nat_gateway",
            Self::UserDefinedRouting => "user_defined_routing",
            Self::None => "none",
        }
    }
}

/// Where the cluster's storage account answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageAccess {
    /// At its public name; roles decide who gets in.
    #[default]
    PublicEndpoint,
    /// At an address in the servers' network, and nowhere else.
    PrivateEndpoint,
}

impl StorageAccess {
    /// Every word that a configuration may have.
    pub const ALL: [Self; 2] = [Self::PublicEndpoint, Self::PrivateEndpoint];

    /// The word in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PublicEndpoint => "public_endpoint",
            Self::PrivateEndpoint => "private_endpoint",
        }
    }
}

/// Who tells the address of the private endpoint; the words are AKS's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum StorageZone {
    /// A zone of the cluster's own, for the servers' network alone.
    #[default]
    System,
    /// Somebody else, such as a policy that writes into a hub's zone.
    None,
    /// This zone.
    Existing(ArmId),
}

impl StorageZone {
    /// The word for a zone of the cluster's own.
    pub const SYSTEM: &str = "System";
    /// The word for somebody else's work.
    pub const NONE: &str = "None";

    /// Reads what a configuration says.
    pub fn of(text: &str) -> Self {
        if text.eq_ignore_ascii_case(Self::SYSTEM) {
            Self::System
        } else if text.eq_ignore_ascii_case(Self::NONE) {
            Self::None
        } else {
            Self::Existing(ArmId::new(text))
        }
    }

    /// What a configuration says.
    pub fn as_str(&self) -> &str {
        match self {
            Self::System => Self::SYSTEM,
            Self::None => Self::NONE,
            Self::Existing(id) => id.as_str(),
        }
    }
}

impl From<String> for StorageZone {
    fn from(text: String) -> Self {
        Self::of(&text)
    }
}

impl From<StorageZone> for String {
    fn from(zone: StorageZone) -> Self {
        zone.as_str().to_owned()
    }
}

/// What names of storage accounts end in, in the cloud of this region (Microsoft's pages on endpoints of Azure Government
/// and of Azure in China).
pub fn storage_suffix(location: &str) -> &'static str {
    let (public, government, china) =
        ("core.windows.net", "core.usgovcloudapi.net", "core.chinacloudapi.cn");
    by_cloud(location, public, government, china)
}

/// The zone in which Azure looks for private endpoints of blobs.
pub fn private_link_zone(location: &str) -> String {
    format!("privatelink.blob.{}", storage_suffix(location))
}

/// Something that the servers must reach: TCP, always begun by them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Name in DNS.
    pub name: String,
    /// TCP port.
    pub port: u16,
    /// What for.
    pub purpose: &'static str,
}

/// All that the servers of this cluster must reach outside of their subnet. What the platform offers every machine
/// (169.254.169.254 and 168.63.129.16) passes no firewall and is no part of it, nor are clients, and containers of other
/// accounts that a snapshot policy names.
pub fn required_outbound(spec: &ClusterSpec) -> Vec<Destination> {
    let account = Names::new(spec).storage_account();
    let suffix = storage_suffix(&spec.location);
    let mut found = vec![Destination {
        name: format!("{}.blob.{suffix}", account.name()),
        port: HTTPS_PORT,
        purpose: "the cluster's configuration, certificates, programs and snapshots",
    }];
    found.extend(release_host(spec).map(|(name, port)| Destination {
        name,
        port,
        purpose: "releases of Consul, by consul_upgrade_channel",
    }));
    found
}

/// Host and port of the index that the servers ask for releases, where they do.
pub fn release_host(spec: &ClusterSpec) -> Option<(String, u16)> {
    let index = spec.maintenance.release_index.as_deref().unwrap_or(RELEASE_INDEX);
    if spec.maintenance.channel == Channel::None || index == NO_INDEX {
        return None;
    }
    let authority = index.strip_prefix("https://")?.split('/').next()?;
    Some(match authority.rsplit_once(':') {
        Some((host, port)) => (host.to_owned(), port.parse().ok()?),
        None => (authority.to_owned(), HTTPS_PORT),
    })
}

/// What a subnet of the user's lacks for the way out that is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Whether servers could never serve in it.
    pub is_fatal: bool,
    /// In few words.
    pub summary: &'static str,
    /// What is wrong and what to do.
    pub detail: String,
}

/// Looks at the subnet of this name, as ARM shows it.
pub fn lack(spec: &ClusterSpec, name: &str, subnet: &Value) -> Option<Lack> {
    let has = |pointer: &str| subnet.pointer(pointer).is_some_and(Value::is_string);
    let has_gateway = has("/properties/natGateway/id");
    let has_routes = has("/properties/routeTable/id");
    let is_closed = subnet.pointer("/properties/defaultOutboundAccess") == Some(&false.into());
    let warning = |summary, detail| Some(Lack { is_fatal: false, summary, detail });
    match spec.outbound_type {
        OutboundType::NatGateway if !has_gateway && has_routes => warning(
            "The subnet has no NAT gateway",
            format!(
                "The subnet {name} has a route table and no NAT gateway. Where its routes lead the servers out, set \
                 outbound_type = \"user_defined_routing\": nothing changes but what is checked. If they do not, attach a \
                 NAT gateway."
            ),
        ),
        OutboundType::NatGateway if !has_gateway && is_closed => warning(
            "The subnet has no NAT gateway",
            format!(
                "The subnet {name} has neither a NAT gateway nor a route table, and gives no address of its own \
                 (defaultOutboundAccess is false). Attach a NAT gateway, or set outbound_type = \"none\" where nothing is \
                 to leave it."
            ),
        ),
        OutboundType::UserDefinedRouting if !has_routes => warning(
            "The subnet has no route table",
            format!(
                "The subnet {name} has no route table now. That is fine when this run attaches it, or where a gateway tells \
                 the network its routes; otherwise the servers reach nothing of required_outbound."
            ),
        ),
        OutboundType::None
            if spec.storage_access == StorageAccess::PublicEndpoint
                && !has_storage_endpoint(subnet) =>
        {
            Some(Lack {
                is_fatal: true,
                summary: "The servers cannot come to the account",
                detail: format!(
                    "Nothing leaves the subnet {name}, and the cluster's storage account answers outside of it: the servers \
                     would wait for their configuration for ever. Give the subnet the service endpoint Microsoft.Storage, or \
                     set storage_access = \"private_endpoint\"."
                ),
            })
        }
        _ => None,
    }
}

/// Whether Azure leads storage's traffic out of the subnet by a way of its own.
fn has_storage_endpoint(subnet: &Value) -> bool {
    let rows = subnet.pointer("/properties/serviceEndpoints").and_then(Value::as_array);
    let services = rows.into_iter().flatten().filter_map(|row| row.get("service")?.as_str());
    services.map(str::to_lowercase).any(|service| service.starts_with("microsoft.storage"))
}

/// Whether it is a zone for private endpoints of blobs, of whatever cloud.
pub fn is_private_link_zone(id: &ArmId) -> bool {
    id.is_a(Kind::PrivateDnsZone) && id.name().to_lowercase().starts_with("privatelink.blob.")
}
