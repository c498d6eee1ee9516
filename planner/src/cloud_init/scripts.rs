//! What a server's units run: POSIX shell, each safe to run again.

use super::{
    CONSUL_USER, DATA_DISK_PATH as MOUNT_POINT, FETCH_PATH, HOST_MANAGER_PATH, HOST_MANAGERS_PATH,
    STATE_PATH,
};

/// Where the script that mounts the data disk lies.
pub(super) const DATA_DISK_PATH: &str = "/opt/hcs/mount-data-disk.sh";
/// Where the script that sets a server up lies.
pub(super) const SERVER_SETUP_PATH: &str = "/opt/hcs/set-up-server.sh";

/// Where the script that starts the host manager lies.
pub(super) const START_PATH: &str = "/opt/hcs/start-host-manager.sh";

/// Starts the host manager.
pub(super) fn start() -> String {
    START
        .replace("@FETCH@", FETCH_PATH)
        .replace("@BORN@", HOST_MANAGER_PATH)
        .replace("@PROGRAMS@", HOST_MANAGERS_PATH)
        .replace("@STATE@", STATE_PATH)
        .replace("@STARTS_MAX@", &STARTS_MAX.to_string())
        .replace("@TRIAL_SECONDS@", &TRIAL_SECONDS.to_string())
}

/// So often a host manager on trial may be started without having been seen to work.
pub(super) const STARTS_MAX: u32 = 3;
/// So long each of these starts may take.
const TRIAL_SECONDS: u32 = 600;

/// A program is on trial until `confirmed` holds its hash, which it writes when it has done a round of its work and told
/// of it. Not the program decides over its trial, but this script, which a program on trial does not replace.
const START: &str = r#"#!/bin/sh
# Starts the host manager. One that is new is on trial: when @STARTS_MAX@ starts of it come to nothing, the one before it
# comes back. Needs no network where a program is on the disk.
set -eu
umask 077
root="${HCS_ROOT:-}"
programs="$root@PROGRAMS@"
state="$root@STATE@"
mkdir -p "$programs" "$state"

# The hash that a link leads to; nothing where the program there is not whole.
whole() {
  hash=$(readlink "$programs/$1" 2>/dev/null) || return 0
  program="$programs/$hash/hcs-host-manager"
  if [ -x "$program" ] && echo "$hash  $program" | sha256sum -c - >/dev/null 2>&1; then echo "$hash"; fi
}
told() { cat "$state/$1" 2>/dev/null || true; }
# A power cut leaves the old text or the new one.
tell() {
  echo "$2" > "$state/$1.new"
  sync "$state/$1.new"
  mv -f "$state/$1.new" "$state/$1"
  sync "$state"
}
point() {
  ln -sfn "$2" "$programs/$1.new"
  mv -fT "$programs/$1.new" "$programs/$1"
  sync "$programs"
}

current=$(whole current)
if [ -n "$current" ] && [ "$current" != "$(told confirmed)" ]; then
  case $(told starts) in
    "$current "[0-9]|"$current "[0-9][0-9]) starts=$(told starts); starts=${starts#* } ;;
    *) starts=0 ;;
  esac
  if [ "$starts" -lt @STARTS_MAX@ ]; then
    tell starts "$current $((starts + 1))"
    limit=$(awk "BEGIN { limit = @TRIAL_SECONDS@ / ${HCS_TIME_SCALE:-1}; print limit < 20 ? 20 : limit }")
    HCS_ON_TRIAL=1 exec timeout -k 10 "$limit" "$programs/$current/hcs-host-manager" run
  fi
  echo "hcs: host manager $current was started $starts times and did not come to work: the one before it comes back" >&2
  tell put-back "$current"
  previous=$(whole previous)
  if [ -n "$previous" ] && [ "$previous" != "$current" ]; then
    tell confirmed "$previous"
    point current "$previous"
    current=$previous
  else
    rm -f "$programs/current"
    current=
  fi
fi
if [ -z "$current" ] && [ -n "$(whole previous)" ] && [ "$(whole previous)" = "$(told confirmed)" ]; then
  current=$(whole previous)
fi
if [ -n "$current" ]; then exec "$programs/$current/hcs-host-manager" run; fi
/bin/sh "$root@FETCH@"
exec "$root@BORN@" run
"#;

/// Mounts the data disk.
pub(super) fn data_disk() -> String {
    DATA_DISK.replace("@PATH@", MOUNT_POINT)
}

/// Makes Consul's user and guards the metadata address.
pub(super) fn server_setup() -> String {
    SERVER_SETUP.replace("@USER@", CONSUL_USER)
}

/// Whoever gets a token of this machine's identities reads the cluster's secrets: the address that hands them out is
/// closed to all users but root and those that an operator names. By nftables or iptables, whichever the image has; one that
/// has neither says so.
const SERVER_SETUP: &str = r#"#!/bin/sh
# Makes the user of Consul, and closes the metadata address to everybody but root. Safe to run again.
set -eu
# A folder instead of a machine has neither users nor a firewall.
if [ -n "${HCS_ROOT:-}" ]; then exit 0; fi

