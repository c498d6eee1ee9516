//! A folder with a configuration, and the real terraform in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::bins::provider_mirror;
use crate::scenario::configuration_dir;
use crate::{Emulator, HarnessError, tools};

/// A working folder of Terraform.
#[derive(Debug)]
pub struct Workspace {
    /// The folder.
    pub dir: PathBuf,
    env: BTreeMap<String, String>,
}

/// What a command printed and how it ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Exit code; -1 after a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Both streams.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// The words of both streams in one line, as Terraform breaks and frames lines.
    pub fn words(&self) -> String {
        let text = self.text().replace(['│', '╷', '╵'], " ");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Itself, or an error when the exit code is another one.
    pub fn expect_code(self, code: i32) -> Result<Self, HarnessError> {
        if self.code == code {
            return Ok(self);
        }
        Err(HarnessError::Failed {
            command: "terraform".to_owned(),
            status: format!("exit code {} (expected {code})", self.code),
            output: self.text(),
        })
    }
}

impl Workspace {
    /// An empty one in `dir`, whose provider is the one that was just built and whose Azure is the emulator.
    pub fn new(dir: &Path, emulator: &Emulator) -> Result<Self, HarnessError> {
        Self::with_env(dir, emulator.env.clone())
    }

    /// The same without an Azure, for what is only looked at: `validate`, `fmt`, `providers schema`.
    pub fn without_azure(dir: &Path) -> Result<Self, HarnessError> {
        Self::with_env(dir, BTreeMap::new())
    }

    fn with_env(dir: &Path, mut env: BTreeMap<String, String>) -> Result<Self, HarnessError> {
        fs::create_dir_all(dir).map_err(HarnessError::file(dir))?;
        let mirror = provider_mirror(&dir.join(".mirror"))?;
        let cli_config = dir.join(".terraformrc");
        let text = format!(
            "provider_installation {{\n  filesystem_mirror {{\n    path    = {:?}\n    include = \
             [\"hcs-community/hcs\"]\n  }}\n}}\ndisable_checkpoint = true\n",
            mirror.display().to_string()
        );
        fs::write(&cli_config, text).map_err(HarnessError::file(&cli_config))?;
        env.insert("TF_CLI_CONFIG_FILE".to_owned(), cli_config.display().to_string());
        env.insert("TF_IN_AUTOMATION".to_owned(), "1".to_owned());
        // The provider holds every response of its own against Terraform's contract.
        env.insert("TFPLUGIN_ORACLE".to_owned(), "1".to_owned());
        env.insert("ARM_USE_CLI".to_owned(), "false".to_owned());
        Ok(Self { dir: dir.to_owned(), env })
    }

    /// Sets an environment variable of its commands.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// The environment of its commands.
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Takes one away.
    pub fn unset(&mut self, name: &str) {
        self.env.remove(name);
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: &str) -> Result<(), HarnessError> {
        let path = self.dir.join(name);
        fs::write(&path, content).map_err(HarnessError::file(&path))
    }

    /// Copies a folder of configurations, with all below it.
    pub fn copy(&self, from: &Path) -> Result<(), HarnessError> {
        copy_tree(from, &self.dir)
    }

    /// Adds a file of `tests/acceptance/configurations` to what is declared.
    pub fn add(&self, file: &str) -> Result<(), HarnessError> {
        let from = configuration_dir(file);
        let to = self.dir.join(from.file_name().unwrap_or_default());
        fs::copy(&from, &to).map_err(HarnessError::file(&from))?;
        Ok(())
    }

    /// Removes a file, and what it declares with the next apply.
    pub fn remove(&self, name: &str) -> Result<(), HarnessError> {
        let path = self.dir.join(name);
        fs::remove_file(&path).map_err(HarnessError::file(path))
    }

    /// Declares the cluster of `configurations/cluster`, at [`CLUSTER`](crate::scenario::CLUSTER). These variables, and
    /// those of files that were added, have these values until the next call; all others have their defaults, or what
    /// was [set](Self::set) as `TF_VAR_`.
    pub fn declare(&self, name: &str, mut variables: Value) -> Result<(), HarnessError> {
        self.copy(&configuration_dir("cluster"))?;
        variables["name"] = name.into();
        self.set_variables(&variables)
    }

