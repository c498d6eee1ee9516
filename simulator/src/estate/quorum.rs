//! Watches the voters of a cluster at every moment: how many vote, how many of them answer. Knows numbers only, so that
//! it shares no opinion with whoever planned what happens.

/// The worst that was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// How often the voters that answer became fewer than a majority.
    pub without_quorum: u32,
    /// The most voters that did not answer at one moment.
    pub most_out: usize,
}

/// The voters of one cluster over time.
#[derive(Clone, Debug, Default)]
pub struct Quorum {
    was_whole: bool,
    losses: Losses,
    /// When it was lost first, milliseconds since the Unix epoch.
    first_lost_ms: Option<u64>,
}

impl Quorum {
    /// What is so from `now_ms` on: `voters` in the Raft configuration, `answering` of them up.
    pub fn note(&mut self, now_ms: u64, voters: usize, answering: usize) {
        let is_whole = voters > 0 && answering > voters / 2;
        if self.was_whole {
            self.losses.most_out = self.losses.most_out.max(voters.saturating_sub(answering));
            if !is_whole {
                self.losses.without_quorum += 1;
                self.first_lost_ms.get_or_insert(now_ms);
            }
        }
        self.was_whole = is_whole;
    }

    /// What was seen since the last [`Quorum::forget`].
    pub fn losses(&self) -> Losses {
        self.losses
    }

    /// When a majority was missing first.
    pub fn first_lost_ms(&self) -> Option<u64> {
        self.first_lost_ms
    }

    /// Counts anew from here.
    pub fn forget(&mut self) {
        self.losses = Losses::default();
        self.first_lost_ms = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minority_is_a_loss_once_until_it_is_a_majority_again() {
        let mut quorum = Quorum::default();
        for (voters, answering) in [(0, 0), (3, 1), (3, 3), (3, 2), (3, 1), (3, 1), (3, 2), (3, 1)]
        {
            quorum.note(7, voters, answering);
        }
        assert_eq!(quorum.losses(), Losses { without_quorum: 2, most_out: 2 });
        assert_eq!(quorum.first_lost_ms(), Some(7));
    }
}
