//! How a person tells Terraform, or OpenTofu, of a provider that runs already.

use std::fmt;

use serde_json::{Map, Value, json};

use super::Address;

/// What to put into the environment of Terraform, with a word of explanation.
pub(crate) struct Reattach<'a> {
    /// The source address of the provider in full.
    pub(crate) provider: &'a str,
    pub(crate) process: u32,
    pub(crate) address: &'a Address,
}

/// The registries that a source address without a host means: Terraform's, and OpenTofu's.
const REGISTRIES: [&str; 2] = ["registry.terraform.io/", "registry.opentofu.org/"];

impl Reattach<'_> {
    /// The value of `TF_REATTACH_PROVIDERS`. A provider of the one registry is found under the other's name, too: each
    /// client looks for the name that it has completed itself.
    fn variable(&self) -> String {
        let entry = json!({
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": self.process,
            // Terraform then leaves the process alone at the end of a run.
            "Test": true,
            "Addr": { "Network": self.address.network, "String": self.address.address },
        });
        let short = REGISTRIES.iter().find_map(|registry| self.provider.strip_prefix(registry));
        let names = match short {
            Some(short) => REGISTRIES.map(|registry| format!("{registry}{short}")).to_vec(),
            None => vec![self.provider.to_owned()],
        };
        let entries: Map<String, Value> =
            names.into_iter().map(|name| (name, entry.clone())).collect();
        Value::Object(entries).to_string()
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
        let value: Value = serde_json::from_str(&reattach.variable()).unwrap();
        let entry = &value[provider];
        assert_eq!((&entry["Pid"], &entry["ProtocolVersion"]), (&7.into(), &6.into()));
        assert_eq!(entry["Addr"]["String"], "/run/plugin.sock");
        assert!(reattach.to_string().contains(&format!("'{}'", reattach.variable())));
    }

    #[test]
    fn one_line_serves_terraform_and_opentofu() {
        let names = |provider: &str| {
            let address = Address { network: "unix", address: "/run/plugin.sock".to_owned() };
            let line = Reattach { provider, process: 7, address: &address }.variable();
            let value: Map<String, Value> = serde_json::from_str(&line).unwrap();
            value.keys().cloned().collect::<Vec<_>>()
        };
        let both = ["registry.opentofu.org/one/boxes", "registry.terraform.io/one/boxes"];
        assert_eq!(names(both[0]), both);
        assert_eq!(names(both[1]), both);
        assert_eq!(names("registry.example.com/one/boxes"), ["registry.example.com/one/boxes"]);
    }
}
