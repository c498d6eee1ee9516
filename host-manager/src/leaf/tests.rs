use std::collections::BTreeSet;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;

use super::{Leaf, LeafError, Reason, Wanted, authorities, keep, load, sign};
use crate::paths::Paths;
use crate::secrets::Secret;

const NOW: i64 = 1_800_000_000;
const WEEK_S: u64 = 168 * 3600;
const WEEK: i64 = 168 * 3600;

struct Authority {
    pem: String,
    key: Secret,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, key: Secret::new(key.serialize_pem()) }
    }

    fn der(&self) -> Vec<CertificateDer<'static>> {
        authorities(&self.pem).unwrap()
    }

    fn leaf(&self, wanted: &Wanted, now_unix_s: i64) -> Leaf {
        sign(wanted, &self.der(), &self.key, now_unix_s).unwrap()
    }
}

fn wanted() -> Wanted {
    Wanted {
        server_name: "server.dc1.consul".to_owned(),
        names: BTreeSet::from(["server.dc1.consul", "localhost"].map(str::to_owned)),
        addresses: BTreeSet::from(["127.0.0.1", "10.0.0.4", "fd00::4"].map(|a| a.parse().unwrap())),
        ttl_seconds: WEEK_S,
    }
}

#[test]
fn a_new_certificate_says_what_was_wanted_and_is_kept() {
    let (authority, wanted) = (Authority::new(), wanted());
    let leaf = authority.leaf(&wanted, NOW);
    assert_eq!(leaf.facts.names, wanted.names);
    assert_eq!(leaf.facts.addresses, wanted.addresses);
    assert_eq!(leaf.facts.expires_unix_s, NOW + WEEK);
    assert_eq!(wanted.verdict(Some(&leaf), &authority.der(), NOW), None);
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    assert!(load(&paths).unwrap().is_none());
    keep(&paths, &leaf).unwrap();
    let found = load(&paths).unwrap().unwrap().unwrap();
    assert_eq!(found.facts, leaf.facts);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(paths.leaf()).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    assert!(!format!("{found:?}").contains(leaf.key_pem.expose().lines().nth(1).unwrap()));
}

/// Every four hours of its life: kept in the first half, renewed in the last four tenths, and in between when its own
/// number says.
#[test]
fn it_is_renewed_when_half_is_over_and_not_by_all_at_once() {
    let (authority, wanted) = (Authority::new(), wanted());
    let mut firsts = BTreeSet::new();
    for _ in 0..20 {
        let leaf = authority.leaf(&wanted, NOW);
        let verdict = |at: i64| wanted.verdict(Some(&leaf), &authority.der(), NOW + at);
        for at_s in (0..WEEK / 2).step_by(4 * 3600) {
            assert_eq!(verdict(at_s), None, "{at_s}");
        }
        for at_s in (WEEK * 6 / 10..WEEK + 3600).step_by(4 * 3600) {
            assert_eq!(verdict(at_s), Some(Reason::Due), "{at_s}");
        }
        let first = (WEEK / 2..WEEK).step_by(600).find(|at| verdict(*at) == Some(Reason::Due));
        firsts.insert(first.unwrap());
    }
    assert!(firsts.len() > 5, "they come at {firsts:?}");
}

#[test]
fn whatever_it_says_otherwise_than_wanted_makes_it_anew() {
    let (authority, wanted) = (Authority::new(), wanted());
    let leaf = authority.leaf(&wanted, NOW);
    let der = authority.der();
    let other = |change: fn(&mut Wanted)| {
        let mut other = wanted.clone();
        change(&mut other);
        other.verdict(Some(&leaf), &der, NOW)
    };
    assert_eq!(wanted.verdict(None, &der, NOW), Some(Reason::Absent));
    assert_eq!(
        other(|w| {
            w.names.insert("balancer".to_owned());
        }),
        Some(Reason::Names)
    );
    assert_eq!(
        other(|w| {
            w.names.remove("localhost");
        }),
        Some(Reason::Names)
    );
    assert_eq!(
        other(|w| {
            w.addresses.pop_first();
        }),
        Some(Reason::Names)
    );
    assert_eq!(other(|w| w.ttl_seconds = 3600), Some(Reason::Lifetime));
    assert_eq!(other(|w| w.ttl_seconds *= 2), None, "a longer life begins with the next one");
    // A clock that was wrong when it was made.
    assert_eq!(wanted.verdict(Some(&leaf), &der, NOW - 7200), Some(Reason::Due));
}

