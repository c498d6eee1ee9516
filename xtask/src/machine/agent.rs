//! Commands for a machine: inside of it by QEMU's guest agent, around it by its monitor. JSON lines on sockets.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::shell::Failure;

const PATIENCE: Duration = Duration::from_mins(1);

/// Gives the machine's monitor one command.
pub(crate) fn monitor(socket: &Path, command: &Value) -> Result<(), Failure> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    for command in [&json!({"execute": "qmp_capabilities"}), command] {
        stream.write_all(format!("{command}\n").as_bytes())?;
        line.clear();
        reader.read_line(&mut line)?;
        if !line.contains("return") {
            return Err(format!("the machine's monitor refuses: {line}").into());
        }
    }
    Ok(())
}

/// Runs a line of shell as root in the machine whose agent is at `socket`; gives back what it printed.
pub(crate) fn shell(socket: &Path, line: &str) -> Result<String, Failure> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut ask = |command: Value| -> Result<Value, Failure> {
        stream.write_all(format!("{command}\n").as_bytes())?;
        let mut answer = String::new();
        if reader.read_line(&mut answer)? == 0 {
            return Err("the machine's agent hung up".into());
        }
        let value: Value = serde_json::from_str(&answer)?;
        if value["error"].is_object() {
            return Err(format!("the machine's agent refuses: {}", value["error"]).into());
        }
        Ok(value["return"].clone())
    };
    // Whoever asked before may have left an answer: it is skipped.
    let number = std::process::id();
    while ask(json!({"execute": "guest-sync", "arguments": {"id": number}}))? != json!(number) {}
    let words = ["-c".to_owned(), format!("{{ {line}\n}} 2>&1")];
    let arguments = json!({"path": "/bin/sh", "arg": words, "capture-output": true});
    let started = ask(json!({"execute": "guest-exec", "arguments": arguments}))?;
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let arguments = json!({"pid": started["pid"]});
        let status = ask(json!({"execute": "guest-exec-status", "arguments": arguments}))?;
        if status["exited"] == json!(true) {
            let text = STANDARD.decode(status["out-data"].as_str().unwrap_or_default())?;
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Err(format!("no end after {PATIENCE:?}: {line}").into())
}
