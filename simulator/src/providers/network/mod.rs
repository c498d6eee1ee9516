//! Microsoft.Network: networks, rules, addresses, balancers, and who uses what.

pub(crate) mod lb;
pub(crate) mod nat;
pub(crate) mod nic;
pub(crate) mod nsg;
pub(crate) mod peering;
pub(crate) mod private_endpoint;
pub(crate) mod public_ip;
pub(crate) mod vnet;

use serde_json::{Value, json};

use crate::world::World;
use crate::world::crud::missing;
use crate::world::errors::{Answer, ArmError};
use crate::world::http::{Method, Request, Response};
use crate::world::ids::{self, ArmPath};
use crate::world::resource::{Resource, State, list, text};

impl World {
    /// A referenced object, which must be there and at rest.
    pub(crate) fn referenced(&self, id: &str, user: &str) -> Answer<&Resource> {
        let found = self.visible(id).ok_or_else(|| ArmError::reference_not_found(id, user))?;
        if found.state != State::Succeeded {
            return Err(ArmError::not_provisioned(
                &found.id,
                user,
                found.state.as_str(),
                &found.last_operation,
            )
            .after_ms(self.scaled(10_000)));
        }
        Ok(found)
    }

    /// Ids of what still uses an object, each with the code of the refusal to delete it.
    pub(crate) fn users_of(&self, resource: &Resource) -> Vec<(String, &'static str)> {
        let key = resource.key();
        let (pointers, code): (&[&str], _) = match resource.rtype.as_str() {
            "Microsoft.Network/virtualNetworks/subnets" => {
                return self
                    .addresses_in(&key)
                    .into_iter()
                    .map(|(user, _)| (user, "InUseSubnetCannotBeDeleted"))
                    .collect();
            }
            "Microsoft.Network/networkSecurityGroups" => (
                &["/properties/networkSecurityGroup/id"],
                "InUseNetworkSecurityGroupCannotBeDeleted",
            ),
            "Microsoft.Network/natGateways" => {
                (&["/properties/natGateway/id"], "NatGatewayInUseBySubnet")
            }
            "Microsoft.Network/publicIPAddresses" => {
                (&["/properties/publicIPAddress/id"], "PublicIPAddressCannotBeDeleted")
            }
            "Microsoft.Network/loadBalancers" => (&[], "LoadBalancerInUseByVirtualMachineScaleSet"),
            _ => return Vec::new(),
        };
        let mut users = Vec::new();
        for (_, user) in self.resources.iter().filter(|(own, _)| **own != key) {
            let mut hit = pointers.iter().any(|p| ids::is(text(&user.body, p), &key));
            if code.starts_with("PublicIP") {
                let gateway = list(&user.body, "/properties/publicIpAddresses").iter();
                let frontends = list(&user.body, "/properties/frontendIPConfigurations").iter();
                hit |= gateway.map(|a| text(a, "/id")).any(|id| ids::is(id, &key));
                hit |= frontends
                    .map(|f| text(f, "/properties/publicIPAddress/id"))
                    .any(|id| ids::is(id, &key));
            }
            if code.starts_with("LoadBalancer") && user.rtype.ends_with("/virtualMachineScaleSets")
            {
                hit |= crate::providers::compute::scale_set::pool_ids(&user.body)
                    .iter()
                    .any(|pool| ids::within(&ids::key(pool), &key));
            }
            if code.starts_with("InUseNetworkSecurity")
                && user.rtype.ends_with("/virtualMachineScaleSets")
            {
                hit |= crate::providers::compute::scale_set::nics(&user.body)
                    .any(|nic| ids::is(text(nic, "/properties/networkSecurityGroup/id"), &key));
            }
            if hit {
                users.push((user.id.clone(), code));
            }
        }
        users
    }

    /// Addresses taken in a subnet: who, and which.
    pub(crate) fn addresses_in(&self, subnet_key: &str) -> Vec<(String, String)> {
        let mut taken = Vec::new();
        for resource in self.resources.values() {
            if resource.rtype.ends_with("/virtualMachineScaleSets/virtualMachines")
                && ids::is(resource.secret["subnetId"].as_str().unwrap_or_default(), subnet_key)
            {
                let ip = resource.secret["privateIp"].as_str().unwrap_or_default();
                taken.push((nic::ip_configuration_id(resource), ip.to_owned()));
            }
            for row in list(&resource.body, "/properties/ipConfigurations") {
                let is_alone = resource.text("/properties/privateEndpoint/id").is_empty();
                if is_alone && ids::is(text(row, "/properties/subnet/id"), subnet_key) {
                    let id = format!("{}/ipConfigurations/{}", resource.id, text(row, "/name"));
                    taken.push((id, text(row, "/properties/privateIPAddress").to_owned()));
                }
            }
            for frontend in list(&resource.body, "/properties/frontendIPConfigurations") {
                if ids::is(text(frontend, "/properties/subnet/id"), subnet_key) {
                    let name = text(frontend, "/name");
                    let id = format!("{}/frontendIPConfigurations/{name}", resource.id);
                    taken.push((id, text(frontend, "/properties/privateIPAddress").to_owned()));
                }
            }
        }
        taken.extend(self.endpoint_addresses(subnet_key));
        taken
    }

