//! `cargo xtask dist`: release archives for every platform, checked, as the Terraform Registry wants them.
//!
//! One compiler for all: `cargo zigbuild` with zig as linker and C compiler (both from PyPI, by their hashes). The
//! host manager is one static program for x86-64 Linux and lies beside each provider: it is uploaded, never run there.
//! Signing the sums needs the owner's key, so it is the one step that is left to them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hcs_acceptance::bins::{ADDRESSES, repository, target};
use hcs_acceptance::packages::{Elf, Packed, archive_name, manifest, pack, provider_name, sha256};
use hcs_acceptance::tools::{PyPi, cache, requirements};

use crate::shell::{Failure, cargo_with};

/// Versions from PyPI.
const ZIG: PyPi<'_> =
    PyPi("ziglang", "0.17.1", "ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54");
const ZIGBUILD: PyPi<'_> = PyPi(
    "cargo-zigbuild",
    "0.24.1",
    "238a1ab54a95053a4eadc34775c81f795a8ad75f80bfed63f3f445f518102375",
);

/// A platform, in Go's words and in Rust's.
struct Platform {
    os: &'static str,
    arch: &'static str,
    triple: &'static str,
    /// What is asked of the C library; a part of zig's triple only.
    library: &'static str,
}

/// Where Terraform runs. glibc 2.28 is that of RHEL 8 and Debian 10.
const PLATFORMS: [Platform; 3] = [
    Platform { os: "linux", arch: "amd64", triple: "x86_64-unknown-linux-gnu", library: ".2.28" },
    Platform { os: "linux", arch: "arm64", triple: "aarch64-unknown-linux-gnu", library: ".2.28" },
    Platform { os: "windows", arch: "amd64", triple: "x86_64-pc-windows-gnu", library: "" },
];
const GLIBC_MAX: (u32, u32) = (2, 28);
/// Where the servers run.
const SERVERS: &str = "x86_64-unknown-linux-musl";

/// Builds, checks and packs. `only`: platforms whose `os_arch` contains this.
pub(crate) fn run(only: Option<&str>) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let dist = target().join("dist");
    fs::create_dir_all(&dist)?;
    let tools = set_up()?;
    build(&tools, SERVERS, "", &["hcs-host-manager"])?;
    let manager = target().join(SERVERS).join("release/hcs-host-manager");
    let elf = elf(&manager)?;
    if elf.machine != "x86_64" || elf.is_dynamic {
        return Err(format!("{} is {elf:?}; the servers need it static", manager.display()).into());
    }
    println!("host manager: static, x86_64, {}", size(&manager)?);
    let mut archives = Vec::new();
    let mut missing = Vec::new();
    for platform in &PLATFORMS {
        let name = format!("{}_{}", platform.os, platform.arch);
        if only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        match package(&tools, platform, version, &dist, &manager) {
            Ok(written) => archives.extend(written),
            Err(error) => missing.push(format!("{name}: {error}")),
        }
    }
    let manifest_name = format!("terraform-provider-hcs_{version}_manifest.json");
    fs::write(dist.join(&manifest_name), manifest())?;
    archives.push(dist.join(&manifest_name));
    let mut sums = String::new();
    for archive in &archives {
        let file = archive.file_name().unwrap_or_default().to_string_lossy();
        println!("{file}: {}", size(archive)?);
        let _ = writeln!(sums, "{}  {file}", sha256(archive)?);
    }
    fs::write(dist.join(format!("terraform-provider-hcs_{version}_SHA256SUMS")), sums)?;
    println!("mirror: {}", dist.join("mirror").display());
    println!(
        "not built here: darwin (needs Apple's SDK). Not signed: sign SHA256SUMS with the owner's key."
    );
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n").into()) }
}

/// The archives of one platform: provider and host manager, and the command `hcs`.
fn package(
    tools: &Path,
    platform: &Platform,
    version: &str,
    dist: &Path,
    manager: &Path,
) -> Result<Vec<PathBuf>, Failure> {
    let Platform { os, arch, triple, library } = platform;
    build(tools, triple, library, &["terraform-provider-hcs", "hcs-cli"])?;
    let built = target().join(triple).join("release");
    let suffix = if *os == "windows" { ".exe" } else { "" };
    let provider = built.join(format!("terraform-provider-hcs{suffix}"));
    let cli = built.join(format!("hcs{suffix}"));
    if *os == "linux" {
        for program in [&provider, &cli] {
            let elf = elf(program)?;
            let machine = triple.split('-').next().unwrap_or_default();
            if elf.machine != machine || elf.glibc > Some(GLIBC_MAX) {
                return Err(format!("{} is {elf:?}", program.display()).into());
            }
            println!("{}: {elf:?}", program.display());
        }
    }
    let program = |from: &Path, name: &str| Packed {
        from: from.to_owned(),
        name: name.to_owned(),
        is_program: true,
    };
    let text = |name: &str| Packed {
        from: repository().join(name),
        name: name.to_owned(),
        is_program: false,
    };
    let archive = dist.join(archive_name(version, os, arch));
    let name = provider_name(version, os);
    let files = [program(&provider, &name), program(manager, "hcs-host-manager"), text("LICENSE")];
    pack(&archive, &files)?;
    for address in ADDRESSES {
        let folder = dist.join("mirror").join(address);
        fs::create_dir_all(&folder)?;
        fs::copy(&archive, folder.join(archive_name(version, os, arch)))?;
    }
    let command = dist.join(format!("hcs_{version}_{os}_{arch}.zip"));
    pack(&command, &[program(&cli, &format!("hcs{suffix}")), text("LICENSE")])?;
    Ok(vec![archive, command])
}

/// The folder of zig and cargo-zigbuild, installed where they are missing.
fn set_up() -> Result<PathBuf, Failure> {
    let root = cache().join("zig").join(ZIG.2);
    let bin = root.join("bin");
    if !bin.join("cargo-zigbuild").is_file() {
        println!("$ pip install {}=={} {}=={}", ZIG.0, ZIG.1, ZIGBUILD.0, ZIGBUILD.1);
        let mut venv = Command::new("python3");
        done(venv.args(["-m", "venv"]).arg(&root))?;
        let wanted = requirements(&root, &[ZIG, ZIGBUILD])?;
        let mut pip = Command::new(bin.join("pip"));
        done(pip.args(["install", "--quiet", "--no-deps", "--require-hashes", "-r"]).arg(wanted))?;
    }
    Ok(bin)
}

fn done(command: &mut Command) -> Result<(), Failure> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}

fn build(tools: &Path, triple: &str, library: &str, packages: &[&str]) -> Result<(), Failure> {
    done(Command::new("rustup").args(["target", "add", triple]).current_dir(repository()))?;
    let triple = format!("{triple}{library}");
    let mut words = vec!["zigbuild", "--release", "--locked", "--target", &triple];
    for package in packages {
        words.extend(["--package", package]);
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", tools.display());
    let python = tools.join("python3").display().to_string();
    cargo_with(&words, &[("PATH", &path), ("CARGO_ZIGBUILD_PYTHON_PATH", &python)])
}

fn elf(path: &Path) -> Result<Elf, Failure> {
    let bytes = fs::read(path)?;
    Elf::read(&bytes).ok_or_else(|| format!("{} is no 64-bit ELF file", path.display()).into())
}

fn size(path: &Path) -> Result<String, Failure> {
    let bytes = fs::metadata(path)?.len();
    Ok(format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10))
}
