//! Consul's systemd unit. Pure.

use std::path::Path;

use hcs_planner::cloud_init::DATA_DISK_PATH;

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
    // Root without any capability: it can read its own 0600 files and nothing else of worth.
    // The secrets lie in memory, so after a boot the unit waits until the host manager has
    // fetched them again; it starts Consul then.
    format!(
        "[Unit]
Description=Consul server (configured by hcs-host-manager)
Documentation=https://developer.hashicorp.com/consul
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0
RequiresMountsFor={data}
{on_the_data_disk}ConditionPathExists={condition}

[Service]
Type=simple
Environment=TMPDIR={temporary}
ExecStart={start}
ExecReload=/bin/kill -HUP $MAINPID
KillSignal=SIGTERM
TimeoutStopSec=30
Restart=on-failure
RestartSec=2
LimitNOFILE=65536
LimitCORE=0
CapabilityBoundingSet=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictSUIDSGID=yes
ReadWritePaths={data} {temporary}

[Install]
WantedBy=multi-user.target
",
        on_the_data_disk = on_the_data_disk(paths),
        condition = quoted(&secret_config),
        start = start.join(" "),
        data = quoted(&data),
        temporary = quoted(&paths.temporary_dir()),
    )
}

/// Consul must not start where its data disk is late or missing: on the OS disk it would find nothing, and begin anew. A
/// machine in a folder has no disk.
fn on_the_data_disk(paths: &Paths) -> String {
    if paths.is_whole_machine() {
        format!("ConditionPathIsMountPoint={DATA_DISK_PATH}\n")
    } else {
        String::new()
    }
}

/// Quotes a path only when it needs it: plain words are read the same by every parser.
fn quoted(path: &Path) -> String {
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
}