    /// A free address of a subnet: the next one above all that are taken, as long as there is one. So what was just given
    /// back is not given out again, and whoever comes back somewhere else is met. Azure keeps the first four and the last.
    pub(crate) fn free_address(&self, subnet_id: &str, also_taken: &[String]) -> Answer<String> {
        let subnet = self.resources.get(&ids::key(subnet_id));
        let prefix = subnet.map(vnet::subnet_prefix).unwrap_or_default();
        let taken = self.addresses_in(&ids::key(subnet_id));
        let net: Option<ipnet::Ipv4Net> = prefix.parse().ok();
        let free = net.and_then(|net| {
            let first = u32::from(net.network()).saturating_add(4);
            let last = u32::from(net.broadcast());
            let known = taken.iter().map(|(_, ip)| ip).chain(also_taken);
            let known = known.filter_map(|ip| ip.parse::<std::net::Ipv4Addr>().ok());
            let above = known.map(|ip| u32::from(ip).saturating_add(1)).max().unwrap_or(first);
            (above.max(first)..last)
                .chain(first..last)
                .map(|n| std::net::Ipv4Addr::from(n).to_string())
                .find(|ip| !taken.iter().any(|(_, t)| t == ip) && !also_taken.contains(ip))
        });
        free.ok_or_else(|| {
            let name = ids::name_of(subnet_id);
            let text = format!(
                "Subnet {name} with address prefix {prefix} does not have enough capacity for 1 \
                 IP addresses."
            );
            ArmError::invalid("SubnetIsFull", text)
        })
    }
}

/// The refusal to delete what is in use; `None` when nothing uses it.
pub(crate) fn in_use(world: &World, resource: &Resource) -> Answer<()> {
    let Some((user, code)) = world.users_of(resource).into_iter().next() else { return Ok(()) };
    let name = resource.name();
    let message = match code {
        "InUseSubnetCannotBeDeleted" => format!(
            "Subnet {name} is in use by {user} and cannot be deleted. In order to delete the \
             subnet, delete all the resources within the subnet. See aka.ms/deletesubnet."
        ),
        "PublicIPAddressCannotBeDeleted" => format!(
            "Public IP address {} can not be deleted since it is still allocated to resource \
             {user}. In order to delete the public IP, disassociate/detach the Public IP address \
             from the resource.",
            resource.id
        ),
        _ => format!("{} {name} cannot be deleted because it is in use by {user}.", resource.rtype),
    };
    Err(ArmError::invalid(code, message))
}

/// Adds `id`, `etag`, `type` and a state to the rows of an inline list that has no objects of its
/// own.
pub(crate) fn dress(world_state: State, owner: &Resource, body: &mut Value, lists: &[&str]) {
    for name in lists {
        let Some(rows) = body.pointer_mut(&format!("/properties/{name}")) else { continue };
        for row in rows.as_array_mut().into_iter().flatten() {
            let row_name = text(row, "/name").to_owned();
            row["id"] = json!(format!("{}/{name}/{row_name}", owner.id));
            row["etag"] = json!(owner.etag);
            row["type"] = json!(format!("{}/{name}", owner.rtype));
            row["properties"]["provisioningState"] = json!(world_state.as_str());
        }
    }
}

/// Usages of Microsoft.Network and the NICs of scale sets.
pub(crate) fn route(
    world: &mut World,
    req: &Request,
    path: &ArmPath,
    _version: &str,
) -> Option<Answer> {
    let type_key = path.type_key();
    if req.method == Method::Get && type_key == "microsoft.network/locations/usages" {
        let used = world
            .resources
            .values()
            .filter(|r| r.rtype == public_ip::PUBLIC_IP.rtype && r.location() == path.names[0])
            .count();
        let row = |name: &str, used: usize, limit: u64| {
            json!({
                "currentValue": used, "limit": limit, "unit": "Count",
                "name": {"value": name, "localizedValue": name},
            })
        };
        let limit = world.settings.public_ip_limit;
        let rows = vec![
            row("PublicIPAddresses", used, limit),
            row("StandardSkuPublicIpAddresses", used, limit),
        ];
        return Some(Ok(Response::json(200, json!({"value": rows}))));
    }
    let dns_list = path.is_collection()
        && path.names.len() == 1
        && type_key.starts_with("microsoft.network/privatednszones/");
    if req.method == Method::Get && dns_list {
        let zone = req.path.rsplit_once('/').map_or("", |(id, _)| id);
        let Some(zone) = world.visible(zone) else {
            return Some(Err(missing(&crate::providers::private_dns::ZONE, path)));
        };
        let key = zone.key();
        let rows = world
            .below(&key)
            .filter(|r| !r.rtype.ends_with("/virtualNetworkLinks"))
            .map(|r| world.render(r))
            .collect();
        return type_key.ends_with("/all").then(|| Ok(world.page(req, rows)));
    }
    None
}
