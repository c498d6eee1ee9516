//! How long operations may take: the `timeouts` block that Terraform users know.

use std::time::Duration;

use crate::schema::{Attribute, Block, NestedBlock};
use crate::value::Value;
use crate::{Diagnostic, Diagnostics, Path};

/// The name of the block.
const BLOCK: &str = "timeouts";

/// Operations that a user may give a limit, with their defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeouts(Vec<(&'static str, Duration)>);

impl Timeouts {
    /// No operation has a limit.
    pub fn none() -> Self {
        Self::default()
    }

    /// A create may take so long.
    #[must_use]
    pub fn create(self, default: Duration) -> Self {
        self.with("create", default)
    }

    /// A read may take so long.
    #[must_use]
    pub fn read(self, default: Duration) -> Self {
        self.with("read", default)
    }

    /// An update may take so long.
    #[must_use]
    pub fn update(self, default: Duration) -> Self {
        self.with("update", default)
    }

    /// A delete may take so long.
    #[must_use]
    pub fn delete(self, default: Duration) -> Self {
        self.with("delete", default)
    }

    fn with(mut self, operation: &'static str, default: Duration) -> Self {
        self.0.push((operation, default));
        self
    }

    /// The block for the schema; none where no operation has a limit.
    pub fn block(&self) -> Option<NestedBlock> {
        let attributes = self.0.iter().map(|(operation, default)| {
            let text = format!("Default `{}`.", written(*default));
            Attribute::string(*operation).optional().describe(text)
        });
        let block = Block::new().describe("How long each operation may take.");
        let block = block.attributes(attributes);
        (!self.0.is_empty()).then(|| NestedBlock::single(BLOCK, block))
    }

    /// Checks what a configuration says.
    pub fn validate(&self, config: &Value) -> Diagnostics {
        let told = self.0.iter().filter_map(|(operation, _)| {
            let text = config.get(BLOCK).get(operation).as_str()?;
            let reason = match parse_duration(text) {
                Ok(duration) if duration > Duration::ZERO => return None,
                Ok(_) => "nothing can be done in no time".to_owned(),
                Err(reason) => reason,
            };
            let detail = format!("{BLOCK}.{operation} is {text:?}: {reason}. Write e.g. \"90m\".");
            let path = Path::root(BLOCK).attr(*operation);
            Some(Diagnostic::error("Invalid timeout", detail).at(path))
        });
        told.collect()
    }

    /// How long an operation may take, by a configuration, plan or state; `None` without a limit.
    pub fn limit(&self, operation: &str, value: &Value) -> Option<Duration> {
        let (_, default) = self.0.iter().find(|(name, _)| *name == operation)?;
        let said = value.get(BLOCK).get(operation).as_str();
        Some(said.and_then(|text| parse_duration(text).ok()).unwrap_or(*default))
    }
}

/// A duration as people write it.
fn written(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds > 0 && seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds > 0 && seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

/// Reads a duration as Go and Terraform write it: `90s`, `1h30m`, `1.5h`, `250ms`, and `1d` besides; the error says what is
/// wrong with it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err("it is negative".to_owned());
    }
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return Err(format!("{number} has no unit; write {number}s, {number}m or {number}h"));
        }
        let unit_ns: u64 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return Err(format!("{unit:?} is none of the units ms, s, m, h, d")),
        };
        if number.is_empty() {
            return Err(format!("{unit:?} has no number"));
        }
        let part = part(number, unit_ns).ok_or_else(|| format!("{number}{unit} is no duration"))?;
        total = total.checked_add(part).ok_or("it is too long")?;
        rest = after;
    }
    Ok(total)
}

/// So many units.
fn part(number: &str, unit_ns: u64) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut ns = u128::from(whole) * u128::from(unit_ns);
    let mut place = u128::from(unit_ns);
    for digit in fraction.chars() {
        place /= 10;
        ns += u128::from(digit.to_digit(10)?) * place;
    }
    let seconds = u64::try_from(ns / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, u32::try_from(ns % 1_000_000_000).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_go_writes_them() {
        let good =
            [("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("2d", 172_800), ("0s", 0), (".5m", 30)];
        for (text, seconds) in good {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_duration("1s250ms"), Ok(Duration::from_millis(1250)));
        let bad = ["", "soon", "-1h", "10", "h", "1w", "1.2.3s", ".", "99999999999999999999h"];
        for text in bad {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_limit_is_the_users_or_the_default() {
        let timeouts =
            Timeouts::none().create(Duration::from_hours(1)).delete(Duration::from_mins(90));
        let config = Value::object([("timeouts", Value::object([("create", Value::from("5m"))]))]);
        assert_eq!(timeouts.limit("create", &config), Some(Duration::from_mins(5)));
        assert_eq!(timeouts.limit("create", &Value::Null), Some(Duration::from_hours(1)));
        assert_eq!(timeouts.limit("update", &config), None);
        let block = timeouts.block().unwrap().block;
        let texts: Vec<_> = block.attributes.iter().map(|each| each.description.as_str()).collect();
        assert_eq!(texts, ["Default `1h`.", "Default `90m`."]);
        assert!(Timeouts::none().block().is_none());
    }

    #[test]
    fn a_bad_limit_is_told_with_its_path() {
        let timeouts = Timeouts::none().create(Duration::from_hours(1));
        for (text, told) in [("soon", "none of the units"), ("0s", "no time"), ("10", "no unit")] {
            let inner = Value::object([("create", Value::from(text))]);
            let found = timeouts.validate(&Value::object([("timeouts", inner)]));
            let first = found.iter().next().unwrap();
            assert!(first.detail.contains(told), "{}", first.detail);
            assert_eq!(first.path.as_ref().unwrap().to_string(), "timeouts.create");
        }
    }
}
