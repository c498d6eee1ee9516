//! Durations that a configuration may name: between a smallest and a largest one, each told as one would write it.

use std::time::Duration;

use tfplugin::parse_duration;

/// What an attribute's duration may be.
pub(crate) struct Bounds {
    /// The attribute.
    pub(crate) name: &'static str,
    /// Some that it may be, for whoever wrote none: `"1h" or "30d"`.
    pub(crate) examples: &'static str,
    /// The smallest, and as it is written.
    pub(crate) min: (Duration, &'static str),
    /// Why not a smaller one; empty where that needs no word.
    pub(crate) why: &'static str,
    /// The largest, and as it is written.
    pub(crate) max: (Duration, &'static str),
}

impl Bounds {
    /// Whether this is one of them; else what is wrong with it, in one sentence.
    pub(crate) fn check(&self, text: &str) -> Result<(), String> {
        let Self { name, examples, min, why, max } = self;
        match parse_duration(text) {
            Err(reason) => Err(format!("{name} is {text:?}: {reason}. Write e.g. {examples}.")),
            Ok(duration) if duration < min.0 => {
                let because = if why.is_empty() { String::new() } else { format!(", as {why}") };
                Err(format!("{name} is {text:?}; the smallest is {:?}{because}.", min.1))
            }
            Ok(duration) if duration > max.0 => {
                Err(format!("{name} is {text:?}; the largest is {:?}.", max.1))
            }
            Ok(_) => Ok(()),
        }
    }
}
