//! Ways in which a run ends that nobody planned.

use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use crate::{HarnessError, tools};

/// How a run of terraform is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// SIGKILL to the provider.
    Provider,
    /// SIGKILL to provider and terraform: a runner that went away.
    Both,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-C, and again a moment later: terraform waits for nothing then.
    InterruptTwice,
}

impl Cut {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Provider, Self::Both, Self::Interrupt, Self::InterruptTwice];

    /// Cuts a run off and waits for its end; whether it had ended well before.
    pub fn off(self, terraform: &mut Child) -> Result<bool, HarnessError> {
        let ended = |child: &mut Child| child.try_wait().map_err(HarnessError::file("terraform"));
        if let Some(status) = ended(terraform)? {
            return Ok(status.success());
        }
        match self {
            Self::Provider => provider(terraform)?,
            Self::Both => {
                provider(terraform)?;
                signal("KILL", terraform.id())?;
            }
            Self::Interrupt => signal("INT", terraform.id())?,
            Self::InterruptTwice => {
                signal("INT", terraform.id())?;
                thread::sleep(Duration::from_millis(400));
                if ended(terraform)?.is_none() {
                    signal("INT", terraform.id())?;
                }
            }
        }
        let status = terraform.wait().map_err(HarnessError::file("terraform"))?;
        Ok(status.success())
    }
}

/// Sends a signal.
pub fn signal(name: &str, pid: u32) -> Result<(), HarnessError> {
    tools::run(Command::new("kill").args([format!("-{name}"), pid.to_string()])).map(|_| ())
}

/// Kills the provider process of a run, if there is one at the moment.
pub fn provider(terraform: &Child) -> Result<(), HarnessError> {
    let parent = terraform.id().to_string();
    let mut pgrep = Command::new("pgrep");
    pgrep.args(["-P", &parent, "-f", "terraform-provider-hcs"]);
    let found = pgrep.output().map_err(HarnessError::file("pgrep"))?;
    for pid in String::from_utf8_lossy(&found.stdout).split_whitespace() {
        if let Ok(pid) = pid.parse() {
            signal("KILL", pid)?;
        }
    }
    Ok(())
}
