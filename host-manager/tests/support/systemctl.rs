//! A service manager for one unit: reads the unit file, starts its `ExecStart`, restarts it when
//! it fails, and kills it when it is dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use async_trait::async_trait;
use hcs_host_manager::paths::Paths;
use hcs_host_manager::service::{Service, ServiceError, Verb};

#[derive(Default)]
struct State {
    child: Option<Child>,
    trial: Option<Child>,
    trials: u32,
    is_wanted: bool,
    starts: u32,
    verbs: Vec<Verb>,
}

pub struct Systemctl {
    paths: Paths,
    log: PathBuf,
    state: Mutex<State>,
}

impl Systemctl {
    pub fn new(paths: Paths) -> Self {
        let log = paths.root().join("consul.log");
        Self { paths, log, state: Mutex::default() }
    }

    /// Process id of the running Consul and how often it was started.
    pub fn process(&self) -> (Option<u32>, u32) {
        let state = self.state.lock().unwrap();
        (state.child.as_ref().map(Child::id), state.starts)
    }

    pub fn verbs(&self) -> Vec<Verb> {
        self.state.lock().unwrap().verbs.clone()
    }

    /// The VM is switched off.
    pub fn kill(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_wanted = false;
        stop(&mut state.child);
        stop(&mut state.trial);
    }

    /// How often a server was started to be thrown away, and whether one runs.
    pub fn trials(&self) -> (u32, bool) {
        let mut state = self.state.lock().unwrap();
        let runs = state.trial.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none());
        (state.trials, runs)
    }

    fn start(&self, state: &mut State) {
        state.child = Some(self.spawn(&self.paths.consul_unit()));
        state.starts += 1;
        state.is_wanted = true;
    }

    /// What a unit starts.
    fn spawn(&self, unit: &Path) -> Child {
        let unit = std::fs::read_to_string(unit).unwrap();
        let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let mut words = line.split_whitespace();
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(words.next().unwrap());
        command.args(words).env_clear().stdin(Stdio::null());
        let variables = unit.lines().filter_map(|line| line.strip_prefix("Environment="));
        command.envs(variables.filter_map(|variable| variable.split_once('=')));
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command.spawn().unwrap()
    }

    /// `Restart=on-failure`, looked at whenever someone asks.
    fn supervise(&self, state: &mut State) -> bool {
        let ended = state.child.as_mut().and_then(|child| child.try_wait().unwrap());
        if let Some(status) = ended {
            state.child = None;
            if state.is_wanted && !status.success() {
                self.start(state);
            }
        }
        state.child.is_some()
    }
}

fn stop(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Systemctl {
    fn drop(&mut self) {
        self.kill();
    }
}

#[async_trait]
impl Service for Systemctl {
    async fn tell(&self, verb: Verb) -> Result<(), ServiceError> {
        let mut state = self.state.lock().unwrap();
        state.verbs.push(verb);
        let runs = self.supervise(&mut state);
        match verb {
            Verb::DaemonReload | Verb::SetUp | Verb::Enable | Verb::Disable => {}
            Verb::Start if runs => {}
            Verb::Start => self.start(&mut state),
            Verb::Stop => {
                state.is_wanted = false;
                stop(&mut state.child);
            }
            Verb::StartTrial => {
                state.trial = Some(self.spawn(&self.paths.trial_unit()));
                state.trials += 1;
            }
            Verb::StopTrial => stop(&mut state.trial),
            Verb::Reload => {
                let process = state.child.as_ref().unwrap().id().to_string();
                let sent = Command::new("kill").args(["-HUP", &process]).status().unwrap();
                assert!(sent.success());
            }
            Verb::Restart => {
                stop(&mut state.child);
                self.start(&mut state);
            }
        }
        Ok(())
    }

    async fn is_active(&self) -> Result<bool, ServiceError> {
        Ok(self.supervise(&mut self.state.lock().unwrap()))
    }

    async fn trial_result(&self) -> Result<String, ServiceError> {
        Ok("exit-code".to_owned())
    }

    async fn journal(&self, unit: &str, lines: u32) -> Result<String, ServiceError> {
        Ok(format!("the last {lines} lines of {unit}\n"))
    }
}
