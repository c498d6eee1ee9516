//! Secrets in memory: never printed, wiped when dropped.

use std::fmt;

use zeroize::Zeroizing;

/// A secret text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret([redacted])")
    }
}

/// Replaces everything that looks like a UUID: Consul's error texts may repeat a token.
pub fn scrub(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(candidate) = rest.get(..36)
            && uuid::Uuid::try_parse(candidate).is_ok()
        {
            clean.push_str("[uuid]");
            rest = &rest[36..];
        } else {
            clean.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_secret() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret([redacted])");
    }

    #[test]
    fn tokens_are_scrubbed_from_foreign_texts() {
        let text = "token 6f9619ff-8b86-d011-b42d-00c04fc964ff ist ungültig – 6f9619ff";
        assert_eq!(scrub(text), "token [uuid] ist ungültig – 6f9619ff");
    }
}
