//! cloud-init of a server: paths and hashes only.
//!
//! All of it is one `bootcmd`, the one module that cloud-init runs at every boot. The others are marked as done before
//! they run, so a first boot that is cut off would never be finished. What it does it does once and in whole pieces:
//! it puts files down that are not there, and starts a unit. The units do the rest, for as long as it takes: the data
//! disk is found, formatted when it is blank, and mounted; the host manager is fetched by identity and checked.
//!
//! Every path is below `$HCS_ROOT`, which is empty on a VM: the same data can be carried out in a folder.

mod scripts;
mod units;

pub use units::SANDBOX;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::dataplane::{BootstrapConfig, blob, container};

/// Where the server finds its [`BootstrapConfig`].
pub const BOOTSTRAP_PATH: &str = "/etc/hcs/bootstrap.json";
/// Where the host manager is installed.
pub const HOST_MANAGER_PATH: &str = "/opt/hcs/bin/hcs-host-manager";
/// Where the host managers that came later lie, each in a folder of its hash, with the links `current` and `previous`.
pub const HOST_MANAGERS_PATH: &str = "/opt/hcs/host-managers";
/// What the host manager and the script that starts it must not forget.
pub const STATE_PATH: &str = "/opt/hcs/state";
/// The host manager's systemd unit.
pub const UNIT: &str = "hcs-host-manager.service";
/// The unit that mounts the data disk.
pub const DATA_DISK_UNIT: &str = "hcs-data-disk.service";
/// The unit that makes Consul's user and closes the metadata address to everybody but root.
pub const SERVER_SETUP_UNIT: &str = "hcs-server-setup.service";
/// Where the data disk is mounted; Consul's data lie below.
pub const DATA_DISK_PATH: &str = "/opt/consul";
/// The user and group that Consul runs as.
pub const CONSUL_USER: &str = "hcs-consul";

const FETCH_PATH: &str = "/opt/hcs/fetch-host-manager.sh";

/// A file that every server has. The first boot writes it; from then on the host manager keeps it, so that an old server
/// gets what a newer version knows better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineFile {
    /// Where, below `$HCS_ROOT`.
    pub path: String,
    /// Its mode.
    pub mode: u32,
    /// What is in it.
    pub text: String,
}

/// All of them. The host manager's own unit is the last.
pub fn machine_files(bootstrap: &BootstrapConfig) -> Vec<MachineFile> {
    let script = |path: &str, text: String| MachineFile { path: path.into(), mode: 0o755, text };
    let unit = |name: &str, text: String| MachineFile {
        path: format!("/etc/systemd/system/{name}"),
        mode: 0o644,
        text,
    };
    vec![
        script(FETCH_PATH, fetch_script(bootstrap)),
        script(scripts::START_PATH, scripts::start()),
        script(scripts::DATA_DISK_PATH, scripts::data_disk()),
        script(scripts::SERVER_SETUP_PATH, scripts::server_setup()),
        unit(DATA_DISK_UNIT, units::data_disk()),
        unit(SERVER_SETUP_UNIT, units::server_setup()),
        unit(UNIT, units::host_manager()),
    ]
}

/// `#cloud-config` and JSON, which is YAML too: no template, so nothing can be injected.
pub fn render(bootstrap: &BootstrapConfig) -> String {
    let config = json!({ "bootcmd": [["/bin/sh", "-c", boot_script(bootstrap)]] });
    format!("#cloud-config\n{}\n", serde_json::to_string_pretty(&config).unwrap_or_default())
}

/// As `osProfile.customData` wants it.
pub fn render_base64(bootstrap: &BootstrapConfig) -> String {
    STANDARD.encode(render(bootstrap))
}

/// Runs early at every boot. A file that is there is whole, and may be newer than this: it stays.
fn boot_script(bootstrap: &BootstrapConfig) -> String {
    let bootstrap_json = serde_json::to_string_pretty(bootstrap).unwrap_or_default();
    let own = MachineFile { path: BOOTSTRAP_PATH.into(), mode: 0o644, text: bootstrap_json };
    let puts = [own].into_iter().chain(machine_files(bootstrap)).map(|file| {
        let text = STANDARD.encode(&file.text);
        format!("put {} {:04o} <<'END'\n{text}\nEND\n", file.path, file.mode)
    });
    let puts = puts.collect::<Vec<_>>().concat();
    // cloud-init runs this before most of systemd's boot: nothing here may wait for a unit.
    format!(
        r#"set -eu
umask 022
put() {{
  target="${{HCS_ROOT:-}}$1"
  if [ -s "$target" ]; then cat >/dev/null; return; fi
  mkdir -p "$(dirname "$target")"
  base64 -d > "$target.new"
  chmod "$2" "$target.new"
  sync "$target.new"
  mv -f "$target.new" "$target"
  sync "$(dirname "$target")"
}}
{puts}systemctl daemon-reload
systemctl enable {UNIT}
systemctl start --no-block {UNIT}
"#,
    )
}

