//! Laws of the whole provider over generated inputs.
//!
//! `HCS_LAW_CASES` sets how many cases the random ones try.

mod encryption;
mod fleets;
mod gallery;
mod images;
mod imports;
mod inputs;
mod landing;
mod listings;
mod networks;
mod nulls;
mod ownership;
mod places;
mod policies;
mod reads;
mod registrations;
mod rights;
mod runs;
mod secrets;
mod snapshots;
mod subnets;
mod tags;
mod unknown;

/// Cases of a random law: `usual` in the gate.
fn cases(usual: usize) -> usize {
    std::env::var("HCS_LAW_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A small generator of random numbers, the same for the same seed on every machine (splitmix64).
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}
