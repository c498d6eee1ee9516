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
    /// Balancers that ask every five seconds have taken out by then who is not ready.
    pub drain: Duration,
    /// By which windows open, where that is not the clock.
    pub calendar: Option<Calendar>,
}

/// A calendar for tests, whose days pass faster from a moment on: maintenance windows open by it. Certificates, which Consul looks at by the clock, have nothing to do with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calendar {
    /// Unix milliseconds at which clock and calendar are one.
    pub from_unix_ms: u64,
    /// So much faster it is from then on.
    pub speed: f64,
}

impl Calendar {
    /// What it shows at a time of the clock, Unix milliseconds.
    pub fn at(self, now_unix_ms: u64) -> u64 {
        let passed = Duration::from_millis(now_unix_ms.saturating_sub(self.from_unix_ms));
        let shown = passed.mul_f64(self.speed).as_millis();
        self.from_unix_ms.saturating_add(u64::try_from(shown).unwrap_or(u64::MAX))
    }
}

impl std::str::FromStr for Calendar {
    type Err = ();

    /// `1790000000000@8760`: from these Unix milliseconds on so much faster.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (from, speed) = text.split_once('@').ok_or(())?;
        let (from_unix_ms, speed) = (from.parse().map_err(drop)?, speed.parse().map_err(drop)?);
        let is_sound = f64::is_finite(speed) && speed >= 1.0;
        is_sound.then_some(Self { from_unix_ms, speed }).ok_or(())
    }
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
            drain: scaled(15.0),
            calendar: None,
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
    fn a_calendar_may_run_faster_from_a_moment_on() {
        let fast: Calendar = "1790000000000@8760".parse().unwrap();
        assert_eq!(fast.at(1_790_000_000_000), 1_790_000_000_000);
        assert_eq!(fast.at(1_790_000_010_000), 1_790_000_000_000 + 24 * 3_600_000 + 1_200_000);
        for wrong in ["", "5", "x@2", "5@", "5@0.5", "5@inf"] {
            assert_eq!(wrong.parse::<Calendar>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn a_scale_shortens_schedules_but_not_below_a_second() {
        assert_eq!(Timing::scaled(60.0).interval_ms(3_600), 60_000);
        assert_eq!(Timing::scaled(600.0).interval_ms(60), 1_000);
        assert_eq!(Timing::scaled(1.0).interval_ms(60), 60_000);
    }
}
