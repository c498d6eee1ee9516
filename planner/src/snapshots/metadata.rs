//! What is kept beside a snapshot, as metadata of its blob: an archive does not name the Consul that made it.

/// Raft index of the state.
pub const RAFT_INDEX: &str = "raft_index";
/// SHA-256 of the archive, lower-case hex.
pub const SHA256: &str = "sha256";
/// Version of the Consul that made it.
pub const CONSUL_VERSION: &str = "consul_version";
/// Node that asked for it.
pub const NODE: &str = "node";
/// Policy whose it is; absent where somebody asked for it.
pub const POLICY: &str = "policy";
/// RFC 3339: from then on the servers take it away. Absent: never.
pub const EXPIRES_AT: &str = "expires_at";
/// RFC 3339: when it was taken, by the server's clock.
pub const CREATED_AT: &str = "created_at";
/// Which snapshot of its name it is, once a Terraform state holds it: a UUID.
pub const INCARNATION_ID: &str = "incarnation_id";