# The host manager may write there, and gives it to whom it wants.
mkdir -p -m 0750 /run/hcs

# A power cut may leave half of a user, or a lock that nobody holds: systemd's tool mends the one and knows no such lock.
is_there() { getent passwd @USER@ >/dev/null && getent group @USER@ >/dev/null; }
until is_there; do
  systemd-sysusers --inline 'u @USER@ - "Consul server"' ||
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin @USER@ || true
  if ! is_there; then
    echo "hcs: the user @USER@ cannot be made; trying again" >&2
    sleep 5
  fi
done

# An agent of Azure that runs as another user and needs a token is named in this file, one user in a line.
address=169.254.169.254
allowed=0
if [ -r /etc/hcs/metadata-users ]; then
  while read -r user || [ -n "$user" ]; do
    if uid=$(id -u "$user" 2>/dev/null); then allowed="$allowed $uid"; fi
  done < /etc/hcs/metadata-users
fi

by_nft() {
  nft -f - <<END
table ip hcs_metadata
delete table ip hcs_metadata
table ip hcs_metadata {
  chain output {
    type filter hook output priority 0; policy accept;
    ip daddr $address meta skuid != { $(echo "$allowed" | sed 's/ /, /g') } counter reject
  }
}
END
}

by_iptables() {
  chain=hcs-metadata
  iptables -w -N "$chain" 2>/dev/null || iptables -w -F "$chain"
  for uid in $allowed; do iptables -w -A "$chain" -m owner --uid-owner "$uid" -j RETURN || return; done
  iptables -w -A "$chain" -j REJECT || return
  iptables -w -C OUTPUT -d "$address" -j "$chain" 2>/dev/null || iptables -w -I OUTPUT -d "$address" -j "$chain"
}

if { command -v nft >/dev/null && by_nft; } || { command -v iptables >/dev/null && by_iptables; }; then
  exit 0
fi
echo "hcs: no nft and no iptables that works; other users of this machine can ask $address for tokens" >&2
"#;

/// The disk at LUN 10, by the names that the udev rules of `WALinuxAgent` (SCSI) and of azure-vm-utils (SCSI and `NVMe`)
/// give it. It is waited for, however long it takes: without it nothing may start, as it would start empty.
const DATA_DISK: &str = r#"#!/bin/sh
# Mounts the data disk of this Consul server, and formats it when it is blank. Safe to run again.
set -eu
target="${HCS_ROOT:-}@PATH@"
mkdir -p "$target"
# In a folder instead of a machine there is no disk.
if [ -n "${HCS_ROOT:-}" ]; then exit 0; fi
if mountpoint -q "$target"; then exit 0; fi

find_disk() {
  for link in /dev/disk/azure/scsi1/lun10 /dev/disk/azure/data/by-lun/10; do
    if [ -b "$link" ]; then disk=$link; return; fi
  done
  return 1
}

waited=0
while ! find_disk; do
  if [ $((waited % 60)) -eq 0 ]; then echo "hcs: waiting for the data disk at LUN 10" >&2; fi
  sleep 2
  waited=$((waited + 2))
done
udevadm settle || true

# blkid says the same of a disk that is blank and of one that it cannot read: blank is what was read, and is zeros.
is_blank() {
  head=/run/hcs-data-disk-head
  dd if="$disk" of="$head" bs=1M count=4 2>/dev/null || return 1
  [ "$(wc -c < "$head")" -eq 4194304 ] || return 1
  [ "$(tr -d '\000' < "$head" | wc -c)" -eq 0 ]
}

# While it is there, a format has begun and nobody has mounted the disk: cut off, it is begun again.
mark=/opt/hcs/formatting-data-disk

while :; do
  # Servers of earlier versions have a partition.
  if [ -b "$disk-part1" ]; then device="$disk-part1"; else device=$disk; fi
  if [ ! -e "$mark" ] && blkid -p "$device" >/dev/null 2>&1; then
    if mount -t ext4 -o nodev,nosuid "$device" "$target"; then exit 0; fi
    echo "hcs: the data disk $device cannot be mounted; trying again" >&2
    fsck.ext4 -p "$device" >&2 || true
  elif [ -e "$mark" ] || is_blank; then
    echo "hcs: formatting the blank data disk $disk" >&2
    echo "$disk" > "$mark"
    sync "$mark" "$(dirname "$mark")"
    if mkfs.ext4 -q -F -L hcs-data "$disk"; then
      sync "$disk"
      rm -f "$mark"
      sync "$(dirname "$mark")"
      continue
    fi
  else
    echo "hcs: the data disk $device cannot be read, or holds what is no file system; it is left as it is" >&2
  fi
  sleep 5
done
"#;
