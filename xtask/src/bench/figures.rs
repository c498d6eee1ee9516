//! A measured figure beside what is promised.

use std::fmt;

use serde_json::{Value, json};

/// Two runs of one program differ by up to this much.
const NOISE: f64 = 1.1;

/// One figure.
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    promised_max: Option<f64>,
}

impl Figure {
    pub(crate) fn new(
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        promised_max: Option<f64>,
    ) -> Self {
        Self { name: name.into(), value, unit, promised_max }
    }

    /// Reads `figure <tab> name <tab> value <tab> unit <tab> promised at most`.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut parts = line.strip_prefix("figure\t")?.split('\t');
        let (name, value, unit) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let unit = ["s", "ms", "MB", "x", ""].into_iter().find(|known| *known == unit)?;
        let promised = parts.next().and_then(|text| text.parse().ok());
        Some(Self::new(name, value, unit, promised))
    }

    /// Whether this is the figure of that name.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name == name
    }

    pub(crate) fn value(&self) -> f64 {
        self.value
    }

    /// Whether it is over its promise by more than a machine's noise explains.
    pub(crate) fn is_missed(&self) -> bool {
        self.promised_max.is_some_and(|max| self.value > max * NOISE)
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "name": self.name, "value": self.value, "unit": self.unit, "promised_max": self.promised_max })
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured = format!("{:.2} {}", self.value, self.unit);
        let promised = match self.promised_max {
            Some(max) if self.value <= max => format!("<= {max} ok"),
            Some(max) => format!("<= {max} MISSED"),
            None => "-".to_owned(),
        };
        write!(f, "{:<62} {measured:>14} {promised:>10}", self.name)
    }
}

/// The middle value.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of the ratios, pair by pair.
pub(crate) fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    median(&ours.iter().zip(theirs).map(|(a, b)| a / b).collect::<Vec<_>>())
}

/// A count as a number to calculate with; exact far beyond anything measured here.
#[expect(clippy::cast_precision_loss, reason = "figures are rounded to two digits anyway")]
pub(crate) fn count(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::Figure;

    #[test]
    fn a_figure_is_missed_beyond_noise_alone() {
        let missed = |value, max| Figure::new("any", value, "ms", max).is_missed();
        assert!(!missed(5.0, Some(5.0)) && !missed(5.4, Some(5.0)) && !missed(1e9, None));
        assert!(missed(5.6, Some(5.0)));
    }
}
