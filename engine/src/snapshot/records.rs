//! What the state in a snapshot holds: a header, then one byte of kind and one value of `MessagePack` for each record.
//!
//! A server that meets a kind that it does not know refuses the whole state, and panics when it leads: the bad snapshot is
//! already its newest by then. Source: `agent/consul/fsm/snapshot_ce.go` and `agent/structs/structs.go` of Consul 1.21 and
//! 1.23, changelogs for the versions in which kinds came.

use std::collections::BTreeMap;
use std::io::{self, Read};

use rmp::Marker;
use semver::Version;

/// Records of this kind and above are Consul Enterprise's.
const ENTERPRISE: u8 = 64;

/// Numbers of kinds, by what they are.
pub mod kind {
    /// Keys and values.
    pub const KVS: u8 = 2;
    /// Sessions.
    pub const SESSION: u8 = 3;
    /// Prepared queries.
    pub const PREPARED_QUERY: u8 = 7;
    /// ACL tokens.
    pub const ACL_TOKEN: u8 = 17;
    /// ACL policies.
    pub const ACL_POLICY: u8 = 19;
    /// Configuration entries, among them intentions from 1.9 on.
    pub const CONFIG_ENTRY: u8 = 22;
    /// ACL roles.
    pub const ACL_ROLE: u8 = 23;
    /// ACL binding rules.
    pub const ACL_BINDING_RULE: u8 = 25;
    /// ACL auth methods.
    pub const ACL_AUTH_METHOD: u8 = 27;
    /// Peerings.
    pub const PEERING: u8 = 35;
    /// What peers trust.
    pub const PEERING_TRUST_BUNDLE: u8 = 38;
}

/// Kinds that Community restores: number, Consul's name, and the first version that knows it where that is after 1.8.
const KINDS: [(u8, &str, (u64, u64)); 27] = [
    (0, "Register", (1, 8)),
    (2, "KVS", (1, 8)),
    (3, "Session", (1, 8)),
    (5, "Tombstone", (1, 8)),
    (6, "CoordinateBatchUpdate", (1, 8)),
    (7, "PreparedQuery", (1, 8)),
    (9, "Autopilot", (1, 8)),
    (12, "Intention", (1, 8)),
    (13, "ConnectCA", (1, 8)),
    (14, "ConnectCAProviderState", (1, 8)),
    (15, "ConnectCAConfig", (1, 8)),
    (16, "Index", (1, 8)),
    (17, "ACLToken", (1, 8)),
    (19, "ACLPolicy", (1, 8)),
    (22, "ConfigEntry", (1, 8)),
    (23, "ACLRole", (1, 8)),
    (25, "ACLBindingRule", (1, 8)),
    (27, "ACLAuthMethod", (1, 8)),
    (29, "ChunkingState", (1, 8)),
    (30, "FederationState", (1, 8)),
    (31, "SystemMetadata", (1, 9)),
    (32, "ServiceVirtualIP", (1, 11)),
    (33, "FreeVirtualIP", (1, 11)),
    (35, "PeeringWrite", (1, 13)),
    (38, "PeeringTrustBundleWrite", (1, 13)),
    (40, "PeeringSecretsWrite", (1, 13)),
    (42, "ResourceOperation", (1, 16)),
];

/// How many records of each kind a state holds, by number.
pub type Counts = BTreeMap<u8, u64>;

/// Consul's name of a kind.
pub fn name(kind: u8) -> String {
    let known = KINDS.iter().find(|(number, ..)| *number == kind);
    known.map_or_else(|| format!("kind {kind}"), |(_, name, _)| (*name).to_owned())
}

/// Why a Consul of this version cannot restore records of these kinds; any version, where none is given. None where it can.
pub fn unknown_to(counts: &Counts, version: Option<&Version>) -> Option<String> {
    counts.keys().find_map(|kind| {
        if *kind >= ENTERPRISE {
            return Some(format!("it holds records of Consul Enterprise (kind {kind})"));
        }
        let Some((_, name, since)) = KINDS.iter().find(|(number, ..)| number == kind) else {
            return Some(format!("it holds records of a kind that is not known here ({kind})"));
        };
        let version = version.filter(|version| (version.major, version.minor) < *since)?;
        let (major, minor) = since;
        Some(format!(
            "it holds records ({name}) that Consul {version} does not know; {major}.{minor} does"
        ))
    })
}

/// Counts records as they are read, and keeps none of them.
///
/// # Errors
///
/// Where the state ends within a record, or is none.
pub fn count(state: &mut impl Read) -> io::Result<Counts> {
    let mut counts = Counts::new();
    let first = byte(state)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    if !matches!(Marker::from_u8(first), Marker::FixMap(_) | Marker::Map16 | Marker::Map32) {
        return Err(invalid("it does not begin as a state does"));
    }
    skip(state, first)?;
    while let Some(kind) = byte(state)? {
        let first = byte(state)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        skip(state, first)?;
        *counts.entry(kind).or_default() += 1;
    }
    Ok(counts)
}

/// Passes over the value that begins with this byte, however deep it is.
fn skip(state: &mut impl Read, first: u8) -> io::Result<()> {
    let mut left: u64 = passed(state, first)?;
    while left > 0 {
        let next = byte(state)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        left = (left - 1).checked_add(passed(state, next)?).ok_or(io::ErrorKind::InvalidData)?;
    }
    Ok(())
}

