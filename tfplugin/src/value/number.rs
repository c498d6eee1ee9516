//! Numbers that are exact at any size.
//!
//! Terraform computes with 512-bit floats and sends a number as an integer that fits, as a double
//! where that is an exact fraction, and as decimal text otherwise. A [`Number`] keeps each number in exactly one of
//! these forms, so equal numbers are equal values.

use std::fmt;
use std::str::FromStr;

/// Longest decimal text of a number, in digits. Terraform's own numbers stay far below.
const DIGITS_MAX: usize = 64 * 1024;

/// A number of any size and precision.
#[derive(Debug, Clone, PartialEq)]
pub struct Number(Form);

/// The first form that fits a number is the one it has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    Int(i64),
    /// Exactly representable, never an integer and never NaN.
    Float(f64),
    /// Plain decimal text without an exponent or redundant zeros.
    Decimal(Box<str>),
}

/// Why a text or float is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NumberError {
    /// The text does not follow the grammar of decimal numbers.
    #[error("not a decimal number")]
    Syntax,
    /// The number has too many digits to be handled.
    #[error("a number of more than {DIGITS_MAX} digits")]
    TooLong,
    /// The float is not a number.
    #[error("not-a-number")]
    Nan,
}

impl Number {
    pub(crate) fn form(&self) -> &Form {
        &self.0
    }

    /// The number that this double holds, to the last binary digit.
    ///
    /// `From<f64>` is what authors want: it takes the shortest decimal text instead, so that a
    /// computed `0.1` equals the `0.1` of a configuration.
    pub fn from_f64_exact(float: f64) -> Result<Self, NumberError> {
        if float.is_nan() {
            return Err(NumberError::Nan);
        }
        if float.is_infinite() {
            return Ok(Self(Form::Float(float)));
        }
        if float.fract() == 0.0 {
            // The text of an integral double is exact, and it finds the integer forms.
            return format!("{float:.0}").parse();
        }
        Ok(Self(Form::Float(float)))
    }

    /// The number, if it is an integer that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self.0 {
            Form::Int(value) => Some(value),
            _ => None,
        }
    }

    /// The number, if it is a natural number that fits.
    pub fn as_u64(&self) -> Option<u64> {
        match &self.0 {
            Form::Int(value) => u64::try_from(*value).ok(),
            Form::Decimal(text) => text.parse().ok(),
            Form::Float(_) => None,
        }
    }

    /// The number, rounded to the nearest double.
    #[expect(clippy::cast_precision_loss, reason = "rounding is what the caller asks for")]
    pub fn as_f64(&self) -> f64 {
        match &self.0 {
            Form::Int(value) => *value as f64,
            Form::Float(value) => *value,
            Form::Decimal(text) => text.parse().unwrap_or(f64::NAN),
        }
    }

    /// Reads decimal text that is already plain and canonical.
    fn from_plain(plain: String) -> Self {
        if let Ok(value) = plain.parse() {
            return Self(Form::Int(value));
        }
        match exact_double(&plain) {
            Some(value) => Self(Form::Float(value)),
            None => Self(Form::Decimal(plain.into())),
        }
    }
}

/// The double that equals this canonical plain fraction, if there is one.
fn exact_double(plain: &str) -> Option<f64> {
    let digits = plain.split_once('.')?.1.len();
    let float: f64 = plain.parse().ok()?;
    // A binary fraction with n places has exactly n decimal places.
    (fraction_places(float) == digits && format!("{float:.digits$}") == plain).then_some(float)
}

/// How many binary places a double has after the point.
fn fraction_places(float: f64) -> usize {
    let bits = float.to_bits();
    let exponent = usize::try_from(bits >> 52 & 0x7ff).unwrap_or(0);
    let mantissa = bits & ((1 << 52) - 1);
    let (mantissa, exponent) =
        if exponent == 0 { (mantissa, 1) } else { (mantissa | 1 << 52, exponent) };
    if mantissa == 0 {
        return 0;
    }
    let zeros = mantissa.trailing_zeros() as usize;
    // The value is mantissa * 2^(exponent - 1075).
    1075_usize.saturating_sub(exponent + zeros)
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        plain_decimal(text).map(Self::from_plain)
    }
}

/// Rewrites decimal text, with or without an exponent, to its one plain form.
fn plain_decimal(text: &str) -> Result<String, NumberError> {
    let (negative, rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: String = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NumberError::Syntax);
    }
    if digits.len() > DIGITS_MAX {
        return Err(NumberError::TooLong);
    }
    // Where the point stands, counted in digits from the left; may lie outside of them.
    let leading = digits.bytes().take_while(|byte| *byte == b'0').count();
    let significant = digits[leading..].trim_end_matches('0');
    if significant.is_empty() {
        return Ok("0".to_owned());
    }
    let point = signed(whole.len())?.saturating_add(exponent).saturating_sub(signed(leading)?);
    if point.unsigned_abs() > DIGITS_MAX as u64 {
        return Err(NumberError::TooLong);
    }
    Ok(lay_out(negative, significant, point))
}

