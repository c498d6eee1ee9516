//! Verifies a snapshot before it is trusted: gzip, tar, exactly three files, all sums right, nothing after any end, and a
//! state that Consul can read to its end.
//!
//! Never stricter than Consul about what Consul itself writes, and never less strict about anything: what it refuses after
//! its servers have begun to restore, is refused here. Reads as it comes, and keeps no more than the small files.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read};

use hcs_planner::names::hex;
use semver::Version;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::records::{self, Counts};

const META: &str = "meta.json";
const STATE: &str = "state.bin";
const SUMS: &str = "SHA256SUMS";
/// The two small files are far below this.
const SMALL_FILE_BYTES_MAX: u64 = 1 << 20;
const TAR_BLOCK_BYTES: u64 = 512;

/// What a verified archive says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// Raft index.
    pub index: u64,
    /// Raft term.
    pub term: u64,
    /// Bytes of the state, unpacked.
    pub state_bytes: u64,
    /// What the state holds.
    pub records: Counts,
}

impl SnapshotFacts {
    /// Whether Consul of this version can restore it; of any version, where none is given.
    ///
    /// # Errors
    ///
    /// Where it cannot: it would panic.
    pub fn check_for(&self, version: Option<&Version>) -> Result<(), ArchiveError> {
        records::unknown_to(&self.records, version)
            .map_or(Ok(()), |why| Err(ArchiveError::NotRestorable(why)))
    }
}

