//! How a person tells Terraform of a provider that runs already.

use std::fmt;

use serde_json::json;

use super::Address;

/// What to put into the environment of Terraform, with a word of explanation.
pub(crate) struct Reattach<'a> {
    /// The source address of the provider in full.
    pub(crate) provider: &'a str,
    pub(crate) process: u32,
    pub(crate) address: &'a Address,
}

impl Reattach<'_> {
    /// The value of `TF_REATTACH_PROVIDERS`.
    fn variable(&self) -> String {
        json!({
            self.provider: {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": self.process,
                // Terraform then leaves the process alone at the end of a run.
                "Test": true,
                "Addr": { "Network": self.address.network, "String": self.address.address },
            }
        })
        .to_string()
    }
}

impl fmt::Display for Reattach<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs, as process {}. Terraform uses it where this is set:\n\n  export \
             TF_REATTACH_PROVIDERS='{}'\n\nCtrl-C ends it.",
            self.provider,
            self.process,
            self.variable()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_provider_process_and_address() {
        let address = Address { network: "unix", address: "/run/plugin.sock".to_owned() };
        let provider = "registry.terraform.io/hashicorp/example";
        let reattach = Reattach { provider, process: 7, address: &address };
        let value: serde_json::Value = serde_json::from_str(&reattach.variable()).unwrap();
        let entry = &value[provider];
        assert_eq!((&entry["Pid"], &entry["ProtocolVersion"]), (&7.into(), &6.into()));
        assert_eq!(entry["Addr"]["String"], "/run/plugin.sock");
        assert!(reattach.to_string().contains(&format!("'{}'", reattach.variable())));
    }
}
