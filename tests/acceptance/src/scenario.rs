//! What every scenario starts from: an emulator, a user's group, a workspace with an example.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::bins::{binary, repository, target};
use crate::consul::Consul;
use crate::{Emulator, HarnessError, Workspace, tools};

/// The user's group in every scenario.
pub const GROUP: &str = "acceptance-rg";
/// Address of the cluster in the quickstart.
pub const CLUSTER: &str = "hcs_cluster.main";

/// Schedules of a cluster that lives a day in seconds.
const LIVING: u32 = 10_000;

/// An emulated Azure and a Terraform workspace in it.
#[derive(Debug)]
pub struct Scenario {
    /// Terraform.
    pub terraform: Workspace,
    /// Azure.
    pub azure: Emulator,
    /// Ids of the objects that were there before Terraform did anything.
    pub before: Vec<String>,
    /// Folder of the scenario, kept for a look after a failure.
    pub dir: PathBuf,
}

impl Scenario {
    /// Starts one from an example. ARM runs `time_scale` times faster than Azure.
    pub fn start(name: &str, example: &str, time_scale: u32) -> Result<Self, HarnessError> {
        Self::start_with(name, example, time_scale, &[])
    }

    /// The same with faults, in the words of `azure-emulator --fault`.
    pub fn start_with(
        name: &str,
        example: &str,
        time_scale: u32,
        faults: &[&str],
    ) -> Result<Self, HarnessError> {
        let dir = fresh_dir(name)?;
        let faults: Vec<&str> = faults.iter().flat_map(|fault| ["--fault", *fault]).collect();
        Self::start_as(&dir, example, time_scale, &faults)
    }

    /// The same with a folder of releases of Consul.
    pub fn start_beside(
        name: &str,
        time_scale: u32,
        releases: &Path,
    ) -> Result<Self, HarnessError> {
        Self::start_as(&fresh_dir(name)?, "", time_scale, &["--releases", &display(releases)])
    }

    /// The same with the calendar and all schedules of the servers so much faster, Azure's too.
    pub fn start_living(name: &str, speed: f64, releases: &Path) -> Result<Self, HarnessError> {
        let (speed, releases) = (speed.to_string(), display(releases));
        let more = ["--calendar-speed", &speed, "--releases", &releases];
        Self::start_as(&fresh_dir(name)?, "", LIVING, &more)
    }

    /// The same under the policies of a file in `tests/acceptance/policies`.
    pub fn start_under(
        name: &str,
        example: &str,
        time_scale: u32,
        policies: &str,
    ) -> Result<Self, HarnessError> {
        let file = repository().join("tests/acceptance/policies").join(policies);
        Self::start_as(&fresh_dir(name)?, example, time_scale, &["--policy", &display(&file)])
    }

    /// The same as a machine in the landing zone's own networks sees it.
    pub fn start_within(
        name: &str,
        example: &str,
        time_scale: u32,
        policies: &str,
    ) -> Result<Self, HarnessError> {
        let file = repository().join("tests/acceptance/policies").join(policies);
        let more = ["--policy", &display(&file), "--caller-network", "*"];
        Self::start_as(&fresh_dir(name)?, example, time_scale, &more)
    }

    /// The same whose machines have the addresses that Azure says; only where the caller is
    /// [alone](crate::network::alone).
    pub fn start_alone(name: &str, time_scale: u32) -> Result<Self, HarnessError> {
        let dir = fresh_dir(name)?;
        Self::start_as(&dir, "", time_scale, &["--own-addresses"])
    }

    fn start_as(
        dir: &Path,
        example: &str,
        time_scale: u32,
        more: &[&str],
    ) -> Result<Self, HarnessError> {
        let scale = time_scale.to_string();
        let arguments = [&["--time-scale", &scale], more].concat();
        let azure = Emulator::start(&dir.join("azure"), &arguments)?;
        azure.create_group(GROUP, "westeurope")?;
        let before = azure.objects()?;
        let mut terraform = Workspace::new(&dir.join("terraform"), &azure)?;
        if !example.is_empty() {
            terraform.copy(&example_dir(example))?;
        }
        set_consul(&mut terraform)?;
        terraform.set("TF_VAR_resource_group_name", GROUP);
        Ok(Self { terraform, azure, before, dir: dir.to_owned() })
    }

    /// Consul of the quickstart's cluster.
    pub fn consul(&self) -> Result<Consul, HarnessError> {
        let cluster = self.terraform.attributes(CLUSTER)?;
        let account = cluster["storage_account_name"].as_str().unwrap_or_default();
        Consul::of_cluster(&self.azure, account, &self.dir)
    }

    /// What `hcs` prints of the cluster, on both ways. `command` may be of several words; `more` follow the cluster's id.
    pub fn hcs(&self, command: &str, more: &[&str]) -> Result<String, HarnessError> {
        let cluster = self.terraform.attributes(CLUSTER)?;
        let program = binary("hcs")?;
        let mut hcs = Command::new(&program);
        hcs.args(command.split(' ')).arg(cluster["id"].as_str().unwrap_or_default()).args(more);
        let output =
            hcs.envs(self.terraform.env()).output().map_err(HarnessError::file(program))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(text(&output.stdout) + &text(&output.stderr))
    }

    /// Zones of the servers in the state, by slot.
    pub fn zones(&self) -> Result<Vec<String>, HarnessError> {
        let cluster = self.terraform.attributes(CLUSTER)?;
        let servers = cluster["servers"].as_array().cloned().unwrap_or_default();
        Ok(servers.iter().filter_map(|s| s["zone"].as_str().map(str::to_owned)).collect())
    }

    /// Objects that Terraform made and that still exist.
    pub fn made(&self) -> Result<Vec<String>, HarnessError> {
        let objects = self.azure.objects()?;
        Ok(objects.into_iter().filter(|id| !self.before.contains(id)).collect())
    }

    /// VMs that run, as the emulator says.
    pub fn vms(&self) -> Result<Vec<Value>, HarnessError> {
        self.azure.vms()
    }
}

fn fresh_dir(name: &str) -> Result<PathBuf, HarnessError> {
    let dir = target().join("acceptance").join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir).map_err(HarnessError::file(&dir))?;
    }
    Ok(dir)
}

/// Folder of an example.
pub fn example_dir(name: &str) -> PathBuf {
    repository().join("examples/terraform").join(name)
}

/// Folder of a configuration that only tests have, in `tests/acceptance/configurations`.
pub fn configuration_dir(name: &str) -> PathBuf {
    repository().join("tests/acceptance/configurations").join(name)
}

/// Sets the variables by which examples take the Consul of this machine.
pub fn set_consul(terraform: &mut Workspace) -> Result<(), HarnessError> {
    let consul = tools::consul()?;
    let version = tools::consul_version(&consul)?;
    terraform.set("TF_VAR_consul_version", &version);
    terraform.set("TF_VAR_consul_archive", &display(&consul));
    Ok(())
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
