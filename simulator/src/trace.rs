//! A hash that is the same on every machine and with every compiler, and quick on long texts: traces of runs and
//! fingerprints of estates are compared across them. Not for keys that somebody hostile may choose.

use std::hash::Hasher;

/// Multiplies and rotates words of eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHasher(u64);

impl Default for TraceHasher {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl TraceHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
}

impl Hasher for TraceHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.add(u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
        }
        let mut last = [0; 8];
        let rest = chunks.remainder();
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last));
        self.add(bytes.len() as u64);
    }

    fn write_u8(&mut self, word: u8) {
        self.add(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.add(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.add(word as u64);
    }

    fn finish(&self) -> u64 {
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::hash::Hash as _;

    #[test]
    fn texts_that_differ_anywhere_have_other_hashes() {
        let mut seen = HashSet::new();
        for length in 0..40 {
            for at in 0..length {
                let mut text = vec![b'a'; length];
                text[at] = b'b';
                let mut hash = TraceHasher::default();
                text.hash(&mut hash);
                assert!(seen.insert(hash.finish()), "{length} {at}");
            }
        }
    }

    #[test]
    fn a_hash_never_changes() {
        let mut hash = TraceHasher::default();
        "PUT /subscriptions/1".hash(&mut hash);
        assert_eq!(hash.finish(), 5_323_378_087_986_248_316);
    }
}
