//! Services of one machine: started, watched, restarted, stopped.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::processes::{self, signal};
use super::unit::{Unit, expand, split};

/// A service waits this long before it starts again.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// How a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Active {
    /// Not started, or stopped.
    Inactive,
    /// Waits for its first start or its restart.
    Starting,
    /// Runs (or ended well, if it remains after exit).
    Running,
    /// Ended badly.
    Failed,
}

impl Active {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Starting => "activating",
            Self::Running => "active",
            Self::Failed => "failed",
        }
    }
}

struct Service {
    active: Active,
    pid: Option<u32>,
    /// Raised by every start and stop; a watcher of an older one gives up.
    generation: u64,
    /// Sees each end of the main process.
    ended: watch::Sender<u64>,
}

/// All services of a machine.
pub(crate) struct Supervisor {
    root: PathBuf,
    env: BTreeMap<String, String>,
    services: Mutex<BTreeMap<String, Service>>,
}

/// The outcome of a `systemctl` verb on a unit: an exit code and a sentence.
pub(crate) type Outcome = Result<(), (i32, String)>;

impl Supervisor {
    pub(crate) fn new(root: &Path, env: BTreeMap<String, String>) -> Arc<Self> {
        Arc::new(Self { root: root.to_owned(), env, services: Mutex::default() })
    }

    fn services(&self) -> MutexGuard<'_, BTreeMap<String, Service>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a unit from the machine's folders; it is read anew at each use.
    pub(crate) fn unit(&self, name: &str) -> Result<Unit, (i32, String)> {
        for folder in [
            "etc/systemd/system",
            "run/systemd/system",
            "usr/lib/systemd/system",
            "lib/systemd/system",
        ] {
            if let Ok(text) = fs::read_to_string(self.root.join(folder).join(name)) {
                return Ok(Unit::parse(&text));
            }
        }
        Err((5, format!("Unit {name} not found.")))
    }

    pub(crate) fn active(&self, name: &str) -> Active {
        self.services().get(name).map_or(Active::Inactive, |s| s.active)
    }

    pub(crate) fn main_pid(&self, name: &str) -> Option<u32> {
        self.services().get(name).and_then(|s| s.pid)
    }

    fn wants(&self) -> PathBuf {
        self.root.join("etc/systemd/system/multi-user.target.wants")
    }

    pub(crate) fn enable(&self, name: &str, on: bool) -> Outcome {
        let link = self.wants().join(name);
        if on {
            self.unit(name)?;
            let made = fs::create_dir_all(self.wants()).and_then(|()| fs::write(link, name));
            return made.map_err(|e| (1, format!("Failed to enable unit {name}: {e}")));
        }
        let _ = fs::remove_file(link);
        Ok(())
    }

    pub(crate) fn is_enabled(&self, name: &str) -> bool {
        self.wants().join(name).exists()
    }

    /// Starts what is enabled, as a boot does.
    pub(crate) async fn boot(self: &Arc<Self>) {
        let Ok(entries) = fs::read_dir(self.wants()) else { return };
        let mut names: Vec<String> =
            entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        for name in names {
            if let Err((_, error)) = self.start(&name).await {
                tracing::warn!(unit = name, error, "a unit does not start at boot");
            }
        }
    }

    /// Starts a unit; a oneshot is waited for.
    pub(crate) async fn start(self: &Arc<Self>, name: &str) -> Outcome {
        let unit = self.unit(name)?;
        if unit.all("ExecStart").is_empty() {
            return Err((1, format!("Unit {name} has no ExecStart= setting. Refusing.")));
        }
        let generation = {
            let mut services = self.services();
            let service = services.entry(name.to_owned()).or_insert_with(|| Service {
                active: Active::Inactive,
                pid: None,
                generation: 0,
                ended: watch::Sender::new(0),
            });
            if matches!(service.active, Active::Running | Active::Starting) {
                return Ok(());
            }
            service.generation += 1;
            service.active = Active::Starting;
            service.generation
        };
        let first = self.launch(name, &unit).await;
        match first {
            Ok(child) => {
                let watcher = Arc::clone(self);
                let owned = name.to_owned();
                let oneshot = unit.oneshot();
                let task = tokio::spawn(async move {
                    watcher.watch(&owned, unit, child, generation).await;
                });
                if oneshot {
                    let _ = task.await;
                    if self.active(name) == Active::Failed {
                        return Err((1, format!("Job for {name} failed.")));
                    }
                }
                Ok(())
            }
            Err(error) => {
                if let Some(service) = self.services().get_mut(name) {
                    service.active = Active::Failed;
                }
                Err((1, format!("Failed to start {name}: {error}")))
            }
        }
    }

    fn command(&self, unit: &Unit, line: &str, pid: Option<u32>) -> std::io::Result<Command> {
        let mut env = self.env.clone();
        env.extend(unit.environment(&self.root));
        if let Some(pid) = pid {
            env.insert("MAINPID".to_owned(), pid.to_string());
        }
        let line = line.trim_start_matches(['-', '@', '+', '!', ':']);
        let words = expand(&split(line), &env);
        let (program, arguments) =
            words.split_first().ok_or_else(|| std::io::Error::other("the command is empty"))?;
        let mut command = Command::new(program);
        let folder = unit.last("WorkingDirectory").replace("${HCS_ROOT}", "");
        let folder = self.root.join(folder.trim_start_matches(['/', '-']));
        command.args(arguments).env_clear().envs(&env).stdin(Stdio::null());
        command.current_dir(if folder.is_dir() { &folder } else { &self.root });
        command.process_group(0);
        Ok(command)
    }

