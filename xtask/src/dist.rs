//! `cargo xtask dist`: a release as the Terraform Registry wants it.
//!
//! For every platform two archives (provider and host manager; the command `hcs`) with the licences of all that is
//! linked, and a bill of materials beside each; sums over all of it, and their signature with a key that is given.

mod bom;
mod compare;
mod compile;
mod licences;
mod linked;
mod place;
mod runtime;
mod signature;
mod tools;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use hcs_acceptance::bins::ADDRESSES;
use hcs_acceptance::packages::{Packed, archive_name, manifest, pack, provider_name, sha256};

use crate::shell::Failure;

use bom::Materials;
use compile::{CLI, MANAGER, PLATFORMS, PROVIDER, Platform, SERVERS};
use linked::Linked;
use place::Place;
use signature::Key;
use tools::Tools;

pub(crate) use signature::KEY;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is built, and what is done with it.
pub(crate) struct Order {
    /// Only platforms whose `os_arch` contains this.
    pub(crate) only: Option<String>,
    /// The last commit is built once more, elsewhere, and must give the same bytes.
    pub(crate) is_twice: bool,
    /// The key of gpg that signs.
    pub(crate) key: Option<String>,
}

/// Builds, checks and packs; signs only what is whole and, where that was asked for, the same twice.
pub(crate) fn run(order: &Order) -> Result<(), Failure> {
    let chosen: Vec<&Platform> = PLATFORMS
        .iter()
        .filter(|platform| order.only.as_ref().is_none_or(|only| platform.name().contains(only)))
        .collect();
    if chosen.is_empty() {
        return Err(
            format!("`--only` names none of {}", PLATFORMS.map(|p| p.name()).join(", ")).into()
        );
    }
    let key = order.key.as_deref().filter(|key| !key.is_empty());
    let key = key.map(|name| Key { name, home: None });
    key.as_ref().map_or(Ok(()), signature::find)?;
    let here = Place::here()?;
    let elsewhere = if order.is_twice { Some(Place::elsewhere()?) } else { None };
    let tools = tools::set_up()?;
    let (files, missing) = make(&here, &tools, &chosen)?;
    let sums = here.dist.join(format!("terraform-provider-hcs_{VERSION}_SHA256SUMS"));
    fs::write(&sums, summed(&files)?)?;
    mirror(&here, &chosen)?;
    println!("not built here: darwin (needs Apple's SDK)");
    whole(&missing)?;
    if let Some(elsewhere) = elsewhere {
        let (again, missing) = make(&elsewhere, &tools, &chosen)?;
        whole(&missing)?;
        compare::same(&files, &again)?;
        println!("built twice, in two folders: {} files, the same to the last byte", files.len());
        Place::clear_elsewhere()?;
    }
    match key {
        Some(key) => {
            let signature = signature::sign(&sums, &key)?;
            println!("signed and verified: {}", signature.display());
        }
        None => println!("not signed: `cargo xtask dist --sign KEY` or {KEY} names a key of gpg's"),
    }
    Ok(())
}

/// Fails where platforms are missing.
fn whole(missing: &[String]) -> Result<(), Failure> {
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n").into()) }
}

/// All files of a release but the sums, and why platforms are missing.
fn make(
    place: &Place,
    tools: &Tools,
    platforms: &[&Platform],
) -> Result<(Vec<PathBuf>, Vec<String>), Failure> {
    // What an earlier release left is no part of this one.
    fs::remove_dir_all(&place.dist)?;
    fs::create_dir_all(&place.dist)?;
    let manager = compile::host_manager(place, tools)?;
    let (mut files, mut missing) = (Vec::new(), Vec::new());
    for platform in platforms {
        match package(place, tools, platform, &manager) {
            Ok(written) => files.extend(written),
            Err(error) => missing.push(format!("{}: {error}", platform.name())),
        }
    }
    let told = place.dist.join(format!("terraform-provider-hcs_{VERSION}_manifest.json"));
    fs::write(&told, manifest())?;
    files.push(told);
    Ok((files, missing))
}

/// The archives of one platform, each with its bill of materials.
fn package(
    place: &Place,
    tools: &Tools,
    platform: &Platform,
    manager: &Path,
) -> Result<Vec<PathBuf>, Failure> {
    let [provider, cli] = compile::programs(place, tools, platform)?;
    let (os, triple) = (platform.os, platform.triple);
    let built_together = Linked::of(place, triple, &[PROVIDER, CLI])?;
    let of_servers = Linked::of(place, SERVERS, &[MANAGER])?;
    let mut parts = runtime::parts(place, tools, triple)?;
    let of_command =
        Materials { programs: vec![CLI], linked: built_together.part(CLI), parts: parts.clone() };
    parts.extend(runtime::parts(place, tools, SERVERS)?);
    parts.sort();
    parts.dedup();
    let of_provider = Materials {
        programs: vec![PROVIDER, MANAGER],
        linked: built_together.part(PROVIDER).and(&of_servers),
        parts,
    };
    let program =
        |from: &Path, name: String| Packed { from: from.to_owned(), name, is_program: true };
    let archive = place.dist.join(archive_name(VERSION, os, platform.arch));
    let files =
        [program(&provider, provider_name(VERSION, os)), program(manager, MANAGER.to_owned())];
    let of_first = packed(place, archive, &files, &of_provider)?;
    let archive = place.dist.join(format!("hcs_{VERSION}_{}.zip", platform.name()));
    let files = [program(&cli, format!("hcs{}", platform.suffix()))];
    let of_second = packed(place, archive, &files, &of_command)?;
    Ok(of_first.into_iter().chain(of_second).collect())
}

/// Writes an archive of these programs with their licences, and its bill of materials.
fn packed(
    place: &Place,
    archive: PathBuf,
    programs: &[Packed],
    of: &Materials,
) -> Result<[PathBuf; 2], Failure> {
    let texts = place.target.join(licences::FILE);
    fs::write(&texts, licences::text(of)?)?;
    let text =
        |from: PathBuf, name: &str| Packed { from, name: name.to_owned(), is_program: false };
    let mut files = programs.to_vec();
    files.push(text(place.tree.join("LICENSE"), "LICENSE"));
    files.push(text(texts, licences::FILE));
    pack(&archive, &files)?;
    let bill = archive.with_extension("cdx.json");
    fs::write(&bill, bom::bill(&archive, of, &place.moment()?.text)?)?;
    Ok([archive, bill])
}

/// A folder from which `terraform init` installs, for either client.
fn mirror(place: &Place, platforms: &[&Platform]) -> Result<(), Failure> {
    let mirror = place.dist.join("mirror");
    for platform in platforms {
        let name = archive_name(VERSION, platform.os, platform.arch);
        let archive = place.dist.join(&name);
        for address in ADDRESSES.iter().filter(|_| archive.is_file()) {
            let folder = mirror.join(address);
            fs::create_dir_all(&folder)?;
            fs::copy(&archive, folder.join(&name))?;
        }
    }
    println!("mirror: {}", mirror.display());
    Ok(())
}

/// As `sha256sum` writes them.
fn summed(files: &[PathBuf]) -> Result<String, Failure> {
    let mut sums = String::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        println!("{name}: {} bytes", fs::metadata(file)?.len());
        let _ = writeln!(sums, "{}  {name}", sha256(file)?);
    }
    Ok(sums)
}
