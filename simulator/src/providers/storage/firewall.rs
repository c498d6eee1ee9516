//! Who reaches an account's data plane: its public access, the addresses and the subnets that it lets in. Roles come
//! after that, with another refusal.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::providers::network::vnet::VNET;
use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::ids;
use crate::world::resource::{Resource, text};

/// Somebody who has a machine in every network.
const EVERYWHERE: &str = "*";

fn list<'v>(value: &'v Value, path: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(path).and_then(Value::as_array).into_iter().flatten()
}

/// An address, or a range of at least eight.
fn range(text: &str) -> Option<IpNet> {
    text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse()).ok()
}

fn is_private(range: &IpNet) -> bool {
    match range {
        IpNet::V4(range) => range.network().is_private() || range.network().is_loopback(),
        IpNet::V6(_) => true,
    }
}

/// Checks the rules of an account's body.
pub(crate) fn check(world: &World, body: &Value) -> Answer<()> {
    let refused = |text: String| Err(ArmError::invalid("InvalidValuesForRequestParameters", text));
    for rule in list(body, "/properties/networkAcls/ipRules") {
        let value = text(rule, "/value");
        let small = value.ends_with("/31") || value.ends_with("/32");
        if small || range(value).as_ref().is_none_or(is_private) {
            return refused(format!(
                "Values for request parameters are invalid: networkAcls.ipRule[*].value({value}). \
                 For more information, see - https://aka.ms/storagenetworkruleset"
            ));
        }
    }
    for rule in list(body, "/properties/networkAcls/virtualNetworkRules") {
        let id = text(rule, "/id");
        let Some(subnet) = world.visible(id) else {
            return refused(format!(
                "Values for request parameters are invalid: networkAcls.virtualNetworkRules[*].id({id})."
            ));
        };
        if !has_storage_endpoint(subnet) {
            return Err(ArmError::invalid(
                "NetworkAclsValidationFailure",
                format!(
                    "Validation of network acls failure: SubnetsHaveNoServiceEndpointsConfigured:Subnets {} of \
                     virtual network do not have ServiceEndpoints for Microsoft.Storage resources configured.",
                    subnet.name()
                ),
            ));
        }
    }
    Ok(())
}

fn has_storage_endpoint(subnet: &Resource) -> bool {
    list(&subnet.body, "/properties/serviceEndpoints")
        .any(|endpoint| text(endpoint, "/service").starts_with("Microsoft.Storage"))
}

impl World {
    /// Whether the account's firewall lets a caller's requests in. An identity of a machine asks from the machine's
    /// subnet, everybody else from [`Settings::caller_network_id`](crate::Settings::caller_network_id), or from
    /// [`Settings::caller_address`](crate::Settings::caller_address). What leads to a private endpoint passes no firewall.
    pub fn firewall_lets_in(&self, principal: &str, account: &str) -> bool {
        let Some(account) = self.account(account) else { return true };
        let subnets = self.subnets_of(principal);
        let mut networks: Vec<String> =
            subnets.iter().filter_map(|subnet| self.network_of_subnet(subnet)).collect();
        if subnets.is_empty() {
            networks.extend(self.callers_networks());
        }
        let private = networks.iter().find_map(|network| self.reaches_privately(network, account));
        if let Some(comes) = private {
            return comes;
        }
        if account.text("/properties/publicNetworkAccess") == "Disabled" {
            return false;
        }
        if account.text("/properties/networkAcls/defaultAction") != "Deny" {
            return true;
        }
        if subnets.is_empty() {
            return list(&account.body, "/properties/networkAcls/ipRules")
                .filter_map(|rule| range(text(rule, "/value")))
                .any(|range| range.contains(&self.settings.caller_address));
        }
        list(&account.body, "/properties/networkAcls/virtualNetworkRules").any(|rule| {
            let id = ids::key(text(rule, "/id"));
            subnets.contains(&id) && self.visible(&id).is_some_and(has_storage_endpoint)
        })
    }

    /// Ids of the networks in which the caller has a machine.
    fn callers_networks(&self) -> Vec<String> {
        match self.settings.caller_network_id.as_deref() {
            None => vec![],
            Some(EVERYWHERE) => {
                let all = self.resources.values();
                let networks = all.filter(|it| it.rtype == VNET.rtype);
                networks.map(|network| network.id.clone()).collect()
            }
            Some(id) => vec![id.to_owned()],
        }
    }

    /// Keys of the subnets of the scale sets that have this identity.
    fn subnets_of(&self, principal: &str) -> Vec<String> {
        let identities: Vec<String> = self
            .resources
            .iter()
            .filter(|(_, object)| {
                object.rtype == crate::providers::identity::IDENTITY.rtype
                    && object.text("/properties/principalId").eq_ignore_ascii_case(principal)
            })
            .map(|(key, _)| key.clone())
            .collect();
        let mut subnets = Vec::new();
        for set in self.resources.values() {
            let attached = set.body.pointer("/identity/userAssignedIdentities");
            let attached = attached.and_then(Value::as_object).into_iter().flatten();
            if !attached.map(|(id, _)| ids::key(id)).any(|id| identities.contains(&id)) {
                continue;
            }
            let cards =
                "/properties/virtualMachineProfile/networkProfile/networkInterfaceConfigurations";
            for card in list(&set.body, cards) {
                let addresses = list(card, "/properties/ipConfigurations");
                subnets.extend(addresses.map(|a| ids::key(text(a, "/properties/subnet/id"))));
            }
        }
        subnets
    }
}