/// Writes significant digits with the point after `point` of them.
fn lay_out(negative: bool, significant: &str, point: i64) -> String {
    let mut plain = String::from(if negative { "-" } else { "" });
    match usize::try_from(point) {
        Ok(point) if point >= significant.len() => {
            plain.push_str(significant);
            plain.extend(std::iter::repeat_n('0', point - significant.len()));
        }
        Ok(point) if point > 0 => {
            plain.push_str(&significant[..point]);
            plain.push('.');
            plain.push_str(&significant[point..]);
        }
        _ => {
            plain.push_str("0.");
            let zeros = usize::try_from(point.unsigned_abs()).unwrap_or(DIGITS_MAX);
            plain.extend(std::iter::repeat_n('0', zeros));
            plain.push_str(significant);
        }
    }
    plain
}

fn parse_exponent(text: &str) -> Result<i64, NumberError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NumberError::Syntax);
    }
    // An exponent that does not fit is an absurd number, unless all digits are zero.
    text.parse().map_err(|_| NumberError::TooLong)
}

fn signed(count: usize) -> Result<i64, NumberError> {
    i64::try_from(count).map_err(|_| NumberError::TooLong)
}

impl fmt::Display for Number {
    /// Plain decimal text, as Terraform shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Int(value) => value.fmt(f),
            Form::Float(value) if value.is_infinite() => value.fmt(f),
            Form::Float(value) => write!(f, "{value:.*}", fraction_places(*value)),
            Form::Decimal(text) => f.write_str(text),
        }
    }
}

macro_rules! from_integers {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Number {
            fn from(value: $integer) -> Self {
                Self(Form::Int(value.into()))
            }
        }
    )*};
}
from_integers!(i8, i16, i32, i64, u8, u16, u32);

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        let text = || Form::Decimal(value.to_string().into());
        Self(i64::try_from(value).map_or_else(|_| text(), Form::Int))
    }
}

impl From<f64> for Number {
    /// The shortest decimal text of the double; not-a-number becomes zero.
    fn from(float: f64) -> Self {
        if float.is_infinite() {
            return Self(Form::Float(float));
        }
        float.to_string().parse().unwrap_or(Self(Form::Int(0)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn every_number_has_one_form() {
        let cases: [(&[&str], Form); 8] = [
            (&["0", "-0", "0.0", "0e5", "000"], Form::Int(0)),
            (&["3", "3.0", "30e-1", "+3", "0.3e1"], Form::Int(3)),
            (&["-9223372036854775808"], Form::Int(i64::MIN)),
            (&["18446744073709551615"], Form::Decimal("18446744073709551615".into())),
            (&["0.5", "5e-1", "0.50"], Form::Float(0.5)),
            (&["18446744073709551616"], Form::Decimal("18446744073709551616".into())),
            (&["0.1", "1e-1", "00.10"], Form::Decimal("0.1".into())),
            (
                &["12345678901234567890123", "12345678901234567890123.0"],
                Form::Decimal("12345678901234567890123".into()),
            ),
        ];
        for (texts, form) in cases {
            for text in texts {
                assert_eq!(number(text).form(), &form, "{text}");
            }
        }
    }

    #[test]
    fn integers_are_read_as_far_as_they_fit() {
        assert_eq!(Number::from(u64::MAX).as_u64(), Some(u64::MAX));
        assert_eq!(Number::from(u64::MAX).as_i64(), None);
        assert_eq!(Number::from(7_u64).as_i64(), Some(7));
        assert_eq!(number("-1").as_u64(), None);
        assert_eq!(number("0.5").as_u64(), None);
        assert_eq!(number("18446744073709551616").as_u64(), None);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", "1.2.3", "1e", "e1", "1e1.5", "0x10", "NaN", "inf", " 1", "1_0", "."]
        {
            assert_eq!(text.parse::<Number>(), Err(NumberError::Syntax), "{text:?}");
        }
        for text in ["1e999999999", "1e-999999999", "1e99999999999999999999999"] {
            assert_eq!(text.parse::<Number>(), Err(NumberError::TooLong), "{text}");
        }
    }

    #[test]
    fn a_double_of_an_author_is_the_decimal_that_it_prints() {
        assert_eq!(Number::from(0.1), number("0.1"));
        assert_ne!(Number::from_f64_exact(0.1).unwrap(), number("0.1"));
        assert_eq!(Number::from(2.0), number("2"));
    }

    #[test]
    fn an_exact_double_shows_all_its_places() {
        let exact = Number::from_f64_exact(0.1).unwrap();
        assert_eq!(exact.to_string(), "0.1000000000000000055511151231257827021181583404541015625");
        assert_eq!(number(&exact.to_string()), exact);
    }

    proptest! {
        #[test]
        fn text_and_number_go_round(float: f64) {
            prop_assume!(float.is_finite());
            let exact = Number::from_f64_exact(float).unwrap();
            prop_assert_eq!(number(&exact.to_string()), exact.clone());
            prop_assert_eq!(exact.as_f64().to_bits(), (float + 0.0).to_bits());
        }

        #[test]
        fn plain_decimals_keep_their_text(text in "-?[1-9][0-9]{0,40}(\\.[0-9]{0,30}[1-9])?") {
            prop_assert_eq!(number(&text).to_string(), text);
        }
    }
}