/// A POSIX shell script that needs curl and sha256sum, which every Azure Linux image has.
///
/// Tokens go through curl's configuration on standard input, never through arguments.
fn fetch_script(bootstrap: &BootstrapConfig) -> String {
    let endpoint = bootstrap.blob_endpoint.trim_end_matches('/');
    let blob_name = blob::host_manager_artifact(&bootstrap.host_manager_sha256);
    let url = format!("{endpoint}/{}/{blob_name}", container::ARTIFACTS);
    format!(
        r#"#!/bin/sh
# Fetches the hcs host manager with this VM's identity and checks it. Safe to run again.
set -eu
umask 077
target="${{HCS_ROOT:-}}{HOST_MANAGER_PATH}"
metadata="${{ARM_MSI_ENDPOINT:-http://169.254.169.254}}"
sha256='{sha256}'
identity='{identity}'
url='{url}'

verified() {{ echo "$sha256  $1" | sha256sum -c - >/dev/null 2>&1; }}

mkdir -p "$(dirname "$target")"
if [ -x "$target" ] && verified "$target"; then exit 0; fi

attempt=0
while :; do
  attempt=$((attempt + 1))
  token=$(curl -fsS --noproxy '*' --max-time 20 -H 'Metadata: true' --get \
      --data-urlencode 'api-version=2018-02-01' \
      --data-urlencode 'resource=https://storage.azure.com/' \
      --data-urlencode "msi_res_id=$identity" \
      "$metadata/metadata/identity/oauth2/token" \
    | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p') || token=
  if [ -n "$token" ] && printf 'header = "Authorization: Bearer %s"\n' "$token" \
      | curl -fsS --max-time 600 -K - -H 'x-ms-version: 2021-12-02' -o "$target.new" "$url" \
      && verified "$target.new"; then
    break
  fi
  # A fresh identity's rights take minutes to arrive; wait a little longer each time, one minute at most.
  delay=$((attempt < 12 ? attempt * 5 : 60))
  echo "hcs bootstrap: attempt $attempt failed, next in ${{delay}}s" >&2
  sleep "$(awk "BEGIN {{ print $delay / ${{HCS_TIME_SCALE:-1}} }}")"
done
chmod 0755 "$target.new"
# A power cut leaves the whole program or none.
sync "$target.new"
mv -f "$target.new" "$target"
sync "$(dirname "$target")"
"#,
        sha256 = bootstrap.host_manager_sha256,
        identity = bootstrap.shared_identity_id,
    )
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn bootstrap() -> BootstrapConfig {
        BootstrapConfig {
            cluster_id: "/subscriptions/s/resourceGroups/g".into(),
            slot: 1,
            node_name: "demo-server-1".into(),
            zone: Some("2".into()),
            blob_endpoint: "https://acct.blob.core.windows.net/".into(),
            shared_identity_id: "/subscriptions/s/x/demo-servers".into(),
            server_identity_id: "/subscriptions/s/x/demo-server-1".into(),
            host_manager_sha256: "ab".repeat(32),
        }
    }

    fn sh(script: &str, root: &std::path::Path) -> std::process::Output {
        std::process::Command::new("sh")
            .args(["-c", script])
            .env("HCS_ROOT", root)
            .env("PATH", format!("{}/bin:/usr/bin:/bin", root.display()))
            .output()
            .unwrap()
    }

    /// What the machine's boot runs.
    fn script() -> String {
        let text = render(&bootstrap());
        let json = text.strip_prefix("#cloud-config\n").unwrap();
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(value.as_object().unwrap().len(), 1, "no module that runs once");
        value["bootcmd"][0][2].as_str().unwrap().to_owned()
    }

    /// A machine in a folder, whose systemctl writes down what it is told.
    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join("bin/systemctl");
        std::fs::create_dir(program.parent().unwrap()).unwrap();
        std::fs::write(&program, "#!/bin/sh\necho \"$*\" >> \"$HCS_ROOT/told\"\n").unwrap();
        let chmod = std::process::Command::new("chmod").arg("755").arg(&program).status().unwrap();
        assert!(chmod.success());
        root
    }

    #[test]
    fn cloud_init_is_json_below_its_header_and_far_below_64_kib() {
        assert!(render(&bootstrap()).starts_with("#cloud-config\n{"));
        assert!(render_base64(&bootstrap()).len() < 24 * 1024);
    }

    #[test]
    fn a_boot_puts_every_file_down_whole_and_starts_the_unit() {
        let root = machine();
        let output = sh(&script(), root.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = |path: &str| {
            std::fs::read_to_string(root.path().join(path.trim_start_matches('/'))).unwrap()
        };
        let stored: BootstrapConfig = serde_json::from_str(&read(BOOTSTRAP_PATH)).unwrap();
        assert_eq!(stored, bootstrap());
        for file in machine_files(&bootstrap()) {
            assert_eq!(read(&file.path), file.text, "{}", file.path);
        }
        assert_eq!(read(FETCH_PATH), fetch_script(&bootstrap()));
        let told = read("told");
        let told: Vec<&str> = told.lines().collect();
        assert_eq!(told.len(), 3);
        assert_eq!(told[2], format!("start --no-block {UNIT}"), "a boot waits for nothing");
        let leftovers = sh("find \"$HCS_ROOT\" -name '*.new'", root.path()).stdout;
        assert_eq!(String::from_utf8_lossy(&leftovers), "");
    }

    /// Cut anywhere, the next boot finishes it: the script is run up to each of its lines.
    #[test]
    fn a_boot_that_is_cut_off_anywhere_is_finished_by_the_next() {
        let whole = script();
        let marks: Vec<usize> = whole.match_indices("\nEND\n").map(|(at, _)| at + 5).collect();
        assert_eq!(marks.len(), 1 + machine_files(&bootstrap()).len());
        for cut in marks.into_iter().chain([whole.find("systemctl enable").unwrap()]) {
            let root = machine();
            assert!(sh(&whole[..cut], root.path()).status.success());
            // What was being written when the power went.
            let half = root.path().join("etc/systemd/system");
            std::fs::create_dir_all(&half).unwrap();
            std::fs::write(half.join(format!("{UNIT}.new")), "[Un").unwrap();
            if !half.join(UNIT).exists() {
                std::fs::write(half.join(UNIT), "").unwrap();
            }
            assert!(sh(&whole, root.path()).status.success());
            for file in machine_files(&bootstrap()) {
                let path = root.path().join(file.path.trim_start_matches('/'));
                assert_eq!(std::fs::read_to_string(path).unwrap(), file.text, "cut at {cut}");
            }
        }
    }

    /// A newer host manager may have written its own unit by then.
    #[test]
    fn a_later_boot_leaves_what_is_there() {
        let root = machine();
        assert!(sh(&script(), root.path()).status.success());
        let file = root.path().join("etc/systemd/system").join(UNIT);
        std::fs::write(&file, "newer").unwrap();
        assert!(sh(&script(), root.path()).status.success());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "newer");
    }

    /// A machine with host managers in a folder; each is a script.
    struct Trial {
        root: tempfile::TempDir,
    }

    impl Trial {
        fn new() -> Self {
            let trial = Self { root: machine() };
            trial.put("opt/hcs/fetch-host-manager.sh", "echo fetched >> $HCS_ROOT/ran");
            trial.put("opt/hcs/bin/hcs-host-manager", "#!/bin/sh\necho born >> $HCS_ROOT/ran");
            trial
        }

        fn put(&self, path: &str, text: &str) {
            let path = self.root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            let chmod = std::process::Command::new("chmod").arg("755").arg(&path).status();
            assert!(chmod.unwrap().success());
        }

        /// Puts a program down under its hash and lets a link lead to it.
        fn program(&self, link: &str, text: &str) -> String {
            let text = format!("#!/bin/sh\n{text}\n");
            let hash = format!("{:x}", Sha256::digest(&text));
            self.put(&format!("opt/hcs/host-managers/{hash}/hcs-host-manager"), &text);
            let link = self.root.path().join("opt/hcs/host-managers").join(link);
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(&hash, link).unwrap();
            hash
        }

        fn tell(&self, name: &str, text: &str) {
            self.put(&format!("opt/hcs/state/{name}"), text);
        }

        fn told(&self, name: &str) -> String {
            let path = self.root.path().join("opt/hcs/state").join(name);
            std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
        }

        /// What was run, one word each, since somebody asked.
        fn starts(&self, times: usize) -> String {
            for _ in 0..times {
                // Six hundred seconds of a trial are one here.
                let scaled =
                    format!("HCS_TIME_SCALE=600\nexport HCS_TIME_SCALE\n{}", scripts::start());
                sh(&scaled, self.root.path());
            }
            let ran = self.root.path().join("ran");
            let words = std::fs::read_to_string(&ran).unwrap_or_default();
            let _ = std::fs::remove_file(ran);
            words.split_whitespace().collect::<Vec<_>>().join(" ")
        }
    }

    const CONFIRMS: &str = "echo new >> $HCS_ROOT/ran\nmkdir -p $HCS_ROOT/opt/hcs/state\n\
        basename $(dirname $0) > $HCS_ROOT/opt/hcs/state/confirmed";

    #[test]
    fn a_server_starts_with_what_it_was_born_with() {
        let trial = Trial::new();
        assert_eq!(trial.starts(2), "fetched born fetched born");
    }

    #[test]
    fn a_program_that_works_is_on_trial_once() {
        let trial = Trial::new();
        trial.program("current", CONFIRMS);
        assert_eq!(trial.starts(5), "new new new new new");
        assert_eq!(trial.told("put-back"), "");
    }

    /// A program that exits at once, hangs, is killed, is no program, or says nothing: three starts, then the one before.
    #[test]
    fn a_bad_program_is_put_back_after_three_starts_without_a_network() {
        for bad in ["exit 1", "exit 0", "sleep 100", "kill -9 $$", "exec /nowhere", "kill -SEGV $$"]
        {
            let trial = Trial::new();
            let old = trial.program("previous", "echo old >> $HCS_ROOT/ran");
            trial.tell("confirmed", &old);
            trial
                .put("opt/hcs/fetch-host-manager.sh", "echo 'no network' >> $HCS_ROOT/ran; exit 1");
            let new = trial.program("current", &format!("echo new >> $HCS_ROOT/ran\n{bad}"));
            assert_eq!(trial.starts(5), "new new new old old", "{bad}");
            assert_eq!(trial.told("put-back"), new, "{bad}");
            // The same one again, by hand or by the one before: its starts are not forgiven.
            trial.program("current", &format!("echo new >> $HCS_ROOT/ran\n{bad}"));
            assert_eq!(trial.starts(1), "old", "{bad}");
        }
    }

    #[test]
    fn the_first_change_falls_back_to_what_the_server_was_born_with() {
        let trial = Trial::new();
        trial.program("current", "exit 1");
        assert_eq!(trial.starts(5), "fetched born fetched born");
    }

    /// Whatever a power cut leaves of links, programs and notes, something starts.
    #[test]
    fn what_a_power_cut_leaves_starts_the_one_before() {
        let spoils: [fn(&Trial, &str); 6] = [
            |trial, new| {
                trial.put(&format!("opt/hcs/host-managers/{new}/hcs-host-manager"), "#!/bin");
            },
            |trial, new| {
                let folder = trial.root.path().join("opt/hcs/host-managers").join(new);
                std::fs::remove_dir_all(folder).unwrap();
            },
            |trial, new| trial.tell("starts", &format!("{new} 3")),
            |trial, _| trial.tell("starts", ""),
            |trial, _| trial.tell("starts", "\u{1}\u{1}"),
            |trial, _| {
                std::fs::remove_file(trial.root.path().join("opt/hcs/host-managers/current"))
                    .unwrap();
            },
        ];
        for (at, spoil) in spoils.into_iter().enumerate() {
            let trial = Trial::new();
            let old = trial.program("previous", "echo old >> $HCS_ROOT/ran");
            trial.tell("confirmed", &old);
            let new = trial.program("current", "echo new >> $HCS_ROOT/ran; exit 1");
            spoil(&trial, &new);
            assert!(trial.starts(5).ends_with("old"), "{at}");
        }
    }

    #[test]
    fn the_scripts_parse_and_one_fetches_one_blob() {
        let fetch = fetch_script(&bootstrap());
        let setup = scripts::server_setup();
        for script in [&fetch, &scripts::start(), &scripts::data_disk(), &setup, &script()] {
            let check = std::process::Command::new("sh").args(["-n", "-c", script]).status();
            assert!(check.unwrap().success());
        }
        let blob = format!("/artifacts/host-manager/{}/hcs-host-manager'", "ab".repeat(32));
        assert!(fetch.contains(&blob));
    }
}
