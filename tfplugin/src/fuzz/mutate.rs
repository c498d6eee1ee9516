//! Mutations of valid inputs.

/// A reproducible sequence (splitmix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a limit, which is not zero.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or_default()
    }

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Pieces that have hurt decoders before.
const PIECES: [&[u8]; 22] = [
    &[0xdd, 0xff, 0xff, 0xff, 0xff],
    &[0xdf, 0xff, 0xff, 0xff, 0xff],
    &[0xdb, 0x7f, 0xff, 0xff, 0xff],
    &[0xc9, 0xff, 0xff, 0xff, 0xff, 0x0c],
    &[0xc7, 0x00, 0x0c],
    &[0xd4, 0x00, 0x00],
    &[0xc7, 0x05, 0x0c, 0x82, 0x01, 0xc2, 0x02, 0xa0],
    &[0xca, 0x7f, 0x80, 0x00, 0x00],
    &[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
    &[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0],
    &[0xc1],
    &[0xff, 0xfe, 0xc3, 0x28],
    &[0xed, 0xa0, 0x80],
    b"\x92\xc4\x08\"string\"",
    b"\xa61e9999",
    b"1e999999999",
    b"-0.0",
    b"\"\\ud800\"",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":{\"a\":",
    &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
];

/// Largest mutated input in bytes: bombs may grow it, but not for ever.
const BYTES_MAX: usize = 8 * 1024;

/// One of the corpus, changed a few times.
pub(super) fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = random.pick(corpus).clone();
    for _ in 0..random.below(6) {
        let at = random.below(input.len() + 1);
        match random.below(9) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.byte(),
            2 => input.truncate(at),
            3 if at < input.len() => {
                let end = (at + 1 + random.below(8)).min(input.len());
                input.drain(at..end);
            }
            4 => insert(&mut input, at, PIECES[random.below(PIECES.len())]),
            5 => {
                let other = random.pick(corpus);
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            6 if at < input.len() => {
                let end = (at + 1 + random.below(16)).min(input.len());
                let piece = input[at..end].to_vec();
                for _ in 0..=random.below(3) {
                    insert(&mut input, at, &piece);
                }
            }
            7 => {
                let deep = [*random.pick(&[0x91, 0x81, b'[', 0x12, 0x0a])];
                insert(&mut input, at, &deep.repeat(1 + random.below(400)));
            }
            _ => insert(&mut input, at, &[random.byte()]),
        }
        input.truncate(BYTES_MAX);
    }
    input
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}
