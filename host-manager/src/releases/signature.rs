//! Who signed a list of checksums: `OpenPGP`, with the keys of one maker.
//!
//! What comes from outside is believed while the key that signed it has not ended, now, whatever the signature says of its
//! own time. What a server believed and kept is believed for ever, if the key was good when it signed. A revoked key counts
//! never. The key that ships is `HashiCorp`'s of <https://www.hashicorp.com/security>, fingerprint `C874 011F 0AB4 0511 0D02 1055 3436 5D94 72D7
//! 468F`, good until March 2030.

use std::time::{Duration, SystemTime};

use pgp::composed::{Deserializable as _, DetachedSignature, SignedPublicKey};
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails as _, Timestamp};

/// HashiCorp's public key.
const HASHICORP: &str = include_str!("../../data/hashicorp.asc");

/// Why a list of checksums is not believed.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The keys cannot be read.
    #[error("the public key cannot be read")]
    Key(#[source] pgp::errors::Error),
    /// The signature cannot be read.
    #[error("the signature cannot be read")]
    Unreadable(#[source] pgp::errors::Error),
    /// It signs something else than bytes.
    #[error("it is no signature of a file")]
    NoFile,
    /// None of the keys that may sign has made it.
    #[error("no key that is trusted has signed it")]
    Untrusted,
    /// A key that was good once.
    #[error("the key that signed it has ended; a newer host manager knows the next one")]
    Ended,
}

/// At which time a key has to be good.
#[derive(Clone, Copy, Debug)]
pub enum GoodAt {
    /// Now.
    Now(SystemTime),
    /// When it signed.
    Signing,
}

/// The keys of who makes the releases.
#[derive(Clone, Debug)]
pub struct Keys(SignedPublicKey);

impl Keys {
    /// Those of `HashiCorp`.
    pub fn of_hashicorp() -> Result<Self, SignatureError> {
        Self::read(HASHICORP)
    }

    /// ASCII-armoured.
    pub fn read(armoured: &str) -> Result<Self, SignatureError> {
        let (key, _) = SignedPublicKey::from_string(armoured).map_err(SignatureError::Key)?;
        Ok(Self(key))
    }

    /// Whether one of these keys has signed exactly these bytes.
    pub fn check(
        &self,
        bytes: &[u8],
        signature: &[u8],
        good_at: GoodAt,
    ) -> Result<(), SignatureError> {
        let signature =
            DetachedSignature::from_bytes(signature).map_err(SignatureError::Unreadable)?;
        let at = match good_at {
            GoodAt::Now(now) => now,
            GoodAt::Signing => {
                signature.signature.created().map(SystemTime::from).ok_or(SignatureError::NoFile)?
            }
        };
        if signature.signature.typ() != Some(SignatureType::Binary) {
            return Err(SignatureError::NoFile);
        }
        let primary = &self.0.primary_key;
        if signature.verify(primary, bytes).is_ok() {
            let own = self.0.details.users.iter().flat_map(|user| &user.signatures);
            let is_revoked = !self.0.details.revocation_signatures.is_empty();
            let is_good = !is_revoked && lives(primary.created_at(), own, at);
            return if is_good { Ok(()) } else { Err(SignatureError::Ended) };
        }
        for subkey in &self.0.public_subkeys {
            if signature.verify(&subkey.key, bytes).is_err() {
                continue;
            }
            let may_sign = subkey.signatures.iter().any(|binding| binding.key_flags().sign());
            if !may_sign || subkey.verify_bindings(primary).is_err() {
                return Err(SignatureError::Untrusted);
            }
            let is_revoked = |one: &Signature| one.typ() == Some(SignatureType::SubkeyRevocation);
            if subkey.signatures.iter().any(is_revoked)
                || !lives(subkey.key.created_at(), &subkey.signatures, at)
            {
                return Err(SignatureError::Ended);
            }
            return Ok(());
        }
        Err(SignatureError::Untrusted)
    }
}

/// Whether a key lives, by what its owner said of it last.
fn lives<'s>(
    created: Timestamp,
    said: impl IntoIterator<Item = &'s Signature>,
    at: SystemTime,
) -> bool {
    let last = said.into_iter().max_by_key(|one| one.created());
    let lifetime = last.and_then(Signature::key_expiration_time);
    let lifetime = lifetime.map(|lifetime| Duration::from_secs(u64::from(lifetime.as_secs())));
    let created = SystemTime::from(created);
    lifetime.is_none_or(|lifetime| lifetime.is_zero() || at < created + lifetime)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published by `HashiCorp` in April 2021, signed with a key that ended a year later.
    const SUMS: &[u8] = include_bytes!("testdata/terraform-provider-null_3.1.0_SHA256SUMS");
    const SIGNATURE: &[u8] =
        include_bytes!("testdata/terraform-provider-null_3.1.0_SHA256SUMS.sig");

    fn at(unix_s: u64) -> GoodAt {
        GoodAt::Now(SystemTime::UNIX_EPOCH + Duration::from_secs(unix_s))
    }

    const MAY_2021: u64 = 1_620_000_000;
    const END_OF_2026: u64 = 1_798_000_000;

    #[test]
    fn what_hashicorp_published_is_believed_while_its_key_is_good() {
        let keys = Keys::of_hashicorp().unwrap();
        keys.check(SUMS, SIGNATURE, at(MAY_2021)).unwrap();
        let ended = keys.check(SUMS, SIGNATURE, at(END_OF_2026));
        assert!(matches!(ended, Err(SignatureError::Ended)), "{ended:?}");
        keys.check(SUMS, SIGNATURE, GoodAt::Signing).unwrap();
    }

    #[test]
    fn one_bit_or_another_key_and_nothing_is_believed() {
        let keys = Keys::of_hashicorp().unwrap();
        for at_byte in [0, SUMS.len() / 2, SUMS.len() - 1] {
            let mut sums = SUMS.to_vec();
            sums[at_byte] ^= 1;
            let told = keys.check(&sums, SIGNATURE, at(MAY_2021));
            assert!(matches!(told, Err(SignatureError::Untrusted)), "{told:?}");
        }
        let longer = [SUMS, b"\n"].concat();
        assert!(keys.check(&longer, SIGNATURE, at(MAY_2021)).is_err());
        // Signed by a key of `HashiCorp`'s that is for tests alone.
        let other = include_bytes!("testdata/of_another_key.sig");
        let told = keys.check(SUMS, other, at(MAY_2021));
        assert!(matches!(told, Err(SignatureError::Untrusted)), "{told:?}");
        for rubbish in [&b""[..], b"hello", &SIGNATURE[..100], SUMS] {
            assert!(keys.check(SUMS, rubbish, at(MAY_2021)).is_err());
        }
        for at_byte in 0..SIGNATURE.len() {
            let mut signature = SIGNATURE.to_vec();
            signature[at_byte] ^= 0x10;
            if let Ok(()) = keys.check(SUMS, &signature, at(MAY_2021)) {
                // What is not signed of a signature says nothing; what is, breaks it.
                assert!(at_byte > 10 && at_byte < 40, "byte {at_byte}");
            }
        }
    }

    #[test]
    fn the_key_that_ships_is_the_published_one_and_lives() {
        let keys = Keys::of_hashicorp().unwrap();
        let fingerprint = keys.0.primary_key.fingerprint().to_string();
        assert_eq!(fingerprint.to_uppercase(), "C874011F0AB405110D02105534365D9472D7468F");
        let end_of_2026 = SystemTime::UNIX_EPOCH + Duration::from_secs(END_OF_2026);
        let living = keys.0.public_subkeys.iter().filter(|subkey| {
            subkey.signatures.iter().any(|one| one.key_flags().sign())
                && subkey.verify_bindings(&keys.0.primary_key).is_ok()
                && lives(subkey.key.created_at(), &subkey.signatures, end_of_2026)
        });
        assert_eq!(living.count(), 1);
    }
}
