//! Consul's systemd unit. Pure.

use std::path::Path;

use hcs_planner::cloud_init::{CONSUL_USER, DATA_DISK_PATH, SANDBOX, SERVER_SETUP_UNIT};

use crate::paths::Paths;

/// Renders the unit. Its paths are absolute and final, because systemd expands no variables in the
/// program's name.
pub fn consul_unit(paths: &Paths, program: &Path) -> String {
    let start = [
        quoted(program),
        "agent".to_owned(),
        format!("-config-file={}", quoted(&paths.server_config())),
        format!("-config-file={}", quoted(&paths.join_config())),
        format!("-config-file={}", quoted(&paths.secret_config())),
    ];
    let secret_config = paths.secret_config();
    let data = paths.data_dir();
    // The secrets lie in memory, so after a boot the unit waits until the host manager has put them there again; it
    // starts Consul then.
    format!(
        "[Unit]
Description=Consul server (configured by hcs-host-manager)
Documentation=https://developer.hashicorp.com/consul
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0
RequiresMountsFor={data}
{machine_unit}ConditionPathExists={condition}

[Service]
Type=simple
Environment=TMPDIR={temporary}
{machine_service}ExecStart={start}
ExecReload=/bin/kill -HUP $MAINPID
KillSignal=SIGTERM
TimeoutStopSec=30
Restart=on-failure
RestartSec=2
LimitNOFILE=65536
LimitCORE=0
MemoryMax=90%
CapabilityBoundingSet=
UMask=0077
ReadWritePaths={data} -{temporary}
{SANDBOX}SystemCallFilter=~@privileged @resources

[Install]
WantedBy=multi-user.target
",
        machine_unit = if paths.is_whole_machine() { machine_unit() } else { String::new() },
        machine_service =
            if paths.is_whole_machine() { machine_service(paths) } else { String::new() },
        condition = quoted(&secret_config),
        start = start.join(" "),
        data = quoted(&data),
        temporary = quoted(&paths.temporary_dir()),
    )
}

/// What a folder that stands for a machine has not: a disk, without which Consul would find nothing and begin anew on the
/// system's, and a user. The setup is wanted and not required: whoever restarts it restarts no Consul.
fn machine_unit() -> String {
    format!(
        "Wants={SERVER_SETUP_UNIT}
After={SERVER_SETUP_UNIT}
ConditionPathIsMountPoint={DATA_DISK_PATH}
"
    )
}

/// A user of its own. Data that lie there may be root's: of an earlier version, or a folder that was just made. The
/// metadata address is closed here too, in case the machine has no firewall.
fn machine_service(paths: &Paths) -> String {
    format!(
        "User={CONSUL_USER}
Group={CONSUL_USER}
IPAddressDeny=169.254.169.254
ExecStartPre=+/bin/chown -hR {CONSUL_USER}:{CONSUL_USER} {} {}
",
        quoted(&paths.data_dir()),
        quoted(&paths.temporary_dir()),
    )
}

/// Quotes a path only when it needs it: plain words are read the same by every parser.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if text.chars().all(plain) {
        // systemd reads `%` as a specifier; it is not among the plain ones.
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine_files::tests::bootstrap;
    use crate::snapshot::trial::server;
    use expect_test::expect_file;

    #[test]
    fn the_unit_is_as_its_golden() {
        let program = Path::new("/opt/hcs/consul/1.22.2/consul");
        let unit = consul_unit(&Paths::new(""), program);
        expect_file!["golden/consul.service"].assert_eq(&unit);
    }

    #[test]
    fn command_line_and_environment_hold_paths_only() {
        let unit = consul_unit(&Paths::new("/srv/vm 1"), Path::new("/srv/vm 1/consul"));
        let start = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
        assert!(start.starts_with("ExecStart=\"/srv/vm 1/consul\" agent -config-file="));
        let environment = unit.lines().filter(|line| line.starts_with("Environment"));
        assert_eq!(
            environment.collect::<Vec<_>>(),
            ["Environment=TMPDIR=\"/srv/vm 1/opt/consul/tmp\""]
        );
    }

    /// systemd's own judgement, where it is at hand: 10 is no sandbox at all.
    #[test]
    fn systemd_calls_all_units_well_protected() {
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new("/opt/hcs/consul/1.22.2/consul");
        let consul = folder.path().join("consul.service");
        std::fs::write(&consul, consul_unit(&Paths::new(""), program)).unwrap();
        let files = hcs_planner::cloud_init::machine_files(&bootstrap());
        let own = files.iter().find(|file| file.path.ends_with(hcs_planner::cloud_init::UNIT));
        let host_manager = folder.path().join(hcs_planner::cloud_init::UNIT);
        std::fs::write(&host_manager, &own.unwrap().text).unwrap();
        let trial = folder.path().join(crate::service::TRIAL_UNIT);
        std::fs::write(&trial, server::unit(&Paths::new(""), program)).unwrap();
        for unit in [consul, host_manager, trial] {
            let mut analyze = std::process::Command::new("systemd-analyze");
            analyze.args(["security", "--offline=yes", "--threshold=30", "--no-pager"]);
            match analyze.arg(&unit).output() {
                Err(error) => println!("skipped: systemd-analyze: {error}"),
                Ok(output) => {
                    let said = String::from_utf8_lossy(&output.stdout);
                    let complaint = String::from_utf8_lossy(&output.stderr);
                    // Before 250 it judged running units only.
                    if complaint.contains("unrecognized option") {
                        continue;
                    }
                    assert!(output.status.success(), "{}: {said}", unit.display());
                }
            }
        }
    }
}