    /// Writes the values of variables, in place of those before.
    pub fn set_variables(&self, variables: &Value) -> Result<(), HarnessError> {
        self.write("terraform.tfvars.json", &format!("{variables:#}\n"))
    }

    fn command(&self, arguments: &[&str]) -> Result<Command, HarnessError> {
        let mut command = Command::new(tools::terraform()?);
        command.current_dir(&self.dir).args(arguments).envs(&self.env).stdin(Stdio::null());
        // Variables of whoever runs the tests must not reach the provider.
        for (name, _) in std::env::vars() {
            if (name.starts_with("ARM_") || name.starts_with("TF_"))
                && !self.env.contains_key(&name)
            {
                command.env_remove(name);
            }
        }
        Ok(command)
    }

    /// Runs terraform to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Ran, HarnessError> {
        let output = self.command(arguments)?.output().map_err(HarnessError::file("terraform"))?;
        Ok(ran(&output))
    }

    /// Starts terraform with its output in files `<name>.out` and `<name>.err`.
    pub fn spawn(&self, name: &str, arguments: &[&str]) -> Result<Child, HarnessError> {
        let file = |ending: &str| {
            let path = self.dir.join(format!("{name}.{ending}"));
            fs::File::create(&path).map_err(HarnessError::file(path))
        };
        let mut command = self.command(arguments)?;
        command.stdout(file("out")?).stderr(file("err")?);
        command.spawn().map_err(HarnessError::file("terraform"))
    }

    /// `terraform init`.
    pub fn init(&self) -> Result<Ran, HarnessError> {
        self.run(&["init", "-no-color", "-input=false"])?.expect_code(0)
    }

    /// `terraform apply`, which must succeed.
    pub fn apply(&self, more: &[&str]) -> Result<Ran, HarnessError> {
        let mut arguments = vec!["apply", "-no-color", "-input=false", "-auto-approve"];
        arguments.extend(more);
        self.run(&arguments)?.expect_code(0)
    }

    /// `terraform plan -detailed-exitcode`: 0 nothing to do, 2 changes, 1 error.
    pub fn plan(&self, more: &[&str]) -> Result<Ran, HarnessError> {
        let mut arguments = vec!["plan", "-no-color", "-input=false", "-detailed-exitcode"];
        arguments.extend(more);
        self.run(&arguments)
    }

    /// `terraform destroy`, which must succeed.
    pub fn destroy(&self, more: &[&str]) -> Result<Ran, HarnessError> {
        let mut arguments = vec!["destroy", "-no-color", "-input=false", "-auto-approve"];
        arguments.extend(more);
        self.run(&arguments)?.expect_code(0)
    }

    /// Attributes of a resource in the state; `Null` when it is not there.
    pub fn attributes(&self, address: &str) -> Result<Value, HarnessError> {
        let shown = self.run(&["show", "-json"])?.expect_code(0)?;
        let shown: Value = serde_json::from_str(&shown.stdout).unwrap_or_default();
        Ok(find(&shown["values"]["root_module"], address).unwrap_or_default())
    }
}

fn find(module: &Value, address: &str) -> Option<Value> {
    let mut resources = module["resources"].as_array().into_iter().flatten();
    let found = resources.find(|resource| resource["address"] == address);
    if let Some(resource) = found {
        return Some(resource["values"].clone());
    }
    let mut children = module["child_modules"].as_array().into_iter().flatten();
    children.find_map(|child| find(child, address))
}

fn ran(output: &Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Copies a folder with all below it.
pub fn copy_tree(from: &Path, to: &Path) -> Result<(), HarnessError> {
    fs::create_dir_all(to).map_err(HarnessError::file(to))?;
    for entry in fs::read_dir(from).map_err(HarnessError::file(from))? {
        let entry = entry.map_err(HarnessError::file(from))?;
        let (source, name) = (entry.path(), entry.file_name());
        if name.to_string_lossy().starts_with('.') || name.to_string_lossy().contains("tfstate") {
            continue;
        }
        let target = to.join(&name);
        if source.is_dir() {
            copy_tree(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(HarnessError::file(&target))?;
        }
    }
    Ok(())
}
