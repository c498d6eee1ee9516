//! Ways through the network, as Azure has them: what leads out, and what leads to the account. Judged by the bodies in the
//! world alone, not by the planner's names.

use super::*;

fn text<'v>(body: &'v Value, pointer: &str) -> &'v str {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The subnet in a server's body.
pub(crate) fn subnet_in(body: &Value) -> Option<&str> {
    let interface =
        "/properties/virtualMachineProfile/networkProfile/networkInterfaceConfigurations/0";
    let subnet = format!("{interface}/properties/ipConfigurations/0/properties/subnet/id");
    body.pointer(&subnet).and_then(Value::as_str)
}

impl World {
    fn of_type<'w>(&'w self, kind: &'w str) -> impl Iterator<Item = (&'w String, &'w Value)> {
        self.objects.iter().filter(move |(key, _)| {
            let Some((_, below)) = key.rsplit_once("/providers/") else { return false };
            let parts: Vec<&str> = below.split('/').collect();
            // Namespace, then types and names in turn.
            let types = parts.iter().take(1).chain(parts.iter().skip(1).step_by(2));
            types.copied().collect::<Vec<_>>().join("/").eq_ignore_ascii_case(kind)
        })
    }

    /// The account does not answer at its public name.
    fn closed_account(&self) -> Option<&str> {
        let (key, _) = self
            .of_type("Microsoft.Storage/storageAccounts")
            .find(|(_, body)| text(body, "/properties/publicNetworkAccess") == "Disabled")?;
        Some(key)
    }

    /// Where the account's private endpoint is.
    fn endpoint_of(&self, account: &str) -> Option<&String> {
        let leads_there = |body: &Value| {
            let target =
                "/properties/privateLinkServiceConnections/0/properties/privateLinkServiceId";
            text(body, target).eq_ignore_ascii_case(account)
        };
        let mut endpoints = self.of_type("Microsoft.Network/privateEndpoints");
        endpoints.find(|(_, body)| leads_there(body)).map(|(key, _)| key)
    }

    /// Whether machines in the cluster's network come to the account.
    pub(super) fn account_is_in_reach(&self) -> Result<(), String> {
        let Some(account) = self.closed_account() else { return Ok(()) };
        if self.endpoint_of(account).is_some() {
            return Ok(());
        }
        Err("the account is closed, and nothing leads to it".to_owned())
    }

    /// Whether its name is told, too, where that is the cluster's to do.
    pub(super) fn account_is_told(&self, spec: &ClusterSpec) -> Result<(), String> {
        self.account_is_in_reach()?;
        let endpoint = self.closed_account().and_then(|account| self.endpoint_of(account));
        let (Some(endpoint), false) = (endpoint, spec.storage_zone == StorageZone::None) else {
            return Ok(());
        };
        let groups = self.of_type("Microsoft.Network/privateEndpoints/privateDnsZoneGroups");
        let mut zones =
            groups.filter(|(key, _)| key.starts_with(endpoint.as_str())).map(|(_, body)| {
                text(body, "/properties/privateDnsZoneConfigs/0/properties/privateDnsZoneId")
            });
        let zone = zones.next().ok_or("no zone tells the account's address")?.to_lowercase();
        let name = zone.rsplit('/').next().unwrap_or_default();
        if name != "privatelink.blob.core.windows.net" {
            return Err(format!("nobody looks into {name}"));
        }
        if spec.storage_zone != StorageZone::System {
            return Ok(());
        }
        let network = "/properties/virtualNetwork/id";
        let own = spec.subnet_id.as_ref().and_then(ArmId::parent).map(|network| network.key());
        let own = own.or_else(|| {
            self.of_type("Microsoft.Network/virtualNetworks").next().map(|(key, _)| key.clone())
        });
        let mut links = self.of_type("Microsoft.Network/privateDnsZones/virtualNetworkLinks");
        let is_linked = links.any(|(key, body)| {
            key.starts_with(&format!("{zone}/"))
                && own.as_ref().is_some_and(|own| text(body, network).eq_ignore_ascii_case(own))
        });
        if is_linked {
            Ok(())
        } else {
            Err("the servers' network does not see the zone".to_owned())
        }
    }

    /// What Azure does not delete, because something hangs on it.
    pub(super) fn hangs_on(&self, id: &ArmId) -> Result<(), String> {
        let is = |text: &str| ArmId::new(text) == *id;
        for (_, network) in self.of_type("Microsoft.Network/virtualNetworks") {
            let subnets = network.pointer("/properties/subnets").and_then(Value::as_array);
            for subnet in subnets.into_iter().flatten() {
                if is(text(subnet, "/properties/natGateway/id")) {
                    return Err("a subnet leads to it".to_owned());
                }
            }
        }
        for (_, gateway) in self.of_type("Microsoft.Network/natGateways") {
            if is(text(gateway, "/properties/publicIpAddresses/0/id")) {
                return Err("a gateway has it".to_owned());
            }
        }
        let links = format!("{}/virtualnetworklinks/", id.key());
        if self.objects.keys().any(|key| key.starts_with(&links)) {
            return Err("a link hangs on it".to_owned());
        }
        Ok(())
    }

    /// What is there of a way that the declaration does not have, or lacks of one that it has.
    pub(crate) fn wrong_ways(&self, spec: &ClusterSpec) -> Vec<String> {
        let has = |kind: &str| self.of_type(kind).next().is_some();
        let is_private = spec.storage_access == StorageAccess::PrivateEndpoint;
        let own_network = spec.subnet_id.is_none();
        let zone = self
            .of_type("Microsoft.Network/privateDnsZones")
            .any(|(key, _)| key.ends_with("/privatelink.blob.core.windows.net"));
        let nat = own_network && spec.outbound_type == OutboundType::NatGateway;
        let group = is_private && spec.storage_zone != StorageZone::None;
        let wanted = [
            ("NAT gateway", nat, has("Microsoft.Network/natGateways")),
            ("private endpoint", is_private, has("Microsoft.Network/privateEndpoints")),
            ("closed account", is_private, self.closed_account().is_some()),
            ("zone", is_private && spec.storage_zone == StorageZone::System, zone),
            ("zone group", group, has("Microsoft.Network/privateEndpoints/privateDnsZoneGroups")),
        ];
        let wrong = wanted.into_iter().filter(|(_, wanted, there)| wanted != there);
        let mut told: Vec<String> =
            wrong.map(|(what, wanted, _)| format!("{what}: wanted is {wanted}")).collect();
        let account = self.of_type("Microsoft.Storage/storageAccounts").next();
        let acls =
            account.map_or("", |(_, body)| text(body, "/properties/networkAcls/defaultAction"));
        if !is_private && acls == "Deny" {
            told.push("an open account whose firewall lets nobody in".to_owned());
        }
        told
    }
}
