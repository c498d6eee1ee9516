//! What a program's bytes tell: whether the servers can run it, and whether it can be the version that it should be.

use std::io::{Cursor, Read};

use memchr::memmem::Finder;

/// Read at a time.
const CHUNK_BYTES: usize = 1024 * 1024;
/// `e_ident` to `e_machine` of an ELF header.
const HEADER_BYTES: usize = 20;

/// Lends a reader of the program, from its start, as often as it is asked.
type Lend<'l> =
    dyn FnMut(&mut dyn FnMut(&mut dyn Read) -> Result<(), String>) -> Result<(), String> + 'l;

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

/// A sentence when this archive or bare program is no Consul of `version` that the servers can run.
pub(super) fn check_consul(
    file_name: &str,
    bytes: &[u8],
    version: &semver::Version,
) -> Result<(), String> {
    if !bytes.starts_with(b"PK\x03\x04") {
        return check_program(file_name, version, &mut |read| read(&mut Cursor::new(bytes)));
    }
    let broken = |error: &dyn std::fmt::Display| format!("{file_name} cannot be unpacked: {error}");
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| broken(&error))?;
    let index = archive.index_for_name("consul").ok_or_else(|| {
        format!("{file_name} holds no file named consul, so it is no archive of Consul for Linux")
    })?;
    check_program(&format!("consul in {file_name}"), version, &mut |read| {
        read(&mut archive.by_index(index).map_err(|error| broken(&error))?)
    })
}

/// Every build of Consul holds its version as a text of its own, to which a variable points. Digits that only look like
/// it (there is `2.0.2` in `192.0.2.0/24`) are pointed to by nothing. That it is there proves little; that it is missing
/// proves that this is another version. The program has near 200 MB, so it is read twice, a part at a time.
fn check_program(what: &str, version: &semver::Version, lend: &mut Lend<'_>) -> Result<(), String> {
    // What a server reports is without pre-release and build, so that is what can be compared.
    let text = format!("{}.{}.{}", version.major, version.minor, version.patch);
    let mut first = Scan::default();
    lend(&mut |program| {
        first = scan(what, program, &[text.as_bytes().to_vec()])?;
        Ok(())
    })?;
    check_machine(what, &first.head)?;
    let segments = segments(&first.head);
    let address = |offset: &u64| {
        let segment = segments.iter().find(|segment| segment.holds(*offset));
        segment.map(|segment| (segment.address + (offset - segment.offset)).to_le_bytes().to_vec())
    };
    let pointers: Vec<Vec<u8>> = first.hits.iter().filter_map(address).collect();
    let mut second = Scan::default();
    if !pointers.is_empty() {
        lend(&mut |program| {
            second = scan(what, program, &pointers)?;
            Ok(())
        })?;
    }
    if second.hits.is_empty() {
        return Err(format!(
            "{what} is not Consul {version}: its version is nowhere in it. Set consul_version to what \
             it is, or give the archive of {version}"
        ));
    }
    Ok(())
}

/// What was found in a program.
#[derive(Default)]
struct Scan {
    /// Its first part.
    head: Vec<u8>,
    /// Where the texts were found.
    hits: Vec<u64>,
}

/// Looks for each of the texts everywhere.
fn scan(what: &str, program: &mut dyn Read, texts: &[Vec<u8>]) -> Result<Scan, String> {
    let finders: Vec<Finder<'_>> = texts.iter().map(Finder::new).collect();
    let overlap = texts.iter().map(Vec::len).max().unwrap_or(1).saturating_sub(1);
    let mut window = vec![0; CHUNK_BYTES];
    let (mut kept, mut start, mut found) = (0, 0_u64, Scan::default());
    loop {
        let mut filled = kept;
        while filled < window.len() {
            let read = program.read(&mut window[filled..]);
            match read.map_err(|error| format!("{what} cannot be unpacked: {error}"))? {
                0 => break,
                read => filled += read,
            }
        }
        if found.head.is_empty() {
            found.head = window[..filled].to_vec();
        }
        for finder in &finders {
            let length = finder.needle().len();
            // One that lies in the overlap was found before.
            let fresh = |at: &usize| *at + length > kept;
            let hits = finder.find_iter(&window[..filled]).filter(fresh);
            found.hits.extend(hits.map(|at| start + at as u64));
        }
        if filled < window.len() {
            return Ok(found);
        }
        window.copy_within(filled - overlap.., 0);
        start += (filled - overlap) as u64;
        kept = overlap;
    }
}

