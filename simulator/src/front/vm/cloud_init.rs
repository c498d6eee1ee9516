//! cloud-init in small: `bootcmd` at every boot, `write_files` and `runcmd` once, of a `#cloud-config` written as JSON.
//!
//! A module that runs once is marked before it runs, as cloud-init does it: one that was cut off never runs again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::process::Command;

/// Marks of modules that run once on a disk.
const MARKS: &str = "/var/lib/cloud/instance/sem";

/// Where a path of the machine lies on this one.
pub(crate) fn rooted(root: &Path, path: &str) -> PathBuf {
    let inner = Path::new(path)
        .components()
        .filter_map(|part| match part {
            std::path::Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect::<PathBuf>();
    root.join(inner)
}

/// Carries out the user data at a boot; what happens is in `log/cloud-init.log`.
pub(crate) async fn run(root: &Path, env: &BTreeMap<String, String>, custom_data: &str) {
    let folder = root.join("log");
    let log = fs::create_dir_all(&folder).and_then(|()| {
        let path = folder.join("cloud-init.log");
        fs::OpenOptions::new().create(true).append(true).open(path)
    });
    let mut log = match log {
        Ok(log) => log,
        Err(error) => {
            tracing::error!(%error, root = %root.display(), "a machine cannot log");
            return;
        }
    };
    let result = carry_out(root, env, custom_data, &mut log).await;
    let line = match result {
        Ok(()) => "cloud-init: done".to_owned(),
        Err(reason) => format!("cloud-init: failed: {reason}"),
    };
    let _ = writeln!(log, "{line}");
}

/// Whether a module has its one run now.
fn has_its_run(root: &Path, module: &str) -> Result<bool, String> {
    let mark = rooted(root, MARKS).join(format!("config_{module}"));
    if mark.exists() {
        return Ok(false);
    }
    write(&mark, b"", 0o644)?;
    Ok(true)
}

async fn carry_out(
    root: &Path,
    env: &BTreeMap<String, String>,
    custom_data: &str,
    log: &mut fs::File,
) -> Result<(), String> {
    if custom_data.is_empty() {
        return Ok(());
    }
    let bytes = STANDARD.decode(custom_data).map_err(|e| format!("no base64: {e}"))?;
    let text = String::from_utf8(bytes).map_err(|e| format!("no text: {e}"))?;
    if text.starts_with("#!") {
        if !has_its_run(root, "scripts_user")? {
            return Ok(());
        }
        let script = root.join("var/lib/cloud/user-data");
        write(&script, text.as_bytes(), 0o700)?;
        return command(root, env, &[script.to_string_lossy().into_owned()], log).await;
    }
    let Some((header, body)) = text.split_once('\n') else { return Err("no header".to_owned()) };
    if header.trim() != "#cloud-config" {
        return Err(format!("the header '{header}' is not #cloud-config"));
    }
    let config: Value =
        serde_json::from_str(body).map_err(|e| format!("the cloud-config is no JSON: {e}"))?;
    run_all(&config["bootcmd"], &[], root, env, log).await;
    let mut written = Vec::new();
    let writes = has_its_run(root, "write_files")?;
    for file in config["write_files"].as_array().into_iter().flatten() {
        let path = file["path"].as_str().ok_or("a file has no path")?;
        let content = file["content"].as_str().unwrap_or_default();
        let content = match file["encoding"].as_str() {
            Some("b64" | "base64") => {
                STANDARD.decode(content).map_err(|e| format!("{path}: no base64: {e}"))?
            }
            _ => content.as_bytes().to_vec(),
        };
        let mode = file["permissions"].as_str().unwrap_or("0644");
        let mode = u32::from_str_radix(mode, 8).map_err(|_| format!("{path}: bad permissions"))?;
        written.push(path.to_owned());
        if writes {
            write(&rooted(root, path), &content, mode)?;
            let _ = writeln!(log, "cloud-init: wrote {path}");
        }
    }
    if has_its_run(root, "runcmd")? {
        run_all(&config["runcmd"], &written, root, env, log).await;
    }
    Ok(())
}

/// Runs the commands of a module. Like cloud-init, one failing command does not keep the next from running.
async fn run_all(
    entries: &Value,
    written: &[String],
    root: &Path,
    env: &BTreeMap<String, String>,
    log: &mut fs::File,
) {
    for entry in entries.as_array().into_iter().flatten() {
        let words: Vec<String> = match entry {
            Value::String(line) => vec!["sh".to_owned(), "-c".to_owned(), line.clone()],
            Value::Array(words) => words
                .iter()
                .filter_map(Value::as_str)
                // A real machine has these files at its own root.
                .map(|word| {
                    if written.iter().any(|path| path == word) {
                        rooted(root, word).to_string_lossy().into_owned()
                    } else {
                        word.to_owned()
                    }
                })
                .collect(),
            _ => continue,
        };
        if let Err(reason) = command(root, env, &words, log).await {
            let _ = writeln!(log, "cloud-init: {reason}");
        }
    }
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), String> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, content))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(|e| format!("{}: {e}", path.display()))
}

async fn command(
    root: &Path,
    env: &BTreeMap<String, String>,
    words: &[String],
    log: &mut fs::File,
) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let _ = writeln!(log, "cloud-init: runs {program}");
    let handle = || log.try_clone().map_or(Stdio::null(), Stdio::from);
    let status = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(env)
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(handle())
        .stderr(handle())
        .process_group(0)
        .kill_on_drop(true)
        .status()
        .await;
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} ended with {status}")),
        Err(error) => Err(format!("{program} does not start: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leaves_the_machine() {
        let root = Path::new("/vm");
        assert_eq!(rooted(root, "/etc/x"), Path::new("/vm/etc/x"));
        assert_eq!(rooted(root, "../../etc/x"), Path::new("/vm/etc/x"));
    }
}
