//! A real Consul: HashiCorp's own archive by its hash, or Debian's package where that cannot be reached.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{cache, on_path, run};
use crate::HarnessError;
use crate::bins::target;
use crate::packages::sha256;

/// The release that is fetched, and the hashes of all.
const RELEASE: &str = "1.22.2";
const RELEASES: &str = include_str!("../../../../planner/data/consul-releases.tsv");
/// How long whoever cannot reach HashiCorp waits for it.
const CONNECT_SECONDS: &str = "5";

/// What Debian 11 ships.
const PACKAGE: &str = "consul_1.8.7+dfsg1-2+b3_amd64.deb";
const PACKAGE_SHA256: &str = "e4e888bba104daba1d9161f49bfc52649a7e4efd45b1a7ead5bc54f2cb9c89d9";

/// A Consul program: `HCS_CONSUL_BIN`, else what was fetched before, else `consul` on PATH, else one that is fetched now.
/// What is fetched lies in [`cache`], and `target/tools/consul` points at it.
pub fn consul() -> Result<PathBuf, HarnessError> {
    if let Some(path) = std::env::var_os("HCS_CONSUL_BIN") {
        return Ok(path.into());
    }
    let release = release();
    let known = [release.as_ref().map(Archive::program), Some(debian_program())];
    if let Some(fetched) = known.into_iter().flatten().find(|program| program.is_file()) {
        return pointed_at(&fetched);
    }
    if let Some(path) = on_path("consul") {
        return pointed_at(&path);
    }
    if let Some(release) = &release {
        match release.fetch() {
            Ok(()) => return pointed_at(&release.program()),
            Err(error) => {
                eprintln!("HashiCorp's Consul {RELEASE} cannot be had ({error}); trying Debian's");
            }
        }
    }
    fetch_debian()?;
    pointed_at(&debian_program())
}

/// The place where tests that know nothing of this look.
fn pointed_at(program: &Path) -> Result<PathBuf, HarnessError> {
    let link = target().join("tools/consul");
    if fs::read_link(&link).is_ok_and(|to| to == program) {
        return Ok(link);
    }
    let folder = target().join("tools");
    fs::create_dir_all(&folder).map_err(HarnessError::file(&folder))?;
    // Two may do this at once: a link of one's own takes the other's place.
    let own = folder.join(format!("consul.{}", std::process::id()));
    let _ = fs::remove_file(&own);
    symlink(program, &own).map_err(HarnessError::file(&own))?;
    fs::rename(&own, &link).map_err(HarnessError::file(&link))?;
    Ok(link)
}

/// HashiCorp's archive for this machine.
struct Archive {
    name: String,
    sha256: &'static str,
}

/// None for a platform that HashiCorp builds nothing for, or whose hash is not known.
fn release() -> Option<Archive> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let platform = format!("{}_{arch}", std::env::consts::OS);
    let rows = RELEASES.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let mut hashes = rows.filter_map(|row| match row.as_slice() {
        [version, of, sha256] if *version == RELEASE => Some((*of, *sha256)),
        _ => None,
    });
    let (_, sha256) = hashes.find(|(of, _)| *of == platform)?;
    Some(Archive { name: format!("consul_{RELEASE}_{platform}.zip"), sha256 })
}

impl Archive {
    fn program(&self) -> PathBuf {
        cache().join("consul").join(self.sha256).join("consul")
    }

    fn fetch(&self) -> Result<(), HarnessError> {
        let url = format!("https://releases.hashicorp.com/consul/{RELEASE}/{}", self.name);
        println!("fetching {url}");
        let program = self.program();
        let folder = folder_of(&program)?;
        let archive = folder.join(format!("{}.{}", self.name, std::process::id()));
        let mut curl = Command::new("curl");
        curl.args(["-sSfL", "--connect-timeout", CONNECT_SECONDS, "-o"]).arg(&archive).arg(&url);
        run(&mut curl)?;
        checked(&archive, self.sha256)?;
        let unpacked = unzip(&archive);
        let _ = fs::remove_file(&archive);
        put(&program, &unpacked?)
    }
}

fn unzip(archive: &Path) -> Result<Vec<u8>, HarnessError> {
    let file = fs::File::open(archive).map_err(HarnessError::file(archive))?;
    let broken = |error: &dyn std::fmt::Display| {
        HarnessError::Unexpected(format!("{}: {error}", archive.display()))
    };
    let mut zip = zip::ZipArchive::new(file).map_err(|error| broken(&error))?;
    let mut program = zip.by_name("consul").map_err(|error| broken(&error))?;
    let mut bytes = Vec::new();
    program.read_to_end(&mut bytes).map_err(|error| broken(&error))?;
    Ok(bytes)
}

