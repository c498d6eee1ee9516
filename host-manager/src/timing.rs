//! How often the host manager does things; a test may run its schedules faster.
//!
//! Never scales Consul's clocks, certificates or network timeouts.

use std::time::Duration;

/// The host manager's own periods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// By how much schedules run faster than real time; 1 outside tests.
    pub scale: f64,
    /// Time between two rounds of work and two writes of the status.
    pub tick: Duration,
    /// Documents, certificates and policies are read again after so many rounds.
    pub rounds_per_refresh: u32,
    /// What costs the whole cluster something, or is seldom needed, is looked at after so many rounds.
    pub rounds_per_sweep: u32,
    /// First wait after a failure.
    pub retry_min: Duration,
    /// Longest wait between two tries.
    pub retry_max: Duration,
    /// A server that was restarted and is not a healthy voter again by then needs a human; the others stay as they are.
    pub recovery_max: Duration,
    /// So long the first read, of documents or metadata, may take before Consul is started without it: requests into
    /// nothing end late.
    pub storage_patience: Duration,
}

impl Timing {
    /// The product's periods at `scale` times their speed.
    pub fn scaled(scale: f64) -> Self {
        // Faster than this only burns CPU: a round costs some ten HTTP calls.
        let floor = Duration::from_secs(1);
        let scaled = |seconds: f64| Duration::from_secs_f64(seconds / scale).max(floor);
        Self {
            scale,
            tick: scaled(5.0),
            rounds_per_refresh: 6,
            rounds_per_sweep: 720,
            retry_min: scaled(2.0),
            retry_max: scaled(30.0),
            // Consul's own clocks are never scaled: an election and a look of Autopilot take their time.
            recovery_max: Duration::from_secs_f64(180.0 / scale).max(Duration::from_secs(40)),
            storage_patience: Duration::from_secs(20),
        }
    }

    /// A scheduled interval in milliseconds of real time: whole seconds, as snapshot names have.
    pub fn interval_ms(&self, seconds: u64) -> u64 {
        let scaled = Duration::from_secs(seconds).div_f64(self.scale);
        let whole_seconds = scaled.as_secs_f64().ceil().max(1.0);
        u64::try_from(Duration::from_secs_f64(whole_seconds).as_millis()).unwrap_or(u64::MAX)
    }

    /// The wait before try number `failures + 1`: doubles up to the longest.
    pub fn backoff(&self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
        self.retry_min.saturating_mul(factor).min(self.retry_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let timing = Timing::scaled(1.0);
        let waits: Vec<u64> = (1..=6).map(|n| timing.backoff(n).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 30, 30]);
        assert_eq!(timing.backoff(u32::MAX), timing.retry_max);
    }

    #[test]
    fn a_scale_shortens_schedules_but_not_below_a_second() {
        assert_eq!(Timing::scaled(60.0).interval_ms(3_600), 60_000);
        assert_eq!(Timing::scaled(600.0).interval_ms(60), 1_000);
        assert_eq!(Timing::scaled(1.0).interval_ms(60), 60_000);
    }
}
