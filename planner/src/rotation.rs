//! Rotation of secrets: which version of each a cluster is to have, and how far its servers are with it.
//!
//! The provider makes the new version and names it in the cluster's document. Servers carry it out step by step: the
//! leading one notes in the container `decisions` what all have reached. Both sides ask here which version counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::deterministic_guid;

/// A secret that can be rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotated {
    /// Key of the gossip, through Consul's keyring.
    GossipKey,
    /// Tokens of the servers' own agents.
    AgentTokens,
    /// The management token.
    ManagementToken,
    /// The token of client agents.
    ClientToken,
    /// The CA, by overlap.
    CertificateAuthority,
}

impl Rotated {
    /// All, in the order in which they are named.
    pub const ALL: [Self; 5] = [
        Self::GossipKey,
        Self::AgentTokens,
        Self::ManagementToken,
        Self::ClientToken,
        Self::CertificateAuthority,
    ];

    /// The word in configurations and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GossipKey => "gossip_key",
            Self::AgentTokens => "agent_tokens",
            Self::ManagementToken => "management_token",
            Self::ClientToken => "client_token",
            Self::CertificateAuthority => "certificate_authority",
        }
    }

    /// In sentences.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::GossipKey => "the gossip key",
            Self::AgentTokens => "the agents' tokens",
            Self::ManagementToken => "the management token",
            Self::ClientToken => "the clients' token",
            Self::CertificateAuthority => "the certificate authority",
        }
    }

    /// The one of this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

/// A version of a secret: the one that the cluster was made with, or the one of a rotation.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretVersion(Option<String>);

impl SecretVersion {
    /// The version of a rotation.
    pub fn of_rotation(id: impl Into<String>) -> Self {
        Self(Some(id.into()))
    }

    /// The one that the cluster was made with.
    pub fn is_first(&self) -> bool {
        self.0.is_none()
    }

    /// Id of its rotation; none for the first.
    pub fn id(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The blob that holds this version of what the first version's blob of this name holds.
    pub fn blob(&self, first: &str) -> String {
        self.0.as_ref().map_or_else(|| first.to_owned(), |id| format!("{first}.{id}"))
    }
}

/// What a cluster's document says of one secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// What the declaration said last, which asks for another version whenever it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// The version that the cluster is to have.
    #[serde(default, skip_serializing_if = "SecretVersion::is_first")]
    pub version: SecretVersion,
    /// Versions before it, newest first: some server, client or table may still know one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<SecretVersion>,
}

/// More earlier versions are not remembered: what is older is long gone.
const BEFORE_MAX: usize = 8;

impl Rotation {
    /// The same after one more rotation.
    fn again(&self, cluster_id: &str, what: Rotated, trigger: Option<String>, asked: &str) -> Self {
        let last = self.version.id().unwrap_or_default();
        let id = deterministic_guid(&["rotate", cluster_id, what.as_str(), last, asked]);
        let mut before = vec![self.version.clone()];
        before.extend(self.before.iter().take(BEFORE_MAX - 1).cloned());
        Self { trigger, version: SecretVersion::of_rotation(id), before }
    }
}

/// What a cluster's document says of all secrets, by [`Rotated::as_str`]; words that a newer version knows stay.
pub type Rotations = BTreeMap<String, Rotation>;

/// The rotations of a document after a declaration with these triggers. A cluster that is being made has nothing to rotate,
/// and taking a trigger away rotates nothing. What is `asked` for beside the declaration is rotated, too.
pub fn declared(
    stored: Option<&Rotations>,
    triggers: &BTreeMap<Rotated, String>,
    asked: &BTreeMap<Rotated, String>,
    cluster_id: &str,
) -> Rotations {
    let mut rotations = stored.cloned().unwrap_or_default();
    for what in Rotated::ALL {
        let trigger = triggers.get(&what).cloned();
        let before = rotations.get(what.as_str()).cloned().unwrap_or_default();
        let mut now = before.clone();
        if stored.is_some()
            && let Some(wanted) =
                trigger.as_deref().filter(|wanted| before.trigger.as_deref() != Some(*wanted))
        {
            now = now.again(cluster_id, what, trigger.clone(), wanted);
        }
        now.trigger = trigger;
        if let Some(asked) = asked.get(&what).filter(|_| stored.is_some()) {
            now = now.again(cluster_id, what, now.trigger.clone(), asked);
        }
        if now == Rotation::default() {
            rotations.remove(what.as_str());
        } else {
            rotations.insert(what.as_str().to_owned(), now);
        }
    }
    rotations
}