    fn log(&self, name: &str) -> std::io::Result<(Stdio, Stdio)> {
        let folder = self.root.join("log");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{name}.log"));
        let file = fs::OpenOptions::new().create(true).append(true).open(path)?;
        Ok((file.try_clone()?.into(), file.into()))
    }

    async fn launch(&self, name: &str, unit: &Unit) -> std::io::Result<Child> {
        for line in unit.all("ExecStartPre") {
            let (out, err) = self.log(name)?;
            let status = self.command(unit, line, None)?.stdout(out).stderr(err).status().await?;
            if !status.success() && !line.starts_with('-') {
                return Err(std::io::Error::other(format!("ExecStartPre ended with {status}")));
            }
        }
        let (out, err) = self.log(name)?;
        let child =
            self.command(unit, unit.last("ExecStart"), None)?.stdout(out).stderr(err).spawn()?;
        if let Some(service) = self.services().get_mut(name) {
            service.pid = child.id();
            service.active = Active::Running;
        }
        let folder = self.root.join("run/units");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{name}.pid")), child.id().unwrap_or(0).to_string())?;
        Ok(child)
    }

    /// Waits for the main process and starts it again as its unit says.
    async fn watch(&self, name: &str, mut unit: Unit, mut child: Child, generation: u64) {
        loop {
            let leader = child.id().unwrap_or(0);
            let clean = child.wait().await.is_ok_and(|status| status.success());
            if unit.last("KillMode") != "process" {
                processes::signal_group(leader, signal("KILL"));
            }
            let again = {
                let mut services = self.services();
                let Some(service) = services.get_mut(name) else { return };
                let current = service.generation == generation;
                let again = current && unit.restarts(clean) && !unit.oneshot();
                if current {
                    service.pid = None;
                    let remains = unit.last("RemainAfterExit");
                    service.active = match (again, clean) {
                        (true, _) => Active::Starting,
                        (false, true) if remains == "yes" || remains == "true" => Active::Running,
                        (false, true) => Active::Inactive,
                        (false, false) => Active::Failed,
                    };
                }
                service.ended.send_modify(|count| *count += 1);
                again
            };
            let _ = fs::remove_file(self.root.join("run/units").join(format!("{name}.pid")));
            if !again {
                return;
            }
            loop {
                tokio::time::sleep(RESTART_DELAY).await;
                if self.services().get(name).is_none_or(|s| s.generation != generation) {
                    return;
                }
                if let Ok(fresh) = self.unit(name) {
                    unit = fresh;
                }
                match self.launch(name, &unit).await {
                    Ok(next) => {
                        child = next;
                        break;
                    }
                    Err(error) => tracing::warn!(unit = name, %error, "a unit does not start"),
                }
            }
        }
    }

    /// Stops a unit: its signal, then after its time-out SIGKILL, to the whole group.
    pub(crate) async fn stop(&self, name: &str) -> Outcome {
        let unit = self.unit(name).unwrap_or_default();
        let (pid, mut ended) = {
            let mut services = self.services();
            let Some(service) = services.get_mut(name) else { return Ok(()) };
            service.generation += 1;
            service.active = Active::Inactive;
            (service.pid.take(), service.ended.subscribe())
        };
        let Some(pid) = pid else { return Ok(()) };
        ended.mark_unchanged();
        let name_of_signal = unit.last("KillSignal");
        let stop = signal(if name_of_signal.is_empty() { "TERM" } else { name_of_signal });
        if let Some(line) = unit.all("ExecStop").last()
            && let Ok(mut command) = self.command(&unit, line, Some(pid))
        {
            let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        }
        if ["process", "mixed"].contains(&unit.last("KillMode")) {
            processes::signal_one(pid, stop);
        } else {
            processes::signal_group(pid, stop);
        }
        let limit = Duration::from_secs(unit.stop_timeout_s());
        if tokio::time::timeout(limit, ended.changed()).await.is_err() {
            processes::signal_group(pid, signal("KILL"));
            let _ = tokio::time::timeout(Duration::from_secs(5), ended.changed()).await;
        }
        Ok(())
    }

    /// Reloads a unit by its `ExecReload=`.
    pub(crate) async fn reload(&self, name: &str) -> Outcome {
        let unit = self.unit(name)?;
        let Some(pid) = self.main_pid(name) else {
            return Err((1, format!("{name} is not active, cannot reload.")));
        };
        if unit.all("ExecReload").is_empty() {
            return Err((1, format!("Job type reload is not applicable for unit {name}.")));
        }
        for line in unit.all("ExecReload") {
            let status = match self.command(&unit, line, Some(pid)) {
                Ok(mut command) => {
                    command.stdout(Stdio::null()).stderr(Stdio::null()).status().await
                }
                Err(error) => Err(error),
            };
            if !status.is_ok_and(|s| s.success()) {
                return Err((1, format!("Reload of {name} failed.")));
            }
        }
        Ok(())
    }

    /// Sends a signal to a unit's main process or group.
    pub(crate) fn kill(&self, name: &str, word: &str) -> Outcome {
        match self.main_pid(name) {
            Some(pid) => processes::signal_group(pid, signal(word)),
            None => return Err((1, format!("Unit {name} is not running."))),
        }
        Ok(())
    }

    /// The plug is pulled: nothing restarts any more.
    pub(crate) fn forget_all(&self) {
        for service in self.services().values_mut() {
            service.generation += 1;
            service.active = Active::Inactive;
            if let Some(pid) = service.pid.take() {
                processes::signal_group(pid, signal("KILL"));
            }
        }
    }
}