/// Every state of a change of the CA by overlap, with the key a step behind or ahead.
#[test]
fn the_first_authority_signs_and_a_key_out_of_step_is_waited_for() {
    let (old, new, wanted) = (Authority::new(), Authority::new(), wanted());
    let bundle =
        |all: [&Authority; 2]| authorities(&all.map(|one| one.pem.clone()).concat()).unwrap();
    let leaf = old.leaf(&wanted, NOW);
    let verdict = |leaf: &Leaf, cas: &[CertificateDer<'_>]| wanted.verdict(Some(leaf), cas, NOW);
    let (old_first, new_first) = (bundle([&old, &new]), bundle([&new, &old]));
    assert_eq!(verdict(&leaf, &old_first), None);
    assert_eq!(verdict(&leaf, &new_first), Some(Reason::Authority));
    let made = sign(&wanted, &new_first, &new.key, NOW).unwrap();
    assert_eq!(verdict(&made, &new_first), None);
    assert!(made.is_signed_by(&new.der(), &wanted.server_name));
    assert!(!made.is_signed_by(&old.der(), &wanted.server_name));
    // The key changes before the order does, and after it.
    let ahead = sign(&wanted, &old_first, &new.key, NOW).unwrap();
    assert!(ahead.is_signed_by(&new.der(), &wanted.server_name));
    let behind = sign(&wanted, &new_first, &old.key, NOW).unwrap();
    assert!(behind.is_signed_by(&old.der(), &wanted.server_name));
    let stranger = Authority::new();
    let refused = sign(&wanted, &old_first, &stranger.key, NOW).unwrap_err();
    assert!(matches!(refused, LeafError::NoIssuer), "{refused}");
}

#[test]
fn garbage_is_told_without_a_word_of_a_key() {
    let (authority, wanted) = (Authority::new(), wanted());
    let leaf = authority.leaf(&wanted, NOW);
    for garbage in ["", "hunter2", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
    {
        assert!(matches!(authorities(garbage), Err(LeafError::Unreadable { .. })), "{garbage:?}");
    }
    // No certificate of a CA signs nothing.
    assert!(authorities(&leaf.certificate_pem).is_err());
    let broken = Secret::new("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n");
    let told = sign(&wanted, &authority.der(), &broken, NOW).unwrap_err();
    assert_eq!(told.to_string(), "the CA's private key cannot be read");
    assert!(std::error::Error::source(&told).is_none());
    let other = authority.leaf(&wanted, NOW);
    let mixed = Leaf::new(leaf.certificate_pem.clone(), other.key_pem).unwrap_err();
    assert!(matches!(mixed, LeafError::Mismatch), "{mixed}");
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    std::fs::create_dir_all(paths.state_dir()).unwrap();
    for half in [&leaf.certificate_pem[..40], &leaf.certificate_pem, "\u{0}\u{0}"] {
        std::fs::write(paths.leaf(), half).unwrap();
        assert!(load(&paths).unwrap().unwrap().is_err(), "{half:?}");
    }
}

#[test]
fn it_is_short_when_its_renewal_must_have_failed_for_long() {
    let (authority, wanted) = (Authority::new(), wanted());
    let leaf = authority.leaf(&wanted, NOW);
    assert!(!leaf.is_short(NOW + WEEK * 6 / 10));
    assert!(leaf.is_short(NOW + WEEK * 7 / 10));
    assert_eq!(leaf.left_s(NOW + WEEK + 5), -5);
}
