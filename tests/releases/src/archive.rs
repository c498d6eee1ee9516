//! Snapshots: archives as Consul writes them, of any state.

use std::io::Write as _;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// An archive of this state, with right sums and metadata.
pub fn sealed(state: &[u8]) -> Bytes {
    let meta =
        format!(r#"{{"Version":1,"ID":"2-13-1","Index":13,"Term":2,"Size":{}}}"#, state.len());
    let files = [("meta.json", meta.as_bytes()), ("state.bin", state)];
    let sums = files.iter().fold(String::new(), |text, (name, bytes)| {
        text + &format!("{:x}  {name}\n", Sha256::digest(bytes))
    });
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files.into_iter().chain([("SHA256SUMS", sums.as_bytes())]) {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap().into()
}

/// What a state begins with.
pub const STATE_HEADER: &[u8] = b"\x81\xa9LastIndex\x0d";