/// `decisions/rotations.json`: how far the servers are. The leading one writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationsDocument {
    /// By [`Rotated::as_str`].
    #[serde(default)]
    pub progress: BTreeMap<String, Progress>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

/// How far a rotation is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The version that it brings.
    pub version: SecretVersion,
    /// The version that is in use before it.
    #[serde(default)]
    pub from: SecretVersion,
    /// How far it is.
    pub phase: Phase,
    /// Since when, milliseconds since the Unix epoch.
    pub since_unix_ms: u64,
}

/// Where a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Servers take the new one beside the old one.
    Spreading,
    /// All know the new one and use the old one.
    Known,
    /// All use the new one and know the old one.
    InUse,
    /// The old one is gone.
    Done,
    /// Something that a newer version knows.
    #[serde(other)]
    Unknown,
}

/// One secret of a cluster, as document and servers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn<'a> {
    /// The version that the cluster is to have.
    pub target: &'a SecretVersion,
    /// The version in use.
    pub in_use: &'a SecretVersion,
    /// How far it is with the target; `None` where nothing was ever rotated.
    pub phase: Option<Phase>,
    /// Since when it is so far, milliseconds since the Unix epoch.
    pub since_unix_ms: u64,
    /// Versions that may still be known somewhere, neither target nor in use.
    pub older: Vec<&'a SecretVersion>,
}

static FIRST: SecretVersion = SecretVersion(None);

/// Where a secret of a cluster stands.
pub fn turn<'a>(
    rotations: &'a Rotations,
    decisions: &'a RotationsDocument,
    what: Rotated,
) -> Turn<'a> {
    let rotation = rotations.get(what.as_str());
    let progress = decisions.progress.get(what.as_str());
    let target = rotation.map_or(&FIRST, |rotation| &rotation.version);
    let (in_use, phase, since_unix_ms) = match progress {
        Some(at) if at.version == *target => {
            let is_used = at.phase >= Phase::InUse;
            (if is_used { target } else { &at.from }, Some(at.phase), at.since_unix_ms)
        }
        // The servers have not begun with it.
        Some(at) => {
            let is_used = at.phase >= Phase::InUse;
            let used = if is_used { &at.version } else { &at.from };
            (used, Some(Phase::Spreading), 0)
        }
        None if target.is_first() => (&FIRST, None, 0),
        None => (&FIRST, Some(Phase::Spreading), 0),
    };
    let before = rotation.iter().flat_map(|rotation| &rotation.before);
    let older = before.filter(|version| **version != *target && **version != *in_use).collect();
    Turn { target, in_use, phase, since_unix_ms, older }
}

