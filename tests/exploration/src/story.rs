//! A case as text: a scenario and the faults of each of its runs. What was found once is kept as a file and tried by a
//! test for ever.
//!
//! ```text
//! scenario 3 to 5
//! run lost-answer@17 kill-after@40
//! run throttled@3
//! ```

use hcs_simulator::{CallFault, Strike};

/// A scenario by name, and the faults of its runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// Name of the scenario.
    pub scenario: String,
    /// Faults of each run; a quiet one follows.
    pub runs: Vec<Vec<Strike>>,
}

impl Story {
    /// Reads a file; lines that begin with `#` say why it is there.
    pub fn parse(text: &str) -> Option<Self> {
        let mut story = Self { scenario: String::new(), runs: Vec::new() };
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            if let Some(name) = line.strip_prefix("scenario ") {
                name.trim().clone_into(&mut story.scenario);
            } else {
                let strikes = line.strip_prefix("run")?.split_whitespace().map(strike);
                story.runs.push(strikes.collect::<Option<_>>()?);
            }
        }
        (!story.scenario.is_empty()).then_some(story)
    }
}

/// Reads `word@call`.
pub fn strike(text: &str) -> Option<Strike> {
    let (word, at) = text.split_once('@')?;
    Some(Strike { fault: CallFault::parse(word)?, at: at.parse().ok()? })
}

impl std::fmt::Display for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "scenario {}", self.scenario)?;
        for run in &self.runs {
            let strikes: Vec<String> = run.iter().map(ToString::to_string).collect();
            writeln!(f, "run {}", strikes.join(" "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_reads_as_it_was_written() {
        let strikes = [(17, CallFault::LostAnswer), (40, CallFault::KillAfter)];
        let strikes = strikes.map(|(at, fault)| Strike { at, fault }).to_vec();
        let story = Story { scenario: "3 to 5".into(), runs: vec![strikes, vec![]] };
        assert_eq!(Story::parse(&format!("# why\n{story}")), Some(story));
        assert_eq!(Story::parse("scenario x\nrun no-such-fault@1"), None);
    }
}