/// Passes over one value without what is inside of it, which are so many.
fn passed(state: &mut impl Read, first: u8) -> io::Result<u64> {
    let (bytes, inside) = match Marker::from_u8(first) {
        Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => {
            (0, 0)
        }
        Marker::U8 | Marker::I8 => (1, 0),
        Marker::U16 | Marker::I16 => (2, 0),
        Marker::U32 | Marker::I32 | Marker::F32 => (4, 0),
        Marker::U64 | Marker::I64 | Marker::F64 => (8, 0),
        Marker::FixStr(length) => (length.into(), 0),
        Marker::Str8 | Marker::Bin8 => (length(state, 1)?, 0),
        Marker::Str16 | Marker::Bin16 => (length(state, 2)?, 0),
        Marker::Str32 | Marker::Bin32 => (length(state, 4)?, 0),
        Marker::FixArray(count) => (0, count.into()),
        Marker::Array16 => (0, length(state, 2)?),
        Marker::Array32 => (0, length(state, 4)?),
        Marker::FixMap(count) => (0, 2 * u64::from(count)),
        Marker::Map16 => (0, 2 * length(state, 2)?),
        Marker::Map32 => (0, 2 * length(state, 4)?),
        // A byte of type comes before what is inside of them.
        Marker::FixExt1 => (2, 0),
        Marker::FixExt2 => (3, 0),
        Marker::FixExt4 => (5, 0),
        Marker::FixExt8 => (9, 0),
        Marker::FixExt16 => (17, 0),
        Marker::Ext8 => (1 + length(state, 1)?, 0),
        Marker::Ext16 => (1 + length(state, 2)?, 0),
        Marker::Ext32 => (1 + length(state, 4)?, 0),
        Marker::Reserved => return Err(invalid("it holds what is no value")),
    };
    if io::copy(&mut state.take(bytes), &mut io::sink())? < bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(inside)
}

fn length(state: &mut impl Read, bytes: usize) -> io::Result<u64> {
    let mut buffer = [0; 8];
    state.read_exact(&mut buffer[8 - bytes..])?;
    Ok(u64::from_be_bytes(buffer))
}

fn byte(state: &mut impl Read) -> io::Result<Option<u8>> {
    let mut buffer = [0];
    loop {
        match state.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(buffer[0])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmp::encode;

    fn state(records: &[(u8, &[u8])]) -> Vec<u8> {
        let mut state = Vec::new();
        encode::write_map_len(&mut state, 1).unwrap();
        encode::write_str(&mut state, "LastIndex").unwrap();
        encode::write_uint(&mut state, 70_000).unwrap();
        for (kind, value) in records {
            state.push(*kind);
            state.extend_from_slice(value);
        }
        state
    }

    /// One value of each form there is.
    fn every_form() -> Vec<u8> {
        let mut value = Vec::new();
        let long = "x".repeat(70_000);
        encode::write_array_len(&mut value, 24).unwrap();
        for number in [0, 200, 60_000, 70_000, u64::MAX] {
            encode::write_uint(&mut value, number).unwrap();
        }
        for number in [-1, -100, -30_000, -70_000, i64::MIN] {
            encode::write_sint(&mut value, number).unwrap();
        }
        encode::write_nil(&mut value).unwrap();
        encode::write_bool(&mut value, true).unwrap();
        encode::write_f32(&mut value, 0.5).unwrap();
        encode::write_f64(&mut value, 0.5).unwrap();
        for length in [3, 200, 1_000, 70_000] {
            encode::write_str(&mut value, &long[..length]).unwrap();
        }
        encode::write_bin(&mut value, &long.as_bytes()[..300]).unwrap();
        encode::write_map_len(&mut value, 20).unwrap();
        for key in 0..20 {
            encode::write_uint(&mut value, key).unwrap();
            encode::write_array_len(&mut value, 0).unwrap();
        }
        for length in [1, 16, 40, 300] {
            encode::write_ext_meta(&mut value, length, 5).unwrap();
            value.extend(std::iter::repeat_n(0xc1, length as usize));
        }
        value
    }

    #[test]
    fn records_are_counted_by_their_kind() {
        let (nil, every) = ([0xc0], every_form());
        let state = state(&[(0, &nil), (2, &every), (2, &nil), (31, &every)]);
        let counts = count(&mut state.as_slice()).unwrap();
        assert_eq!(counts, Counts::from([(0, 1), (2, 2), (31, 1)]));
    }

    #[test]
    fn a_state_that_ends_within_a_record_is_none() {
        let every = every_form();
        let whole = state(&[(2, &every)]);
        let header = state(&[]).len();
        for length in (0..whole.len()).filter(|length| *length != header) {
            assert!(count(&mut &whole[..length]).is_err(), "{length} of {}", whole.len());
        }
        let deep: Vec<u8> = std::iter::repeat_n(0x91, 1 << 20).collect();
        assert!(count(&mut state(&[(2, &deep)]).as_slice()).is_err(), "and no stack is needed");
        assert!(count(&mut [0xc0, 0].as_slice()).is_err(), "no header");
    }

    #[test]
    fn what_a_version_does_not_know_is_named() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        let counts = |kinds: &[u8]| kinds.iter().map(|kind| (*kind, 1)).collect::<Counts>();
        let all: Counts = KINDS.iter().map(|(kind, ..)| (*kind, 1)).collect();
        assert_eq!(unknown_to(&all, None), None);
        assert_eq!(unknown_to(&all, Some(&version("1.16.0"))), None);
        assert_eq!(unknown_to(&counts(&[0, 2, 17]), Some(&version("1.8.7"))), None);
        let rows: [(&[u8], Option<&str>, &str); 4] = [
            (&[2, 31], Some("1.8.7"), "(SystemMetadata) that Consul 1.8.7 does not know; 1.9 does"),
            (&[42], Some("1.15.9"), "1.16 does"),
            (&[2, 64], None, "Enterprise"),
            (&[44], None, "not known here (44)"),
        ];
        for (kinds, of, expected) in rows {
            let told = unknown_to(&counts(kinds), of.map(version).as_ref()).unwrap();
            assert!(told.contains(expected), "{told}");
        }
    }
}
