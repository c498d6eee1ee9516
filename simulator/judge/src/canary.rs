//! Looks for secrets where none may be: every secret, in every spelling that it could have got on its way, in every sink.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;

/// Spellings of a secret that are looked for.
pub const SPELLINGS: [&str; 6] = ["raw", "base64", "base64url", "hex", "percent", "json"];

/// A secret by name.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Where it belongs.
    pub name: String,
    /// What it is.
    pub text: String,
}

/// A place where people or programs read.
#[derive(Clone, Debug)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// What to look for: a PEM's second line is as telling as the whole, and has no line breaks.
fn telling(text: &str) -> &str {
    text.lines().nth(1).unwrap_or(text).trim()
}

/// A secret in one spelling; in base64 a text looks another way at each of three places.
fn spelled(text: &str, spelling: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    let inside = |encode: &dyn Fn(&[u8]) -> String| {
        let at = |offset: usize| {
            let padded = [&b"xx"[..offset], bytes].concat();
            let whole = encode(&padded);
            // The first and last letters hold bits of what stands beside it.
            let first = if offset == 0 { 0 } else { 4 };
            let last = whole.len() - if padded.len() % 3 == 0 { 0 } else { 4 };
            whole.get(first..last).unwrap_or_default().to_owned()
        };
        (0..3).map(at).filter(|text| text.len() >= 8).collect()
    };
    match spelling {
        "base64" => inside(&|bytes| STANDARD.encode(bytes)),
        "base64url" => inside(&|bytes| {
            let text = URL_SAFE_NO_PAD.encode(bytes);
            let missing = STANDARD.encode(bytes).len() - STANDARD_NO_PAD.encode(bytes).len();
            text + &"=".repeat(missing)
        }),
        "hex" => vec![bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })],
        "percent" => vec![bytes.iter().fold(String::new(), |mut text, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
                text.push(char::from(*byte));
            } else {
                let _ = write!(text, "%{byte:02X}");
            }
            text
        })],
        "json" => vec![text.replace('/', "\\/").replace('+', "\\u002b")],
        _ => vec![text.to_owned()],
    }
}

/// Sentences on every secret that is in a sink.
pub fn leaks(secrets: &[Secret], sinks: &[Sink]) -> Vec<String> {
    let mut found = Vec::new();
    for secret in secrets {
        for spelling in SPELLINGS {
            for needle in spelled(telling(&secret.text), spelling) {
                let finder = memmem::Finder::new(needle.as_bytes());
                let hit = sinks.iter().filter(|sink| finder.find(&sink.bytes).is_some());
                found.extend(
                    hit.map(|sink| format!("{} is in {} as {spelling}", secret.name, sink.name)),
                );
            }
        }
    }
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_spelling_and_wherever_it_stands() {
        let secret = Secret { name: "s".into(), text: "q7/Zk+0pXv91aBcD3eFgH".into() };
        for spelling in SPELLINGS {
            for before in ["", "a", "ab", "abc"] {
                let text = match spelling {
                    "base64" => STANDARD.encode(format!("{before}{}tail", secret.text)),
                    "base64url" => URL_SAFE_NO_PAD.encode(format!("{before}{}tail", secret.text)),
                    other => format!("{before}{}", spelled(&secret.text, other)[0]),
                };
                let sink = Sink { name: "log".into(), bytes: format!("noise {text} noise").into() };
                let found = leaks(std::slice::from_ref(&secret), &[sink]);
                assert!(!found.is_empty(), "{spelling} after {before:?}");
            }
        }
        let clean = Sink { name: "log".into(), bytes: b"nothing to see".to_vec() };
        assert_eq!(leaks(&[secret], &[clean]), [""; 0]);
    }
}
