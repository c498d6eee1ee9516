//! What a program's bytes tell: whether the servers can run it, and whether it can be the version that it should be.

use std::io::{Cursor, Read};

use memchr::memmem::Finder;

/// Read at a time.
const CHUNK_BYTES: usize = 1024 * 1024;
/// `e_ident` to `e_machine` of an ELF header.
const HEADER_BYTES: usize = 20;

/// A sentence when these bytes, which are `what`, are no program for 64-bit Linux on x86.
pub(super) fn check_machine(what: &str, bytes: &[u8]) -> Result<(), String> {
    // ELF specification: class 2 is 64-bit, data 1 little-endian, machine 62 x86-64, 183 AArch64.
    let header = bytes.get(..HEADER_BYTES).filter(|header| header.starts_with(b"\x7fELF"));
    let Some(header) = header else {
        let is_other = [b"MZ".as_slice(), &[0xcf, 0xfa, 0xed, 0xfe], &[0xca, 0xfe, 0xba, 0xbe]]
            .iter()
            .any(|magic| bytes.starts_with(magic));
        let kind = if is_other { "a program for another system" } else { "no program" };
        return Err(format!("{what} is {kind}; the servers run programs for Linux (ELF, x86-64)"));
    };
    let machine = u16::from_le_bytes([header[18], header[19]]);
    match (header[4], header[5], machine) {
        (2, 1, 62) => Ok(()),
        (_, _, 183) => {
            Err(format!("{what} is built for ARM (aarch64); the servers are x86-64 (amd64)"))
        }
        _ => Err(format!(
            "{what} is built for another machine (ELF machine {machine}); the servers are x86-64"
        )),
    }
}

/// A sentence when this archive or bare program is no Consul of `version` that the servers can run. Every build of
/// Consul carries its version as text; that the text is there proves nothing, that it is missing does.
pub(super) fn check_consul(
    file_name: &str,
    bytes: &[u8],
    version: &semver::Version,
) -> Result<(), String> {
    if !bytes.starts_with(b"PK\x03\x04") {
        return check_program(file_name, bytes, version);
    }
    let broken = |error: &dyn std::fmt::Display| format!("{file_name} cannot be unpacked: {error}");
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| broken(&error))?;
    let program = archive.by_name("consul").map_err(|_| {
        format!("{file_name} holds no file named consul, so it is no archive of Consul for Linux")
    })?;
    check_program(&format!("consul in {file_name}"), program, version)
}

fn check_program(
    what: &str,
    mut program: impl Read,
    version: &semver::Version,
) -> Result<(), String> {
    // What a server reports is without pre-release and build, so that is what can be compared.
    let text = format!("{}.{}.{}", version.major, version.minor, version.patch);
    let finder = Finder::new(&text);
    let mut window = vec![0; CHUNK_BYTES];
    let (mut kept, mut is_first, mut found) = (0, true, false);
    loop {
        let mut filled = kept;
        while filled < window.len() {
            let read = program.read(&mut window[filled..]);
            match read.map_err(|error| format!("{what} cannot be unpacked: {error}"))? {
                0 => break,
                read => filled += read,
            }
        }
        if std::mem::take(&mut is_first) {
            check_machine(what, &window[..filled])?;
        }
        found = found || finder.find(&window[..filled]).is_some();
        if filled < window.len() {
            break;
        }
        // A text may lie across two parts. The rest is read all the same: an archive that breaks off is told here.
        kept = text.len();
        window.copy_within(filled - kept.., 0);
    }
    if found {
        return Ok(());
    }
    Err(format!(
        "{what} is not Consul {version}: its version is nowhere in it. Set consul_version to what \
         it is, or give the archive of {version}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(machine: u16, content: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(18, 0);
        bytes.extend(machine.to_le_bytes());
        bytes.extend(content);
        bytes
    }

    fn zipped(name: &str, content: &[u8]) -> Vec<u8> {
        use std::io::Write as _;
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
        archive.finish().unwrap().into_inner()
    }

    #[test]
    fn a_program_for_another_machine_or_of_another_version_is_told() {
        let far = [vec![b'x'; CHUNK_BYTES - HEADER_BYTES - 3], b"1.22.2\0".to_vec()].concat();
        let good = elf(62, &far);
        let truncated = {
            let mut archive = zipped("consul", &good);
            let half = archive.len() / 2;
            archive[half..half + 8].fill(0xff);
            archive
        };
        let table: Vec<(Vec<u8>, &str)> = vec![
            (good.clone(), ""),
            (zipped("consul", &good), ""),
            (elf(62, b"1.21.5"), "is not Consul 1.22.2"),
            (zipped("consul", &elf(62, b"1.21.5")), "is not Consul 1.22.2"),
            (elf(183, b"1.22.2"), "ARM"),
            (zipped("consul.exe", b"MZ"), "no file named consul"),
            (b"MZ 1.22.2".to_vec(), "another system"),
            (b"<html>1.22.2".to_vec(), "no program"),
            (Vec::new(), "no program"),
            (truncated, "unpacked"),
        ];
        for (bytes, told) in table {
            let result = check_consul("c", &bytes, &semver::Version::new(1, 22, 2));
            match result {
                Ok(()) => assert_eq!(told, ""),
                Err(sentence) => assert!(!told.is_empty() && sentence.contains(told), "{sentence}"),
            }
        }
    }

    #[test]
    fn a_pre_release_is_what_its_numbers_say() {
        let bytes = elf(62, b"1.23.0-dev");
        assert_eq!(check_consul("c", &bytes, &"1.23.0-dev".parse().unwrap()), Ok(()));
    }
}
