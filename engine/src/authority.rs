//! Whether a certificate authority that somebody brings can sign for the servers.

use rcgen::{KeyPair, PublicKeyData as _};
use x509_parser::pem::Pem;

/// The first certificate of `authority_pem` is an authority that is good now, and this is its key. Says why not, without
/// a word of the key.
pub fn check_authority(
    authority_pem: &str,
    authority_key_pem: &str,
    now_unix_s: i64,
) -> Result<(), String> {
    let unreadable = || "the certificate of the authority cannot be read as PEM".to_owned();
    let pem = Pem::iter_from_buffer(authority_pem.as_bytes()).next().ok_or_else(unreadable)?;
    let pem = pem.map_err(|_| unreadable())?;
    let certificate = pem.parse_x509().map_err(|_| unreadable())?;
    if !certificate.is_ca() {
        return Err(
            "the certificate that was given is no authority's (its basic constraints say CA:FALSE)"
                .to_owned(),
        );
    }
    let validity = certificate.validity();
    if !(validity.not_before.timestamp()..validity.not_after.timestamp()).contains(&now_unix_s) {
        return Err(format!(
            "the authority is good from {} to {} only",
            validity.not_before, validity.not_after
        ));
    }
    let key = KeyPair::from_pem(authority_key_pem).map_err(|_| {
        "the authority's key cannot be read: an EC or RSA key in PEM is meant".to_owned()
    })?;
    if key.subject_public_key_info() == certificate.public_key().raw {
        Ok(())
    } else {
        Err("the key is not that of the authority's certificate".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa};

    use super::*;

    const NOW: i64 = 1_795_000_000;

    fn authority(is_ca: IsCa) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = is_ca;
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn only_an_authority_with_its_own_key_signs() {
        let (ca, key) = authority(IsCa::Ca(BasicConstraints::Unconstrained));
        let (other, other_key) = authority(IsCa::Ca(BasicConstraints::Unconstrained));
        let (leaf, leaf_key) = authority(IsCa::ExplicitNoCa);
        assert_eq!(check_authority(&ca, &key, NOW), Ok(()));
        // Others may follow that are trusted, too; the first one signs.
        assert_eq!(check_authority(&format!("{ca}{other}"), &key, NOW), Ok(()));
        let told = |ca: &str, key: &str| check_authority(ca, key, NOW).unwrap_err();
        assert!(told(&ca, &other_key).contains("not that of"));
        assert!(told(&format!("{other}{ca}"), &key).contains("not that of"));
        assert!(told(&leaf, &leaf_key).contains("no authority"));
        assert!(told("nothing", &key).contains("cannot be read"));
        assert!(told(&ca, "nothing").contains("cannot be read"));
        assert!(check_authority(&ca, &key, 99_000_000_000).unwrap_err().contains("good from"));
    }

    /// `consul tls ca create` of 1.8.7 writes its key so, as `openssl ecparam -genkey` does.
    #[test]
    fn a_key_in_the_form_of_consul_is_read() {
        const CONSULS: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIPuN2vPKbjg8D8lOJKM99TZlr37a1mO5Rm8njypGhmuMoAoGCCqGSM49\n\
         AwEHoUQDQgAELsXYHMdbeDRXcwtwBX+tblFQETKuL551EJLH6Y7s8sO2jXA1rLDB\n\
         MkYXvnzFeWu3fxhWVLWVHFUnnffphPLqkQ==\n-----END EC PRIVATE KEY-----\n";
        assert!(KeyPair::from_pem(CONSULS).is_ok());
    }
}
