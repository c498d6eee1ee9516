//! The units of a server that are not Consul's.
//!
//! `$$` is a dollar for the shell: systemd would put its own variables in.

use super::scripts::START_PATH;
use super::{DATA_DISK_PATH, DATA_DISK_UNIT, SERVER_SETUP_UNIT, scripts};

/// Root, as it tells systemd what to do and writes units, but with nothing else of root's: three capabilities for files
/// of Consul's user, and a disk of which it may write its own places. Its folder in memory is made by the server's setup:
/// one that systemd makes would be given back to root at each start, with the secrets in it that Consul reads. The fetch
/// is part of the start, and not before it: a boot does not wait for a program that may take its time to come.
pub(super) fn host_manager() -> String {
    format!(
        "[Unit]
Description=hcs host manager: keeps this Consul server
Documentation=https://github.com/hcs-community/terraform-provider-hcs
Wants=network-online.target {SERVER_SETUP_UNIT}
After=network-online.target {SERVER_SETUP_UNIT} {DATA_DISK_UNIT}
Requires={DATA_DISK_UNIT}
StartLimitIntervalSec=0

[Service]
ExecStart=/bin/sh -c 'exec /bin/sh \"$${{HCS_ROOT}}{START_PATH}\"'
Restart=always
RestartSec=5
LimitCORE=0
MemoryMax=50%
ConfigurationDirectory=consul.d
ReadWritePaths=/etc/systemd/system /opt/hcs -/run/hcs {DATA_DISK_PATH}
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER
UMask=0077
{SANDBOX}SystemCallFilter=~@privileged @resources
SystemCallFilter=@chown

[Install]
WantedBy=multi-user.target
"
    )
}

/// What no service of a server needs.
pub const SANDBOX: &str = "\
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
";

/// Waits for the disk as long as it takes.
pub(super) fn data_disk() -> String {
    one_shot(
        "hcs data disk: Consul's data",
        "After=systemd-udevd.service\n",
        scripts::DATA_DISK_PATH,
    )
}

/// Before Consul, which has no user without it.
pub(super) fn server_setup() -> String {
    one_shot(
        "hcs server setup: Consul's user, and who may ask for tokens",
        "",
        scripts::SERVER_SETUP_PATH,
    )
}

/// No `Restart=`: systemd before 244 refuses such a unit whole. What may fail goes on trying by itself.
fn one_shot(description: &str, order: &str, script: &str) -> String {
    format!(
        "[Unit]
Description={description}
{order}
[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=infinity
ExecStart=/bin/sh -c 'exec /bin/sh \"$${{HCS_ROOT}}{script}\"'
"
    )
}
