//! A folder with a configuration, and the real Terraform to run in it: `terraform` on the PATH, or what
//! `TFPLUGIN_CLIENT_BIN` names.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// How long Terraform may keep a test waiting for one line.
const PATIENCE: Duration = Duration::from_mins(1);

/// Lets Terraform take the provider from a folder instead of a registry.
const CLI_CONFIGURATION: &str = r#"
provider_installation {
  dev_overrides {
    "example/PROVIDER" = "FOLDER/bin"
  }
  direct {}
}
"#;

const REQUIREMENT: &str = r#"
terraform {
  required_providers {
    PROVIDER = {
      source = "example/PROVIDER"
    }
  }
}
"#;

/// A working folder of Terraform with a provider at hand. It goes when it is dropped.
pub struct Workspace {
    folder: PathBuf,
    variables: Vec<(String, String)>,
}

/// Another client in the same folder, see [`Workspace::by`].
pub struct By<'w> {
    workspace: &'w Workspace,
    client: String,
}

impl By<'_> {
    /// Runs it, which must succeed, and returns what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.workspace.command_of(&self.client, arguments).output();
        let output = output.unwrap_or_else(|error| panic!("{}", missing(&error)));
        assert!(output.status.success(), "{} {arguments:?}: {}", self.client, text(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Workspace {
    /// A new folder with this configuration, in which Terraform takes the provider from this program, whose name begins with
    /// `terraform-provider-`. The requirement of the provider is written already; a `provider` block is the test's own.
    pub fn new(program: &Path, configuration: &str) -> Self {
        let name =
            program.file_name().and_then(|name| name.to_str()).expect("the program has a name");
        let provider = name
            .strip_prefix("terraform-provider-")
            .unwrap_or_else(|| panic!("{name} does not begin with terraform-provider-"));
        let folder = std::env::temp_dir().join(format!("tfplugin-{}", Uuid::new_v4()));
        fs::create_dir_all(folder.join("bin")).expect("there can be a folder for the test");
        let link = folder.join("bin").join(name);
        fs::hard_link(program, &link).or_else(|_| fs::copy(program, &link).map(drop)).unwrap();
        let path = folder.to_str().expect("the folder's name is text");
        let fill = |text: &str| text.replace("FOLDER", path).replace("PROVIDER", provider);
        fs::write(folder.join("cli.tfrc"), fill(CLI_CONFIGURATION)).unwrap();
        fs::write(folder.join("required.tf"), fill(REQUIREMENT)).unwrap();
        let workspace = Self { folder, variables: Vec::new() };
        workspace.write(configuration);
        workspace
    }

    /// The same folder with an environment variable set.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Writes another configuration.
    pub fn write(&self, configuration: &str) {
        fs::write(self.folder.join("main.tf"), configuration).unwrap();
    }

    /// A path inside the folder.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The text of the state file.
    pub fn state(&self) -> String {
        fs::read_to_string(self.folder("terraform.tfstate")).unwrap()
    }

    /// Changes the state file.
    pub fn edit_state(&self, change: impl FnOnce(&mut serde_json::Value)) {
        let mut state = serde_json::from_str(&self.state()).unwrap();
        change(&mut state);
        fs::write(self.folder("terraform.tfstate"), state.to_string()).unwrap();
    }

    /// The attributes of the only object of a type in the state.
    pub fn object(&self, type_name: &str) -> serde_json::Value {
        let state: serde_json::Value = serde_json::from_str(&self.state()).unwrap();
        let all = state["resources"].as_array().unwrap().iter();
        let mut of_type = all.filter(|each| each["type"] == type_name);
        of_type.next().unwrap()["instances"][0]["attributes"].clone()
    }

    /// Applies, and returns what Terraform printed.
    pub fn apply(&self) -> String {
        self.run(&["apply", "-auto-approve"])
    }

    /// Whether a plan finds nothing to do.
    pub fn plan_is_empty(&self) -> bool {
        let output = self.output(&["plan", "-detailed-exitcode"]);
        match output.status.code() {
            Some(0) => true,
            Some(2) => false,
            _ => panic!("{}", text(&output)),
        }
    }

    /// Runs Terraform, which must succeed, and returns what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "terraform {arguments:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs Terraform, which must fail, and returns what it printed.
    pub fn fails(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(!output.status.success(), "terraform {arguments:?} must fail");
        text(&output)
    }

    /// Runs Terraform, however it ends, and returns what it printed.
    pub fn try_run(&self, arguments: &[&str]) -> String {
        text(&self.output(arguments))
    }

    /// Another client, by its program, in this folder: what one wrote, another one has to read.
    pub fn by(&self, client: &str) -> By<'_> {
        By { workspace: self, client: client.to_owned() }
    }

    /// Starts Terraform and goes on.
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        let log = self.folder("terraform.log");
        let mut child = self
            .command(arguments)
            .env("TF_LOG", "WARN")
            .env("TF_LOG_PATH", &log)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}", missing(&error)));
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Running { child, lines, seen: String::new(), log }
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output();
        output.unwrap_or_else(|error| panic!("{}", missing(&error)))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let client = std::env::var_os("TFPLUGIN_CLIENT_BIN");
        self.command_of(client.unwrap_or_else(|| "terraform".into()), arguments)
    }

    fn command_of(&self, client: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(client);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("TF_CLI_CONFIG_FILE", self.folder("cli.tfrc"))
            .env("TF_CLI_ARGS", "-no-color")
            .env("TF_IN_AUTOMATION", "1")
            .env("CHECKPOINT_DISABLE", "1")
            // Every response is held against the contract.
            .env("TFPLUGIN_ORACLE", "1")
            .env_remove("TF_LOG")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A Terraform that runs beside the test.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: String,
    log: PathBuf,
}

impl Running {
    /// Waits for a line that holds this text.
    pub fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("no {text:?} in: {}", self.seen));
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(text) {
                return;
            }
        }
    }

    /// Waits until Terraform's log holds this text.
    pub fn wait_for_log(&self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !fs::read_to_string(&self.log).unwrap_or_default().contains(text) {
            assert!(Instant::now() < end, "no {text:?} in the log");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends what Ctrl-C sends.
    pub fn interrupt(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }

    /// Waits for the end, and returns everything that was printed.
    pub fn end(mut self, limit: Duration) -> String {
        let end = Instant::now() + limit;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "it does not end; so far: {}", self.seen);
            std::thread::sleep(Duration::from_millis(20));
        }
        // The reader thread ends with the process, and the channel with the thread.
        self.seen.extend(self.lines.iter().map(|line| line + "\n"));
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of the package, or one of its examples, which are built together with the tests.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own program");
    let profile = test.parent().and_then(Path::parent).expect("it lies in a folder of a profile");
    let places = [profile.join(name), profile.join("examples").join(name)];
    places
        .into_iter()
        .find(|place| place.exists())
        .unwrap_or_else(|| panic!("there is no {name} in {}; build it first", profile.display()))
}

fn missing(error: &std::io::Error) -> String {
    format!(
        "these tests need `terraform` on the PATH, or a client named in TFPLUGIN_CLIENT_BIN: {error}"
    )
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}
