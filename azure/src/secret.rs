//! Text that must never be shown. Owns redaction; must never implement `Display` for a secret.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// What stands in the place of a secret.
pub(crate) const REDACTED: &str = "[redacted]";

/// Shorter secrets are not searched for in texts: they would match everywhere.
const SEARCHABLE_LENGTH: usize = 4;

/// Longest text that goes into an error.
const TEXT_LIMIT_CHARS: usize = 600;

/// A secret text: wiped from memory when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Cleans texts that others wrote (servers, programs) before they are shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redactor {
    secrets: Vec<Secret>,
}

impl Redactor {
    pub(crate) fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let secrets = secrets.into_iter().filter(|s| s.0.len() >= SEARCHABLE_LENGTH).collect();
        Self { secrets }
    }

    /// One line, bounded, without known secrets and without anything that looks like a token.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.expose(), REDACTED);
            let encoded: String =
                url::form_urlencoded::byte_serialize(secret.expose().as_bytes()).collect();
            text = text.replace(&encoded, REDACTED);
        }
        let words = text.split_whitespace().map(without_token).collect::<Vec<_>>();
        let line: String = words.join(" ").chars().filter(|c| !c.is_control()).collect();
        match line.char_indices().nth(TEXT_LIMIT_CHARS) {
            Some((end, _)) => format!("{}...", &line[..end]),
            None => line,
        }
    }
}

/// Every JSON Web Token starts with the base64 of `{"`.
fn without_token(word: &str) -> String {
    const START: &str = "eyJ";
    let mut clean = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find(START) {
        clean.push_str(&rest[..at]);
        let token = &rest[at..];
        let end = token
            .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_' | '='))
            .unwrap_or(token.len());
        // Short words such as `eyJafjallajokull` are no tokens.
        clean.push_str(if end >= 20 { REDACTED } else { &token[..end] });
        rest = &token[end..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", Secret::new("canary-1")), REDACTED);
    }

    #[test]
    fn a_secret_is_found_raw_and_form_encoded() {
        let redactor = Redactor::new([Secret::new("ca/na ry+1")]);
        let text = redactor.clean("sent ca/na ry+1 as client_secret=ca%2Fna+ry%2B1&x=y");
        assert_eq!(text, "sent [redacted] as client_secret=[redacted]&x=y");
    }

    #[test]
    fn tokens_are_removed_whoever_made_them() {
        let text = Redactor::default().clean("assertion='eyJhbGciOiJub25lIn0.eyJhIjoxfQ.c2ln' bad");
        assert_eq!(text, "assertion='[redacted]' bad");
    }

    #[test]
    fn texts_become_one_bounded_line() {
        let text = Redactor::default().clean(&format!("a\r\n\tb {}", "x".repeat(5000)));
        assert!(text.starts_with("a b xxx"));
        assert!(text.len() < 700);
    }
}
