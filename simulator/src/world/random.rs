//! Seeded random numbers. Must never look at the machine: the same seed gives the same world.

use serde::{Deserialize, Serialize};

/// A `SplitMix64` generator whose state is part of the world.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// A version-4 GUID.
    pub(crate) fn guid(&mut self) -> String {
        let value = (u128::from(self.next()) << 64) | u128::from(self.next());
        uuid::Builder::from_random_bytes(value.to_be_bytes()).into_uuid().to_string()
    }

    /// A generator for the `n`-th life of the thing of this name, whatever else was drawn meanwhile.
    pub(crate) fn of(seed: u64, name: &str, n: u64) -> Self {
        let mut hash = seed ^ 0xcbf2_9ce4_8422_2325;
        for byte in name.bytes().chain(n.to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Self::new(hash)
    }
}