fn checked(path: &Path, expected: &str) -> Result<(), HarnessError> {
    let found = sha256(path)?;
    if found == expected {
        return Ok(());
    }
    let _ = fs::remove_file(path);
    Err(HarnessError::Unexpected(format!(
        "{} has the SHA-256 {found}, and should have {expected}",
        path.display()
    )))
}

fn folder_of(program: &Path) -> Result<PathBuf, HarnessError> {
    let folder = program.parent().unwrap_or(Path::new(".")).to_owned();
    fs::create_dir_all(&folder).map_err(HarnessError::file(&folder))?;
    Ok(folder)
}

/// Whole or not at all, also when two fetch at once.
fn put(program: &Path, bytes: &[u8]) -> Result<(), HarnessError> {
    let half = folder_of(program)?.join(format!("consul.{}", std::process::id()));
    fs::write(&half, bytes).map_err(HarnessError::file(&half))?;
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&half, mode).map_err(HarnessError::file(&half))?;
    fs::rename(&half, program).map_err(HarnessError::file(program))
}

fn debian_program() -> PathBuf {
    cache().join("consul").join(PACKAGE_SHA256).join("consul")
}

/// apt with lists and sources of its own: the system's stay as they are.
fn fetch_debian() -> Result<(), HarnessError> {
    let missing = |reason: &str| HarnessError::Missing {
        program: "consul".to_owned(),
        mend: format!(
            "{reason}; put a consul binary (1.8 or newer) on PATH or name it in HCS_CONSUL_BIN"
        ),
    };
    let mirror = debian_mirror().ok_or_else(|| missing("this is no Debian with an apt mirror"))?;
    let work = target().join("tools/apt");
    let lists = work.join("lists/partial");
    fs::create_dir_all(&lists).map_err(HarnessError::file(&lists))?;
    let source = work.join("bullseye.list");
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let line = format!("deb [signed-by={keyring}] {mirror} bullseye main\n");
    fs::write(&source, line).map_err(HarnessError::file(&source))?;
    let options = [
        format!("Dir::Etc::sourcelist={}", source.display()),
        "Dir::Etc::sourceparts=-".to_owned(),
        format!("Dir::State::Lists={}", work.join("lists").display()),
        format!("Dir::Cache={}", work.join("cache").display()),
        "APT::Sandbox::User=root".to_owned(),
    ];
    let archives = work.join("cache/archives/partial");
    fs::create_dir_all(&archives).map_err(HarnessError::file(&archives))?;
    for words in [["update"].as_slice(), &["download", "consul"]] {
        let mut apt = Command::new("apt-get");
        apt.current_dir(&work).arg("-q");
        for option in &options {
            apt.args(["-o", option]);
        }
        run(apt.args(words)).map_err(|error| missing(&format!("apt-get failed: {error}")))?;
    }
    let package = work.join(PACKAGE);
    if !package.is_file() {
        return Err(missing(&format!("apt-get downloaded no {PACKAGE}")));
    }
    checked(&package, PACKAGE_SHA256)?;
    let root = work.join("root");
    run(Command::new("dpkg").arg("-x").arg(&package).arg(&root))?;
    let unpacked = root.join("usr/bin/consul");
    let bytes = fs::read(&unpacked).map_err(HarnessError::file(&unpacked))?;
    put(&debian_program(), &bytes)
}

/// The mirror that this machine's apt uses already.
fn debian_mirror() -> Option<String> {
    let mut files: Vec<PathBuf> = vec!["/etc/apt/sources.list".into()];
    files
        .extend(fs::read_dir("/etc/apt/sources.list.d").ok()?.filter_map(|e| Some(e.ok()?.path())));
    files.sort();
    let texts = files.iter().filter_map(|path| fs::read_to_string(path).ok());
    texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .find(|word| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_that_is_not_the_known_one_is_refused_and_gone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("consul.zip");
        fs::write(&file, "something else").unwrap();
        let told = checked(&file, PACKAGE_SHA256).unwrap_err().to_string();
        assert!(told.contains(PACKAGE_SHA256) && !file.exists(), "{told}");
    }

    #[test]
    fn the_release_that_is_fetched_is_one_whose_hash_is_known() {
        for platform in ["linux_amd64", "linux_arm64"] {
            assert!(
                RELEASES.lines().any(|row| row.starts_with(&format!("{RELEASE}\t{platform}\t")))
            );
        }
    }
}
