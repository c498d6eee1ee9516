//! Programs of a release, compiled and held against what is promised of them.
//!
//! One compiler for all: `cargo zigbuild` with zig as linker and C compiler. The same commit gives the same bytes in any
//! folder: paths are mapped to names, and the only time is that of the commit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hcs_acceptance::packages::{Elf, mentions};

use super::place::Place;
use super::tools::{Tools, done};
use crate::shell::Failure;

/// A platform, in Go's words and in Rust's.
pub(super) struct Platform {
    pub(super) os: &'static str,
    pub(super) arch: &'static str,
    pub(super) triple: &'static str,
    /// What is asked of the C library; a part of zig's triple only.
    library: &'static str,
}

/// Where Terraform runs. glibc 2.28 is that of RHEL 8 and Debian 10.
pub(super) const PLATFORMS: [Platform; 3] = [
    Platform { os: "linux", arch: "amd64", triple: "x86_64-unknown-linux-gnu", library: ".2.28" },
    Platform { os: "linux", arch: "arm64", triple: "aarch64-unknown-linux-gnu", library: ".2.28" },
    Platform { os: "windows", arch: "amd64", triple: "x86_64-pc-windows-gnu", library: "" },
];
const GLIBC_MAX: (u32, u32) = (2, 28);
/// Where the servers run.
pub(super) const SERVERS: &str = "x86_64-unknown-linux-musl";

/// Packages, which are built together: a choice of features is one for all that one command builds.
pub(super) const PROVIDER: &str = "terraform-provider-hcs";
pub(super) const CLI: &str = "hcs-cli";
pub(super) const MANAGER: &str = "hcs-host-manager";

impl Platform {
    /// As archives are named: `linux_amd64`.
    pub(super) fn name(&self) -> String {
        format!("{}_{}", self.os, self.arch)
    }

    /// What the system wants at the end of a program's name.
    pub(super) fn suffix(&self) -> &'static str {
        if self.os == "windows" { ".exe" } else { "" }
    }
}

/// The one static program for x86-64 Linux that lies beside each provider: it is uploaded, never run there.
pub(super) fn host_manager(place: &Place, tools: &Tools) -> Result<PathBuf, Failure> {
    build(place, tools, SERVERS, "", &[MANAGER])?;
    let manager = place.target.join(SERVERS).join("release").join(MANAGER);
    let elf = elf(&manager)?;
    if elf.machine != "x86_64" || elf.is_dynamic {
        return Err(format!("{} is {elf:?}; the servers need it static", manager.display()).into());
    }
    names_no_folder(place, &manager)?;
    println!("host manager: static, x86_64");
    Ok(manager)
}

/// The provider, and the command `hcs`.
pub(super) fn programs(
    place: &Place,
    tools: &Tools,
    platform: &Platform,
) -> Result<[PathBuf; 2], Failure> {
    let Platform { os, triple, library, .. } = platform;
    build(place, tools, triple, library, &[PROVIDER, CLI])?;
    let built = place.target.join(triple).join("release");
    let programs = [PROVIDER, "hcs"].map(|name| built.join(format!("{name}{}", platform.suffix())));
    for program in &programs {
        names_no_folder(place, program)?;
        if *os != "linux" {
            continue;
        }
        let elf = elf(program)?;
        let machine = triple.split('-').next().unwrap_or_default();
        if elf.machine != machine || elf.glibc > Some(GLIBC_MAX) {
            return Err(format!("{} is {elf:?}", program.display()).into());
        }
        println!("{}: {elf:?}", program.display());
    }
    Ok(programs)
}

fn build(
    place: &Place,
    tools: &Tools,
    triple: &str,
    library: &str,
    packages: &[&str],
) -> Result<(), Failure> {
    done(Command::new("rustup").args(["target", "add", triple]).current_dir(&place.tree))?;
    // Before folders are named: all of them are there then.
    done(place.cargo().args(["fetch", "--locked", "--target", triple]))?;
    let triple = format!("{triple}{library}");
    let mut words = vec!["zigbuild", "--release", "--locked", "--target", &triple];
    for package in packages {
        words.extend(["--package", package]);
    }
    println!("$ cargo {}", words.join(" "));
    let path = std::env::var("PATH").unwrap_or_default();
    let mut cargo = place.cargo();
    cargo
        .args(words)
        .env("PATH", format!("{}:{path}", tools.bin.display()))
        .env("CARGO_ZIGBUILD_PYTHON_PATH", tools.bin.join("python3"))
        .env("CARGO_ENCODED_RUSTFLAGS", without_folders(place))
        .env("SOURCE_DATE_EPOCH", place.moment()?.seconds);
    done(&mut cargo)
}

/// Folders that code may come from, and what they are called in programs. The last that fits counts: a folder stands
/// after the one that it is in.
fn folders(place: &Place) -> Vec<(PathBuf, &'static str)> {
    let home = cargo_home();
    // One for each registry, named by where cargo reaches it.
    let registries = fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
    let registries: Vec<_> = registries.map(|entry| (entry.path(), "/cargo")).collect();
    let mut folders = vec![(home, "/cargo")];
    folders.extend(registries);
    folders.extend([(place.tree.clone(), "/hcs"), (place.target.clone(), "/hcs/target")]);
    folders
}

/// Flags of rustc, in the form that may contain spaces.
fn without_folders(place: &Place) -> String {
    let flag = |(folder, name): &(PathBuf, &str)| {
        format!("--remap-path-prefix={}={name}", folder.display())
    };
    folders(place).iter().map(flag).collect::<Vec<_>>().join("\u{1f}")
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> PathBuf {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    named.unwrap_or_else(|| std::env::home_dir().unwrap_or_default().join(".cargo"))
}

fn names_no_folder(place: &Place, program: &Path) -> Result<(), Failure> {
    let bytes = fs::read(program)?;
    let folders = folders(place);
    match folders.iter().find(|(folder, _)| mentions(&bytes, &folder.display().to_string())) {
        None => Ok(()),
        Some((folder, _)) => {
            let (program, folder) = (program.display(), folder.display());
            Err(format!("{program} names a folder of the machine that built it: {folder}").into())
        }
    }
}

fn elf(path: &Path) -> Result<Elf, Failure> {
    let bytes = fs::read(path)?;
    Elf::read(&bytes).ok_or_else(|| format!("{} is no 64-bit ELF file", path.display()).into())
}
