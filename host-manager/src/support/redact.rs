//! Takes out of foreign texts what looks like a secret, whether it is one or not: tokens of Consul are UUIDs, its gossip keys
//! 16, 24 or 32 bytes in base64, private keys PEM blocks, and signatures of links `sig=…`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secrets::scrub;

const BEGIN: &str = "-----BEGIN ";
const KEY: &str = "PRIVATE KEY-----";
/// Texts of a gossip key.
const KEY_BYTES: [usize; 3] = [16, 24, 32];

/// The text without what looks like a secret.
pub(super) fn redacted(text: &str) -> String {
    without_signatures(&without_keys(&scrub(&without_pem(text))))
}

/// A block that is cut off is taken out up to the end.
fn without_pem(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let (before, block) = rest.split_at(at);
        clean.push_str(before);
        let heading = block[BEGIN.len()..].split(['\n', '\\']).next().unwrap_or_default();
        if !heading.trim_end().ends_with(KEY) {
            clean.push_str(BEGIN);
            rest = &block[BEGIN.len()..];
            continue;
        }
        clean.push_str("[private key]");
        let ended = block.find("-----END ").map(|end| end + "-----END ".len());
        let ended = ended.and_then(|end| Some(end + block[end..].find(KEY)? + KEY.len()));
        rest = ended.map_or("", |end| &block[end..]);
    }
    clean + rest
}

/// Words that are the base64 of as many bytes as a gossip key has.
fn without_keys(text: &str) -> String {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.split(|c: char| !is_base64(c)).next().unwrap_or_default();
        // What stands before an equals sign that pads nothing is a name.
        let word = match word.find('=') {
            Some(at) if word[at..].trim_start_matches('=').is_empty() => word,
            Some(at) => &word[..=at],
            None => word,
        };
        let is_key = STANDARD.decode(word).is_ok_and(|bytes| KEY_BYTES.contains(&bytes.len()))
            && !word.chars().all(|c| c.is_ascii_hexdigit())
            && !word.chars().all(char::is_alphabetic)
            && !word.starts_with('/');
        clean.push_str(if is_key { "[key]" } else { word });
        rest = &rest[word.len()..];
        if let Some(next) = rest.chars().next().filter(|c| !is_base64(*c)) {
            clean.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    clean
}

fn without_signatures(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("sig=") {
        let (before, after) = rest.split_at(at + "sig=".len());
        clean.push_str(before);
        let ends = |c: char| !(c.is_ascii_alphanumeric() || "%+/=-_".contains(c));
        let signature = after.split(ends).next().unwrap_or_default();
        if !signature.is_empty() {
            clean.push_str("[signature]");
        }
        rest = &after[signature.len()..];
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_taken_out_and_the_rest_stays() {
        let key = STANDARD.encode([7_u8; 32]);
        let short = STANDARD.encode(*b"sixteen bytes!!\xf0");
        let token = "6f9619ff-8b86-d011-b42d-00c04fc964ff";
        let pem = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----";
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
        let rows = [
            (format!("token={token} done"), "token=[uuid] done".to_owned()),
            (format!("\"encrypt\": \"{key}\","), "\"encrypt\": \"[key]\",".to_owned()),
            (format!("key={key}"), "key=[key]".to_owned()),
            (format!("old {short} gone"), "old [key] gone".to_owned()),
            (format!("a\n{pem}\nb"), "a\n[private key]\nb".to_owned()),
            ("x -----BEGIN PRIVATE KEY-----\nMHcC".to_owned(), "x [private key]".to_owned()),
            (
                format!("\"{}\"", pem.replace('\n', "\\n")),
                "\"[private key]\"".to_owned(),
            ),
            (certificate.to_owned(), certificate.to_owned()),
            ("https://a/b?sv=1&sig=ab%2Bc%3D&se=2".to_owned(), "https://a/b?sv=1&sig=[signature]&se=2".to_owned()),
            (
                "2026-11-29T06:00:00Z [INFO] agent.server.raft: entering follower state: leader=10.0.0.4:8300".to_owned(),
                "2026-11-29T06:00:00Z [INFO] agent.server.raft: entering follower state: leader=10.0.0.4:8300".to_owned(),
            ),
            ("sha256 0123456789abcdef0123456789abcdef".to_owned(), "sha256 0123456789abcdef0123456789abcdef".to_owned()),
            ("consul.raft.leader.dispatchNumLogs ü".to_owned(), "consul.raft.leader.dispatchNumLogs ü".to_owned()),
        ];
        for (text, expected) in rows {
            assert_eq!(redacted(&text), expected);
        }
    }
}
