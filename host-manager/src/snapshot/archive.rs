//! Verifies a snapshot before it is trusted: gzip, tar, exactly three files, all sums right.
//!
//! Never keeps more of the state in memory than the archive itself.

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::artifact::hex;

const META: &str = "meta.json";
const STATE: &str = "state.bin";
const SUMS: &str = "SHA256SUMS";
/// The two small files are far below this.
const SMALL_FILE_BYTES_MAX: u64 = 1 << 20;

/// What a verified archive says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// Raft index.
    pub index: u64,
    /// Raft term.
    pub term: u64,
    /// Bytes of the state, unpacked.
    pub state_bytes: u64,
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
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    index: u64,
    term: u64,
}

/// Verifies an archive.
pub fn verify(archive: impl Read) -> Result<SnapshotFacts, ArchiveError> {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let mut sums = BTreeMap::new();
    let (mut meta, mut declared, mut state_bytes) = (Vec::new(), Vec::new(), 0);
    for entry in tar.entries().map_err(ArchiveError::Damaged)? {
        let mut entry = entry.map_err(ArchiveError::Damaged)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let is_file = entry.header().entry_type().is_file();
        if !is_file || ![META, STATE, SUMS].contains(&name.as_str()) || sums.contains_key(&name) {
            return Err(ArchiveError::Unexpected(name.chars().take(80).collect()));
        }
        let mut small = (&mut entry).take(SMALL_FILE_BYTES_MAX);
        let sum = match name.as_str() {
            META => hash_into(&mut small, &mut meta),
            SUMS => hash_into(&mut small, &mut declared),
            _ => hash_into(&mut entry, &mut Count(&mut state_bytes)),
        }
        .map_err(ArchiveError::Damaged)?;
        sums.insert(name, sum);
    }
    // Reading on to the end of the stream makes gzip check its own sum.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(ArchiveError::Damaged)?;
    for name in [META, STATE, SUMS] {
        if !sums.contains_key(name) {
            return Err(ArchiveError::Missing(name));
        }
    }
    compare(&sums, &declared)?;
    let meta: Meta = serde_json::from_slice(&meta).map_err(|_| ArchiveError::Malformed(META))?;
    Ok(SnapshotFacts { index: meta.index, term: meta.term, state_bytes })
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

fn hash_into(reader: &mut impl Read, keep: &mut impl io::Write) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = reader.read(&mut buffer)?;
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else { break };
        hash.update(part);
        keep.write_all(part)?;
    }
    Ok(hex(&hash.finalize()))
}

/// Counts what is written to it and keeps nothing.
struct Count<'a>(&'a mut u64);

impl io::Write for Count<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        *self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const META_TEXT: &str = r#"{"Version":1,"ID":"2-13-1","Index":13,"Term":2}"#;

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

    fn good() -> Vec<u8> {
        let files: [(&str, &[u8]); 2] = [(META, META_TEXT.as_bytes()), (STATE, b"state")];
        let sums = sums(&files);
        pack(&[files[0], files[1], (SUMS, sums.as_bytes())])
    }

    #[test]
    fn a_whole_archive_tells_its_index() {
        let facts = verify(good().as_slice()).unwrap();
        assert_eq!(facts, SnapshotFacts { index: 13, term: 2, state_bytes: 5 });
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let good = good();
        for length in 0..good.len() - 1 {
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
        let (meta, state): (&[u8], &[u8]) = (META_TEXT.as_bytes(), b"state");
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