/// Where a part of the file is in memory.
struct Segment {
    offset: u64,
    address: u64,
    bytes: u64,
}

impl Segment {
    fn holds(&self, offset: u64) -> bool {
        offset >= self.offset && offset - self.offset < self.bytes
    }
}

/// The loaded segments by the program headers of a 64-bit ELF file (ELF specification, figures 2 and 6).
fn segments(head: &[u8]) -> Vec<Segment> {
    const LOAD: u32 = 1;
    let bytes = |at: usize, count: usize| head.get(at..at.checked_add(count)?);
    let long = |at: usize| Some(u64::from_le_bytes(bytes(at, 8)?.try_into().ok()?));
    let short = |at: usize| Some(u16::from_le_bytes(bytes(at, 2)?.try_into().ok()?));
    let (Some(table), Some(size), Some(count)) = (long(32), short(54), short(56)) else {
        return vec![];
    };
    let rows = (0..u64::from(count)).filter_map(|row| {
        let at = usize::try_from(table.checked_add(row * u64::from(size))?).ok()?;
        let kind = u32::from_le_bytes(bytes(at, 4)?.try_into().ok()?);
        let segment =
            Segment { offset: long(at + 8)?, address: long(at + 16)?, bytes: long(at + 32)? };
        (kind == LOAD).then_some(segment)
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program of one segment at an address of its own, in which a variable points to `pointed`, if it is there.
    fn elf(machine: u16, content: &[u8], pointed: &[u8]) -> Vec<u8> {
        const ADDRESS: u64 = 0x40_0000;
        let mut bytes = vec![0; 120];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&1_u16.to_le_bytes());
        bytes[64..68].copy_from_slice(&1_u32.to_le_bytes());
        bytes[80..88].copy_from_slice(&ADDRESS.to_le_bytes());
        bytes[96..104].copy_from_slice(&u64::MAX.to_le_bytes());
        let at = bytes.len() as u64;
        bytes.extend(content);
        if let Some(found) = memchr::memmem::find(content, pointed) {
            bytes.extend((ADDRESS + at + found as u64).to_le_bytes());
        }
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
        // The text lies across two parts.
        let far = [vec![b'x'; CHUNK_BYTES - 120 - 3], b"1.22.2\0".to_vec()].concat();
        let good = elf(62, &far, b"1.22.2");
        let damaged = {
            let mut archive = zipped("consul", &good);
            let half = archive.len() / 2;
            archive[half..half + 8].fill(0xff);
            archive
        };
        let other = elf(62, b"1.21.5", b"1.21.5");
        let table: Vec<(Vec<u8>, &str)> = vec![
            (good.clone(), ""),
            (zipped("consul", &good), ""),
            (other.clone(), "is not Consul 1.22.2"),
            (zipped("consul", &other), "is not Consul 1.22.2"),
            (elf(62, b"11.22.2.0/24 1.21.5", b"11.22.2"), "is not Consul 1.22.2"),
            (elf(183, b"1.22.2", b"1.22.2"), "ARM"),
            (zipped("consul.exe", b"MZ"), "no file named consul"),
            (b"MZ 1.22.2".to_vec(), "another system"),
            (b"<html>1.22.2".to_vec(), "no program"),
            (Vec::new(), "no program"),
            (damaged, "unpacked"),
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
        let bytes = elf(62, b"1.23.0-dev\n", b"1.23.0-dev");
        assert_eq!(check_consul("c", &bytes, &"1.23.0-dev".parse().unwrap()), Ok(()));
    }

    /// Headers that lead nowhere.
    #[test]
    fn a_damaged_header_is_no_panic() {
        for at in 0..120 {
            let mut bytes = elf(62, b"1.22.2", b"1.22.2");
            bytes[at] = 0xff;
            let _ = check_consul("c", &bytes, &semver::Version::new(1, 22, 2));
            bytes.truncate(at);
            let _ = check_consul("c", &bytes, &semver::Version::new(1, 22, 2));
        }
    }
}
