//! The way to a machine's shell: keys that Azure takes, and where people may come from.

use ipnet::Ipv4Net;
use ssh_key::public::KeyData;

use super::{PRIVATE_RANGES, allowed_cidr};

/// A public SSH key, by what is in its bytes and not by the word in front.
pub fn ssh_public_key(text: &str) -> Result<(), String> {
    if text.contains("PRIVATE KEY") {
        return Err("This is a private key. Give the public half, the .pub file.".to_owned());
    }
    let other_kind = |kind: &str| {
        format!(
            "This is a key of the kind {kind}; Azure takes Ed25519, and RSA of {RSA_BITS_MIN} bits or more. Make \
             another: ssh-keygen -t ed25519."
        )
    };
    let word = text.split_whitespace().next().unwrap_or_default();
    if ["ecdsa-", "sk-", "ssh-dss"].iter().any(|kind| word.starts_with(kind)) {
        return Err(other_kind(word));
    }
    let key = ssh_key::PublicKey::from_openssh(text.trim()).map_err(|error| {
        format!("This is no OpenSSH public key (\"ssh-ed25519 AAAA...\"): {error}.")
    })?;
    match key.key_data() {
        KeyData::Ed25519(_) => Ok(()),
        KeyData::Rsa(rsa) => {
            let bits = rsa.n.as_positive_bytes().map_or(0, |modulus| {
                let zeros = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
                modulus.len() * 8 - zeros
            });
            if bits >= RSA_BITS_MIN {
                return Ok(());
            }
            Err(format!(
                "This RSA key has {bits} bits; Azure takes {RSA_BITS_MIN} or more. Make another: ssh-keygen -t ed25519."
            ))
        }
        other => Err(other_kind(other.algorithm().as_str())),
    }
}

/// The smallest RSA key that Azure takes for a virtual machine (Microsoft's page on SSH keys for Linux machines).
const RSA_BITS_MIN: usize = 2048;

/// Where people come from who look after the servers.
pub fn ssh_allowed_cidr(text: &str) -> Result<(), String> {
    allowed_cidr(text)?;
    match text.parse::<Ipv4Net>() {
        Ok(net) if !PRIVATE_RANGES.iter().any(|range| range.contains(&net)) => Err(format!(
            "{text} is not within a private network (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10). The \
             servers have no public addresses, so nobody comes from the internet: name the range of your jump host, \
             of Bastion's subnet or of your VPN."
        )),
        _ => Ok(()),
    }
}

/// Ranges for a login that nobody has.
pub const SSH_NEEDS_A_KEY: &str = "Without ssh_public_key nobody has a key to log in with. Set it, or leave \
                                   ssh_allowed_cidrs out and use az vmss run-command invoke.";

#[cfg(test)]
mod tests {
    use super::*;

    const RSA_2048: &str = concat!(
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCyPm6dNe1i0UhXuwNJe9iumBHPpE9YfgLUmGeaHM6E9fhKnRUF5Diq1pDeRCja",
        "mefBxQaYRuJ/dRVO1L9fdpGhGzPjGVz0+5fVrrY0phXyAOWkNE0g5FpsPQIv/tX5FOtOWH9SUGvS/KvWVI6Qiqbs+i6xL19+Z35o",
        "c6LAbLauqnz4FexDqkgCh+DRDY3XYm0gO3iJjXdVOF4HoS8TnWDfpGbPNB/rldXML9RulaEmLgNsYaUnrH5GLkmPvWqsxo3nmian",
        "BQFFXEyNw8XDhYQwvATHOaxqlKn8EsvIcgP1oxh8TENpo0LkjsOOmaoGRuW40rEEcjtj+RqDw+vuem4p",
    );
    const RSA_1024: &str = concat!(
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCfrewk79E8jtdXY2aHiGeCMKkleES0NE09S4nQDMdaMaYwKygohHblSUnlVrt+",
        "wFnd1vqGVu3UFp8OjQdtbphTjQLbcuWAgbCsjQcFORPP8OlLOJa9CVHxc14SRcCWYPIP9htVT3JjNLS6f9vhyFZTl+y4IhzgBBN+",
        "IVuF1HZr4w==",
    );
    const ECDSA: &str = concat!(
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBKPonQpW5VlN5MKVfZcFFjkJVOo5",
        "DrmL8VVInWjDM/FR0WG9Urhr4Gz98sPZv5bFZVeRlgOrqraa1LlFluf3YbA=",
    );

    #[test]
    fn ssh_keys_are_of_a_kind_that_azure_takes() {
        let ed25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN76zuqnjypL54/w4763l7q1Sn3IBYHptJ5wcYfEWkzb me@home";
        assert_eq!(ssh_public_key(ed25519), Ok(()));
        assert_eq!(ssh_public_key(RSA_2048), Ok(()));
        for (key, why) in [
            (RSA_1024, "1024 bits"),
            (ECDSA, "ecdsa-sha2-nistp256"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", "public half"),
            ("ssh-ed25519 AAAA", "no OpenSSH public key"),
            // The kind in front is not that in the bytes.
            (
                "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIN76zuqnjypL54/w4763l7q1Sn3IBYHptJ5wcYfEWkzb",
                "no OpenSSH public key",
            ),
            ("", "no OpenSSH public key"),
        ] {
            let told = ssh_public_key(key).unwrap_err();
            assert!(told.contains(why), "{key}: {told}");
        }
    }

    #[test]
    fn ssh_comes_from_private_networks_only() {
        for text in ["10.1.0.0/16", "172.16.4.0/24", "192.168.1.7/32", "100.64.0.0/10"] {
            assert_eq!(ssh_allowed_cidr(text), Ok(()), "{text}");
        }
        for text in ["0.0.0.0/0", "203.0.113.0/24", "10.0.0.0/7", "10.0.0.1/24", "x", "172.0.0.0/8"]
        {
            assert!(ssh_allowed_cidr(text).is_err(), "{text}");
        }
    }
}
