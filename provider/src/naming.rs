//! Name rules of Azure and Consul, each as a sentence for the user. Source: Microsoft's "Naming rules and restrictions
//! for Azure resources" and Consul's agent configuration.

use ipnet::Ipv4Net;

/// A cluster's name is part of scale sets, DNS labels and Consul node names.
pub(crate) fn cluster_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !(3..=32).contains(&name.len()) || !name.chars().all(plain) || !starts || name.ends_with('-')
    {
        return Err(format!(
            "{name:?} does not fit: 3 to 32 lower-case letters, digits and hyphens, starting with \
             a letter and not ending with a hyphen, because it becomes part of VM, DNS and Consul \
             node names."
        ));
    }
    Ok(())
}

/// A resource group's name.
pub(crate) fn resource_group(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_alphanumeric() || "-_().".contains(c);
    if name.is_empty() || name.len() > 90 || name.ends_with('.') || !name.chars().all(plain) {
        return Err(format!(
            "{name:?} is no name for a resource group: 1 to 90 letters, digits, hyphens, \
             underscores, periods and parentheses, not ending with a period."
        ));
    }
    Ok(())
}

/// A Consul datacenter is a DNS label.
pub(crate) fn datacenter(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edges = !name.starts_with('-') && !name.ends_with('-');
    if name.is_empty() || name.len() > 63 || !name.chars().all(plain) || !edges {
        return Err(format!(
            "{name:?} is no Consul datacenter: 1 to 63 lower-case letters, digits and hyphens, \
             neither starting nor ending with a hyphen, as it is a label in DNS names."
        ));
    }
    Ok(())
}

/// A snapshot policy's name is part of blob names.
pub(crate) fn policy_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edges = !name.starts_with('-') && !name.ends_with('-');
    if name.is_empty() || name.len() > 48 || !name.chars().all(plain) || !edges {
        return Err(format!(
            "{name:?} does not fit: 1 to 48 lower-case letters, digits and hyphens, neither \
             starting nor ending with a hyphen."
        ));
    }
    Ok(())
}

/// The network of a cluster; Azure takes five addresses of it, the load balancer one.
pub(crate) fn vnet_cidr(text: &str) -> Result<Ipv4Net, String> {
    let network: Ipv4Net = text.trim().parse().map_err(|_| {
        format!("{text:?} is no IPv4 network in CIDR notation; write e.g. \"172.25.16.0/24\".")
    })?;
    if network.addr() != network.network() {
        return Err(format!(
            "{text} has host bits set; the network with this prefix is {}.",
            network.trunc()
        ));
    }
    if network.prefix_len() > 27 {
        return Err(format!(
            "{text} is too small: Azure keeps 5 addresses of it, the load balancer needs one and \
             the servers up to 9. Use /27 or larger."
        ));
    }
    if network.prefix_len() < 8 {
        return Err(format!("{text} is too large: Azure networks are /8 or smaller."));
    }
    if !network.addr().is_private() && network.addr().octets()[0] != 100 {
        return Err(format!(
            "{text} is not a private network; use one inside 10.0.0.0/8, 172.16.0.0/12, \
             192.168.0.0/16 or 100.64.0.0/10."
        ));
    }
    Ok(network)
}

/// ARM's normal form of a region: `West Europe` is `westeurope`.
pub(crate) fn location(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_azure_or_consul_refuse_are_refused() {
        for name in ["a", "Demo", "demo-", "-demo", "1demo", "de_mo", &"a".repeat(33)] {
            assert!(cluster_name(name).is_err(), "{name}");
        }
        assert!(cluster_name("demo-1").is_ok());
        for name in ["", "rg.", "a/b", &"a".repeat(91)] {
            assert!(resource_group(name).is_err(), "{name}");
        }
        assert!(resource_group("rg_(x).y-1").is_ok());
    }

    #[test]
    fn networks_are_private_aligned_and_large_enough() {
        for text in ["10.0.0.0", "10.0.0.1/24", "10.0.0.0/28", "8.8.8.0/24", "10.0.0.0/7", "x"] {
            assert!(vnet_cidr(text).is_err(), "{text}");
        }
        assert!(vnet_cidr("172.25.16.0/24").is_ok());
    }
}
