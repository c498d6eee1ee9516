//! Release archives as the Terraform Registry wants them, and the mirror from which `terraform init` installs them.
//!
//! Source: HashiCorp's page "Publish providers to the Terraform Registry" (names of archives, sums and manifest) and
//! Terraform's page on provider installation (packed layout of a filesystem mirror).

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

use crate::HarnessError;

/// A file of an archive: where it is, and its name in there.
#[derive(Clone, Debug)]
pub struct Packed {
    /// On disk.
    pub from: PathBuf,
    /// In the archive.
    pub name: String,
    /// Whether it is a program.
    pub is_program: bool,
}

/// Name of a provider's archive for `os` and `arch`, in Go's words (`linux`, `amd64`).
pub fn archive_name(version: &str, os: &str, arch: &str) -> String {
    format!("terraform-provider-hcs_{version}_{os}_{arch}.zip")
}

/// Name of the provider's program in its archive.
pub fn provider_name(version: &str, os: &str) -> String {
    format!("terraform-provider-hcs_v{version}{}", if os == "windows" { ".exe" } else { "" })
}

/// Writes an archive. The same contents in the same order give the same bytes, whatever the files' own times and modes are.
pub fn pack(archive: &Path, files: &[Packed]) -> Result<(), HarnessError> {
    let parent = archive.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(HarnessError::file(parent))?;
    let out = fs::File::create(archive).map_err(HarnessError::file(archive))?;
    write(out, files).map_err(|error| {
        HarnessError::Unexpected(format!("{} cannot be written: {error}", archive.display()))
    })
}

fn write(out: impl Write + Seek, files: &[Packed]) -> Result<(), Box<dyn std::error::Error>> {
    let mut zip = zip::ZipWriter::new(out);
    for file in files {
        let mode = if file.is_program { 0o755 } else { 0o644 };
        let options = SimpleFileOptions::default()
            .unix_permissions(mode)
            // The first that the format knows.
            .last_modified_time(zip::DateTime::default())
            .large_file(false);
        zip.start_file(&file.name, options)?;
        std::io::copy(&mut fs::File::open(&file.from)?, &mut zip)?;
    }
    zip.finish()?;
    Ok(())
}

/// Names and contents.
type Members = Vec<(String, Vec<u8>)>;

/// What an archive holds, in its order.
pub fn members(archive: &Path) -> Result<Members, HarnessError> {
    let file = fs::File::open(archive).map_err(HarnessError::file(archive))?;
    read(file).map_err(|error| {
        HarnessError::Unexpected(format!("{} cannot be read: {error}", archive.display()))
    })
}

fn read(from: impl Read + Seek) -> Result<Members, Box<dyn std::error::Error>> {
    let mut zip = zip::ZipArchive::new(from)?;
    let mut members = Vec::new();
    for index in 0..zip.len() {
        let mut member = zip.by_index(index)?;
        let mut content = Vec::new();
        member.read_to_end(&mut content)?;
        members.push((member.name().to_owned(), content));
    }
    Ok(members)
}

/// SHA-256 of a file, lower-case hex.
pub fn sha256(path: &Path) -> Result<String, HarnessError> {
    let mut hasher = Sha256::new();
    let mut file = fs::File::open(path).map_err(HarnessError::file(path))?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(HarnessError::file(path))? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    let mut text = String::with_capacity(64);
    for byte in hasher.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// What the registry is told of the protocol: `terraform-provider-hcs_{version}_manifest.json`.
pub fn manifest() -> String {
    let manifest = json!({ "version": 1, "metadata": { "protocol_versions": ["6.0"] } });
    format!("{manifest:#}\n")
}

/// Whether a program's bytes contain these words.
pub fn mentions(program: &[u8], words: &str) -> bool {
    memchr::memmem::find(program, words.as_bytes()).is_some()
}

/// What a program for Linux is, by its own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elf {
    /// `x86_64` or `aarch64`; anything else is its number.
    pub machine: String,
    /// Whether it asks for a loader, and with it for the machine's own C library.
    pub is_dynamic: bool,
    /// The newest version of glibc that it asks for, if any.
    pub glibc: Option<(u32, u32)>,
}

impl Elf {
    /// Reads a 64-bit little-endian ELF file; `None` for anything else (ELF specification, figures 2 and 6).
    pub fn read(bytes: &[u8]) -> Option<Self> {
        const INTERPRETER: u32 = 3;
        if !bytes.starts_with(b"\x7fELF\x02\x01") {
            return None;
        }
        let short = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let machine = match short(18)? {
            62 => "x86_64".to_owned(),
            183 => "aarch64".to_owned(),
            other => other.to_string(),
        };
        let table = u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?);
        let (size, count) = (usize::from(short(54)?), usize::from(short(56)?));
        let table = usize::try_from(table).ok()?;
        let is_dynamic = (0..count).any(|row| {
            let at = table + row * size;
            bytes.get(at..at + 4).is_some_and(|kind| kind == INTERPRETER.to_le_bytes())
        });
        Some(Self { machine, is_dynamic, glibc: newest_glibc(bytes) })
    }
}

/// Versions that a program needs stand in it as words: `GLIBC_2.17`.
fn newest_glibc(bytes: &[u8]) -> Option<(u32, u32)> {
    let word = b"GLIBC_";
    let versions = memchr::memmem::find_iter(bytes, word).filter_map(|at| {
        let rest = &bytes[at + word.len()..];
        let length = rest.iter().take(8).take_while(|b| b.is_ascii_digit() || **b == b'.').count();
        let text = std::str::from_utf8(&rest[..length]).ok()?;
        let (major, minor) = text.split_once('.')?;
        // A third number is older than the second alone.
        let minor = minor.split('.').next()?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    versions.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_tells_its_machine_its_loader_and_its_library() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = Elf::read(&own).unwrap();
        assert_eq!(elf.machine, std::env::consts::ARCH);
        assert!(elf.is_dynamic && elf.glibc >= Some((2, 14)), "{elf:?}");
        assert_eq!(Elf::read(b"MZ"), None);
        let mut header = vec![0; 64];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[18] = 183;
        let elf = Elf::read(&header).unwrap();
        assert_eq!((elf.machine.as_str(), elf.is_dynamic, elf.glibc), ("aarch64", false, None));
    }

    #[test]
    fn the_same_contents_give_the_same_archive_wherever_and_whenever_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let sums: Vec<String> = [("a", 1_000), ("elsewhere", 2_000_000_000)]
            .iter()
            .map(|(folder, seconds)| {
                let folder = dir.path().join(folder);
                fs::create_dir_all(&folder).unwrap();
                let from = folder.join("program");
                fs::write(&from, "content").unwrap();
                let written = std::time::UNIX_EPOCH + std::time::Duration::from_secs(*seconds);
                fs::File::options()
                    .append(true)
                    .open(&from)
                    .unwrap()
                    .set_modified(written)
                    .unwrap();
                let archive = folder.join("archive.zip");
                pack(&archive, &[Packed { from, name: "p".to_owned(), is_program: true }]).unwrap();
                let content = ("p".to_owned(), b"content".to_vec());
                assert_eq!(members(&archive).unwrap(), [content]);
                sha256(&archive).unwrap()
            })
            .collect();
        assert_eq!(sums[0], sums[1]);
    }
}
