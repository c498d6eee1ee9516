//! `systemctl`: the client that machines call, and the verbs behind it.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Running;
use super::supervisor::Active;

/// Asks the emulator of this machine to carry out a command; returns its exit code.
#[allow(clippy::print_stdout, clippy::print_stderr)]
pub fn client(words: &[String]) -> i32 {
    match ask(words) {
        Ok(answer) => {
            print!("{}", answer["stdout"].as_str().unwrap_or_default());
            eprint!("{}", answer["stderr"].as_str().unwrap_or_default());
            answer["code"].as_i64().and_then(|code| i32::try_from(code).ok()).unwrap_or(1)
        }
        Err(error) => {
            eprintln!("systemctl: {error}");
            1
        }
    }
}

fn ask(words: &[String]) -> Result<Value, String> {
    let endpoint = std::env::var("ARM_MSI_ENDPOINT")
        .map_err(|_| "ARM_MSI_ENDPOINT is not set: this is no machine of the emulator")?;
    let host = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).map_err(|e| format!("cannot reach {host}: {e}"))?;
    let body = json!(words).to_string();
    let request = format!(
        "POST /emulator/systemctl HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|e| e.to_string())?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).map_err(|e| format!("the emulator gave no answer: {e}"))
}

/// Carries out a command on a machine.
pub(crate) async fn run(vm: &Running, words: &[String]) -> Value {
    let (mut stdout, mut stderr, mut code) = (String::new(), String::new(), 0);
    let mut plain: Vec<&str> = Vec::new();
    let (mut now, mut quiet, mut waits, mut signal) = (false, false, true, "TERM");
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--now" => now = true,
            "-q" | "--quiet" => quiet = true,
            "--no-block" => waits = false,
            "-s" | "--signal" => signal = rest.next().map_or("TERM", String::as_str),
            long if long.starts_with("--signal=") => signal = &long["--signal=".len()..],
            other if other.starts_with('-') => {}
            other => plain.push(other),
        }
    }
    let Some((verb, units)) = plain.split_first() else {
        return json!({"code": 1, "stdout": "", "stderr": "No verb given.\n"});
    };
    if units.is_empty()
        && !["daemon-reload", "daemon-reexec", "reset-failed", "list-units"].contains(verb)
    {
        return json!({"code": 1, "stdout": "", "stderr": "Too few arguments.\n"});
    }
    let supervisor = &vm.supervisor;
    for unit in units {
        let unit = if unit.contains('.') { (*unit).to_owned() } else { format!("{unit}.service") };
        let name = unit.as_str();
        let outcome = match *verb {
            "start" if waits => supervisor.start(name).await,
            "start" => {
                let (supervisor, name) = (Arc::clone(supervisor), name.to_owned());
                tokio::spawn(async move { supervisor.start(&name).await });
                Ok(())
            }
            "stop" => supervisor.stop(name).await,
            "restart" | "reload-or-restart" | "try-restart" => match supervisor.stop(name).await {
                Ok(()) => supervisor.start(name).await,
                failed => failed,
            },
            "reload" => supervisor.reload(name).await,
            "kill" => supervisor.kill(name, signal),
            "enable" => match supervisor.enable(name, true) {
                Ok(()) if now => supervisor.start(name).await,
                outcome => outcome,
            },
            "disable" => match supervisor.enable(name, false) {
                Ok(()) if now => supervisor.stop(name).await,
                outcome => outcome,
            },
            "is-active" => {
                let active = supervisor.active(name);
                if !quiet {
                    stdout += active.as_str();
                    stdout += "\n";
                }
                if active == Active::Running { Ok(()) } else { Err((3, String::new())) }
            }
            "is-failed" => {
                let active = supervisor.active(name);
                stdout += active.as_str();
                stdout += "\n";
                if active == Active::Failed { Ok(()) } else { Err((1, String::new())) }
            }
            "is-enabled" => {
                let enabled = supervisor.is_enabled(name);
                if !quiet {
                    stdout += if enabled { "enabled\n" } else { "disabled\n" };
                }
                if enabled { Ok(()) } else { Err((1, String::new())) }
            }
            "status" | "show" => {
                let active = supervisor.active(name).as_str();
                let pid = supervisor.main_pid(name).unwrap_or(0);
                // Writing to a string cannot fail.
                let _ = write!(stdout, "Id={name}\nActiveState={active}\nMainPID={pid}\n");
                let running = active == "active" || *verb == "show";
                if running { Ok(()) } else { Err((3, String::new())) }
            }
            "daemon-reload" | "reset-failed" => Ok(()),
            other => Err((1, format!("Unknown command verb {other}."))),
        };
        if let Err((failed, text)) = outcome {
            code = failed;
            if !text.is_empty() {
                stderr += &text;
                stderr += "\n";
            }
        }
    }
    json!({"code": code, "stdout": stdout, "stderr": stderr})
}
