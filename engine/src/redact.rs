//! Takes out of texts what looks like a secret, whether it is one or not: for what somebody who helps is given to read.
//!
//! Tokens of Consul are UUIDs, its gossip keys 16, 24 or 32 bytes in base64, keys of storage accounts 64; private keys are
//! PEM blocks; links carry users, passwords and signatures.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::{Captures, Regex};

/// Bytes of a key that stands in base64.
const KEY_BYTES: [usize; 4] = [16, 24, 32, 64];

/// What is replaced, in this order, and by what.
static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rules = [
        (
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
            "[private key]",
        ),
        // The end of one whose begin was cut off.
        (r"\A(?:[A-Za-z0-9+/=\\n\s]*)-----END [A-Z ]*PRIVATE KEY-----", "[private key]"),
        (r#"([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s"'@]+@"#, "${1}[user]@"),
        (r#"(https?://[^\s"'?]+)\?[^\s"']+"#, "${1}?[query]"),
        (r#"sig=[^&\s"']+"#, "sig=[signature]"),
        (r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?", "[token]"),
        (r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", "${1} [token]"),
        (
            r#"(?i)((?:password|passwd|secret|account_?key|api_?key)\\?"?\s*[=:]\s*\\?"?)[^\s"\\&,;\[{]+"#,
            "${1}[secret]",
        ),
    ];
    rules.into_iter().filter_map(|(rule, by)| Some((Regex::new(rule).ok()?, by))).collect()
});
static UUID: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}").ok());
static BASE64: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("[A-Za-z0-9+/]{22,}={0,2}").ok());

/// A text that anybody may have written: of a log, or of Consul.
pub fn text(text: &str) -> String {
    let clean = document(text);
    UUID.as_ref().map_or_else(String::new, |uuid| uuid.replace_all(&clean, "[uuid]").into_owned())
}

/// A document of the cluster, whose ids stay: it holds no tokens.
pub fn document(text: &str) -> String {
    let mut clean = text.to_owned();
    for (rule, by) in RULES.iter() {
        clean = rule.replace_all(&clean, *by).into_owned();
    }
    let Some(base64) = BASE64.as_ref() else { return String::new() };
    let replaced = base64.replace_all(&clean, |found: &Captures<'_>| {
        if is_key(&found[0]) { "[key]".to_owned() } else { found[0].to_owned() }
    });
    replaced.into_owned()
}

/// A digest in hex is none, nor is a word or a path of letters.
fn is_key(word: &str) -> bool {
    let has = |is: fn(&char) -> bool| word.chars().any(|c| is(&c));
    let is_mixed = has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase);
    let is_hex = word.chars().all(|c| c.is_ascii_hexdigit());
    let may_be = word.ends_with('=') || is_mixed && has(char::is_ascii_digit);
    !is_hex && may_be && STANDARD.decode(word).is_ok_and(|bytes| KEY_BYTES.contains(&bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_one() {
        assert_eq!(RULES.len(), 8);
        assert!(UUID.is_some() && BASE64.is_some());
    }

    #[test]
    fn what_looks_like_a_secret_is_taken_out_and_the_rest_stays() {
        let key = STANDARD.encode([7_u8; 32]);
        let slashed = format!("/{}", &key[1..]);
        let short = STANDARD.encode(*b"sixteen bytes!!\xf0");
        let token = "6f9619ff-8b86-d011-b42d-00c04fc964ff";
        let pem = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----";
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
        let log = "2026-11-29T06:00:00Z [INFO] agent.server.raft: entering follower state: leader=10.0.0.4:8300";
        let digest = "sha256 0123456789abcdef0123456789abcdef";
        let rows = [
            (format!("token={token} done"), "token=[uuid] done"),
            (format!("\"encrypt\": \"{key}\","), "\"encrypt\": \"[key]\","),
            (format!("\"{slashed}\": 3"), "\"[key]\": 3"),
            (format!("key={key}"), "key=[key]"),
            (format!("old {short} gone"), "old [key] gone"),
            (format!("a\n{pem}\nb"), "a\n[private key]\nb"),
            ("x -----BEGIN PRIVATE KEY-----\nMHcC".to_owned(), "x [private key]"),
            ("HcCAQ\n-----END PRIVATE KEY----- b".to_owned(), "[private key] b"),
            (format!("\"{}\"", pem.replace('\n', "\\n")), "\"[private key]\""),
            (certificate.to_owned(), certificate),
            (
                "GET https://a/b?sv=1&sig=ab%2Bc%3D&se=2 200".to_owned(),
                "GET https://a/b?[query] 200",
            ),
            ("\"https://me:pw@host/consul.zip\"".to_owned(), "\"https://[user]@host/consul.zip\""),
            ("Authorization: Bearer abcdefgh12345678".to_owned(), "Authorization: Bearer [token]"),
            ("got eyJhbGciOiJIUzI1.eyJzdWIiOi.c2ln back".to_owned(), "got [token] back"),
            ("db password=hunter2; user=me".to_owned(), "db password=[secret]; user=me"),
            ("{\"password\": \"hunter2\"}".to_owned(), "{\"password\": \"[secret]\"}"),
            (log.to_owned(), log),
            (digest.to_owned(), digest),
            (
                "consul.raft.leader.dispatchNumLogs ü".to_owned(),
                "consul.raft.leader.dispatchNumLogs ü",
            ),
        ];
        for (dirty, expected) in rows {
            assert_eq!(text(&dirty), expected);
        }
        assert_eq!(document(token), token, "ids of a document stay");
    }

    /// Whatever the bytes are.
    #[test]
    fn no_key_in_base64_is_left() {
        for seed in 0..=255_u8 {
            for length in KEY_BYTES {
                let bytes: Vec<u8> = (0..u8::try_from(length).unwrap())
                    .map(|at| seed.wrapping_mul(31).wrapping_add(at.wrapping_mul(7)))
                    .collect();
                let key = STANDARD.encode(&bytes);
                // One of 24 bytes has no padding: a word without a digit may be one.
                if key.ends_with('=') || key.contains(|c: char| c.is_ascii_digit()) {
                    let clean = text(&format!("\"{key}\": 1"));
                    assert!(!clean.contains(&key), "{key}: {clean}");
                }
            }
        }
    }
}