impl Turn<'_> {
    /// Whether there is nothing left to do.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, None | Some(Phase::Done | Phase::Unknown))
    }

    /// Versions that somebody may use now: that in use, then the target, then, until it is done, the older ones.
    pub fn known(&self) -> Vec<&SecretVersion> {
        let mut known = vec![self.in_use];
        if self.target != self.in_use {
            known.push(self.target);
        }
        if !self.is_done() {
            known.extend(&self.older);
        }
        known
    }

    /// What the servers note when they have reached a phase.
    pub fn next(&self, phase: Phase, now_unix_ms: u64) -> Progress {
        Progress {
            version: self.target.clone(),
            from: self.in_use.clone(),
            phase,
            since_unix_ms: now_unix_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "/subscriptions/s/resourceGroups/g";

    fn triggers(word: &str) -> BTreeMap<Rotated, String> {
        [(Rotated::GossipKey, word.to_owned())].into()
    }

    fn none() -> BTreeMap<Rotated, String> {
        BTreeMap::new()
    }

    #[test]
    fn a_create_and_a_trigger_that_stays_or_goes_rotate_nothing() {
        let made = declared(None, &triggers("a"), &none(), CLUSTER);
        assert!(made["gossip_key"].version.is_first());
        let same = declared(Some(&made), &triggers("a"), &none(), CLUSTER);
        assert_eq!(same, made);
        let gone = declared(Some(&made), &none(), &none(), CLUSTER);
        assert!(gone.is_empty());
        // A cluster of before has none, and one that appears asks for a rotation.
        let first = declared(Some(&gone), &triggers("a"), &none(), CLUSTER);
        assert!(!first["gossip_key"].version.is_first());
    }

    #[test]
    fn each_change_of_a_trigger_is_a_version_of_its_own_and_the_same_twice() {
        let made = declared(None, &triggers("a"), &none(), CLUSTER);
        let second = declared(Some(&made), &triggers("b"), &none(), CLUSTER);
        assert_eq!(second, declared(Some(&made), &triggers("b"), &none(), CLUSTER));
        assert_eq!(second["gossip_key"].before, [SecretVersion::default()]);
        // Back to an earlier word is one more rotation.
        let third = declared(Some(&second), &triggers("a"), &none(), CLUSTER);
        assert_ne!(third["gossip_key"].version, second["gossip_key"].version);
        assert_eq!(third["gossip_key"].before.len(), 2);
        let asked = declared(Some(&third), &triggers("a"), &triggers("now"), CLUSTER);
        assert_ne!(asked["gossip_key"].version, third["gossip_key"].version);
        assert_eq!(
            asked["gossip_key"].trigger.as_deref(),
            Some("a"),
            "the declaration is as it was"
        );
    }

    #[test]
    fn what_a_newer_version_rotates_stays() {
        let strange: Rotations = [("moon_key".to_owned(), Rotation::default())].into();
        assert_eq!(declared(Some(&strange), &none(), &none(), CLUSTER), strange);
    }

    #[test]
    fn the_version_in_use_is_the_one_before_until_all_use_the_new_one() {
        let made = declared(None, &triggers("a"), &none(), CLUSTER);
        let second = declared(Some(&made), &triggers("b"), &none(), CLUSTER);
        let mut decisions = RotationsDocument::default();
        let at = |decisions: &RotationsDocument| {
            let turn = turn(&second, decisions, Rotated::GossipKey);
            (turn.in_use.is_first(), turn.phase, turn.is_done(), turn.known().len())
        };
        assert_eq!(at(&decisions), (true, Some(Phase::Spreading), false, 2));
        for (phase, is_first, is_done, known) in [
            (Phase::Spreading, true, false, 2),
            (Phase::Known, true, false, 2),
            (Phase::InUse, false, false, 2),
            (Phase::Done, false, true, 1),
        ] {
            let next = turn(&second, &decisions, Rotated::GossipKey).next(phase, 7);
            decisions.progress.insert("gossip_key".to_owned(), next);
            assert_eq!(at(&decisions), (is_first, Some(phase), is_done, known), "{phase:?}");
        }
    }

    #[test]
    fn a_rotation_over_an_unfinished_one_starts_from_what_is_in_use() {
        let made = declared(None, &triggers("a"), &none(), CLUSTER);
        let second = declared(Some(&made), &triggers("b"), &none(), CLUSTER);
        let mut decisions = RotationsDocument::default();
        let known = turn(&second, &decisions, Rotated::GossipKey).next(Phase::Known, 7);
        decisions.progress.insert("gossip_key".to_owned(), known);
        let third = declared(Some(&second), &triggers("c"), &none(), CLUSTER);
        let turn = turn(&third, &decisions, Rotated::GossipKey);
        assert!(turn.in_use.is_first() && turn.phase == Some(Phase::Spreading));
        assert_eq!(turn.older, [&second["gossip_key"].version]);
        assert_eq!(turn.known().len(), 3);
    }

    #[test]
    fn what_was_never_rotated_has_the_names_it_always_had() {
        assert_eq!(SecretVersion::default().blob("gossip-key"), "gossip-key");
        assert_eq!(SecretVersion::of_rotation("7").blob("gossip-key"), "gossip-key.7");
        assert_eq!(serde_json::to_string(&SecretVersion::default()).unwrap(), "null");
    }
}