/// Why an archive is not a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Damaged or cut.
    #[error("the snapshot archive cannot be read to its end")]
    Damaged(#[source] io::Error),
    /// A file that does not belong there, or one that comes twice.
    #[error("the snapshot archive holds `{0}`, which does not belong there")]
    Unexpected(String),
    /// A file is absent.
    #[error("the snapshot archive has no {0}")]
    Missing(&'static str),
    /// A sum is wrong.
    #[error("{0} in the snapshot archive does not match its checksum")]
    WrongSum(String),
    /// The sums or the metadata are not understood.
    #[error("{0} in the snapshot archive is not understood")]
    Malformed(&'static str),
    /// Something comes after the end of the archive.
    #[error("the snapshot archive goes on after its end")]
    Trailing,
    /// The size of the state is another one than the metadata say.
    #[error("the state in the snapshot archive has {found} bytes, and {META} says {declared}")]
    WrongSize {
        /// As it is.
        found: u64,
        /// As it is said.
        declared: u64,
    },
    /// Whole, and nothing that Consul could restore.
    #[error("Consul cannot restore the snapshot: {0}")]
    NotRestorable(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    version: u64,
    index: u64,
    term: u64,
    size: u64,
}

/// Newest form of the metadata that Raft knows; nothing else was ever written.
const META_VERSION_MAX: u64 = 1;

/// Verifies an archive.
pub fn verify(archive: impl Read) -> Result<SnapshotFacts, ArchiveError> {
    let gzip = flate2::bufread::GzDecoder::new(BufReader::new(archive));
    let mut tar = tar::Archive::new(gzip);
    let mut sums = BTreeMap::new();
    let (mut meta, mut declared, mut state_bytes) = (Vec::new(), Vec::new(), 0);
    let mut counts = None;
    for entry in tar.entries().map_err(ArchiveError::Damaged)? {
        let mut entry = entry.map_err(ArchiveError::Damaged)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let is_file = entry.header().entry_type().is_file();
        if !is_file || ![META, STATE, SUMS].contains(&name.as_str()) || sums.contains_key(&name) {
            return Err(ArchiveError::Unexpected(name.chars().take(80).collect()));
        }
        let mut hashed = Hashed { source: &mut entry, hash: Sha256::new(), bytes: 0 };
        match name.as_str() {
            META => read_small(&mut hashed, &mut meta, META)?,
            SUMS => read_small(&mut hashed, &mut declared, SUMS)?,
            _ => {
                // What is no state is told after the sums: those say whether it was damaged on its way.
                counts = Some(records::count(&mut BufReader::with_capacity(1 << 16, &mut hashed)));
                io::copy(&mut hashed, &mut io::sink()).map_err(ArchiveError::Damaged)?;
                state_bytes = hashed.bytes;
            }
        }
        sums.insert(name, hex(&hashed.hash.finalize()));
    }
    // Consul reads the tar to its end, two blocks of zeros, then expects the end of the gzip stream, and no other stream
    // after it. Our reader of tars has stopped after the first of the two.
    let mut gzip = tar.into_inner();
    let mut rest = Vec::new();
    let read = (&mut gzip).take(TAR_BLOCK_BYTES + 1).read_to_end(&mut rest);
    read.map_err(ArchiveError::Damaged)?;
    let is_end = rest.len() as u64 <= TAR_BLOCK_BYTES && rest.iter().all(|byte| *byte == 0);
    let mut archive = gzip.into_inner();
    if !is_end || !archive.fill_buf().map_err(ArchiveError::Damaged)?.is_empty() {
        return Err(ArchiveError::Trailing);
    }
    for name in [META, STATE, SUMS] {
        if !sums.contains_key(name) {
            return Err(ArchiveError::Missing(name));
        }
    }
    compare(&sums, &declared)?;
    let meta: Meta = serde_json::from_slice(&meta).map_err(|_| ArchiveError::Malformed(META))?;
    if meta.version > META_VERSION_MAX {
        return Err(ArchiveError::Malformed(META));
    }
    if meta.size != state_bytes {
        return Err(ArchiveError::WrongSize { found: state_bytes, declared: meta.size });
    }
    let records = match counts {
        Some(Ok(counts)) => counts,
        Some(Err(error)) => {
            return Err(ArchiveError::NotRestorable(format!("its state cannot be read: {error}")));
        }
        None => return Err(ArchiveError::Missing(STATE)),
    };
    Ok(SnapshotFacts { index: meta.index, term: meta.term, state_bytes, records })
}

/// Hashes and counts what is read through it.
struct Hashed<'a, R> {
    source: &'a mut R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Hashed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        self.bytes += count as u64;
        Ok(count)
    }
}

fn read_small(
    source: &mut impl Read,
    keep: &mut Vec<u8>,
    name: &'static str,
) -> Result<(), ArchiveError> {
    let read = source.take(SMALL_FILE_BYTES_MAX + 1).read_to_end(keep);
    if read.map_err(ArchiveError::Damaged)? as u64 > SMALL_FILE_BYTES_MAX {
        return Err(ArchiveError::Malformed(name));
    }
    Ok(())
}

/// Every line `<hex>  <name>` must be true, and both files must have a line.
fn compare(sums: &BTreeMap<String, String>, declared: &[u8]) -> Result<(), ArchiveError> {
    let text = std::str::from_utf8(declared).map_err(|_| ArchiveError::Malformed(SUMS))?;
    let mut proven = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (sum, name) = line.split_once("  ").ok_or(ArchiveError::Malformed(SUMS))?;
        if name == SUMS || !sums.get(name).is_some_and(|real| real.eq_ignore_ascii_case(sum)) {
            return Err(ArchiveError::WrongSum(name.chars().take(80).collect()));
        }
        proven.push(name);
    }
    match [META, STATE].into_iter().find(|name| !proven.contains(name)) {
        Some(name) => Err(ArchiveError::WrongSum(name.to_owned())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const META_TEXT: &str = r#"{"Version":1,"ID":"2-13-1","Index":13,"Term":2,"Size":14}"#;
    /// `{"LastIndex": 13}`, and a key without anything.
    const STATE_BYTES: &[u8] = b"\x81\xa9LastIndex\x0d\x02\xc0";

    fn sums(files: &[(&str, &[u8])]) -> String {
        files.iter().fold(String::new(), |text, (name, bytes)| {
            text + &format!("{}  {name}\n", hex(&Sha256::digest(bytes)))
        })
    }

    fn pack(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        {
            let mut tar = tar::Builder::new(&mut gzip);
            for (name, bytes) in files {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o600);
                tar.append_data(&mut header, name, *bytes).unwrap();
            }
            tar.finish().unwrap();
        }
        gzip.flush().unwrap();
        gzip.finish().unwrap()
    }

    fn with(meta: &str, state: &[u8]) -> Vec<u8> {
        let files: [(&str, &[u8]); 2] = [(META, meta.as_bytes()), (STATE, state)];
        let sums = sums(&files);
        pack(&[files[0], files[1], (SUMS, sums.as_bytes())])
    }

    fn good() -> Vec<u8> {
        with(META_TEXT, STATE_BYTES)
    }

    #[test]
    fn a_whole_archive_tells_its_index() {
        let facts = verify(good().as_slice()).unwrap();
        let records = Counts::from([(2, 1)]);
        assert_eq!(facts, SnapshotFacts { index: 13, term: 2, state_bytes: 14, records });
        facts.check_for(None).unwrap();
    }

    #[test]
    fn what_consul_would_refuse_in_the_middle_is_refused_before() {
        let unpacked = |bytes: &[u8]| {
            let mut tar = Vec::new();
            flate2::read::GzDecoder::new(bytes).read_to_end(&mut tar).unwrap();
            tar
        };
        let packed = |tar: &[u8]| {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(tar).unwrap();
            gzip.finish().unwrap()
        };
        let other = |from: &str, to: &str| with(&META_TEXT.replace(from, to), STATE_BYTES);
        let table: [(&str, Vec<u8>, &str); 8] = [
            ("a byte after the gzip stream", [good(), vec![0]].concat(), "after its end"),
            ("a second archive", [good(), good()].concat(), "after its end"),
            (
                "blocks after the tar",
                packed(&[unpacked(&good()), vec![0; 512]].concat()),
                "after its end",
            ),
            ("another size", other(":14", ":15"), "has 14 bytes, and meta.json says 15"),
            (
                "no size",
                other(",\"Size\":14", ""),
                "meta.json in the snapshot archive is not understood",
            ),
            ("a form of tomorrow", other("\"Version\":1", "\"Version\":2"), "is not understood"),
            (
                "no state",
                with(&META_TEXT.replace(":14", ":5"), b"state"),
                "does not begin as a state",
            ),
            (
                "half a state",
                with(&META_TEXT.replace(":14", ":13"), &STATE_BYTES[..13]),
                "cannot be read",
            ),
        ];
        for (name, bytes, expected) in table {
            let error = verify(bytes.as_slice()).unwrap_err().to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
        let enterprise = with(META_TEXT, b"\x81\xa9LastIndex\x0d\x40\xc0");
        let facts = verify(enterprise.as_slice()).unwrap();
        assert!(facts.check_for(None).unwrap_err().to_string().contains("Enterprise"));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let good = good();
        for length in 0..good.len() {
            assert!(verify(&good[..length]).is_err(), "cut to {length}");
        }
        // Bytes 4 to 9 of a gzip header are time, flags and system: no content.
        for position in (0..4).chain(10..good.len()) {
            let mut bad = good.clone();
            bad[position] ^= 0x10;
            let same = verify(bad.as_slice());
            assert!(
                same.as_ref().is_err() || same.is_ok_and(|facts| facts.index == 13),
                "flip at {position}"
            );
        }
    }

    #[test]
    fn foreign_missing_and_wrong_files_are_told_apart() {
        let (meta, state): (&[u8], &[u8]) = (META_TEXT.as_bytes(), STATE_BYTES);
        let right = sums(&[(META, meta), (STATE, state)]);
        let wrong = sums(&[(META, meta), (STATE, b"other")]);
        let half = sums(&[(META, meta)]);
        let cases: [(&str, Vec<u8>, &str); 6] = [
            (
                "foreign",
                pack(
                    &[(META, meta), (STATE, state), ("../evil", b"x"), (SUMS, right.as_bytes())]
                        [..2],
                ),
                "has no SHA256SUMS",
            ),
            ("extra", pack(&[("extra", b"x")]), "does not belong"),
            ("twice", pack(&[(META, meta), (META, meta)]), "does not belong"),
            ("no state", pack(&[(META, meta), (SUMS, half.as_bytes())]), "has no state.bin"),
            (
                "wrong sum",
                pack(&[(META, meta), (STATE, state), (SUMS, wrong.as_bytes())]),
                "state.bin in the snapshot archive does not match",
            ),
            (
                "unproven state",
                pack(&[(META, meta), (STATE, state), (SUMS, half.as_bytes())]),
                "state.bin in the snapshot archive does not match",
            ),
        ];
        for (name, bytes, expected) in cases {
            let error = verify(bytes.as_slice()).unwrap_err().to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }
}
