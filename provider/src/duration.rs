//! Durations as Go and Terraform write them: `90s`, `1h30m`, `1d`.

use std::time::Duration;

/// Reads a duration; the error says what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err("it is negative".to_owned());
    }
    let mut total_seconds: u64 = 0;
    let mut number = String::new();
    let mut parts = 0;
    for character in text.chars() {
        if character.is_ascii_digit() {
            number.push(character);
            continue;
        }
        let unit = match character {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            other => return Err(format!("{other:?} is none of the units s, m, h, d")),
        };
        let count: u64 = number.parse().map_err(|_| format!("{character:?} has no number"))?;
        total_seconds = count
            .checked_mul(unit)
            .and_then(|seconds| total_seconds.checked_add(seconds))
            .ok_or("it is too long")?;
        number.clear();
        parts += 1;
    }
    if !number.is_empty() {
        return Err(format!("{number} has no unit; write {number}s, {number}m or {number}h"));
    }
    if parts == 0 {
        return Err("it is empty".to_owned());
    }
    Ok(Duration::from_secs(total_seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_go_writes_them() {
        let good = [("90s", 90), ("1h30m", 5400), ("2d", 172_800), ("0s", 0)];
        for (text, seconds) in good {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "soon", "-1h", "10", "h", "1w", "99999999999999999999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
