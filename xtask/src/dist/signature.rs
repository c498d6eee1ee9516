//! The signature of a release's sums, by gpg with a key that is given.
//!
//! Source: HashiCorp's page "Publish providers to the Terraform Registry": a detached signature, binary, of a key that is
//! RSA or DSA; others are refused there, so they are here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hcs_acceptance::tools::{on_path, run};

use crate::shell::Failure;

/// Names the key where `--sign` does not.
pub(crate) const KEY: &str = "HCS_SIGNING_KEY";
/// RSA and DSA by their numbers (RFC 4880, section 9.1).
const TAKEN: [&str; 2] = ["1", "17"];

/// A key of gpg's.
pub(super) struct Key<'a> {
    /// Its id, fingerprint or address.
    pub(super) name: &'a str,
    /// The folder of keys, where it is not the user's.
    pub(super) home: Option<&'a Path>,
}

/// Fails unless gpg has this key with its secret: before a release is built for it.
pub(super) fn find(key: &Key<'_>) -> Result<(), Failure> {
    run(gpg(key)?.args(["--list-secret-keys", key.name]))?;
    Ok(())
}

/// Writes the signature beside the file, and verifies it. What is not good is not left there.
pub(super) fn sign(file: &Path, key: &Key<'_>) -> Result<PathBuf, Failure> {
    let signature = PathBuf::from(format!("{}.sig", file.display()));
    match made(file, &signature, key) {
        Ok(()) => Ok(signature),
        Err(error) => {
            let _ = fs::remove_file(&signature);
            Err(error)
        }
    }
}

fn made(file: &Path, signature: &Path, key: &Key<'_>) -> Result<(), Failure> {
    let mut gpg = gpg(key)?;
    gpg.args(["--yes", "--status-fd", "1", "--local-user", key.name, "--output"]);
    let told = run(gpg.arg(signature).arg("--detach-sign").arg(file))?;
    // `[GNUPG:] SIG_CREATED D <algorithm> ... <fingerprint>`.
    let words = told.lines().find_map(|line| line.strip_prefix("[GNUPG:] SIG_CREATED D "));
    let words: Vec<&str> = words.unwrap_or_default().split(' ').collect();
    if !words.first().is_some_and(|number| TAKEN.contains(number)) {
        return Err(format!(
            "the Terraform Registry takes signatures of RSA and DSA keys alone, and {} is another one: make one with \
             `gpg --full-generate-key`",
            key.name
        )
        .into());
    }
    verify(file, signature, key)
}

/// Fails unless the signature is one of this file by a key that gpg knows.
fn verify(file: &Path, signature: &Path, key: &Key<'_>) -> Result<(), Failure> {
    run(gpg(key)?.arg("--verify").arg(signature).arg(file))?;
    Ok(())
}

fn gpg(key: &Key<'_>) -> Result<Command, Failure> {
    let gpg = on_path("gpg").ok_or("gpg is not there: `cargo xtask doctor` says what brings it")?;
    let mut gpg = Command::new(gpg);
    gpg.arg("--batch");
    if let Some(home) = key.home {
        gpg.env("GNUPGHOME", home);
    }
    Ok(gpg)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a key that nobody keeps.
    fn make(key: &Key<'_>, kind: &str) {
        let mut gpg = gpg(key).unwrap();
        gpg.args(["--pinentry-mode", "loopback", "--passphrase", "", "--quick-generate-key"]);
        run(gpg.args([key.name, kind, "sign", "never"])).unwrap();
    }

    /// Ends the agent that gpg started for its folder of keys.
    struct Home(PathBuf);

    impl Drop for Home {
        fn drop(&mut self) {
            let mut agent = Command::new("gpgconf");
            let _ = agent.args(["--kill", "all"]).env("GNUPGHOME", &self.0).status();
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn sums_are_signed_so_that_the_registry_takes_them_and_another_byte_is_found() {
        // Short, as the agent's socket lies in there.
        let home = Home(std::env::temp_dir().join(format!("hcs-gpg-{}", std::process::id())));
        let mut folder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        folder.create(&home.0).unwrap();
        let sums = home.0.join("hcs_SHA256SUMS");
        fs::write(&sums, "00  a.zip\n").unwrap();
        let [rsa, ecc, unknown] = ["rsa@example.com", "ecc@example.com", "nobody@example.com"]
            .map(|name| Key { name, home: Some(&home.0) });
        make(&rsa, "rsa2048");
        make(&ecc, "ed25519");

        assert!(find(&unknown).is_err());
        find(&rsa).unwrap();
        let signature = sign(&sums, &rsa).unwrap();
        assert_eq!(signature, home.0.join("hcs_SHA256SUMS.sig"));
        let bytes = fs::read(&signature).unwrap();
        assert!(bytes[0] & 0x80 != 0, "binary, as OpenPGP's packets begin");
        // Again, over the one that is there.
        sign(&sums, &rsa).unwrap();
        fs::write(&sums, "01  a.zip\n").unwrap();
        assert!(verify(&sums, &signature, &rsa).is_err());

        let refused = sign(&sums, &ecc).unwrap_err().to_string();
        assert!(refused.contains("RSA and DSA keys alone"), "{refused}");
        assert!(!signature.exists());
        assert!(sign(&sums, &unknown).is_err());
    }
}
